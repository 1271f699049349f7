// Package all opens the providers of a configuration, and links every backend:
//
//	c, err := config.Read("orbit.toml", os.Environ())
//	registry, err := all.Open(ctx, c)
//	defer registry.Close()
//	leases, err := registry.Default(providers.Addressable)
//
// Whoever wants one backend only imports that backend's package instead, and calls
// providers.Open.
//
// Each backend has one file here, named like its package, which links it and turns
// its struct of package config into the Config of its package. A backend without
// such a file is refused by its name: nothing is opened in its place.
package all

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
)

// mappings fill in what a backend's configuration says of a providers.Config: Options,
// and Retry where it has a say in that.
var mappings = map[config.Kind]func(config.Backend, *providers.Config) error{}

// register makes the mapping of a backend known. Each backend's file calls it from
// init.
func register[B config.Backend](mapping func(B, *providers.Config) error) {
	var zero B
	kind := zero.Kind()
	if mappings[kind] != nil {
		panic("providers/all: " + string(kind) + " has two mappings")
	}
	mappings[kind] = func(b config.Backend, c *providers.Config) error {
		own, ok := b.(B)
		if !ok {
			return fmt.Errorf("%w: the configuration is a %T, and must be a %T", providers.ErrInvalid, b, zero)
		}
		return mapping(own, c)
	}
}

// Config returns what providers.Open needs to open a backend as it is configured, under
// a name. A backend that this program does not have is ErrUnsupported; a
// configuration that is not valid is ErrInvalid, with every mistake.
func Config(name string, b config.Backend) (providers.Config, error) {
	if b == nil {
		return providers.Config{}, fmt.Errorf("provider %q: %w: there is no configuration", name, providers.ErrInvalid)
	}
	if err := b.Validate(); err != nil {
		return providers.Config{}, fmt.Errorf("provider %q: %w", name, err)
	}
	mapping := mappings[b.Kind()]
	if mapping == nil {
		return providers.Config{}, fmt.Errorf("provider %q: %w: the backend %s is not part of this program, which has %v; nothing is opened in its place",
			name, providers.ErrUnsupported, b.Kind(), Kinds())
	}
	c := providers.Config{Backend: string(b.Kind()), Name: name}
	if err := mapping(b, &c); err != nil {
		return providers.Config{}, fmt.Errorf("provider %q: %w", name, err)
	}
	return c, nil
}

// Kinds returns the backends that can be opened, in order.
func Kinds() []config.Kind { return slices.Sorted(maps.Keys(mappings)) }

// Adjust changes what is not part of a configuration before a provider is opened: its
// logger, its tracer, thresholds of its health. c.Name is the provider's name.
type Adjust func(c *providers.Config)

// Open opens every provider of a configuration, in the order of their names, and
// registers each under its name; those that are selected are the defaults. If one
// cannot be opened, those that are open are closed again, and the error names it.
func Open(ctx context.Context, c *config.Config, adjust ...Adjust) (*providers.Registry, error) {
	names := slices.Sorted(maps.Keys(c.Providers))
	configs := make([]providers.Config, len(names))
	var errs []error
	for i, name := range names {
		var err error
		configs[i], err = Config(name, c.Providers[name])
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err // before anything is opened
	}
	registry := new(providers.Registry)
	for i, name := range names {
		p, err := open(ctx, configs[i], adjust)
		if err == nil {
			err = registry.Register(name, p, uses(c, name)...)
		}
		if err != nil {
			return nil, errors.Join(err, registry.Close())
		}
	}
	return registry, nil
}

// uses returns what a provider is the default for.
func uses(c *config.Config, name string) []providers.Use {
	var uses []providers.Use
	for use, selected := range map[providers.Use]string{
		providers.General:     c.Server.PersistenceBackend,
		providers.Addressable: c.Defaults.Addressable,
		providers.Cluster:     c.Defaults.Cluster,
	} {
		if selected == name {
			uses = append(uses, use)
		}
	}
	return uses
}

// OpenOne opens one provider of a configuration and none of the others: the one that a
// name, or a spelling of a backend, selects, or that is for general use if selection
// is "".
func OpenOne(ctx context.Context, c *config.Config, selection string, adjust ...Adjust) (*providers.Provider, error) {
	if selection == "" {
		selection = c.Server.PersistenceBackend
	}
	if selection == "" {
		return nil, fmt.Errorf("%w: no provider is selected for general use; name one of %q", providers.ErrInvalid, slices.Sorted(maps.Keys(c.Providers)))
	}
	name, b, err := c.Provider(selection)
	if err != nil {
		return nil, err
	}
	p, err := Config(name, b)
	if err != nil {
		return nil, err
	}
	return open(ctx, p, adjust)
}

func open(ctx context.Context, c providers.Config, adjust []Adjust) (*providers.Provider, error) {
	for _, a := range adjust {
		a(&c)
	}
	p, err := providers.Open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("provider %q: %w", c.Name, err)
	}
	return p, nil
}
