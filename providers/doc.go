// Package providers is the portable persistence layer: one concrete type,
// *Provider, over every backend.
//
//	import (
//		"github.com/orbit-persistence/orbit/providers"
//		"github.com/orbit-persistence/orbit/providers/memory"
//	)
//
//	p, err := providers.Open(ctx, providers.Config{
//		Backend: "memory",
//		Options: memory.Config{MaxEntries: 100_000},
//	})
//
// A backend is linked, and known to Open, when its package is imported, and none is
// linked otherwise. There is no fallback from one backend to another.
//
// # What is written once, above every backend
//
// Transactions (Begin, Update) are serializable. Where a backend commits many keys
// natively that is used, elsewhere the protocol of package intent. Calls over a wire
// are repeated after ErrUnavailable, which says that nothing was applied, with
// growing, jittered pauses, and a circuit breaker stands before them. A write whose
// outcome is unknown is never repeated: it could undo another client's.
//
// Metrics, Health, an audit log and tracing see every call.
//
// # Services
//
// Packages lease and node keep the directories of addressables and of the members
// of a cluster in any provider.
package providers
