package cowbtree

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLoadIsGive: a space that is loaded has what one has that was given the same.
func TestLoadIsGive(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		var list []extent
		at := int64(metaSectors)
		for range random.IntN(400) {
			at += random.Int64N(3) // some touch
			n := 1 + random.Int64N(3)
			list = append(list, extent{at, n})
			at += n
		}
		before := slices.Clone(list)
		loaded, given := newSpace(at), newSpace(at)
		loaded.load(list)
		for _, x := range list {
			given.give(x)
		}
		if a, b := loaded.list(), given.list(); !slices.Equal(a, b) || loaded.total != given.total {
			t.Fatalf("loaded %v (%d), given %v (%d)", a, loaded.total, b, given.total)
		}
		if !slices.Equal(list, before) {
			t.Fatal("the list was changed")
		}
		// Both go on to be the same.
		for range 50 {
			x, ok := loaded.take(1, 64)
			y, ok2 := given.take(1, 64)
			if x != y || ok != ok2 {
				t.Fatalf("took %v and %v", x, y)
			}
		}
	}
}

func BenchmarkLoadSpace(b *testing.B) {
	list := make([]extent, 50_000)
	for i := range list {
		list[i] = extent{int64(metaSectors + 16*i), 8}
	}
	for name, fill := range map[string]func(*space){
		"load": func(s *space) { s.load(list) },
		"give": func(s *space) {
			for _, x := range list {
				s.give(x)
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				fill(newSpace(1 << 30))
			}
		})
	}
}
