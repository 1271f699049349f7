package paths

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// devices are the devices of the paths, and dirs the paths.
var (
	devices = []string{"/one", "/two"}
	dirs    = []string{"/one/log", "/two/log"}
)

// store is the engine under torture.
type store struct {
	engine target.Engine
	traits engine.Traits
}

func (s store) on(d *simdisk.Disk) func(string) (engine.Engine, error) {
	return func(string) (engine.Engine, error) { return s.engine.OpenOnPaths(d, slices.Clone(dirs)) }
}

func newDisk(seed uint64) *simdisk.Disk {
	var o simdisk.Options
	o.Seed = seed
	for _, path := range devices {
		o.Devices = append(o.Devices, simdisk.Device{Path: path})
	}
	return simdisk.New(o)
}

// mark is what holds from an event of the disk on.
type mark struct {
	event  int
	bounds workload.Bounds
}

// round is one workload in which a device is lost.
type round struct {
	store
	w      workload.Workload
	seed   uint64
	random *rand.Rand
	disk   *simdisk.Disk
	image  *simdisk.Disk // of the recovery
	marks  []mark
	device string // the one that goes

	lost, midway, returned, cut bool
	late, alone                 int64
}

// run returns the first violation, nil if there is none.
func (r *round) run(ctx context.Context) error {
	r.random = rand.New(rand.NewPCG(r.seed, 0x7061))
	r.disk = newDisk(r.seed)
	return workload.Guard(func() error { return r.steps(ctx) })
}

func (r *round) steps(ctx context.Context) (err error) {
	note := func(_ string, b workload.Bounds) { r.marks = append(r.marks, mark{r.disk.Events(), b}) }
	s := workload.Session{
		Open: r.on(r.disk), Directory: target.PathsHome, History: workload.NewHistory(), Begins: note, Ends: note,
	}
	gone := r.random.IntN(len(r.w) + 1)
	back := gone + 1 + r.random.IntN(len(r.w)+1)
	which := r.random.IntN(len(devices))
	r.device = devices[which]
	var since int // the event at which it may have gone
	ends := func() bool { return false }
	defer func() { ends() }()
	if err := s.Start(); err != nil {
		return err
	}
	for i := 0; i <= len(r.w); i++ {
		switch i {
		case gone:
			since = r.disk.Events()
			if i < len(r.w) && r.random.IntN(2) == 0 {
				ends = r.vanishDuring(dirs[which], 1+r.random.IntN(12))
			} else if err := r.vanish(); err != nil {
				return err
			}
		case back:
			r.midway = ends()
			if err := r.comeBack(); err != nil {
				return err
			}
		}
		if i == len(r.w) {
			break
		}
		r.disk.Mark(r.w[i].String())
		if err := s.Do(ctx, r.w[i]); err != nil {
			return errors.Join(fmt.Errorf("operation %d, %s: %w", i+1, r.w[i], err), s.Abandon())
		}
	}
	r.midway = ends() || r.midway
	r.lost = r.lost || r.midway
	accept, err := r.end(&s, since)
	if err != nil {
		return err
	}
	recovery := workload.Recovery{
		Open: r.on(r.image), Directory: target.PathsHome, Traits: r.traits, History: s.History, Accept: accept, Depth: 1,
	}
	if _, err := recovery.Run(ctx); err != nil {
		return fmt.Errorf("with both paths, %s was lost: %w", r.device, err)
	}
	return r.level()
}

// vanish takes the device away between two operations.
func (r *round) vanish() error {
	r.lost = true
	return r.disk.Vanish(r.device)
}

// vanishDuring takes the device away in the middle of the nth call for a file of
// a directory. ends ends the wait for that call, and reports whether it came.
func (r *round) vanishDuring(dir string, nth int) (ends func() bool) {
	hang := r.disk.Inject(simdisk.Fault{Path: dir + "/*", Nth: nth, Effect: simdisk.Hang})
	stop, done := make(chan struct{}), make(chan bool)
	go func() {
		for hang.Fired() == 0 {
			select {
			case <-stop:
				hang.Remove()
				done <- hang.Fired() > 0
				return
			case <-time.After(20 * time.Microsecond):
			}
		}
		// There is such a device, and nobody else takes it away.
		_ = r.disk.Vanish(r.device)
		hang.Remove()
		done <- true
	}()
	var came, over bool
	return func() bool {
		if !over {
			over = true
			close(stop)
			came = <-done
		}
		return came
	}
}

// comeBack returns the device, if it went, with some writes that land late.
func (r *round) comeBack() error {
	if !r.lost && !r.midway {
		return nil
	}
	r.lost, r.returned = true, true
	late, err := r.disk.Return(r.device)
	if err != nil {
		return err
	}
	for i := range late.Units() {
		if r.random.IntN(2) == 0 {
			continue
		}
		if err := late.Land(i); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.late++
	}
	return nil
}

// end closes the store or cuts the power since an event, and makes the image for
// the recovery. It returns what is right on it.
func (r *round) end(s *workload.Session, since int) (workload.Accept, error) {
	if r.random.IntN(3) == 0 {
		r.disk.Mark("close")
		if err := s.Finish(); err != nil {
			return workload.Accept{}, err
		}
		if !r.returned {
			if err := r.comeBack(); err != nil {
				return workload.Accept{}, err
			}
		}
		r.image = r.disk
		b := s.History.Bounds
		return workload.Accept{Least: b.Flushed, Most: b.Begun}, nil
	}
	r.cut = true
	events := r.disk.Events()
	dead := r.disk.Kill()
	// The process is gone; that its close fails says nothing about the engine.
	_ = s.Abandon()
	at := since + r.random.IntN(events-since+1)
	walk := dead.Walk()
	for range at {
		walk.Next()
	}
	fates := make([]simdisk.Fate, len(walk.Pending()))
	style := r.random.IntN(4)
	for i := range fates {
		switch style {
		case 0:
		case 1:
			fates[i] = simdisk.Kept
		default:
			fates[i] = simdisk.Fate(r.random.IntN(int(simdisk.Garbage) + 1))
		}
	}
	r.image = walk.Crash(fates, r.seed)
	var b workload.Bounds
	for _, m := range r.marks {
		if m.event <= at {
			b = m.bounds
		}
	}
	return workload.Accept{Least: b.Flushed, Most: b.Begun}, nil
}

// level opens what was recovered with each path alone, which must show what both
// show.
func (r *round) level() error {
	w := r.image.Walk()
	for w.Next() {
	}
	both, err := r.dump(w)
	if err != nil {
		return &workload.Violation{Fault: workload.Failed, Text: "read what both paths show", Err: err}
	}
	for _, missing := range devices {
		d := w.Crash(slices.Repeat([]simdisk.Fate{simdisk.Kept}, len(w.Pending())), r.seed)
		if err := d.Vanish(missing); err != nil {
			return err
		}
		e, err := r.on(d)("")
		if err != nil {
			return &workload.Violation{Fault: workload.NotOpened, Text: fmt.Sprintf("without %s, when %s had been lost and both were level", missing, r.device), Err: err}
		}
		err = workload.Same(e, both)
		if closeErr := e.Close(); err == nil && closeErr != nil {
			err = &workload.Violation{Fault: workload.Failed, Text: "close", Err: closeErr}
		}
		if err != nil {
			return fmt.Errorf("without %s, when %s had been lost and both were level: %w", missing, r.device, err)
		}
		r.alone++
	}
	return nil
}

// dump returns all entries of the store on a copy of the disk.
func (r *round) dump(w *simdisk.Walk) (all []workload.Entry, err error) {
	d := w.Crash(slices.Repeat([]simdisk.Fate{simdisk.Kept}, len(w.Pending())), r.seed)
	e, err := r.on(d)("")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	it, err := e.NewIterator(engine.IterOptions{})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if err != nil {
			return nil, errors.Join(err, it.Close())
		}
		all = append(all, workload.Entry{Key: string(it.Key()), Value: string(value)})
	}
	return all, errors.Join(it.Err(), it.Close())
}

// trace is what reached the disk.
func (r *round) trace() string {
	var b strings.Builder
	// A strings.Builder takes everything.
	_ = r.disk.WriteTrace(&b)
	if r.image != nil && r.image != r.disk {
		b.WriteString("-- the power is cut; the recovery:\n")
		_ = r.image.WriteTrace(&b)
	}
	return b.String()
}
