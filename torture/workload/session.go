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
	}
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
		if err != nil {
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
