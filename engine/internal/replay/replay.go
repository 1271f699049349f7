// Package replay does again what a log says, with what the processor has to fetch for one
// record under way for several of them.
package replay

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

const (
	// groupRecords is how many records are kept back: about as many misses as a processor
	// has under way at the same time.
	groupRecords = 16
	// groupBytes is how many bytes of them are, but for the last.
	groupBytes = 64 << 10
)

// Group keeps the batches of a log back until there are enough of them. One goroutine uses
// it.
type Group struct {
	// Near asks for the memory that keys lead to. They are those of the first operation
	// of each batch that is added next; they and the slice are valid until it returns.
	Near func(ops []engine.Op)
	// Add does a batch again. It is valid until it returns.
	Add func(b *engine.Batch, sequence uint64) error

	kept     [groupRecords]record
	n        int
	payloads []byte // of what is kept
	ops      [groupRecords]engine.Op
}

type record struct {
	batch    *engine.Batch
	sequence uint64
}

// Take takes the next batch as it is in the log; it is copied. The error tells which record
// it is about, which may have been taken before.
func (g *Group) Take(sequence uint64, payload []byte) error {
	start := len(g.payloads)
	g.payloads = append(g.payloads, payload...)
	b, err := engine.DecodeBatch(g.payloads[start:])
	if err != nil {
		return recordError(sequence, err)
	}
	g.kept[g.n] = record{b, sequence}
	if g.n++; g.n == groupRecords || len(g.payloads) >= groupBytes {
		return g.Flush()
	}
	return nil
}

// Flush adds what was kept back.
func (g *Group) Flush() error {
	kept := g.kept[:g.n]
	ops := g.ops[:0]
	for _, r := range kept {
		for op := range r.batch.Ops() {
			ops = append(ops, op)
			break
		}
	}
	if len(ops) > 1 {
		g.Near(ops)
	}
	g.n, g.payloads = 0, g.payloads[:0]
	for _, r := range kept {
		if err := g.Add(r.batch, r.sequence); err != nil {
			return recordError(r.sequence, err)
		}
	}
	return nil
}

func recordError(sequence uint64, err error) error {
	return fmt.Errorf("record %d of the log: %w", sequence, err)
}
