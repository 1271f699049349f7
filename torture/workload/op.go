package workload

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/orbit-persistence/orbit/engine"
)

// Kind is what an operation does.
type Kind uint8

// The kinds of operations.
const (
	// Write applies the changes of the operation as one batch.
	Write Kind = iota
	// Sync calls Engine.Sync.
	Sync
	// Snapshot takes a snapshot. It is read before the next Reopen, and at the
	// end.
	Snapshot
	// Checkpoint writes a copy of the store into a directory of its own, which
	// is then opened and read.
	Checkpoint
	// Compact compacts everything.
	Compact
	// Reopen closes the store and opens it again.
	Reopen
	// Kill ends the process, at once or in the middle of a batch, and opens the
	// store again with what the kernel has of it.
	Kill
)

// Change is one change of a batch.
type Change struct {
	Kind engine.OpKind
	// Key is not empty, and below MarkerKey.
	Key string
	// Upper is the bound of a delete-range.
	Upper string
	// Size is that of a put's value, in bytes.
	Size int
}

// Op is one operation.
type Op struct {
	Kind Kind
	// Durability and Changes are of a Write, which has at least one change.
	Durability engine.Durability
	Changes    []Change
	// Calls is of a Kill: the process dies at that call of the file system, counted
	// from 1, while it applies a batch; 0: it dies between two operations.
	Calls int
}

// Workload is a list of operations on a store that is empty at first.
type Workload []Op

// MarkerKey is the key under which each batch puts its number, as eight bytes,
// big end first. It stands above all other keys.
const MarkerKey = "~marker"

// fill returns the value of a put: size bytes that follow from the number of the
// batch and the place in it.
func fill(number uint64, place, size int) string {
	b := make([]byte, size+8)
	random := rand.NewPCG(number, uint64(place))
	for at := 0; at < size; at += 8 {
		binary.LittleEndian.PutUint64(b[at:], random.Uint64())
	}
	return string(b[:size])
}

// Batch makes the batch of a Write with that number, the marker included.
func Batch(changes []Change, number uint64) *engine.Batch {
	var b engine.Batch
	fillBatch(&b, changes, number)
	return &b
}

func fillBatch(b *engine.Batch, changes []Change, number uint64) {
	for i, c := range changes {
		switch c.Kind {
		case engine.OpPut:
			b.Put([]byte(c.Key), []byte(fill(number, i, c.Size)))
		case engine.OpDelete:
			b.Delete([]byte(c.Key))
		case engine.OpDeleteRange:
			b.DeleteRange([]byte(c.Key), []byte(c.Upper))
		}
	}
	b.Put([]byte(MarkerKey), binary.BigEndian.AppendUint64(nil, number))
}
