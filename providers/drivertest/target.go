package drivertest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Target is a store under test.
type Target struct {
	// Name is used in messages, and for the file of the Record: the backend, and what
	// is special about this target ("s3 over a failing wire").
	Name string
	// Server names what a remote store talks to, and its version; Emulator says that it
	// stands in for a service that cannot be had.
	Server   string
	Emulator bool
	// Open opens the store at a place, which is an empty directory of its own for
	// each case; a remote store makes a name of it. It is called again with the
	// same place after Close, and before it if the store is Shared.
	Open func(ctx context.Context, place string) (driver.Store, error)
	// Advance lets the time by which TTLs run go on; nil waits.
	Advance func(d time.Duration)
	// Operations is the length of concurrent and random cases; 0 is 600.
	Operations int
}

// TB is what Run needs of a *testing.T.
type TB interface {
	Helper()
	Context() context.Context
	TempDir() string
	Fatal(args ...any)
}

// Runner is a TB with subtests, as *testing.T is.
type Runner[T any] interface {
	TB
	Run(name string, f func(T)) bool
}

// Case is one check of the suite.
type Case struct {
	// Name is "subject/what", stable, and fit for go test -run.
	Name string
	run  func(*session)
}

// Run runs every case as a subtest, each in a place of its own.
func Run[T TB](t Runner[T], target Target) {
	t.Helper()
	record := newRecorder(target)
	observed := target
	observed.Open = func(ctx context.Context, place string) (driver.Store, error) {
		store, err := target.Open(ctx, place)
		if err == nil {
			record.Capabilities = store.Capabilities()
		}
		return store, err
	}
	for _, c := range Cases() {
		t.Run(c.Name, func(t T) {
			t.Helper()
			err := c.Run(t.Context(), observed, t.TempDir())
			record.ran(c.Name, err)
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := record.write(); err != nil {
		t.Fatal(err)
	}
}

// Cases returns all cases, in the order in which they are best read.
func Cases() []Case {
	return slices.Concat(pointCases, listCases, limitCases, capabilityCases, commitCases, concurrentCases)
}

// Run runs the case at a place, an empty directory. The error says what was
// expected and what was found; it is nil if the store conforms.
func (c Case) Run(ctx context.Context, target Target, place string) (err error) {
	if target.Operations == 0 {
		target.Operations = 600
	}
	s := &session{ctx: ctx, target: target, place: place}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = r.err
		default:
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
		for _, open := range s.opened {
			if closeErr := open.Close(); closeErr != nil && !errors.Is(closeErr, driver.ErrClosed) && err == nil {
				err = fmt.Errorf("close after the case: %w", closeErr)
			}
		}
		if err != nil {
			err = fmt.Errorf("%s: %s: %w", target.Name, c.Name, err)
		}
	}()
	s.Store = s.open()
	s.caps = s.Capabilities()
	c.run(s)
	return nil
}

// session is one case at work. Its methods fail the case by panicking with a
// failure; they are called from the case's own goroutine only.
type session struct {
	ctx    context.Context
	target Target
	place  string
	driver.Store
	caps   driver.Capabilities
	opened []driver.Store
	second driver.Store // of another, once it was asked for
}

type failure struct{ err error }

func (s *session) failf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func (s *session) ok(err error, what string, args ...any) {
	if err != nil {
		s.failf("%s: %w", fmt.Sprintf(what, args...), err)
	}
}

func (s *session) wants(kind, err error, what string, args ...any) {
	if !errors.Is(err, kind) {
		s.failf("%s: want error %q, got %v", fmt.Sprintf(what, args...), kind, err)
	}
}

func (s *session) open() driver.Store {
	store, err := s.target.Open(s.ctx, s.place)
	s.ok(err, "open")
	s.opened = append(s.opened, store)
	return store
}

func (s *session) reopen() {
	s.ok(s.Store.Close(), "close")
	s.Store = s.open()
}

// another returns a second client, if the store can have one, else the first.
func (s *session) another() driver.Store {
	if !s.caps.Shared {
		return s.Store
	}
	if s.second == nil {
		s.second = s.open()
	}
	return s.second
}

func (s *session) put(key, value string) driver.Revision {
	r, err := s.Put(s.ctx, []byte(key), []byte(value), driver.PutOptions{})
	s.ok(err, "put %s", quote(key))
	if r.IsZero() {
		s.failf("put %s: the revision is zero", quote(key))
	}
	return r
}

func (s *session) delete(key string) {
	s.ok(s.Delete(s.ctx, []byte(key), driver.DeleteOptions{}), "delete %s", quote(key))
}

// has fails the case unless key is there with value, and returns the entry.
func (s *session) has(key, value string) driver.Entry {
	e, err := s.Get(s.ctx, []byte(key))
	s.ok(err, "get %s", quote(key))
	if string(e.Key) != key || string(e.Value) != value || e.Revision.IsZero() {
		s.failf("get %s: want %s, got %s = %s at revision %q", quote(key), quote(value), quote(string(e.Key)), quote(string(e.Value)), e.Revision)
	}
	return e
}

func (s *session) lacks(key string) {
	e, err := s.Get(s.ctx, []byte(key))
	if err != driver.ErrNotFound { //nolint // it is bare
		s.failf("get %s: want a bare %q, got %s, %v", quote(key), driver.ErrNotFound, quote(string(e.Value)), err)
	}
}

func (s *session) list(o driver.ListOptions) []driver.Entry {
	var all []driver.Entry
	for e, err := range s.List(s.ctx, o) {
		s.ok(err, "list")
		all = append(all, e)
	}
	return all
}

func (s *session) listed(o driver.ListOptions, want ...string) {
	var got []string
	for _, e := range s.list(o) {
		got = append(got, string(e.Key))
	}
	if !slices.Equal(got, want) {
		s.failf("list with prefix %q after %q, limit %d: want %q, got %q", o.Prefix, o.After, o.Limit, want, got)
	}
}

// pass lets time go on.
func (s *session) pass(d time.Duration) {
	if s.target.Advance != nil {
		s.target.Advance(d)
		return
	}
	time.Sleep(d)
}

func quote(key string) string { return engine.QuoteKey([]byte(key)) }
