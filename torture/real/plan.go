package real

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/workload"
)

const (
	// writers work on a store at the same time.
	writers = 4
	// ownKeys is how many keys a writer has for itself.
	ownKeys = 32
	// sharedKeys are written by all. Each batch writes the first, and one other.
	sharedKeys = 4
)

// name is how a batch is told from every other: the round of the run that issued
// it, who wrote it, and its position in the order of that writer, from 1. Batches
// that were lost give their positions to batches of later rounds.
type name struct {
	round    uint64
	writer   int
	position uint64
}

// String names the batch for a person.
func (n name) String() string {
	return fmt.Sprintf("batch %d of writer %d, issued in round %d", n.position, n.writer, n.round)
}

// batch is what a writer does at one position.
type batch struct {
	name       name
	durability engine.Durability
	changes    []workload.Change
	shared     [2]int // the shared keys that it writes
	// sync and compact: it is followed by a call of Sync, of Compact.
	sync, compact bool
}

// plan says what the writers do: all follows from the seed and the name of a
// batch, so that the oracle knows what any batch held.
type plan struct {
	seed    uint64
	classes []engine.Durability
	compact bool
}

func planFor(seed uint64, t engine.Traits) plan {
	p := plan{seed: seed, compact: t.Compact}
	for _, d := range engine.Durabilities {
		if t.Durability.Has(d) {
			p.classes = append(p.classes, d)
		}
	}
	return p
}

// batch returns what the batch of that name holds.
func (p plan) batch(n name) batch {
	// Each round has a habit of its own: mostly one class, mostly small or mostly
	// large values.
	habit := rand.New(rand.NewPCG(p.seed, n.round))
	usual := p.classes[habit.IntN(len(p.classes))]
	large := []int{1, 3, 20}[habit.IntN(3)]
	others := []int{0, 2, 30}[habit.IntN(3)]

	r := rand.New(rand.NewPCG(p.seed^n.round<<8^uint64(n.writer), n.position))
	b := batch{name: n, durability: usual, shared: [2]int{0, 1 + r.IntN(sharedKeys-1)}}
	if r.IntN(100) < others {
		b.durability = p.classes[r.IntN(len(p.classes))]
	}
	key := func() string { return ownKey(n.writer, r.IntN(ownKeys)) }
	changes := 1
	if r.IntN(3) == 0 {
		changes += r.IntN(6)
	}
	for range changes {
		c := workload.Change{Kind: engine.OpPut, Key: key()}
		switch k := r.IntN(20); {
		case k < 3:
			c.Kind = engine.OpDelete
		case k == 3:
			c.Kind = engine.OpDeleteRange
			if c.Upper = key(); c.Upper < c.Key {
				c.Key, c.Upper = c.Upper, c.Key
			}
		case r.IntN(100) < large:
			c.Size = r.IntN(20000)
		default:
			c.Size = r.IntN(300)
		}
		b.changes = append(b.changes, c)
	}
	b.sync = n.writer == 0 && r.IntN(64) == 0
	b.compact = p.compact && n.writer == 1 && r.IntN(512) == 0
	return b
}

// encode fills the batch of the engine. The markers come last, so that a batch
// that was applied in part shows.
func (b batch) encode(to *engine.Batch) {
	for place, c := range b.changes {
		switch c.Kind {
		case engine.OpPut:
			to.Put([]byte(c.Key), []byte(b.value(place)))
		case engine.OpDelete:
			to.Delete([]byte(c.Key))
		case engine.OpDeleteRange:
			to.DeleteRange([]byte(c.Key), []byte(c.Upper))
		}
	}
	for _, k := range b.shared {
		to.Put([]byte(sharedKey(k)), b.name.encode())
	}
	to.Put([]byte(markerKey(b.name.writer)), b.name.encode())
}

// change applies the batch to the writer's own keys.
func (b batch) change(own map[string]string) {
	for place, c := range b.changes {
		switch c.Kind {
		case engine.OpPut:
			own[c.Key] = b.value(place)
		case engine.OpDelete:
			delete(own, c.Key)
		case engine.OpDeleteRange:
			for key := range own {
				if c.Key <= key && key < c.Upper {
					delete(own, key)
				}
			}
		}
	}
}

// value returns the value of the put at that place of the batch.
func (b batch) value(place int) string {
	size := b.changes[place].Size
	v := make([]byte, size+8)
	random := rand.NewPCG(b.name.round<<16^uint64(b.name.writer)<<8^uint64(place), b.name.position)
	for at := 0; at < size; at += 8 {
		binary.LittleEndian.PutUint64(v[at:], random.Uint64())
	}
	return string(v[:size])
}

// ownKey, sharedKey and markerKey return keys. The marker of a writer names the
// newest of its batches that a store shows, a shared key the newest that wrote it.
func ownKey(writer, k int) string { return fmt.Sprintf("w%d/%02d", writer, k) }
func sharedKey(k int) string      { return fmt.Sprintf("~shared%d", k) }
func markerKey(writer int) string { return fmt.Sprintf("~writer%d", writer) }

func (n name) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, n.round)
	b = binary.BigEndian.AppendUint64(b, uint64(n.writer))
	return binary.BigEndian.AppendUint64(b, n.position)
}

func decodeName(b []byte) (name, bool) {
	if len(b) != 24 || binary.BigEndian.Uint64(b[8:]) >= writers {
		return name{}, false
	}
	return name{binary.BigEndian.Uint64(b), int(binary.BigEndian.Uint64(b[8:])), binary.BigEndian.Uint64(b[16:])}, true
}
