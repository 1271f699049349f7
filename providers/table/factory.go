package table

import (
	"context"

	"github.com/orbit-persistence/orbit/providers"
)

// DefaultBackend is where tables are kept unless another backend is asked for.
const DefaultBackend = "lsm_tree"

// StorageBackendConfig says where a StorageBackendFactory keeps tables. The zero value is
// DefaultBackend with its defaults.
type StorageBackendConfig struct {
	// Backend is the selector, "" is DefaultBackend. It must be linked: import its
	// package.
	Backend string
	// Options is the Config of the backend's own package; nil is its defaults.
	Options any
	// Provider is what stands above the backend; its Backend and Options are not used.
	Provider providers.Config
}

// StorageBackendFactory opens storages.
type StorageBackendFactory struct{}

// CreateBackend opens a provider and returns a storage in it, whose Close closes it. There
// is no fallback: a backend that is not linked is an error.
func (StorageBackendFactory) CreateBackend(ctx context.Context, c StorageBackendConfig) (*Storage, error) {
	o := c.Provider
	o.Backend, o.Options = c.Backend, c.Options
	if o.Backend == "" {
		o.Backend = DefaultBackend
	}
	p, err := providers.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	s := New(p)
	s.owned = true
	return s, nil
}
