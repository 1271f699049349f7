// Package composite makes one provider of two, of any kinds. Importing it registers the
// backend "composite".
//
// Mode Synchronous keeps both level: a write is acknowledged when both have it. Mode
// Periodic writes to the primary, and brings the backup level every SyncInterval. Mode
// Cache puts the primary as a cache before the backup; see cache.go.
//
// # Rows
//
// Both sides hold the same rows, so that revisions, fencing tokens and values are the
// same on whichever side serves. The key of a row is the user's key, with 00 01 for a
// first byte 00. What the composite keeps for itself is below these:
//
//	00 00 'c'        control: which process writes, in which epoch, who is level (JSON)
//	00 00 'l'        lease: something else after each renewal
//	00 00 'f' key    fence: u8 version 1, u64 largest token seen for the key
//
//	row = u8 version 1, u64 revision, value
//
// A side that has rows and no control was written by something else, and is refused.
//
// # One process
//
// One process serves at a time. Whoever takes over must have seen the lease of the one
// before unchanged for its TTL, on its own monotonic clock, on every side that it
// reaches; then it writes its own epoch into the control of each. Every commit to a
// side is conditional on the revision of the control there: that is the fence. It holds
// whatever the clocks do: no side takes a write of a process whose epoch has passed
// there. Reads are fenced by time: a process answers them only while its lease lasts.
//
// An epoch is a number that only grows; it is even while the primary serves, and odd
// while the backup does. A revision is the epoch, shifted left by 40, and a count.
// After a commit whose outcome is unknown the epoch grows before anything else is
// written, so that what is still under way cannot arrive later.
//
// # Synchronous mode
//
// A write goes to the side that does not serve first. So what a read has shown is on
// both, and what was acknowledged is on both, at every moment. FailoverThreshold
// failures in a row, of requests and of health checks together, put a side out:
//
//   - Without AllowSingle the other serves reads, and writes are ErrUnavailable until
//     both are back. Nothing acknowledged is ever lost.
//   - With AllowSingle the other goes on alone. That is recorded there, in a new epoch,
//     before it acknowledges anything. If it is lost before the first side was level
//     again, so is what was written meanwhile. Two processes, one of which reaches
//     nothing but the primary and the other nothing but the backup, can both be alone.
//     That is found when they meet again: both controls say so, neither side is
//     overwritten, and writes are refused with ErrConflict until an operator has
//     decided, by emptying one of them.
//
// A side that is back is brought level while the other serves: by the keys that were
// written meanwhile, if it is as this process left it, else by comparing all. Writes go
// to both during that. Then a new epoch is written to both, and the primary serves.
//
// # Periodic mode
//
// The backup is behind by what was acknowledged since the last synchronisation began,
// which Status counts and times. A failover loses that: Status.Lost counts it. One that
// fits into one commit of the backup is applied as one moment of the primary;
// a larger one in parts.
//
// # What holds across a failover
//
// Revisions: the same on both sides; a compare-and-swap that was prepared before works
// after. Commits: whole or not at all, on each side and on both. Fencing tokens: kept
// with the rows. TTL: each side ends entries by its own clock; an entry that was copied
// later has the rest of its time. Clock is that of the side that serves.
//
// # Failures
//
// The composite repeats by itself what is safe to repeat after a failover, so it does
// not ask for a circuit breaker above it: Capabilities.Remote is false. A failover of
// threshold n makes at most n-1 requests fail that were made one after the other.
package composite
