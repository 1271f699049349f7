package composite_test

import (
	"context"
	"path/filepath"
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

func onDisk(dir string) composite.Side {
	return composite.Side{Backend: "cow_btree", Options: cowbtree.Config{DataDir: dir}}
}

// wired is a store with compare-and-swap alone, over memory.
func wired(f *drivertest.Faulty) composite.Side {
	return composite.Side{Open: func(ctx context.Context) (driver.Store, error) {
		m, err := memory.Open(ctx, memory.Config{})
		if err != nil {
			return nil, err
		}
		f.Store = drivertest.CASOnly(m)
		return f, nil
	}}
}

// TestConformance holds pairs of every kind of side, and caches, to the suite.
func TestConformance(t *testing.T) {
	for name, c := range map[string]func(place string, now func() time.Time) composite.Config{
		"synchronous": func(_ string, now func() time.Time) composite.Config {
			return composite.Config{Primary: inMemory(now), Backup: inMemory(now)}
		},
		"single": func(_ string, now func() time.Time) composite.Config {
			return composite.Config{Primary: inMemory(now), Backup: inMemory(now), AllowSingle: true}
		},
		"disks": func(place string, _ func() time.Time) composite.Config {
			return composite.Config{Primary: onDisk(filepath.Join(place, "a")), Backup: onDisk(filepath.Join(place, "b"))}
		},
		"seed": func(place string, now func() time.Time) composite.Config {
			return composite.Config{Primary: inMemory(now), Backup: onDisk(filepath.Join(place, "b"))}
		},
		"objects": func(string, func() time.Time) composite.Config {
			return composite.Config{Primary: wired(new(drivertest.Faulty)), Backup: wired(new(drivertest.Faulty))}
		},
		"periodic": func(place string, now func() time.Time) composite.Config {
			return composite.Config{Primary: inMemory(now), Backup: onDisk(filepath.Join(place, "b")), Mode: composite.Periodic}
		},
		"cache": func(place string, now func() time.Time) composite.Config {
			return composite.Config{Primary: inMemory(now), Backup: onDisk(place), Mode: composite.Cache}
		},
		"cache of objects": func(_ string, now func() time.Time) composite.Config {
			return composite.Config{Primary: inMemory(now), Backup: wired(new(drivertest.Faulty)), Mode: composite.Cache}
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			target := drivertest.Target{Name: name, Advance: clock.Advance, Operations: 400, Open: func(ctx context.Context, place string) (driver.Store, error) {
				return composite.Open(ctx, c(place, clock.Now))
			}}
			if name == "disks" || name == "cache" || name == "seed" || name == "periodic" {
				target.Advance = nil // the clock of the disks is the system's
			}
			drivertest.Run(t, target)
		})
	}
}
