package enginetest

import (
	"maps"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
)

// model is what an engine should hold: a plain map, and its keys in order.
type model struct {
	entries map[string]string
	keys    []string
}

func newModel() *model { return &model{entries: map[string]string{}} }

func (m *model) clone() *model {
	return &model{entries: maps.Clone(m.entries), keys: slices.Clone(m.keys)}
}

func (m *model) put(key, value string) {
	if _, there := m.entries[key]; !there {
		i, _ := slices.BinarySearch(m.keys, key)
		m.keys = slices.Insert(m.keys, i, key)
	}
	m.entries[key] = value
}

func (m *model) delete(key string) {
	if _, there := m.entries[key]; there {
		i, _ := slices.BinarySearch(m.keys, key)
		m.keys = slices.Delete(m.keys, i, i+1)
		delete(m.entries, key)
	}
}

func (m *model) deleteRange(lower, upper string) {
	i, j := m.span([]byte(lower), []byte(upper))
	for _, key := range m.keys[i:j] {
		delete(m.entries, key)
	}
	m.keys = slices.Delete(m.keys, i, j)
}

// apply does what a batch does.
func (m *model) apply(b *engine.Batch) {
	for op := range b.Ops() {
		switch op.Kind {
		case engine.OpPut:
			m.put(string(op.Key), string(op.Value))
		case engine.OpDelete:
			m.delete(string(op.Key))
		case engine.OpDeleteRange:
			m.deleteRange(string(op.Key), string(op.Value))
		}
	}
}

// span returns the positions [i, j) of the keys within the bounds; nil is open.
func (m *model) span(lower, upper []byte) (i, j int) {
	j = len(m.keys)
	if lower != nil {
		i, _ = slices.BinarySearch(m.keys, string(lower))
	}
	if upper != nil {
		j, _ = slices.BinarySearch(m.keys, string(upper))
	}
	return i, max(i, j)
}
