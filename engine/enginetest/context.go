package enginetest

import (
	"context"
	"os"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
)

var contextCases = []Case{
	{"context/cancelled-before", func(s *session) {
		s.put("a", "1")
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		b := batch(func(b *engine.Batch) { b.Put([]byte("a"), []byte("2")); b.Put([]byte("b"), []byte("2")) })
		for _, d := range engine.Durabilities {
			if s.traits.Durability.Has(d) {
				s.wants(context.Canceled, s.Apply(ctx, b, d), "apply, %s, with a cancelled context", d)
			}
		}
		if s.traits.Persistent {
			s.wants(context.Canceled, s.Sync(ctx), "sync with a cancelled context")
		}
		if s.traits.Compact {
			s.wants(context.Canceled, s.Compact(ctx, nil, nil), "compact with a cancelled context")
		}
		if s.traits.Checkpoint {
			dir := filepath.Join(s.root, "copy")
			s.wants(context.Canceled, s.Checkpoint(ctx, dir), "checkpoint with a cancelled context")
			// An empty directory opens too, as a new store.
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				if copied, err := s.target.Open(dir); err == nil {
					s.failf("a cancelled checkpoint left a store that opens (close: %v)", copied.Close())
				}
			}
		}
		m := newModel()
		m.put("a", "1")
		s.shows(s, m, "after cancelled calls")
		s.ok(s.Apply(s.ctx, b, s.weak), "the same batch, with a live context")
		s.has(s, "a", "2")
	}},
	{"context/cause-and-deadline", func(s *session) {
		ctx, cancel := context.WithTimeout(s.ctx, 0)
		defer cancel()
		b := batch(func(b *engine.Batch) { b.Put([]byte("a"), []byte("1")) })
		s.wants(context.DeadlineExceeded, s.Apply(ctx, b, s.weak), "apply after the deadline")
		s.lacks(s, "a")
	}},
}
