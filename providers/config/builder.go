package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Builder makes a Config in a program. Its methods return it, so that calls chain:
//
//	c, err := config.NewBuilder().
//		With("memory", config.Default[config.Memory](), false).
//		With("s3", s3, true).
//		Build()
type Builder struct {
	config Config
	errs   []*Error
}

// NewBuilder returns a builder without any provider.
func NewBuilder() *Builder { return &Builder{config: Config{Providers: map[string]Backend{}}} }

// With adds a provider under a name; isDefault selects it for general use.
func (b *Builder) With(name string, backend Backend, isDefault bool) *Builder {
	path := "providers." + name
	_, twice := b.config.Providers[name]
	switch {
	case !namePattern.MatchString(name):
		b.fail("providers", "the name "+quote(name)+" must be of letters, digits, _ and -, 64 at most")
	case twice:
		b.fail(path, "is there twice")
	case !isStruct(backend):
		b.fail(path, "must be a struct of package config, not nil and not a pointer")
	case isDefault && b.config.Server.PersistenceBackend != "":
		b.fail(path, fmt.Sprintf("is the default, as is %s", b.config.Server.PersistenceBackend))
	default:
		b.config.Providers[name] = backend
		if isDefault {
			b.config.Server.PersistenceBackend = name
		}
	}
	return b
}

func isStruct(b Backend) bool { return b != nil && reflect.TypeOf(b).Kind() == reflect.Struct }

// Addressable selects the provider that keeps the leases of addressables; without
// it that is the default one.
func (b *Builder) Addressable(name string) *Builder {
	b.config.Defaults.Addressable = name
	return b
}

// Cluster selects the provider that keeps the cluster's nodes; without it that is
// the default one.
func (b *Builder) Cluster(name string) *Builder {
	b.config.Defaults.Cluster = name
	return b
}

func (b *Builder) fail(option, problem string) {
	b.errs = append(b.errs, place{}.error(option, problem, ""))
}

// Build validates everything and returns the configuration, which the builder no
// longer changes. Every name that is selected must have been added.
func (b *Builder) Build() (*Config, error) {
	c := b.config
	c.Providers = maps.Clone(c.Providers)
	setDefaults(&c.Server)
	l := &loader{decoder: decoder{read: newReadOptions(), errs: slices.Clone(b.errs)}, root: newTable(place{})}
	names := slices.Sorted(maps.Keys(c.Providers))
	for _, name := range names {
		l.report("providers."+name+".", l.root, "").validate(reflect.ValueOf(c.Providers[name]))
	}
	if c.Server.PersistenceBackend == "" && len(names) == 1 {
		c.Server.PersistenceBackend = names[0]
	}
	for option, name := range map[string]*string{"defaults.addressable": &c.Defaults.Addressable, "defaults.cluster": &c.Defaults.Cluster} {
		if *name == "" {
			*name = c.Server.PersistenceBackend
		}
		if _, ok := c.Providers[*name]; !ok && *name != "" {
			l.fail(place{}.error(option, "there is no provider "+quote(*name), nearest(*name, names)))
		}
	}
	switch {
	case len(names) == 0 && len(l.errs) == 0:
		l.fail(place{}.error("providers", "there is none; add one by With", ""))
	case c.Defaults.Addressable == "" || c.Defaults.Cluster == "":
		if len(l.errs) == 0 {
			l.fail(place{}.error("server.persistence_backend", "there are several providers and none is the default; add one with isDefault", ""))
		}
	}
	l.places(&c)
	if err := join(l.errs); err != nil {
		return nil, err
	}
	return &c, nil
}
