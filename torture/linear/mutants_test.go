package linear_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/torture/linear"
	"github.com/orbit-persistence/orbit/torture/target"
)

// mutant is the memory engine with methods that a defect replaces.
type mutant struct {
	*memory.Engine
	get         func(key, dst []byte) ([]byte, error)
	newIterator func(engine.IterOptions) (engine.Iterator, error)
	snapshot    func() (engine.Snapshot, error)
	apply       func(context.Context, *engine.Batch, engine.Durability) error
	applyIf     func(context.Context, engine.Snapshot, engine.ReadSet, *engine.Batch, engine.Durability) error
	multiGet    func([][]byte, func(int, []byte, bool)) error
	onClose     func() error
}

func (m *mutant) Get(key, dst []byte) ([]byte, error) { return m.get(key, dst) }
func (m *mutant) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return m.newIterator(o)
}
func (m *mutant) Snapshot() (engine.Snapshot, error) { return m.snapshot() }
func (m *mutant) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return m.apply(ctx, b, d)
}
func (m *mutant) ApplyIf(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
	return m.applyIf(ctx, at, reads, b, d)
}
func (m *mutant) MultiGet(keys [][]byte, found func(int, []byte, bool)) error {
	return m.multiGet(keys, found)
}
func (m *mutant) Close() error { return errors.Join(m.onClose(), m.Engine.Close()) }

// inMemory seeds a defect in the memory engine.
func inMemory(defect func(*mutant)) func(string) (engine.Engine, error) {
	return func(string) (engine.Engine, error) {
		e := memory.Open()
		m := &mutant{e, e.Get, e.NewIterator, e.Snapshot, e.Apply, e.ApplyIf, e.MultiGet, func() error { return nil }}
		defect(m)
		return m, nil
	}
}

// lost is Pebble, which forgets the last batch when it is closed.
type lost struct {
	engine.Engine
	mu   sync.Mutex
	undo engine.Batch
}

func openLost(dir string) (engine.Engine, error) {
	e, err := openPebble(dir)
	return &lost{Engine: e}, err
}

func (l *lost) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.undo.Reset()
	for op := range b.Ops() {
		old, err := l.Get(op.Key, nil)
		switch {
		case op.Kind == engine.OpDeleteRange:
		case err == nil:
			l.undo.Put(op.Key, old)
		case errors.Is(err, engine.ErrNotFound):
			l.undo.Delete(op.Key)
		default:
			return err
		}
	}
	return l.Engine.Apply(ctx, b, d)
}

func (l *lost) Close() error {
	d, _ := l.Traits().Durability.Strongest()
	return errors.Join(l.Engine.Apply(context.Background(), &l.undo, d), l.Engine.Close())
}

// delayed is Pebble that acknowledges each batch before it applies it, two later.
type delayed struct {
	engine.Engine
	mu    sync.Mutex
	queue []*engine.Batch
}

func openDelayed(dir string) (engine.Engine, error) {
	e, err := openPebble(dir)
	return &delayed{Engine: e}, err
}

func (e *delayed) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	later := new(engine.Batch)
	for op := range b.Ops() {
		add(later, op)
	}
	e.queue = append(e.queue, later)
	if len(e.queue) <= 2 {
		return nil
	}
	first := e.queue[0]
	e.queue = e.queue[1:]
	return e.Engine.Apply(ctx, first, d)
}

// split applies the operations of a batch one by one.
type split struct{ engine.Engine }

func (s split) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return oneByOne(b, func(one *engine.Batch) error { return s.Engine.Apply(ctx, one, d) })
}

func oneByOne(b *engine.Batch, apply func(*engine.Batch) error) error {
	for op := range b.Ops() {
		var one engine.Batch
		add(&one, op)
		if err := apply(&one); err != nil {
			return err
		}
		b.SetSequence(one.Sequence())
		runtime.Gosched() // lets others look
	}
	return nil
}

func add(b *engine.Batch, op engine.Op) {
	switch op.Kind {
	case engine.OpPut:
		b.Put(op.Key, op.Value)
	case engine.OpDelete:
		b.Delete(op.Key)
	case engine.OpDeleteRange:
		b.DeleteRange(op.Key, op.Value)
	}
}

// late is an iterator that is made when it is first moved.
type late struct {
	engine.Iterator
	open func() (engine.Iterator, error)
	err  error
}

func (l *late) ready() bool {
	if l.Iterator == nil && l.err == nil {
		l.Iterator, l.err = l.open()
	}
	return l.err == nil
}

func (l *late) First() bool { return l.ready() && l.Iterator.First() }
func (l *late) Last() bool  { return l.ready() && l.Iterator.Last() }
func (l *late) Close() error {
	if l.Iterator == nil {
		return l.err
	}
	return l.Iterator.Close()
}

// skipping is an iterator that leaves out every 20th entry.
type skipping struct {
	engine.Iterator
	n *atomic.Int64
}

func (s skipping) Next() bool {
	ok := s.Iterator.Next()
	if ok && s.n.Add(1)%20 == 0 {
		return s.Iterator.Next()
	}
	return ok
}

// live is a snapshot that shows the newest state to gets.
type live struct {
	engine.Snapshot
	of engine.Reader
}

func (l live) Get(key, dst []byte) ([]byte, error) { return l.of.Get(key, dst) }
func (l live) Sequence() uint64                    { return l.Snapshot.(engine.SequencedSnapshot).Sequence() }

// unwrap gives back the snapshot that the engine made.
func unwrap(s engine.Snapshot) engine.Snapshot {
	if l, ok := s.(live); ok {
		return l.Snapshot
	}
	return s
}

// ofLists reports whether a commit is one of the transactions on lists.
func ofLists(reads engine.ReadSet) bool {
	return len(reads.Keys) > 0 && bytes.HasPrefix(reads.Keys[0], []byte("list/"))
}

// written are those of the keys read that the batch writes.
func written(reads engine.ReadSet, b *engine.Batch) engine.ReadSet {
	var kept engine.ReadSet
	for _, key := range reads.Keys {
		for op := range b.Ops() {
			if bytes.Equal(op.Key, key) {
				kept.Keys = append(kept.Keys, key)
				break
			}
		}
	}
	return kept
}

var mutants = []struct {
	defect string
	open   func(dir string) (engine.Engine, error)
	says   []string // a part of what may be said of it
}{
	{"lost update: a conditional commit compares nothing", inMemory(func(m *mutant) {
		m.applyIf = func(ctx context.Context, _ engine.Snapshot, _ engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			return m.Engine.Apply(ctx, b, d)
		}
	}), []string{"read under"}},
	{"write skew: a conditional commit compares only what it writes", inMemory(func(m *mutant) {
		m.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			return m.Engine.ApplyIf(ctx, at, written(reads, b), b, d)
		}
	}), []string{"read under"}},
	{"a conflict is reported, and the batch applied all the same", inMemory(func(m *mutant) {
		m.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			err := m.Engine.ApplyIf(ctx, at, reads, b, d)
			if errors.Is(err, engine.ErrConflict) {
				return errors.Join(err, m.Engine.Apply(ctx, b, d))
			}
			return err
		}
	}), []string{"read under"}},
	{"lost update among lists", inMemory(func(m *mutant) {
		m.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			if ofLists(reads) {
				return m.Engine.Apply(ctx, b, d)
			}
			return m.Engine.ApplyIf(ctx, at, reads, b, d)
		}
	}), []string{"G-single", "incompatible order", "G2", "G0", "G1c"}},
	{"write skew among lists", inMemory(func(m *mutant) {
		m.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			if ofLists(reads) {
				reads = written(reads, b)
			}
			return m.Engine.ApplyIf(ctx, at, reads, b, d)
		}
	}), []string{"G2: "}},
	{"aborted transactions among lists are applied", inMemory(func(m *mutant) {
		m.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			err := m.Engine.ApplyIf(ctx, at, reads, b, d)
			if ofLists(reads) && errors.Is(err, engine.ErrConflict) {
				return errors.Join(err, m.Engine.Apply(ctx, b, d))
			}
			return err
		}
	}), []string{"G1a: "}},
	{"iterator sees later writes", inMemory(func(m *mutant) {
		m.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
			return &late{open: func() (engine.Iterator, error) { return m.Engine.NewIterator(o) }}, nil
		}
	}), []string{"read under"}},
	{"snapshot sees later writes", inMemory(func(m *mutant) {
		m.snapshot = func() (engine.Snapshot, error) {
			s, err := m.Engine.Snapshot()
			return live{s, m.Engine}, err
		}
		m.applyIf = func(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
			return m.Engine.ApplyIf(ctx, unwrap(at), reads, b, d)
		}
	}), []string{"read under"}},
	{"batch split", inMemory(func(m *mutant) {
		m.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			return oneByOne(b, func(one *engine.Batch) error { return m.Engine.Apply(ctx, one, d) })
		}
	}), []string{"read under"}},
	{"batch split in an engine without sequences", func(dir string) (engine.Engine, error) {
		e, err := openPebble(dir)
		return split{e}, err
	}, []string{"torn", "no order", "a different value"}},
	{"stale read: one get in ten shows an older state", inMemory(func(m *mutant) {
		var mu sync.Mutex
		var old engine.Snapshot
		n := 0
		m.get = func(key, dst []byte) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%10 == 0 && old != nil {
				value, err := old.Get(key, dst)
				if err != nil && !errors.Is(err, engine.ErrNotFound) {
					return dst, err
				}
				closed := old.Close()
				old = nil
				return value, errors.Join(err, closed)
			}
			if old == nil {
				var err error
				if old, err = m.Engine.Snapshot(); err != nil {
					return dst, err
				}
			}
			return m.Engine.Get(key, dst)
		}
		m.onClose = func() error {
			if old == nil {
				return nil
			}
			return old.Close()
		}
	}), []string{"read under"}},
	{"a multi-get reads its keys one by one", inMemory(func(m *mutant) {
		m.multiGet = func(keys [][]byte, found func(int, []byte, bool)) error {
			for i := range keys {
				if i == 1 {
					var b engine.Batch // of another client, in between
					b.Put(keys[0], []byte("between"))
					if err := m.Engine.Apply(context.Background(), &b, engine.Memory); err != nil {
						return err
					}
				}
				value, err := m.Engine.Get(keys[i], nil)
				if err != nil && !errors.Is(err, engine.ErrNotFound) {
					return err
				}
				found(i, value, err == nil)
			}
			return nil
		}
	}), []string{"read under"}},
	{"scan skips a key", inMemory(func(m *mutant) {
		var n atomic.Int64
		m.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
			it, err := m.Engine.NewIterator(o)
			return skipping{it, &n}, err
		}
	}), []string{"read under"}},
	{"range-delete bound off by one", inMemory(func(m *mutant) {
		m.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			var wrong engine.Batch
			for op := range b.Ops() {
				if op.Kind == engine.OpDeleteRange && string(op.Key) < string(op.Value) {
					op.Value = append(op.Value[:len(op.Value):len(op.Value)], 0)
				}
				add(&wrong, op)
			}
			err := m.Engine.Apply(ctx, &wrong, d)
			b.SetSequence(wrong.Sequence())
			return err
		}
	}), []string{"read under"}},
	{"acknowledged before it is visible", openDelayed, []string{"no order", "torn or stale"}},
	{"lost write at reopen", openLost, []string{"lost"}},
}

// TestMutants: each defect is found, and the failure says what is needed.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.defect, func(t *testing.T) {
			dir := t.TempDir()
			r, err := linear.Mode(t.Context(), target.Run{Engine: target.Engine{Name: "mutant", Open: m.open}, Seed: 7, Work: 30, Directory: dir})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Failures) == 0 {
				t.Fatalf("not found: %+v", r.Counts)
			}
			f := r.Failures[0]
			t.Logf("%d histories: %.300s", r.Get("histories"), f.What)
			if f.Seed < 7 || f.Seed >= 37 || !strings.HasPrefix(f.Command, "orbit-cli torture --engines mutant --modes linear --seed ") || f.Workload == "" {
				t.Errorf("%+v says too little", f)
			}
			said := len(m.says) == 0
			for _, s := range m.says {
				said = said || strings.Contains(f.What, s)
			}
			if !said {
				t.Errorf("says %q, want one of %q", f.What, m.says)
			}
			if _, path, ok := strings.Cut(f.What, "picture: "); ok {
				if info, err := os.Stat(filepath.Clean(path)); err != nil || info.Size() == 0 {
					t.Errorf("the picture: %v", err)
				}
			}
		})
	}
}
