// Package bench measures engines side by side and says under which conditions.
//
// A run has sections, one for each data set. In a section every engine gets a
// store with the same records, cache and memory limit, in a process of its own
// (child.go, process.go). Then the cells are measured, workload by workload and
// durability class by class, in rounds in which the engines take turns (run.go).
// Before and after all this the machine's own limits are measured (limits.go).
//
// # What is timed
//
// One client prepares the keys and values of a stretch of operations, off the
// clock, and carries them out one after the other (the closed loop): that gives
// the rate, and the CPU per operation of the whole process, background work
// included. Then operations are started at 0.3 of that rate, at equal distances,
// whether or not those before have ended (the open loop): that gives the latency,
// counted from the moment when an operation should have started, so that whoever
// waits behind a stall is counted too. Many clients share one open loop, whose
// starts a thread of its own hands out; the time that a client takes to wake is
// then part of the figure. A clock reading costs about 30 ns and is part of every
// figure, as is the harness (RunHeader.HarnessNs).
//
// A call that reads several keys (multi-get-16) counts as one operation for each,
// and the latency of each is its share of the call's, so that these figures stand
// beside those of gets. An engine without MultiGet is not in the cell.
//
// # Another module's engine
//
// Main is the whole program. A program with a command line of its own embeds
// Command and calls RunChild first of all.
package bench
