// Package real puts engines through faults of the real kernel: kills, power cuts,
// full and failing devices. Here no disk is simulated, so that every engine takes
// part, also those that are not this project's.
//
//   - Kill ends the process of a store with SIGKILL, again and again, at work and
//     in recovery.
//   - PowerCut does the same to file systems on loop devices, ext4 and XFS, by the
//     shutdown call that loses all that was not flushed; see package loopfs.
//   - NoSpace fills a file system up, and then makes room.
//   - IOErrors makes writes fail, and then reads.
//
// A store is opened by a child, which is this program itself, started again:
// RunChild. Several writers work on it at the same time. What they do follows from
// the seed. When it happens does not: the kernel's clock has its part, so that a
// failure is met again by the same command often, not always.
//
// # The oracle
//
// It trusts no engine. Each writer has keys of its own and applies its batches one
// after the other. Each batch also puts its name under a marker of its writer, and
// under two of the keys that all writers share. In memory that outlives the child
// each writer notes when a batch is begun, which batches of the others were
// acknowledged by then, and when it is acknowledged. So of a store that is opened
// again it is known:
//
//   - the newest batch of each writer that it claims to hold, and what the own keys
//     of that writer then are: batches are whole, and none is missing in between;
//   - that with a batch each one is there that was acknowledged before it began:
//     what is lost is a suffix of the commit order, not only of each writer's;
//   - that a shared key holds the newest batch of its writer, and none that was
//     surely overwritten by another's;
//   - which acknowledged batches are gone, and in which class. After a kill that
//     may be batches of class Memory; after a power cut Buffered ones too; after a
//     clean close none.
//
// The order of two batches at the same time is not known, and not asked for.
//
// A store goes through many rounds, so that what recovered is recovered again;
// batches that were lost must not come back.
package real
