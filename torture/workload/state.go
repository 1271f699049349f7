package workload

import (
	"encoding/binary"
	"slices"
	"sort"

	"github.com/orbit-persistence/orbit/engine"
)

// Entry is a key and its value.
type Entry struct{ Key, Value string }

// State is what a store shows after one batch.
type State struct {
	// Number is that of the batch; 0 is the empty store.
	Number uint64
	// Sequence is the place that a Sequenced engine gave it; 0 elsewhere.
	Sequence uint64
	// Place counts the batches up to it, and Changes are those of the last.
	Place   int
	Changes []Change
	// Entries are in the order of keys, with that of the marker.
	Entries []Entry
}

// After returns the state when a batch with these changes and that number, as
// Batch makes it, is applied to s.
func (s State) After(changes []Change, number uint64) State {
	entries := slices.Clone(s.Entries)
	for i, c := range changes {
		from, found := find(entries, c.Key)
		switch {
		case c.Kind == engine.OpPut:
			entries = put(entries, from, found, Entry{c.Key, fill(number, i, c.Size)})
		case c.Kind == engine.OpDelete && found:
			entries = slices.Delete(entries, from, from+1)
		case c.Kind == engine.OpDeleteRange && c.Key < c.Upper:
			to, _ := find(entries, c.Upper)
			entries = slices.Delete(entries, from, to)
		}
	}
	at, found := find(entries, MarkerKey)
	entries = put(entries, at, found, Entry{MarkerKey, string(binary.BigEndian.AppendUint64(nil, number))})
	return State{Number: number, Place: s.Place + 1, Changes: changes, Entries: entries}
}

// find returns where key is, or would be.
func find(entries []Entry, key string) (int, bool) {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Key >= key })
	return i, i < len(entries) && entries[i].Key == key
}

func put(entries []Entry, at int, found bool, e Entry) []Entry {
	if found {
		entries[at] = e
		return entries
	}
	return slices.Insert(entries, at, e)
}

// Bounds say how far a workload has come, in batches: the state of States at
// that index is the newest that was begun, or acknowledged in a class.
type Bounds struct {
	Begun, Buffered, Flushed int
	// Copies counts the checkpoints that were acknowledged.
	Copies int
}

// Copy is a checkpoint.
type Copy struct {
	Directory string
	// State is the index in States of the state that it holds.
	State int
}

// History is what was done to a store, in the commit order. It may be read from
// many goroutines once it no longer changes.
type History struct {
	// States holds the state after each batch, that of the empty store first.
	// Their numbers ascend.
	States []State
	// Bounds are those of now.
	Bounds Bounds
	// Copies are the checkpoints that were acknowledged, in order.
	Copies []Copy
}

// NewHistory returns that of an empty store.
func NewHistory() *History { return &History{States: []State{{}}} }

// Accept says which states are right.
type Accept struct {
	// Least and Most are indexes into the States of a history, both included.
	// With Least above Most there is none of them.
	Least, Most int
	// Also are right too.
	Also []State
}

// Has reports whether the state with that number is right.
func (h *History) Has(a Accept, number uint64) bool {
	_, i := h.lookup(a, number)
	return i < 0 || a.Least <= i && i <= a.Most
}

// lookup returns the state with that number, and its index in the history: -1 if
// it is one of Also, len(States) if there is none.
func (h *History) lookup(a Accept, number uint64) (State, int) {
	for _, s := range a.Also {
		if s.Number == number {
			return s, -1
		}
	}
	i := sort.Search(len(h.States), func(i int) bool { return h.States[i].Number >= number })
	if i < len(h.States) && h.States[i].Number == number {
		return h.States[i], i
	}
	return State{}, len(h.States)
}
