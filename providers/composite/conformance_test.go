package composite_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/composite"
	"github.com/orbit-persistence/orbit/providers/cowbtree"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/memory"
)

func inMemory(now func() time.Time) composite.Side {
	return composite.Side{Backend: "memory", Options: memory.Config{Now: now}}
}

// inFile is a store that is there again when it is opened again.
func inFile(path string, now func() time.Time) composite.Side {
	return composite.Side{Backend: "memory", Options: memory.Config{Now: now, DiskBackup: &memory.DiskBackup{Path: path}}}
}

func onDisk(dir string) composite.Side {
	return composite.Side{Backend: "cow_btree", Options: cowbtree.Config{DataDir: dir}}
}

// services are stores that live as long as the test, by name.
type services struct {
	t  *testing.T
	mu sync.Mutex
	of map[string]driver.Store
}

// unclosed is a store that stays when a client of it goes.
type unclosed struct{ driver.Store }

func (unclosed) Close() error { return nil }

func (u unclosed) Capabilities() driver.Capabilities {
	c := u.Store.Capabilities()
	c.Persistent = true
	return c
}

// side is a client of the service of a name, as it is or with compare-and-swap alone.
func (s *services) side(name string, objects bool, now func() time.Time) composite.Side {
	return composite.Side{Open: func(ctx context.Context) (driver.Store, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		store := s.of[name]
		if store == nil {
			m, err := memory.Open(ctx, memory.Config{Now: now})
			if err != nil {
				return nil, err
			}
			store = m
			s.of[name] = m
			s.t.Cleanup(func() { m.Close() })
		}
		if objects {
			return &drivertest.Faulty{Store: unclosed{drivertest.CASOnly(store)}}, nil
		}
		w := &wire{base: store}
		return rich{end{w, unclosed{store}}}, nil
	}}
}

// TestConformance holds pairs of every kind of side, and caches, to the suite.
func TestConformance(t *testing.T) {
	clock := newClock()
	all := &services{t: t, of: map[string]driver.Store{}}
	for name, config := range map[string]func(place string) composite.Config{
		"synchronous": func(string) composite.Config {
			return composite.Config{Primary: inMemory(clock.Now), Backup: inMemory(clock.Now)}
		},
		"single": func(place string) composite.Config {
			return composite.Config{Primary: inFile(filepath.Join(place, "a"), clock.Now), Backup: inFile(filepath.Join(place, "b"), clock.Now), AllowSingle: true}
		},
		"seed": func(place string) composite.Config { // in memory, and something that lasts
			return composite.Config{Primary: inMemory(nil), Backup: onDisk(filepath.Join(place, "b"))}
		},
		"objects": func(place string) composite.Config {
			return composite.Config{Primary: all.side(place+"a", true, nil), Backup: all.side(place+"b", true, nil)}
		},
		"periodic": func(place string) composite.Config {
			return composite.Config{Primary: inMemory(clock.Now), Backup: inFile(filepath.Join(place, "b"), clock.Now), Mode: composite.Periodic}
		},
		"cache": func(place string) composite.Config {
			return composite.Config{Primary: inMemory(clock.Now), Backup: inFile(filepath.Join(place, "b"), clock.Now), Mode: composite.Cache}
		},
		"shared cache of objects": func(place string) composite.Config { // several processes
			return composite.Config{Primary: all.side(place+"a", false, clock.Now), Backup: all.side(place+"b", true, nil), Mode: composite.Cache}
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := drivertest.Target{Name: name, Advance: clock.Advance, Operations: 400, Open: func(ctx context.Context, place string) (driver.Store, error) {
				return composite.Open(ctx, config(place))
			}}
			if name == "seed" {
				target.Advance = nil // the clock of the disk is the system's
			}
			drivertest.Run(t, target)
		})
	}
}
