// Package linear is the mode of torture that asks whether an engine is
// linearizable, its snapshots one state each, and its conditional commits
// serializable.
//
// Clients work on one engine at once: gets, multi-gets, scans in both directions,
// batches, range deletes, conditional commits; snapshots and iterators that they
// hold while they and others write. What they saw is a history, which goes on
// over orderly restarts and, on the simulated disk, over power cuts, and is then
// judged by package check:
//
//   - in the commit order that a Sequenced engine tells;
//   - in the order that markers tell: each batch puts (writer, number) under a key
//     of its own, so that each snapshot shows which batches it holds. This trusts
//     no engine;
//   - by porcupine, per key, and over the whole map in histories whose clients
//     wait for each other after every few operations;
//   - for engines with conditional commits, transactions that append to lists, by
//     Elle's method.
//
// A seed fixes what clients do, not how the machine interleaves them: a failure
// may need several runs of its command to come back.
package linear
