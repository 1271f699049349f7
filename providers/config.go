package providers

import (
	"context"
	"log/slog"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// The names of package driver that users need.
type (
	// Entry is a key with its value and revision.
	Entry = driver.Entry
	// Revision names one write of a key.
	Revision = driver.Revision
	// ListOptions restrict a List.
	ListOptions = driver.ListOptions
	// PutOptions say under which condition to put, and for how long.
	PutOptions = driver.PutOptions
	// DeleteOptions say under which condition to delete.
	DeleteOptions = driver.DeleteOptions
	// Write is one change of a bulk.
	Write = driver.Write
	// Capabilities tell what a backend can do.
	Capabilities = driver.Capabilities
)

// The kinds of error; see package driver.
var (
	ErrNotFound       = driver.ErrNotFound
	ErrClosed         = driver.ErrClosed
	ErrLocked         = driver.ErrLocked
	ErrCorrupt        = driver.ErrCorrupt
	ErrNoSpace        = driver.ErrNoSpace
	ErrTooLarge       = driver.ErrTooLarge
	ErrConflict       = driver.ErrConflict
	ErrUnsupported    = driver.ErrUnsupported
	ErrReadOnly       = driver.ErrReadOnly
	ErrInvalid        = driver.ErrInvalid
	ErrFenced         = driver.ErrFenced
	ErrDenied         = driver.ErrDenied
	ErrUnavailable    = driver.ErrUnavailable
	ErrOutcomeUnknown = driver.ErrOutcomeUnknown
)

// Config says which backend to open, and what stands above it.
type Config struct {
	// Backend is the selector: "memory", "cow_btree", "s3" and so on. It must be
	// linked: import its package.
	Backend string
	// Options is the Config of the backend's own package; nil is its defaults.
	Options any
	// Name tells this provider from others in metrics and logs; "" is Backend.
	Name string
	// Retry says how calls over a wire are repeated.
	Retry Retry
	// Breaker says when calls over a wire are refused at once.
	Breaker Breaker
	// TransactionTimeout is that of transactions that ask for none; 0 is 30 s.
	TransactionTimeout time.Duration
	// ExpireInterval is how often expired entries are removed, where the backend
	// must be told to; 0 is 60 s, below 0 is never.
	ExpireInterval time.Duration
	// Thresholds are those of Health.
	Thresholds Thresholds
	// Audit receives a record of every call: writes at Info, reads at Debug,
	// failures at Warn. It has keys, and never values. nil is none.
	Audit *slog.Logger
	// Tracer is told of every call; nil is none, and costs nothing.
	Tracer Tracer
}

// Tracer is told of the calls of a provider. OpenTelemetry's fits with a few lines.
type Tracer interface {
	// Start begins a span, and returns the context of what belongs to it, and the
	// function that ends it. key is nil for calls that are about many keys, and not
	// to be kept.
	Start(ctx context.Context, provider, operation string, key []byte) (context.Context, func(err error))
}

// Open opens a provider: New and Provider.Open in one.
func Open(ctx context.Context, c Config) (*Provider, error) {
	p := New(c)
	if err := p.Open(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// OpenStore returns an open provider over a store, which is its from now on. It is
// for stores that no package registers; Backend and Options of c are not used.
func OpenStore(store driver.Store, c Config) *Provider {
	if c.Backend == "" {
		c.Backend = store.Capabilities().Backend
	}
	p := New(c)
	p.opening.Lock()
	defer p.opening.Unlock()
	p.begin(store)
	return p
}
