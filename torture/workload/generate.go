package workload

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
)

// Alphabet returns the operations of which small workloads are made: few keys, a
// value that fits a sector and one that spans pages, each durability class that
// the engine has.
func Alphabet(t engine.Traits) []Op {
	var ops []Op
	for _, d := range engine.Durabilities {
		if !t.Durability.Has(d) {
			continue
		}
		for _, changes := range [][]Change{
			{{Kind: engine.OpPut, Key: "a", Size: 20}},
			{{Kind: engine.OpPut, Key: "b", Size: 20}},
			{{Kind: engine.OpPut, Key: "a", Size: 9000}},
			{{Kind: engine.OpDelete, Key: "a"}},
			{{Kind: engine.OpDeleteRange, Key: "a", Upper: "c"}},
			{
				{Kind: engine.OpPut, Key: "a", Size: 700},
				{Kind: engine.OpPut, Key: "b", Size: 700},
				{Kind: engine.OpDelete, Key: "a"},
				{Kind: engine.OpPut, Key: "c", Size: 0},
			},
		} {
			ops = append(ops, Op{Kind: Write, Durability: d, Changes: changes})
		}
	}
	ops = append(ops, Op{Kind: Sync}, Op{Kind: Snapshot}, Op{Kind: Reopen})
	if t.Checkpoint {
		ops = append(ops, Op{Kind: Checkpoint})
	}
	if t.Compact {
		ops = append(ops, Op{Kind: Compact})
	}
	return ops
}

// Enumerate yields all workloads of exactly n operations of the alphabet. Each is
// a slice of its own.
func Enumerate(alphabet []Op, n int) iter.Seq[Workload] {
	return func(yield func(Workload) bool) {
		place := make([]int, n)
		for {
			w := make(Workload, n)
			for i, p := range place {
				w[i] = alphabet[p]
			}
			if !yield(w) {
				return
			}
			i := n - 1
			for ; i >= 0; i-- {
				if place[i]++; place[i] < len(alphabet) {
					break
				}
				place[i] = 0
			}
			if i < 0 {
				return
			}
		}
	}
}

// Random returns a workload of n operations over at most 40 keys. The same
// arguments give the same workload.
func Random(seed uint64, n int, t engine.Traits) Workload {
	r := rand.New(rand.NewPCG(seed, 0x776f726b))
	var classes []engine.Durability
	for _, d := range engine.Durabilities {
		if t.Durability.Has(d) {
			classes = append(classes, d)
		}
	}
	keys := 2 + r.IntN(39)
	key := func() string { return fmt.Sprintf("key%02d", r.IntN(keys)) }
	// Each workload has a habit of its own: mostly one class, mostly small or
	// mostly large values.
	usual := classes[r.IntN(len(classes))]
	large := []int{1, 5, 30}[r.IntN(3)]
	put := func() Change {
		size := r.IntN(200)
		if r.IntN(100) < large {
			size = r.IntN(20000)
		}
		return Change{Kind: engine.OpPut, Key: key(), Size: size}
	}
	change := func() Change {
		switch r.IntN(10) {
		case 0, 1:
			return Change{Kind: engine.OpDelete, Key: key()}
		case 2:
			bounds := []string{key(), key()}
			slices.Sort(bounds)
			return Change{Kind: engine.OpDeleteRange, Key: bounds[0], Upper: bounds[1]}
		}
		return put()
	}
	w := make(Workload, n)
	for i := range w {
		switch p := r.IntN(100); {
		case p < 3:
			w[i].Kind = Sync
		case p < 5:
			w[i].Kind = Snapshot
		case p < 6 && t.Checkpoint:
			w[i].Kind = Checkpoint
		case p < 8 && t.Compact:
			w[i].Kind = Compact
		case p < 10:
			w[i].Kind = Reopen
		default:
			w[i].Durability = usual
			if r.IntN(4) == 0 {
				w[i].Durability = classes[r.IntN(len(classes))]
			}
			changes := 1
			if r.IntN(4) == 0 {
				changes += r.IntN(8)
			}
			for range changes {
				w[i].Changes = append(w[i].Changes, change())
			}
		}
	}
	return w
}

// WithKills returns a workload with some kills put in, and in place of some
// reopens, by the seed.
func WithKills(w Workload, seed uint64) Workload {
	r := rand.New(rand.NewPCG(seed, 0x6b696c6c))
	kill := func() Op {
		if r.IntN(3) == 0 {
			return Op{Kind: Kill}
		}
		return Op{Kind: Kill, Calls: 1 + r.IntN(16)}
	}
	var with Workload
	for _, o := range w {
		if r.IntN(12) == 0 {
			with = append(with, kill())
		}
		if o.Kind == Reopen && r.IntN(2) == 0 {
			o = kill()
		}
		with = append(with, o)
	}
	return with
}
