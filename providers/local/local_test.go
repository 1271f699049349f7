package local_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/local"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bare is an engine with nothing but what every engine has.
type bare struct{ engine.Engine }

func (b bare) Traits() engine.Traits {
	t := b.Engine.Traits()
	t.MultiGet, t.Conditional, t.NamedSnapshots, t.Sequenced, t.Ingest = false, false, false, false, false
	return t
}

// TestConformanceOfABareEngine: no optional trait of an engine is needed.
func TestConformanceOfABareEngine(t *testing.T) {
	drivertest.Run(t, drivertest.Target{Name: "bare", Open: func(ctx context.Context, _ string) (driver.Store, error) {
		return local.New(ctx, bare{memory.Open()}, local.Options{Durability: engine.Memory})
	}})
}

// over opens a store over an engine, whose rows outlive it.
func over(t *testing.T, e engine.Engine, o local.Options) (driver.Store, error) {
	t.Helper()
	o.Durability = engine.Memory
	return local.New(t.Context(), e, o)
}

func apply(t *testing.T, e engine.Engine, key, value string) {
	t.Helper()
	var b engine.Batch
	b.Put([]byte(key), []byte(value))
	if err := e.Apply(t.Context(), &b, engine.Memory); err != nil {
		t.Fatal(err)
	}
}

// TestForeignDataIsRefused: entries without a header, and headers of another version.
func TestForeignDataIsRefused(t *testing.T) {
	foreign := memory.Open()
	defer foreign.Close()
	apply(t, foreign, "k", "v")
	if _, err := over(t, foreign, local.Options{}); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "header") {
		t.Errorf("entries without a header: %v", err)
	}
	for _, header := range []string{"", "\x02\x00\x00\x00\x00\x00\x00\x00\x01", "\x01\x00"} {
		newer := memory.Open()
		defer newer.Close()
		apply(t, newer, "\x00\x00h", header)
		if _, err := over(t, newer, local.Options{}); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("header %q: %v", header, err)
		}
	}
	if _, err := local.New(t.Context(), foreign, local.Options{}); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("a durability that the engine does not have: %v", err)
	}
}

// TestDamagedRows are ErrCorrupt by key, and never "not found".
func TestDamagedRows(t *testing.T) {
	e := memory.Open()
	s, err := over(t, e, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, row := range []string{
		"", "\x01\x00\x00\x00\x00\x00\x00\x00\x00", "\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01v", "\x01\x02\x00\x00\x00\x00\x00\x00\x00\x01v",
		"\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00", "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00v", "\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		apply(t, e, "bad", row)
		if _, err := s.Get(t.Context(), []byte("bad")); !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), `"bad"`) {
			t.Errorf("get of %q: %v", row, err)
		}
		var listErr error
		for _, err := range s.List(t.Context(), driver.ListOptions{}) {
			listErr = err
		}
		if !errors.Is(listErr, driver.ErrCorrupt) {
			t.Errorf("list of %q: %v", row, listErr)
		}
		if _, err := s.(driver.BatchGetter).GetMany(t.Context(), [][]byte{[]byte("bad")}); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("get many of %q: %v", row, err)
		}
		if _, err := s.Put(t.Context(), []byte("bad"), nil, driver.PutOptions{IfAbsent: true}); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("put if absent over %q: %v", row, err)
		}
	}
}

// unclosed is an engine that stays open, so that its rows can be opened again.
type unclosed struct{ engine.Engine }

func (unclosed) Close() error { return nil }

// TestRevisionsSurviveTheLossOfAllButTheReserve: a store whose newest commits are lost
// gives none of their revisions again.
func TestRevisionsSurviveTheLossOfAllButTheReserve(t *testing.T) {
	e := memory.Open()
	defer e.Close()
	s, err := over(t, unclosed{e}, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var newest driver.Revision
	for range 10 {
		if newest, err = s.Put(t.Context(), []byte("k"), nil, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	// The reserve was flushed before the first of them; what came after is lost.
	var b engine.Batch
	b.Delete([]byte("k"))
	if err := e.Apply(t.Context(), &b, engine.Memory); err != nil {
		t.Fatal(err)
	}
	again, err := over(t, unclosed{e}, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := again.Put(t.Context(), []byte("k"), nil, driver.PutOptions{}); err != nil || r.Number() <= newest.Number() {
		t.Errorf("revision %s after %s, %v", r, newest, err)
	}
}

// failing is an engine whose flushes fail.
type failing struct {
	engine.Engine
	err atomic.Pointer[error]
}

func (f *failing) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return f.Engine.Apply(ctx, b, d)
}

// TestFailedFlush: the outcome of the commit whose flush fails is unknown, that of one
// for which there is no room is known.
func TestFailedFlush(t *testing.T) {
	f := &failing{Engine: memory.Open()}
	s, err := over(t, f, local.Options{Limits: local.Occupancy{MaxEntries: 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Put(t.Context(), []byte("a"), nil, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for err, unknown := range map[error]bool{engine.ErrReadOnly: true, engine.ErrNoSpace: false} {
		f.err.Store(&err)
		_, got := s.Put(t.Context(), []byte("b"), nil, driver.PutOptions{})
		if !errors.Is(got, err) || errors.Is(got, driver.ErrOutcomeUnknown) != unknown {
			t.Errorf("with %v: %v", err, got)
		}
	}
	f.err.Store(nil)
	// What failed takes no room.
	if _, err := s.Put(t.Context(), []byte("b"), nil, driver.PutOptions{}); err != nil {
		t.Error(err)
	}
}

// TestExpireCostsWhatHasExpired, and rows that were written again with another time
// stay.
func TestExpire(t *testing.T) {
	var nanos atomic.Int64
	nanos.Store(1e18)
	e := memory.Open()
	s, err := over(t, e, local.Options{Now: func() time.Time { return time.Unix(0, nanos.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 3000 {
		ttl := time.Second
		if i%3 == 0 {
			ttl = time.Hour
		}
		key := []byte(fmt.Sprintf("%c%d", i%2, i))
		if _, err := s.Put(t.Context(), key, nil, driver.PutOptions{TTL: ttl}); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 { // prolonged
			if _, err := s.Put(t.Context(), key, nil, driver.PutOptions{TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
	}
	nanos.Add(int64(time.Minute))
	x := s.(driver.Expirer)
	if n, err := x.Expire(t.Context(), 100); n != 100 || err != nil {
		t.Errorf("expire of up to 100: %d, %v", n, err)
	}
	if n, err := x.Expire(t.Context(), 10_000); n != 1500 || err != nil {
		t.Errorf("expire of the rest: %d, %v", n, err)
	}
	n := 0
	for range s.List(t.Context(), driver.ListOptions{}) {
		n++
	}
	nanos.Add(int64(2 * time.Hour))
	if gone, err := x.Expire(t.Context(), 10_000); n != 1400 || gone != n || err != nil {
		t.Errorf("%d were left, and %d of them expire later, %v", n, gone, err)
	}
	it, err := e.NewIterator(engine.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	rows := 0
	for ok := it.First(); ok; ok = it.Next() {
		rows++
	}
	if rows != 1 {
		t.Errorf("%d entries of the engine are left beside the header", rows-1)
	}
	if _, err := s.Put(t.Context(), []byte("k"), nil, driver.PutOptions{TTL: 1<<63 - 1}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a TTL beyond what can be written: %v", err)
	}
}

// TestCancelledWhileWaiting: who waits for another's key can give up.
func TestCancelledWhileWaiting(t *testing.T) {
	h := &holding{Engine: memory.Open(), held: make(chan struct{}), release: make(chan struct{})}
	s, err := over(t, h, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Put(t.Context(), []byte("warm"), nil, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	h.on.Store(true)
	first := make(chan error)
	go func() { _, err := s.Put(context.Background(), []byte("k"), nil, driver.PutOptions{}); first <- err }()
	<-h.held
	cancelled, cancel := context.WithCancel(t.Context())
	// A write asks for Done when it begins to wait, and not before.
	waits := make(chan struct{}, 2)
	ctx := noticed{cancelled, waits}
	waiters := make(chan error)
	go func() { waiters <- s.Delete(ctx, []byte("k"), driver.DeleteOptions{}) }()
	go func() {
		waiters <- s.(driver.Committer).Commit(ctx, &driver.Commit{Ranges: []driver.RangeRead{{}}, Writes: []driver.Write{{Key: []byte("l")}}})
	}()
	<-waits
	<-waits
	cancel()
	for range 2 {
		if err := <-waiters; !errors.Is(err, context.Canceled) {
			t.Errorf("a waiter: %v", err)
		}
	}
	h.on.Store(false)
	close(h.release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	// No lock is left behind.
	all, end := context.WithTimeout(t.Context(), 10*time.Second)
	defer end()
	if err := s.(driver.Committer).Commit(all, &driver.Commit{Ranges: []driver.RangeRead{{Options: driver.ListOptions{Prefix: []byte("x")}}}, Writes: []driver.Write{{Key: []byte("k"), Delete: true}}}); err != nil {
		t.Error(err)
	}
}

// noticed is a context that tells when somebody waits for its end.
type noticed struct {
	context.Context
	waits chan struct{}
}

func (n noticed) Done() <-chan struct{} {
	select {
	case n.waits <- struct{}{}:
	default:
	}
	return n.Context.Done()
}

// holding is an engine that holds a commit.
type holding struct {
	engine.Engine
	on            atomic.Bool
	held, release chan struct{}
}

func (h *holding) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if h.on.Load() {
		h.held <- struct{}{}
		<-h.release
	}
	return h.Engine.Apply(ctx, b, d)
}

// TestSlowReader: what a reader has read before a write was applied, and notes after it,
// lets no later condition hold that does not; whether the write began after the read or
// before it, and whatever it was.
func TestSlowReader(t *testing.T) {
	writes := map[string]func(driver.Store) error{
		"put": func(s driver.Store) error {
			_, err := s.Put(context.Background(), []byte("k"), []byte("new"), driver.PutOptions{})
			return err
		},
		"put with a time to live": func(s driver.Store) error {
			_, err := s.Put(context.Background(), []byte("k"), []byte("new"), driver.PutOptions{TTL: time.Hour})
			return err
		},
		"delete": func(s driver.Store) error {
			return s.Delete(context.Background(), []byte("k"), driver.DeleteOptions{})
		},
	}
	for name, write := range writes {
		for _, writeFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/write begins first=%t", name, writeFirst), func(t *testing.T) {
				h := &slow{Engine: memory.Open(), read: newGate(), write: newGate()}
				s, err := over(t, h, local.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				old, err := s.Put(t.Context(), []byte("k"), []byte("old"), driver.PutOptions{})
				if err != nil {
					t.Fatal(err)
				}
				written := make(chan error, 1)
				if writeFirst {
					h.write.shut.Store(true)
					go func() { written <- write(s) }()
					<-h.write.reached
				}
				h.read.shut.Store(true)
				read := make(chan driver.Entry, 1)
				go func() {
					entries, err := s.(driver.BatchGetter).GetMany(context.Background(), [][]byte{[]byte("k")})
					if err != nil {
						t.Error(err)
						entries = make([]driver.Entry, 1)
					}
					read <- entries[0]
				}()
				<-h.read.reached
				h.read.shut.Store(false)
				if writeFirst {
					close(h.write.open)
				} else {
					written <- write(s)
				}
				if err := <-written; err != nil {
					t.Fatal(err)
				}
				close(h.read.open)
				if e := <-read; string(e.Value) != "old" || e.Revision != old {
					t.Errorf("the slow reader has read %s", e.Value)
				}
				if _, err := s.Put(t.Context(), []byte("k"), []byte("lost update"), driver.PutOptions{IfRevision: old}); !errors.Is(err, driver.ErrConflict) {
					t.Errorf("a put at the old revision: %v", err)
				}
			})
		}
	}
}

// slow is an engine whose gets can be held when they have read, and whose writes can be
// held before they are applied.
type slow struct {
	engine.Engine
	read, write *gate
}

// gate holds whoever comes while it is shut.
type gate struct {
	shut          atomic.Bool
	reached, open chan struct{}
}

func newGate() *gate { return &gate{reached: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) pass() {
	if g.shut.Load() {
		close(g.reached)
		<-g.open
	}
}

func (h *slow) Get(key, dst []byte) ([]byte, error) {
	value, err := h.Engine.Get(key, dst)
	if string(key) == "k" {
		h.read.pass()
	}
	return value, err
}

func (h *slow) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	h.write.pass()
	return h.Engine.Apply(ctx, b, d)
}
