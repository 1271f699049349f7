package crash

import (
	"context"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// deepest is how many cuts may follow each other: in the workload, in recovery,
// in the recovery from that.
const deepest = 3

// store is what a recovery is about.
type store struct {
	engine  target.Engine
	traits  engine.Traits
	history *workload.History
}

// recovery is one disk after a power cut.
type recovery struct {
	store
	image *simdisk.Disk
	// accept is what is right on it; copies of the history's checkpoints are
	// there.
	accept workload.Accept
	copies int
	// depth counts the cuts so far.
	depth int
	seed  uint64
}

// run recovers, and returns the state that was shown first, and what was recorded
// for cuts during it. Its error holds a *workload.Violation.
func (r *recovery) run(ctx context.Context) (workload.State, *recording, error) {
	rec := &recording{disk: r.image, ordered: r.engine.Foreign}
	w := workload.Recovery{
		Open: openOn(r.engine, r.image), Directory: Directory, Traits: r.traits, History: r.history,
		Accept: r.accept, Copies: r.copies, Depth: r.depth, Second: r.seed%8 == 0,
		Mark: func(label string, a workload.Accept) { rec.mark(label, a, a, r.copies) },
	}
	shown, err := w.Run(ctx)
	return shown, rec, err
}
