package driver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
)

// Opener opens a store. Its options are a value of the backend's own Config type,
// or a pointer to one; nil is that type's defaults; the function Options gives it.
// ctx bounds the opening, not the store.
type Opener func(ctx context.Context, options any) (Store, error)

var openers struct {
	sync.RWMutex
	byName map[string]Opener
}

// Register makes a backend known under its selector. The backend's package calls
// it from init. A second registration of a name panics: the program then links two
// packages that claim one backend.
func Register(name string, open Opener) {
	openers.Lock()
	defer openers.Unlock()
	if open == nil || name == "" {
		panic("driver: Register needs a name and an opener")
	}
	if openers.byName[name] != nil {
		panic("driver: " + name + " is registered twice")
	}
	if openers.byName == nil {
		openers.byName = map[string]Opener{}
	}
	openers.byName[name] = open
}

// Registered returns the selectors of the backends that this program links, in
// order.
func Registered() []string {
	openers.RLock()
	defer openers.RUnlock()
	names := make([]string, 0, len(openers.byName))
	for name := range openers.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Open opens a store of a registered backend. An unknown selector is ErrInvalid
// and names those that are known: there is no fallback to another.
func Open(ctx context.Context, name string, options any) (Store, error) {
	openers.RLock()
	open := openers.byName[name]
	openers.RUnlock()
	if open == nil {
		return nil, fmt.Errorf("open provider: %w: no backend %q is linked into this program, which has %s; import its package",
			engine.ErrInvalid, name, list(Registered()))
	}
	store, err := open(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return store, nil
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Options returns the options as the Config that a backend wants: the value, what
// a pointer points to, or defaults if they are nil. Any other type is ErrInvalid,
// and the message names types alone, as the value may hold a secret.
func Options[Config any](options any, defaults Config) (Config, error) {
	switch o := options.(type) {
	case nil:
		return defaults, nil
	case Config:
		return o, nil
	case *Config:
		if o == nil {
			return defaults, nil
		}
		return *o, nil
	}
	return defaults, fmt.Errorf("%w: options of type %T; this backend takes %T", engine.ErrInvalid, options, defaults)
}
