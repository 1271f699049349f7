// Package crash cuts the power under an engine, at every moment and with every
// outcome, and asks package workload's oracle what the store then shows.
//
// An engine does a workload once on a simulated disk (package simdisk), which
// records what it did. Then, for each event of that record, the explorer makes
// the disks that a power cut right after it may leave, opens each, and checks
// it:
//
//   - Up to 12 units are pending, which a cut may keep or lose: each subset. And
//     each write in turn left in part, by its left end, its right end, or as
//     garbage, with the others kept, lost, or kept up to there.
//   - More, or the workload is of three operations or more: none, all, each one
//     lost, each one kept, and 64 mixtures of all fates by the seed.
//
// Images are told apart by hash. One that was recovered before is not recovered
// again; what it showed is held against what is acknowledged by now.
//
// # What is asked of an image
//
// The store opens without an error. It shows one prefix of the commit order, as
// the oracle says; where all was kept, which is what the death of a process
// leaves, the Buffered batches are in it. Checkpoints that were acknowledged
// open and hold their state. A second opener is refused. The store takes another
// Flushed batch, closes, opens, and shows that batch on top of what recovery
// showed. The sequence of a Sequenced engine does not go back.
//
// # Crashes during recovery
//
// All that happens on the image is recorded in its turn, and the power is cut
// during that, and once more during the recovery after it: at a sampled moment
// for a share of the images, the first time at every moment for a smaller share. What was
// acknowledged before the first cut must survive them all. What the first
// recovery showed may be less after the second cut, unless a flush was
// acknowledged in between.
//
// # Engines that are not ours
//
// Package vfs promises no order between names that are not durable, and our
// engines are held to that. Others are written for file systems with a journal,
// which keeps names in order, so that a name is lost for them only with all later
// ones; and the directory of the store is there, durably, before they begin. What
// they still get wrong is observed, not judged.
//
// Nor need they do the same each time. They get large workloads by the seed, with
// one mixture of fates at each of 16 random events, and a failure is not shrunk.
//
// # Which workloads
//
// All of one and two operations over a small alphabet, mixed with some of three
// operations and with large ones, by the seed; then those alone. The cuts of a small workload
// lie in its last operation and in the close: those before are the cuts of a
// workload with one operation less. (Bornholdt and others, CrashMonkey, OSDI
// 2018, found most crash bugs with three operations or fewer.)
package crash
