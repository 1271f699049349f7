package crash

import (
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// Directory is where the store is on the simulated disk.
const Directory = "/store"

// mark is a change of what is right, at an event of a disk's log.
type mark struct {
	event int
	// accept is what is right after a power cut from then on, kept what is if all
	// survives.
	accept, kept workload.Accept
	copies       int
}

// recording is a disk on which something was done.
type recording struct {
	disk  *simdisk.Disk
	marks []mark
	// from is the event before which no cuts are made.
	from int
	// ordered: names become durable in the order in which they were made, as in a
	// journal.
	ordered bool
}

func (r *recording) mark(label string, accept, kept workload.Accept, copies int) {
	r.marks = append(r.marks, mark{r.disk.Events(), accept, kept, copies})
	r.disk.Mark(label)
}

// newDisk returns an empty disk. The directory of an engine that is not ours is
// there already: whether it makes the name of it durable is not asked.
func newDisk(e target.Engine, seed uint64) (*simdisk.Disk, error) {
	d := simdisk.New(simdisk.Options{Seed: seed})
	if e.Foreign {
		if err := d.MkdirAll(Directory); err != nil {
			return nil, fmt.Errorf("make %s: %w", Directory, err)
		}
		if err := d.SyncDir("/"); err != nil {
			return nil, fmt.Errorf("sync /: %w", err)
		}
	}
	return d, nil
}

// record does a workload on a new disk. Its error is a *workload.Violation, or
// the harness's own.
func record(ctx context.Context, e target.Engine, w workload.Workload, seed uint64) (*recording, *workload.History, error) {
	d, err := newDisk(e, seed)
	if err != nil {
		return nil, nil, err
	}
	r := &recording{disk: d, ordered: e.Foreign}
	note := func(what string, b workload.Bounds) {
		r.mark(what,
			workload.Accept{Least: b.Flushed, Most: b.Begun},
			workload.Accept{Least: b.Buffered, Most: b.Begun}, b.Copies)
	}
	var doom *simdisk.Injection
	s := workload.Session{
		Open:      func(dir string) (engine.Engine, error) { return e.OpenOn(d, dir) },
		Directory: Directory,
		History:   workload.NewHistory(),
		Doom: func(calls int) {
			doom = d.Inject(simdisk.Fault{Nth: calls, Sticky: true, Effect: simdisk.EIO})
		},
		Kill: func() {
			if d = d.Kill(); doom != nil {
				doom.Remove()
			}
			r.disk = d
		},
		Lost: func(states, copies int) {
			// What was lost at a kill is in no image of before it either.
			for i := range r.marks {
				m := &r.marks[i]
				m.accept.Most, m.kept.Most = min(m.accept.Most, states-1), min(m.kept.Most, states-1)
				m.copies = min(m.copies, copies)
			}
		},
		Begins: func(what string, b workload.Bounds) { note("begin "+what, b) },
		Ends:   func(what string, b workload.Bounds) { note("end "+what, b) },
	}
	err = workload.Guard(func() error { return s.Run(ctx, w) })
	if err == nil {
		for _, c := range s.History.Copies {
			if err = workload.Guard(func() error { return s.History.CheckCopy(s.Open, c) }); err != nil {
				break
			}
		}
	}
	return r, s.History, err
}

// openOn returns the open function of a session on a disk.
func openOn(e target.Engine, d *simdisk.Disk) func(dir string) (engine.Engine, error) {
	return func(dir string) (engine.Engine, error) { return e.OpenOn(d, dir) }
}
