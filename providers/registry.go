package providers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
)

func quoted(key []byte) string { return engine.QuoteKey(key) }

// Use is what a default provider is for.
type Use string

const (
	// Addressable is the directory of leases.
	Addressable Use = "addressable"
	// Cluster is the directory of nodes.
	Cluster Use = "cluster"
	// General is everything else.
	General Use = "general"
)

// Registry holds providers under names, with a default for each use. Its zero value
// is empty and ready.
type Registry struct {
	mu        sync.RWMutex // guards what follows
	providers map[string]*Provider
	defaults  map[Use]string
}

// Register adds a provider, and makes it the default of uses. ErrConflict if the
// name is taken.
func (r *Registry) Register(name string, p *Provider, defaultFor ...Use) error {
	if name == "" || p == nil {
		return fmt.Errorf("register provider: %w: it needs a name and a provider", ErrInvalid)
	}
	for _, u := range defaultFor {
		if err := u.check(); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.providers[name] != nil {
		return fmt.Errorf("register provider %q: %w: the name is taken", name, ErrConflict)
	}
	if r.providers == nil {
		r.providers, r.defaults = map[string]*Provider{}, map[Use]string{}
	}
	r.providers[name] = p
	for _, u := range defaultFor {
		r.defaults[u] = name
	}
	return nil
}

func (u Use) check() error {
	if u != Addressable && u != Cluster && u != General {
		return fmt.Errorf("%w: unknown use %q; choose addressable, cluster or general", ErrInvalid, string(u))
	}
	return nil
}

// SetDefault makes the provider of that name the default of a use.
func (r *Registry) SetDefault(u Use, name string) error {
	if err := u.check(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.providers[name] == nil {
		return r.missing(name)
	}
	r.defaults[u] = name
	return nil
}

// Get returns the provider of that name. A name that is missing is ErrInvalid, a
// mistake of configuration; the message has those that are there.
func (r *Registry) Get(name string) (*Provider, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if p := r.providers[name]; p != nil {
		return p, nil
	}
	return nil, r.missing(name)
}

func (r *Registry) missing(name string) error {
	return fmt.Errorf("%w: no provider is registered as %q; there are %q", ErrInvalid, name, slices.Sorted(maps.Keys(r.providers)))
}

// Default returns the default of a use: its own, else that of General. ErrInvalid if
// there is neither.
func (r *Registry) Default(u Use) (*Provider, error) {
	if err := u.check(); err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, of := range []Use{u, General} {
		if name, ok := r.defaults[of]; ok {
			return r.providers[name], nil
		}
	}
	return nil, fmt.Errorf("%w: no provider is the default for %s, and none for general use", ErrInvalid, u)
}

// Names returns the names in order.
func (r *Registry) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.providers))
}

// Close closes every provider and forgets them; the error has each that failed.
func (r *Registry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	for _, name := range slices.Sorted(maps.Keys(r.providers)) {
		if closeErr := r.providers[name].Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("close %q: %w", name, closeErr))
		}
	}
	r.providers, r.defaults = nil, nil
	return err
}
