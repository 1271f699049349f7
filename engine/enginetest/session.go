package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
)

// session is one case at work on one store. Its methods fail the case by
// panicking with a failure, which Case.Run turns into the case's error; they
// may therefore be called only from the case's own goroutine.
type session struct {
	ctx    context.Context
	target Target
	root   string // the case's own directory
	dir    string // the store's
	engine.Engine
	traits engine.Traits
	// weak and strong are the engine's weakest and strongest durability.
	weak, strong engine.Durability
}

type failure struct{ err error }

func (s *session) failf(format string, args ...any) {
	panic(failure{fmt.Errorf(format, args...)})
}

// ok fails the case if err is not nil.
func (s *session) ok(err error, what string, args ...any) {
	if err != nil {
		s.failf("%s: %w", fmt.Sprintf(what, args...), err)
	}
}

// wants fails the case if err is not of the given kind.
func (s *session) wants(kind, err error, what string, args ...any) {
	if !errors.Is(err, kind) {
		s.failf("%s: want error %q, got %v", fmt.Sprintf(what, args...), kind, err)
	}
}

func (s *session) open() {
	e, err := s.target.Open(s.dir)
	s.ok(err, "open")
	s.Engine = e
	s.traits = e.Traits()
	strong, has := s.traits.Durability.Strongest()
	if !has {
		s.failf("Traits.Durability is empty; an engine has at least one class")
	}
	s.strong = strong
	for _, d := range engine.Durabilities {
		if s.traits.Durability.Has(d) {
			s.weak = d
			break
		}
	}
}

// reopen closes the store cleanly and opens it again.
func (s *session) reopen() {
	s.ok(s.Close(), "close")
	s.Engine = nil
	s.open()
}

// elsewhere makes a directory for another store.
func (s *session) elsewhere() string {
	dir := filepath.Join(s.root, "elsewhere")
	s.ok(os.Mkdir(dir, 0o755), "make a directory")
	return dir
}

// end closes the store that a case left open, which is not an error of it.
func (s *session) end() error {
	if s.Engine == nil {
		return nil
	}
	if err := s.Engine.Close(); err != nil && !errors.Is(err, engine.ErrClosed) && !errors.Is(err, engine.ErrInUse) {
		return fmt.Errorf("close after the case: %w", err)
	}
	return nil
}

func (s *session) random(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(s.target.Seed, stream))
}

// batch makes a batch of what build adds.
func batch(build func(*engine.Batch)) *engine.Batch {
	b := new(engine.Batch)
	build(b)
	return b
}

// apply applies what build adds, in the weakest class.
func (s *session) apply(build func(*engine.Batch)) {
	b := batch(build)
	s.ok(s.Apply(s.ctx, b, s.weak), "apply %d operations", b.Count())
}

func (s *session) put(key, value string) {
	s.apply(func(b *engine.Batch) { b.Put([]byte(key), []byte(value)) })
}

func (s *session) delete(key string) {
	s.apply(func(b *engine.Batch) { b.Delete([]byte(key)) })
}

func (s *session) deleteRange(lower, upper string) {
	s.apply(func(b *engine.Batch) { b.DeleteRange([]byte(lower), []byte(upper)) })
}

// has fails the case unless r shows value under key.
func (s *session) has(r engine.Reader, key, value string) {
	got, err := r.Get([]byte(key), nil)
	s.ok(err, "get %s", engine.QuoteKey([]byte(key)))
	if string(got) != value {
		s.failf("get %s: want %s, got %s", engine.QuoteKey([]byte(key)), engine.QuoteKey([]byte(value)), engine.QuoteKey(got))
	}
}

// lacks fails the case unless r says that key is not there.
func (s *session) lacks(r engine.Reader, key string) {
	got, err := r.Get([]byte(key), nil)
	s.wants(engine.ErrNotFound, err, "get %s, which returned %s", engine.QuoteKey([]byte(key)), engine.QuoteKey(got))
}

// iterator opens one; the case closes it.
func (s *session) iterator(r engine.Reader, o engine.IterOptions) engine.Iterator {
	it, err := r.NewIterator(o)
	s.ok(err, "new iterator")
	return it
}

func (s *session) snapshot() engine.Snapshot {
	snap, err := s.Snapshot()
	s.ok(err, "snapshot")
	return snap
}

// shows fails the case unless r shows exactly the model, walked both ways and
// looked up key by key.
func (s *session) shows(r engine.Reader, m *model, what string) {
	it := s.iterator(r, engine.IterOptions{})
	i := 0
	for ok := it.First(); ok; ok = it.Next() {
		if i >= len(m.keys) {
			s.failf("%s: forward: %s is there and should not be", what, engine.QuoteKey(it.Key()))
		}
		s.stands(it, m.keys[i], m.entries[m.keys[i]], what+": forward")
		i++
	}
	s.ok(it.Err(), "%s: forward", what)
	if i != len(m.keys) {
		s.failf("%s: forward: ends after %d of %d entries; %s is missing", what, i, len(m.keys), engine.QuoteKey([]byte(m.keys[i])))
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		i--
		if i < 0 {
			s.failf("%s: backward: %s is there and should not be", what, engine.QuoteKey(it.Key()))
		}
		s.stands(it, m.keys[i], m.entries[m.keys[i]], what+": backward")
	}
	s.ok(it.Err(), "%s: backward", what)
	if i != 0 {
		s.failf("%s: backward: %d entries are missing, %s first", what, i, engine.QuoteKey([]byte(m.keys[i-1])))
	}
	s.ok(it.Close(), "%s: close iterator", what)
	for _, key := range m.keys {
		s.has(r, key, m.entries[key])
	}
}

// stands fails the case unless it stands on the entry.
func (s *session) stands(it engine.Iterator, key, value, what string) {
	if !bytes.Equal(it.Key(), []byte(key)) {
		s.failf("%s: want key %s, got %s", what, engine.QuoteKey([]byte(key)), engine.QuoteKey(it.Key()))
	}
	got, err := it.Value()
	s.ok(err, "%s: value of %s", what, engine.QuoteKey([]byte(key)))
	if string(got) != value {
		s.failf("%s: value of %s: want %d bytes %s, got %d bytes %s", what, engine.QuoteKey([]byte(key)),
			len(value), engine.QuoteKey([]byte(value)), len(got), engine.QuoteKey(got))
	}
}
