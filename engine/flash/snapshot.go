package flash

import (
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// snapshot is a state that is held: a root of the index, and the segments that it needs.
type snapshot struct {
	e      *Engine
	state  *root
	at     uint64 // the record of the log behind it
	commit uint64
	closed atomic.Bool
}

// Snapshot implements engine.Engine.
func (e *Engine) Snapshot() (engine.Snapshot, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	e.life.Hold(lifetime.Snapshot)
	e.lockCommits()
	defer e.mu.Unlock()
	s := &snapshot{e: e, commit: e.visible.Load()}
	s.state, s.at = e.hold()
	return s, nil
}

// Sequence implements engine.SequencedSnapshot.
func (s *snapshot) Sequence() uint64 { return s.commit }

// Get implements engine.Reader.
func (s *snapshot) Get(key, dst []byte) ([]byte, error) { return s.getIn(0, key, dst) }

func (s *snapshot) getIn(f engine.FamilyID, key, dst []byte) ([]byte, error) {
	if s.closed.Load() {
		return dst, engine.ErrClosed
	}
	return s.e.getIn(f, key, dst, s.state)
}

// NewIterator implements engine.Reader.
func (s *snapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return s.iterate(0, o)
}

func (s *snapshot) iterate(f engine.FamilyID, o engine.IterOptions) (engine.Iterator, error) {
	if s.closed.Load() {
		return nil, engine.ErrClosed
	}
	return s.e.iterate(f, o, s)
}

// In implements engine.FamilyReader. A family that has been dropped since then is
// ErrNotFound.
func (s *snapshot) In(f engine.FamilyID) (engine.Reader, error) {
	if s.closed.Load() {
		return nil, engine.ErrClosed
	}
	if err := s.e.knows(f); err != nil {
		return nil, err
	}
	return &familySnapshot{s, f}, nil
}

// Close implements engine.Snapshot.
func (s *snapshot) Close() error {
	if s.closed.Swap(true) {
		return engine.ErrClosed
	}
	s.e.mu.Lock()
	s.e.unhold(s.at)
	s.e.mu.Unlock()
	return s.e.life.Drop(lifetime.Snapshot)
}

// familySnapshot reads one family of a snapshot.
type familySnapshot struct {
	s      *snapshot
	family engine.FamilyID
}

// Get implements engine.Reader.
func (r *familySnapshot) Get(key, dst []byte) ([]byte, error) { return r.s.getIn(r.family, key, dst) }

// NewIterator implements engine.Reader.
func (r *familySnapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return r.s.iterate(r.family, o)
}
