package cowbtree_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// story is random operations on a store, and what must be in it.
type story struct {
	*rand.Rand
	fs    vfs.FS
	dir   string
	e     *cowbtree.Engine
	model map[string]string
	named map[string]map[string]string
	// large says that keys may be long and values in extents.
	large bool
	// keys is how many different keys there are, about.
	keys int
}

func newStory(t *testing.T, seed uint64, dir string, o cowbtree.Options) *story {
	t.Helper()
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	return &story{
		Rand: rand.New(rand.NewPCG(seed, 0)), fs: o.FS, dir: dir, e: open(t, dir, o), large: true, keys: 500,
		model: map[string]string{}, named: map[string]map[string]string{},
	}
}

func (s *story) key() []byte {
	switch n := s.IntN(100); {
	case n == 0:
		return nil
	case n == 1 && s.large:
		return bytes.Repeat([]byte{byte('a' + s.IntN(26))}, 1+s.IntN(engine.MaxKeyBytes))
	case n < 20:
		return fmt.Appendf(nil, "a prefix that many keys have, which is not short/%06d", s.IntN(s.keys))
	}
	return fmt.Appendf(nil, "%c%05d", 'a'+s.IntN(4), s.IntN(s.keys))
}

func (s *story) value() []byte {
	n := s.IntN(60)
	switch k := s.IntN(100); {
	case k < 3 && s.large:
		n = 1000 + s.IntN(8000)
	case k == 3 && s.large:
		n = s.IntN(100_000)
	case k < 10:
		n = s.IntN(1024)
	}
	v := bytes.Repeat([]byte{byte(s.Uint32())}, n)
	for i := 0; i < len(v); i += 1 + s.IntN(20) {
		v[i] = byte(s.Uint32())
	}
	return v
}

// steps carries out some operations. Durability is that of the first ones.
func (s *story) steps(t *testing.T, n int) {
	t.Helper()
	ctx := context.Background()
	for range n {
		var err error
		switch k := s.IntN(300); {
		case k == 0:
			name := fmt.Sprintf("snapshot %d", s.IntN(1000))
			if s.named[name] == nil {
				err = s.e.CreateSnapshot(ctx, name)
				s.named[name] = maps.Clone(s.model)
			}
		case k == 1 && len(s.named) > 2:
			names := slices.Sorted(maps.Keys(s.named))
			name := names[s.IntN(len(names))]
			err = s.e.DropSnapshot(ctx, name)
			delete(s.named, name)
		case k == 2 && s.IntN(4) == 0:
			err = s.e.Compact(ctx, nil, nil)
		case k == 3:
			err = s.ingest(ctx)
		default:
			err = s.batch(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// batch applies a random batch.
func (s *story) batch(ctx context.Context) error {
	var b engine.Batch
	n := 1
	if s.IntN(4) == 0 {
		n += s.IntN(40)
	}
	for range n {
		switch key := s.key(); s.IntN(20) {
		case 0, 1, 2, 3, 4:
			b.Delete(key)
			delete(s.model, string(key))
		case 5:
			if s.IntN(10) > 0 {
				break
			}
			upper := s.key()
			b.DeleteRange(key, upper)
			maps.DeleteFunc(s.model, func(k, _ string) bool { return k >= string(key) && k < string(upper) })
		default:
			value := s.value()
			b.Put(key, value)
			s.model[string(key)] = string(value)
		}
	}
	return s.e.Apply(ctx, &b, engine.Buffered)
}

// ingest loads some ascending entries.
func (s *story) ingest(ctx context.Context) error {
	loaded := map[string]string{}
	for range s.IntN(200) {
		loaded[string(s.key())] = string(s.value())
	}
	maps.Copy(s.model, loaded)
	return s.e.Ingest(ctx, entriesOf(loaded))
}

// entriesOf yields entries in order.
func entriesOf(m map[string]string) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield([]byte(k), []byte(m[k])) {
				return
			}
		}
	}
}

// close closes the store, and inspects it.
func (s *story) close(t *testing.T) string {
	t.Helper()
	if err := s.e.Close(); err != nil {
		t.Fatal(err)
	}
	return inspect(t, s.fs, s.dir)
}

// inspect returns what Inspect prints of a sound store.
func inspect(t *testing.T, fsys vfs.FS, dir string) string {
	t.Helper()
	var out strings.Builder
	if err := cowbtree.Inspect(context.Background(), fsys, dir, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

// check compares everything in the store with the model.
func (s *story) check(t *testing.T) {
	t.Helper()
	if err := same(s.e, s.model); err != nil {
		t.Fatal(err)
	}
	names, err := s.e.ListSnapshots()
	if want := slices.Sorted(maps.Keys(s.named)); err != nil || !slices.Equal(names, want) {
		t.Fatalf("snapshots are %q, want %q (%v)", names, want, err)
	}
	for name, m := range s.named {
		x, err := s.e.OpenSnapshot(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(same(x, m), x.Close()); err != nil {
			t.Fatalf("snapshot %q: %v", name, err)
		}
	}
}

// same compares all that is in r with a model: by an iterator, and by gets.
func same(r engine.Reader, model map[string]string) error {
	it, err := r.NewIterator(engine.IterOptions{})
	if err != nil {
		return err
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.Value()
		if want, there := model[string(it.Key())]; err != nil || !there || want != string(v) {
			return fmt.Errorf("key %s is %d bytes, want %d, in the model: %v (%w)", engine.QuoteKey(it.Key()), len(v), len(want), there, err)
		}
		n++
	}
	if err := it.Err(); err != nil || n != len(model) {
		return fmt.Errorf("%d keys, want %d (%w)", n, len(model), err)
	}
	for k, want := range model {
		if v, err := r.Get([]byte(k), nil); err != nil || string(v) != want {
			return fmt.Errorf("key %s is %d bytes, want %d (%w)", engine.QuoteKey([]byte(k)), len(v), len(want), err)
		}
	}
	return nil
}

// emptyPools drops what is kept between reads: memory of stores that are not direct
// does not suit one that is.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}
