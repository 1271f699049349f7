package workload

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
)

// Session does a workload to one store, one operation at a time.
type Session struct {
	// Open opens the store in a directory, or makes it.
	Open func(dir string) (engine.Engine, error)
	// Directory is where the store is. Checkpoints stand beside it.
	Directory string
	// Begins and Ends are told of each operation, before it and when it was
	// acknowledged, with what then holds. Either may be nil.
	Begins, Ends func(what string, b Bounds)
	// Doom makes the file system fail from the nth call on, counted from 1: for the
	// process that makes them, they might as well come after its death. Kill ends
	// the process, and Open opens for the next one from then on. Both are needed for
	// operations of Kind Kill alone.
	Doom func(calls int)
	Kill func()
	// Lost is told how many States and Copies are left after a Kill that cost some.
	// It may be nil.
	Lost func(states, copies int)
	// History is what was done.
	History *History
	// Doubt are the states after writes that failed and that the store does not
	// show, but may show after a crash. A write that succeeds ends all doubt, and
	// one that ErrNoSpace refused, without ErrReadOnly, is not in doubt.
	Doubt []State

	e      engine.Engine
	number uint64 // of the newest batch that was tried
	// batch is used for every write, and garbled after each: what an engine keeps
	// of it changes under its hands.
	batch     engine.Batch
	copies    int // checkpoints that were tried
	snapshots []taken
}

// taken is an open snapshot and the state that it must show.
type taken struct {
	snapshot engine.Snapshot
	state    State
}

// Engine returns the open store, nil if it is not open.
func (s *Session) Engine() engine.Engine { return s.e }

func (s *Session) begins(what string) {
	if s.Begins != nil {
		s.Begins(what, s.History.Bounds)
	}
}

func (s *Session) ends(what string) {
	if s.Ends != nil {
		s.Ends(what, s.History.Bounds)
	}
}

// Start opens the store, which must be empty.
func (s *Session) Start() error {
	if s.History == nil {
		s.History = NewHistory()
	}
	s.begins("open")
	if err := s.open(); err != nil {
		return err
	}
	s.ends("open")
	return nil
}

func (s *Session) open() error {
	e, err := s.Open(s.Directory)
	if err != nil {
		return violation(Failed, err, "open")
	}
	s.e = e
	return nil
}

// Run does a whole workload: open, all operations, close.
func (s *Session) Run(ctx context.Context, w Workload) error {
	if err := s.Start(); err != nil {
		return err
	}
	for i, o := range w {
		if err := s.Do(ctx, o); err != nil {
			err = fmt.Errorf("operation %d, %s: %w", i+1, o, err)
			return errors.Join(err, s.Abandon())
		}
	}
	return s.Finish()
}

// Do does one operation. An error of the engine is a *Violation whose chain
// holds it. A Write that failed is in the history only if the store shows it, and
// in Doubt if not.
func (s *Session) Do(ctx context.Context, o Op) error {
	b := &s.History.Bounds
	if o.Kind == Write {
		b.Begun++
		s.number++
		newest := s.History.States[len(s.History.States)-1]
		s.History.States = append(s.History.States, newest.After(o.Changes, s.number))
	}
	what := o.String()
	s.begins(what)
	if err := s.do(ctx, o); err != nil {
		return err
	}
	s.ends(what)
	return nil
}

func (s *Session) do(ctx context.Context, o Op) error {
	b := &s.History.Bounds
	switch o.Kind {
	case Write:
		return s.write(ctx, o)
	case Sync:
		if err := s.e.Sync(ctx); err != nil {
			return violation(Failed, err, "sync")
		}
		b.Flushed, b.Buffered = b.Begun, b.Begun
	case Snapshot:
		snapshot, err := s.e.Snapshot()
		if err != nil {
			return violation(Failed, err, "snapshot")
		}
		s.snapshots = append(s.snapshots, taken{snapshot, s.newest()})
	case Checkpoint:
		return s.checkpoint(ctx)
	case Compact:
		if err := s.e.Compact(ctx, nil, nil); err != nil {
			return violation(Failed, err, "compact")
		}
	case Reopen:
		if err := s.close(); err != nil {
			return err
		}
		if err := s.open(); err != nil {
			return err
		}
		return Same(s.e, s.newest().Entries)
	case Kill:
		return s.kill(ctx, o)
	}
	return nil
}

// doomed is what is written when the process dies.
var doomed = []Change{{Kind: engine.OpPut, Key: "killed", Size: 30}}

// kill ends the process. The store that is opened next must show a state that was
// begun, and no older one than the last that was acknowledged as Buffered.
func (s *Session) kill(ctx context.Context, o Op) error {
	h := s.History
	b := &h.Bounds
	if o.Calls > 0 {
		b.Begun++
		s.number++
		h.States = append(h.States, s.newest().After(doomed, s.number))
		s.begins("batch flushed in which the process dies")
		s.Doom(o.Calls)
		s.batch.Reset()
		fillBatch(&s.batch, doomed, s.number)
		d := engine.Flushed
		if !s.e.Traits().Durability.Has(d) {
			d = engine.Memory
		}
		// Nobody hears what comes of it.
		if err := s.e.Apply(ctx, &s.batch, d); err == nil {
			h.States[len(h.States)-1].Sequence = s.batch.Sequence()
		}
		Garble(s.batch.Encoded())
	}
	s.Kill()
	// The process is gone; what it would say now, nobody hears.
	_ = s.Abandon()
	if err := s.open(); err != nil {
		return err
	}
	shown, err := Newest(s.e)
	if err != nil {
		return violation(Failed, err, "read after a kill")
	}
	state, i := h.lookup(Accept{}, shown)
	if i == len(h.States) || i < b.Buffered {
		return violation(Lost, nil, "after a kill the store shows batch %d; %d were begun, and %d acknowledged as buffered", shown, b.Begun, b.Buffered)
	}
	if i < b.Begun {
		h.States = h.States[:i+1]
		b.Begun = i
		for len(h.Copies) > 0 && h.Copies[len(h.Copies)-1].State > i {
			h.Copies = h.Copies[:len(h.Copies)-1]
		}
		b.Copies = len(h.Copies)
		if s.Lost != nil {
			s.Lost(len(h.States), len(h.Copies))
		}
	}
	s.Doubt = nil
	if err := Same(s.e, state.Entries); err != nil {
		return err
	}
	// An unacknowledged batch that was shown must stay through the next kill.
	b.Buffered = b.Begun
	return nil
}

// newest is the state after everything that was done.
func (s *Session) newest() State { return s.History.States[len(s.History.States)-1] }

func (s *Session) write(ctx context.Context, o Op) error {
	h := s.History
	batch := &s.batch
	batch.Reset()
	fillBatch(batch, o.Changes, s.number)
	err := s.e.Apply(ctx, batch, o.Durability)
	Garble(batch.Encoded())
	if err != nil {
		// The store itself says whether it took it.
		shown, readErr := Newest(s.e)
		full := errors.Is(err, engine.ErrNoSpace) && !errors.Is(err, engine.ErrReadOnly)
		if readErr == nil && shown == s.number {
			if full {
				return violation(HalfApplied, err, "the store shows batch %d, which it refused", s.number)
			}
			return violation(Failed, err, "apply")
		}
		if !full {
			s.Doubt = append(s.Doubt, s.newest())
		}
		h.States = h.States[:len(h.States)-1]
		h.Bounds.Begun--
		return violation(Failed, err, "apply")
	}
	s.Doubt = nil
	h.States[len(h.States)-1].Sequence = batch.Sequence()
	if o.Durability == engine.Flushed {
		h.Bounds.Flushed = h.Bounds.Begun
	}
	if o.Durability != engine.Memory {
		h.Bounds.Buffered = h.Bounds.Begun
	}
	return nil
}

func (s *Session) checkpoint(ctx context.Context) error {
	s.copies++
	dir := filepath.Join(filepath.Dir(s.Directory), fmt.Sprintf("copy%d", s.copies))
	if err := s.e.Checkpoint(ctx, dir); err != nil {
		return violation(Failed, err, "checkpoint")
	}
	h := s.History
	h.Copies = append(h.Copies, Copy{dir, len(h.States) - 1})
	h.Bounds.Copies++
	return nil
}

// CheckCopy opens a checkpoint and compares it with the state that it must hold.
func (h *History) CheckCopy(open func(dir string) (engine.Engine, error), c Copy) error {
	e, err := open(c.Directory)
	if err != nil {
		return violation(BadCopy, err, "open %s", c.Directory)
	}
	if err := Same(e, h.States[c.State].Entries); err != nil {
		return violation(BadCopy, errors.Join(err, e.Close()), "%s", c.Directory)
	}
	if err := e.Close(); err != nil {
		return violation(BadCopy, err, "close %s", c.Directory)
	}
	return nil
}

// close reads and closes the snapshots, and closes the store, which makes
// everything durable.
func (s *Session) close() error {
	for len(s.snapshots) > 0 {
		t := s.snapshots[0]
		s.snapshots = s.snapshots[1:]
		err := Same(t.snapshot, t.state.Entries)
		if err != nil && FaultOf(err) != Failed { // what could not be read has not changed
			err = violation(BadSnapshot, err, "taken after batch %d", t.state.Number)
		}
		if closeErr := t.snapshot.Close(); err == nil && closeErr != nil {
			err = violation(Failed, closeErr, "close a snapshot")
		}
		if err != nil {
			return err
		}
	}
	e := s.e
	s.e = nil
	if err := e.Close(); err != nil {
		return violation(Failed, err, "close")
	}
	b := &s.History.Bounds
	b.Flushed, b.Buffered = b.Begun, b.Begun
	return nil
}

// Finish closes the store in order, and reads the snapshots before. It does
// nothing if it is not open.
func (s *Session) Finish() error {
	if s.e == nil {
		return nil
	}
	s.begins("close")
	if err := s.close(); err != nil {
		return errors.Join(err, s.Abandon())
	}
	s.ends("close")
	return nil
}

// Abandon closes what is still open, promises nothing for it, and returns what
// the engine said.
func (s *Session) Abandon() error {
	var errs []error
	for _, t := range s.snapshots {
		errs = append(errs, t.snapshot.Close())
	}
	s.snapshots = nil
	if s.e != nil {
		errs = append(errs, s.e.Close())
		s.e = nil
	}
	return errors.Join(errs...)
}
