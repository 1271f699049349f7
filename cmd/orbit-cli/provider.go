package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
)

// providersHelp says how commands are told which provider is meant.
const providersHelp = `A PROVIDER is
  BACKEND:DIRECTORY    a local one, with its defaults: lsm_tree:/var/lib/orbit, cow:./data,
                       rocksdb:DIR, pebble:DIR, flash:DIR; memory:FILE is a backup on disk
  NAME                 one of the configuration that --config names, else of the variables
                       ORBIT_*; a backend's name stands for its only provider: s3, etcd

A local provider is locked by who has it open: stop the server first, or migrate it live
from within (see package providers/migrate).`

// exitHelp says what exit codes mean.
const exitHelp = `Exit codes:
  0  done
  1  failed; what to do is in the message
  2  the command was called wrongly`

// configFlag names the configuration that providers are looked up in.
type configFlag struct {
	Config string `placeholder:"FILE" help:"A configuration in TOML or JSON, in which providers are looked up."`
}

// outputFlags say what is printed.
type outputFlags struct {
	JSON     bool `name:"json" help:"Print the result, or {\"errors\": [...]}, as JSON to standard output."`
	Progress bool `help:"Print how far it has come to standard error, line by line; on a terminal it is shown anyway."`
}

// backendFlags name one provider as the specification does.
type backendFlags struct {
	configFlag
	Backend string `required:"" help:"The backend of the provider, or its name in the configuration."`
	DataDir string `placeholder:"DIR" help:"The directory of a local provider."`
}

func (f *backendFlags) spec() string {
	if f.DataDir == "" {
		return f.Backend
	}
	return f.Backend + ":" + f.DataDir
}

// selected is a provider that a command was told of.
type selected struct {
	// label names it in the records of migrations.
	label   string
	config  providers.Config
	backend config.Backend
	// dirs is where a local one lies, nil for others: several directories for one on more
	// than one path.
	dirs []string
}

// dir is the directory that holds all of a local provider, "" where there is none.
func (s selected) dir() string {
	if len(s.dirs) == 1 {
		return s.dirs[0]
	}
	return ""
}

// find returns the provider that a PROVIDER means.
func (f *configFlag) find(spec string) (selected, error) {
	if backend, dir, ok := strings.Cut(spec, ":"); ok {
		return localProvider(spec, backend, dir)
	}
	c, err := config.Read(f.Config, os.Environ())
	if err != nil {
		return selected{}, err
	}
	name, b, err := c.Provider(spec)
	if err != nil {
		return selected{}, bench.Usagef("provider %s: %w", spec, err)
	}
	return chosen(name, b)
}

// localProvider returns a provider that is a backend and a directory.
func localProvider(spec, backend, dir string) (selected, error) {
	kind, err := config.ParseKind(backend)
	if err != nil {
		return selected{}, bench.Usagef("provider %s: %w", spec, err)
	}
	if dir == "" {
		return selected{}, bench.Usagef("provider %s: it needs a directory behind the colon", spec)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return selected{}, err
	}
	b := lyingIn(kind, dir)
	if b == nil {
		return selected{}, bench.Usagef("provider %s: %s is not local; name it in a configuration, and give that with --config", spec, kind)
	}
	return chosen(string(kind)+":"+dir, b)
}

// lyingIn returns a local backend with its defaults in a directory, nil of one that is
// not local.
func lyingIn(kind config.Kind, dir string) config.Backend {
	var b config.Backend
	switch kind {
	case config.KindMemory:
		b = config.Default[config.Memory]()
	case config.KindCowBTree:
		b = config.Default[config.CowBTree]()
	case config.KindLsmTree:
		b = config.Default[config.LsmTree]()
	case config.KindRocksDB:
		b = config.Default[config.RocksDB]()
	case config.KindPebble:
		b = config.Default[config.Pebble]()
	case config.KindFlash:
		b = config.Default[config.Flash]()
	default:
		return nil
	}
	b, _ = moved(b, dir)
	return b
}

// moved returns a local backend's configuration for another directory.
func moved(b config.Backend, dir string) (config.Backend, bool) {
	switch c := b.(type) {
	case config.Memory:
		c.DiskBackup = &config.DiskBackup{Path: dir, SyncInterval: engineDefaultSync, Compression: config.NoCompression}
		return c, true
	case config.CowBTree:
		c.DataDir = dir
		return c, true
	case config.LsmTree:
		c.DataDir = dir
		return c, true
	case config.RocksDB:
		c.DataDir = dir
		return c, true
	case config.Pebble:
		c.DataDir = dir
		return c, true
	case config.Flash:
		c.DataDir, c.Paths, c.EnableMultipathing, c.Replicas = dir, nil, false, 0
		return c, true
	}
	return nil, false
}

// at returns the same provider in another directory.
func (s selected) at(dir string) (selected, error) {
	b, ok := moved(s.backend, dir)
	if !ok {
		return selected{}, bench.Usagef("%s does not lie in a directory", s.label)
	}
	return chosen(s.label, b)
}

func chosen(name string, b config.Backend) (selected, error) {
	c, err := all.Config(name, b)
	if err != nil {
		return selected{}, err
	}
	c.ExpireInterval = -1 // a command does what it is asked for, and nothing beside it
	s := selected{label: name, config: c, backend: b}
	s.dirs = directoriesOf(b)
	if !strings.Contains(name, ":") {
		s.label = string(b.Kind()) + " " + name
	}
	return s, nil
}

// directoriesOf returns where a local provider lies; nil of one that is not local.
func directoriesOf(b config.Backend) []string {
	switch c := b.(type) {
	case config.Memory:
		if c.DiskBackup != nil {
			return []string{c.DiskBackup.Path}
		}
	case config.CowBTree:
		return []string{c.DataDir}
	case config.LsmTree:
		return []string{c.DataDir}
	case config.RocksDB:
		return []string{c.DataDir}
	case config.Pebble:
		return []string{c.DataDir}
	case config.Flash:
		return c.AllPaths()
	}
	return nil
}

// nothingIn is an error if there is no store in any of some directories, or files.
func nothingIn(places []string) error {
	var missing error
	for _, place := range places {
		info, err := os.Stat(place)
		if err == nil && info.IsDir() {
			var names []os.DirEntry
			if names, err = os.ReadDir(place); err == nil && len(names) == 0 {
				err = fmt.Errorf("%s is empty: %w", place, fs.ErrNotExist)
			}
		}
		if err == nil {
			return nil
		}
		missing = errors.Join(missing, err)
	}
	return missing
}

// openExisting opens a provider that is to be read: a directory that is not there is no
// empty store.
func (s selected) openExisting(ctx context.Context) (*providers.Provider, error) {
	if err := nothingIn(s.dirs); err != nil {
		return nil, fmt.Errorf("open %s: %w: %w", s.label, engine.ErrNotFound, err)
	}
	return s.open(ctx)
}

func (s selected) open(ctx context.Context) (*providers.Provider, error) {
	p, err := providers.Open(ctx, s.config)
	if errors.Is(err, engine.ErrLocked) {
		err = fmt.Errorf("%w; stop the process that has it open first", err)
	}
	return p, err
}

// interruptible returns a context that ends with SIGINT or SIGTERM; a second signal ends
// the process.
func interruptible(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(fmt.Errorf("stopped by the signal %q", s))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); <-ended; signal.Stop(signals) }
}
