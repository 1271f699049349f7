package real

import (
	"fmt"
	"maps"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// event is what stopped a store, and so what it may lose.
type event int

const (
	// killed: the process died. What was acknowledged as Buffered is kept.
	killed event = iota
	// cut: the power was cut. What was acknowledged as Flushed is kept.
	cut
	// closed: the store was closed in order. Everything is kept.
	closed
)

// String says after what a store is looked at.
func (e event) String() string {
	return [...]string{killed: "after a kill", cut: "after a power cut", closed: "after a clean close"}[e]
}

// record is a batch that was begun, and where it stands.
type record struct {
	round      uint64
	durability engine.Durability
	// before are the batches that were acknowledged before this one began.
	before vector
}

// writer is all that one writer has done, by position.
type writer struct {
	// records are those of all batches, from position 1; those that were lost are
	// cut off.
	records []record
	// acked is the position of the newest that was acknowledged, synced of the
	// newest that a Sync covered.
	acked, synced uint64

	// own holds the keys of the writer after the batch at position base, and shared
	// the newest batches up to that which wrote each shared key, 0 for none.
	own    map[string]string
	shared [sharedKeys]uint64
	base   uint64
}

// history is what was done to a store, over all rounds. It is the oracle: it
// knows what any batch held, and which were acknowledged before others began, and
// trusts no engine for the rest.
type history struct {
	plan    plan
	writers [writers]writer
}

func newHistory(p plan) *history {
	h := &history{plan: p}
	for w := range h.writers {
		h.writers[w].own = make(map[string]string)
	}
	return h
}

// newest returns the newest batches that the store showed last.
func (h *history) newest() (v vector) {
	for w := range v {
		v[w] = uint64(len(h.writers[w].records))
	}
	return v
}

// absorb takes over what the writers noted in a round, of which no more counts as
// acknowledged than what is given.
func (h *history) absorb(round uint64, l *ledger, a acks) {
	for w := range h.writers {
		x, noted := &h.writers[w], &l.writers[w]
		for at := noted.base.Load() + 1; at <= noted.begun.Load(); at++ {
			b := h.plan.batch(name{round, w, at})
			x.records = append(x.records, record{round, b.durability, l.before(w, at)})
		}
		x.acked = max(x.acked, a.acked[w])
		x.synced = max(x.synced, a.synced[w])
	}
}

// verdict is what became of a store.
type verdict struct {
	shown vector
	// lost counts acknowledged batches that are gone, by class. What a Sync
	// covered is Flushed.
	lost Classes
	// broken: what is left is no prefix of the commit order.
	broken error
	// wrong: what the store shows was never there.
	wrong error
}

// fault returns what was promised and is not so, nil if all is.
func (v verdict) fault(e event) error {
	text := func(d engine.Durability) error {
		return &workload.Violation{Fault: workload.Lost, Text: fmt.Sprintf("%d batches that were acknowledged as %s are gone; the store ends with batches %d of its writers", v.lost.of(d), d, v.shown)}
	}
	switch {
	case v.wrong != nil:
		return v.wrong
	case v.lost.Flushed > 0:
		return text(engine.Flushed)
	case v.lost.Buffered > 0 && e != cut:
		return text(engine.Buffered)
	case v.lost.Memory > 0 && e == closed:
		return text(engine.Memory)
	}
	return v.broken
}

func wrongf(format string, args ...any) error {
	return &workload.Violation{Fault: workload.Wrong, Text: fmt.Sprintf(format, args...)}
}

// check holds what a store shows, in the order of keys, against what was done.
func (h *history) check(entries []entry) (v verdict) {
	own := make([]map[string]string, writers)
	for w := range own {
		own[w] = make(map[string]string)
	}
	var shared [sharedKeys]*name
	for _, e := range entries {
		w, k := 0, 0
		switch key := string(e.Key); {
		case scan(key, "w%d/%02d", &w, &k) && w < writers && key == ownKey(w, k):
			own[w][key] = string(e.Value)
		case scan(key, "~writer%d", &w) && w < writers && key == markerKey(w):
			n, ok := decodeName(e.Value)
			if !ok || n.writer != w {
				v.wrong = wrongf("the marker %s is %x", key, e.Value)
				return v
			}
			if v.wrong = h.known(n); v.wrong != nil {
				return v
			}
			v.shown[w] = n.position
		case scan(key, "~shared%d", &k) && k < sharedKeys && key == sharedKey(k):
			n, ok := decodeName(e.Value)
			if !ok {
				v.wrong = wrongf("the value of %s is %x", key, e.Value)
				return v
			}
			shared[k] = &n
		default:
			v.wrong = wrongf("there is a key %q, which nobody wrote", key)
			return v
		}
	}
	h.count(&v)
	for w := range own {
		if v.wrong = h.sameOwn(w, v.shown[w], own[w]); v.wrong != nil {
			return v
		}
	}
	v.broken = h.prefix(v.shown)
	for k, n := range shared {
		switch err := h.sameShared(k, n, v.shown); {
		case workload.FaultOf(err) == broken && v.broken == nil:
			v.broken = err
		case err != nil && workload.FaultOf(err) != broken:
			v.wrong = err
			return v
		}
	}
	return v
}

// scan reads a key by a format of package fmt.
func scan(key, format string, into ...any) bool {
	n, err := fmt.Sscanf(key, format, into...)
	return err == nil && n == len(into)
}

// known says why a batch that a store shows cannot be there; nil if it can.
func (h *history) known(n name) error {
	records := h.writers[n.writer].records
	switch {
	case n.position == 0 || n.position > uint64(len(records)):
		return &workload.Violation{Fault: workload.Ahead, Text: fmt.Sprintf("the store shows %v; only %d were begun", n, len(records))}
	case records[n.position-1].round != n.round:
		return wrongf("the store shows %v, which was lost before; its place was taken in round %d", n, records[n.position-1].round)
	}
	return nil
}

// count counts what was acknowledged and is gone.
func (h *history) count(v *verdict) {
	for w := range h.writers {
		x := &h.writers[w]
		for at := v.shown[w] + 1; at <= x.acked; at++ {
			d := x.records[at-1].durability
			if at <= x.synced {
				d = engine.Flushed
			}
			v.lost.add(d, 1)
		}
	}
}

// prefix says which batch is there although one that was acknowledged before it
// began is not.
func (h *history) prefix(shown vector) error {
	for w := range h.writers {
		if shown[w] == 0 {
			continue
		}
		r := h.writers[w].records[shown[w]-1]
		for other, least := range r.before {
			if shown[other] < least {
				return &workload.Violation{Fault: broken, Text: fmt.Sprintf("%v is there, and batch %d of writer %d, which was acknowledged before that began, is not: its newest is %d",
					name{r.round, w, shown[w]}, least, other, shown[other])}
			}
		}
	}
	return nil
}

// broken is a fault of several writers, which package workload has no word for.
const broken workload.Fault = "commit order broken"

// sameOwn compares the keys of a writer with what they were after its batch at
// that position.
func (h *history) sameOwn(w int, position uint64, got map[string]string) error {
	x := &h.writers[w]
	if position < x.base {
		return nil // it is lost, and its state is no longer known
	}
	want := maps.Clone(x.own)
	for at := x.base + 1; at <= position; at++ {
		h.batch(w, at).change(want)
	}
	for k := range ownKeys {
		key := ownKey(w, k)
		a, there := want[key]
		b, is := got[key]
		if there != is || a != b {
			return wrongf("after batch %d of writer %d, %s is %s, and should be %s", position, w, key, brief(b, is), brief(a, there))
		}
	}
	if len(got) != len(want) {
		return wrongf("writer %d has %d keys, and should have %d", w, len(got), len(want))
	}
	return nil
}

func brief(value string, there bool) string {
	if !there {
		return "not there"
	}
	return fmt.Sprintf("%d bytes %x", len(value), value[:min(len(value), 12)])
}

// batch returns the batch of a writer at a position.
func (h *history) batch(w int, at uint64) batch {
	return h.plan.batch(name{h.writers[w].records[at-1].round, w, at})
}

// sameShared checks which batch a store shows as the last writer of a shared key.
// It must be the newest of its writer that wrote the key, and no batch may be
// there that wrote the key and began after that one was acknowledged.
func (h *history) sameShared(k int, got *name, shown vector) error {
	last := make([]uint64, writers)
	some := false
	for w := range h.writers {
		x := &h.writers[w]
		if shown[w] < x.base {
			return nil // lost, and no longer known
		}
		last[w] = x.shared[k]
		for at := shown[w]; at > x.base; at-- {
			if b := h.batch(w, at); b.shared[0] == k || b.shared[1] == k {
				last[w] = at
				break
			}
		}
		some = some || last[w] > 0
	}
	switch {
	case got == nil && !some:
		return nil
	case got == nil:
		return wrongf("%s is not there; batches %d of the writers wrote it", sharedKey(k), last)
	case got.position == 0 || last[got.writer] != got.position || h.writers[got.writer].records[got.position-1].round != got.round:
		return wrongf("%s was last written by %v, it says; the newest that wrote it are batches %d of the writers", sharedKey(k), *got, last)
	}
	for w, at := range last {
		if at == 0 || w == got.writer {
			continue
		}
		if r := h.writers[w].records[at-1]; r.before[got.writer] >= got.position {
			return &workload.Violation{Fault: broken, Text: fmt.Sprintf("%s was last written by %v, it says, which was acknowledged before %v, which wrote it too, began",
				sharedKey(k), *got, name{r.round, w, at})}
		}
	}
	return nil
}

// flushed returns the newest batch of a writer that was acknowledged as Flushed, or
// that a Sync covered.
func (h *history) flushed(w int) uint64 {
	x := &h.writers[w]
	for at := x.acked; at > max(x.synced, x.base); at-- {
		if x.records[at-1].durability == engine.Flushed {
			return at
		}
	}
	return max(x.synced, x.base)
}

// settle makes what the store shows the end of the history, where the writers
// continue.
func (h *history) settle(shown vector) {
	for w := range h.writers {
		x := &h.writers[w]
		flushed := h.flushed(w)
		x.records = x.records[:shown[w]]
		x.acked = shown[w]
		x.synced = min(x.synced, shown[w])
		for at := x.base + 1; at <= min(flushed, shown[w]); at++ {
			b := h.batch(w, at)
			b.change(x.own)
			for _, k := range b.shared {
				x.shared[k] = at
			}
			x.base = at
		}
	}
}

// entry is a key and its value.
type entry struct {
	Key   []byte `json:"k"`
	Value []byte `json:"v"`
}
