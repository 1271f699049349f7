// Package driver is what a backend implements to become a provider. Users hold
// *providers.Provider instead, which is the same type over every backend, and
// adds what is written once: retries, metrics, health, transactions.
//
// A Store is an ordered map from keys to values in which every value has a
// Revision. All of its methods may be called from many goroutines at once.
//
// # Optional interfaces
//
// What not every backend can do stands in interfaces of its own: Committer,
// BatchGetter, BulkPutter, Snapshotter, Watcher, Clock, Expirer, Checkpointer,
// Compacter, Reporter. A store implements one if and only if its Capabilities
// declare it; the suite in drivertest checks both directions.
//
// A store without Committer needs nothing but compare-and-swap of single keys:
// providers wraps it, so that it has transactions and fences all the same. Such
// a store is not to be written to by other means.
//
// # Keys and values
//
// Keys are bytes, ordered as bytes.Compare orders them, from 1 byte up to the
// declared limit. Backends with restricted names use EncodeName. Values are
// bytes, none at all included.
//
// Arguments stay the caller's when a call returns: a store copies what it keeps.
// Results are the caller's.
//
// # Consistency
//
// Where Capabilities.Staleness is 0 operations on one key are linearizable. A
// List is not one moment: each key that is there from its beginning to its end
// appears exactly once, others may appear or not.
//
// # Errors
//
// See the kinds in errors.go. What matters most is what became of a write:
//
//   - ErrUnavailable says that nothing was applied; the caller may repeat.
//   - ErrOutcomeUnknown says that it may or may not have been applied, now or
//     later. Nothing above a store repeats such a write, because that could undo
//     what another client wrote in between. No error is of this kind and of one
//     that says that nothing was applied.
//   - A context that ends before a write is sent gives the context's error alone,
//     and nothing was applied. Later, the error is ErrOutcomeUnknown too, unless
//     the store waits for the outcome.
//
// # Registration
//
// The package of a backend registers itself when it is imported, so that a
// program links the backends that it imports and no others:
//
//	func init() { driver.Register("s3", open) }
package driver
