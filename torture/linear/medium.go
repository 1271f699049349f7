package linear

import (
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/target"
)

// medium is what a store lies on, and how it comes to an end between two parts of
// a history.
type medium interface {
	open() (engine.Engine, error)
	// events is how far the disk's log is; 0 where there is none.
	events() int
	// end ends the engine, and takes from the clients' histories what did not
	// happen. counted is the name of such ends. An error is the engine's.
	end(e engine.Engine, clients []*client, at func() int64) (check.Crash, error)
	counted() string
	// close frees what the medium holds.
	close() error
}

// directory is a medium on the real disk. A part ends with an orderly close.
type directory struct {
	engine target.Engine
	path   string
}

func (d *directory) open() (engine.Engine, error) { return d.engine.Open(d.path) }
func (d *directory) events() int                  { return 0 }
func (d *directory) counted() string              { return "restarts" }
func (d *directory) close() error                 { return os.RemoveAll(d.path) }

func (d *directory) end(e engine.Engine, _ []*client, at func() int64) (check.Crash, error) {
	if err := e.Close(); err != nil {
		return check.Crash{}, fmt.Errorf("close: %w", err)
	}
	return check.Crash{At: at(), Class: check.Volatile}, nil
}

// store is where an engine keeps its files on a simulated disk.
const store = "/store"

// simulated is a medium on the simulated disk. A part ends with a power cut at a
// random moment of it: what clients did later did not happen, and what was under
// way has an unknown outcome.
type simulated struct {
	engine target.Engine
	disk   *simdisk.Disk
	rng    *rand.Rand
}

func newSimulated(e target.Engine, seed uint64) *simulated {
	return &simulated{engine: e, disk: simdisk.New(simdisk.Options{Seed: seed}), rng: rand.New(rand.NewPCG(seed, 1<<32))}
}

func (s *simulated) open() (engine.Engine, error) { return s.engine.OpenOn(s.disk, store) }
func (s *simulated) events() int                  { return s.disk.Events() }
func (s *simulated) counted() string              { return "power cuts" }
func (s *simulated) close() error                 { return nil }

func (s *simulated) end(e engine.Engine, clients []*client, at func() int64) (check.Crash, error) {
	events := s.disk.Events()
	dead := s.disk.Kill()
	// The process is gone; that its close fails says nothing about the engine.
	_ = e.Close()
	cut := s.rng.IntN(events + 1)
	walk := dead.Walk()
	for range cut {
		walk.Next()
	}
	s.disk = walk.Crash(s.fates(len(walk.Pending())), s.rng.Uint64())
	for _, c := range clients {
		c.cut(cut)
	}
	return check.Crash{At: at(), Class: check.SurvivesPower}, nil
}

// fates are all lost, all kept, a prefix, or any of them for each unit.
func (s *simulated) fates(n int) []simdisk.Fate {
	fates := make([]simdisk.Fate, n)
	style := s.rng.IntN(5)
	prefix := s.rng.IntN(n + 1)
	for i := range fates {
		switch style {
		case 0:
		case 1:
			fates[i] = simdisk.Kept
		case 2:
			if i < prefix {
				fates[i] = simdisk.Kept
			}
		default:
			fates[i] = simdisk.Fate(s.rng.IntN(int(simdisk.Garbage) + 1))
		}
	}
	return fates
}

// cut takes from a client's history what it did after event number at of the part
// that ends. A write that it called before, and saw return only later, has an
// unknown outcome; a read likewise is forgotten.
func (c *client) cut(at int) {
	kept := c.first
	for i := c.first; i < len(c.ops); i++ {
		o, e := c.ops[i], c.events[i]
		if e.call > at || e.end > at && len(o.Changes) == 0 {
			continue
		}
		if e.end > at {
			o.Return, o.Reads = check.Never, nil
		}
		c.ops[kept], c.events[kept] = o, e
		kept++
	}
	c.ops, c.events = c.ops[:kept], c.events[:kept]
}
