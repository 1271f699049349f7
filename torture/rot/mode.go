package rot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/internal/workers"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// Name is the mode's, and what its replay strings begin with.
const Name = "rot"

const directory = "/store"

// mostSectors bounds the sectors of a file that are damaged in one image; a
// larger file is sampled evenly.
const mostSectors = 2048

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// foreignDamages is how many damages of an image engines get that are not ours,
// where a run has no budget.
const foreignDamages = 100

// store is the engine under torture.
type store struct {
	engine target.Engine
	traits engine.Traits
}

func (s store) on(d *simdisk.Disk) func(dir string) (engine.Engine, error) {
	return func(dir string) (engine.Engine, error) { return s.engine.OpenOn(d, dir) }
}

// image is a disk on which a workload was done, and what may stand on it.
type image struct {
	store
	w       workload.Workload
	seed    uint64
	clean   bool
	disk    *simdisk.Walk // at the start of a disk that has no log
	earlier []*simdisk.Disk
	history *workload.History
	names   []string // of the files
	sectors []sector
	skipped int64 // sectors, of files with too many
}

// prepare does a workload and makes the image after the clean close, or after a
// power cut just before it.
func (s store) prepare(ctx context.Context, w workload.Workload, seed uint64, clean bool) (*image, error) {
	d := simdisk.New(simdisk.Options{Seed: seed})
	if s.engine.Foreign {
		if err := errors.Join(d.MkdirAll(directory), d.SyncDir("/")); err != nil {
			return nil, fmt.Errorf("make %s: %w", directory, err)
		}
	}
	im := &image{store: s, w: w, seed: seed, clean: clean}
	closing := 0
	session := workload.Session{Open: s.on(d), Directory: directory, History: workload.NewHistory(), Begins: func(what string, _ workload.Bounds) {
		if what == "close" {
			closing = d.Events()
		}
	}}
	im.history = session.History
	if err := workload.Guard(func() error { return session.Run(ctx, w) }); err != nil {
		return nil, err
	}
	end := d.Events()
	if !clean {
		end = closing
	}
	random := rand.New(rand.NewPCG(seed, 5))
	walk := d.Walk()
	for at := 0; at < end && walk.Next(); at++ {
		if at == end/3 || at == end*2/3 {
			im.earlier = append(im.earlier, walk.Crash(kept(walk), seed))
		}
	}
	fates := kept(walk)
	if !clean {
		for i := range fates {
			fates[i] = simdisk.Fate(random.IntN(int(simdisk.Garbage) + 1))
		}
	}
	base := walk.Crash(fates, seed)
	im.disk = base.Walk()
	names, sizes, err := files(base, directory)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	im.names = names
	for i, name := range names {
		n := (sizes[i] + sectorBytes - 1) / sectorBytes
		step := max(1, (n+mostSectors-1)/mostSectors)
		for at := int64(0); at < n; at += step {
			im.sectors = append(im.sectors, sector{name, at})
		}
		im.skipped += n - (n+step-1)/step
	}
	return im, nil
}

func kept(w *simdisk.Walk) []simdisk.Fate {
	return slices.Repeat([]simdisk.Fate{simdisk.Kept}, len(w.Pending()))
}

// verdict is what an engine makes of a damage.
type verdict int

const (
	unchanged verdict = iota
	harmless
	detected
	undetected
)

func corrupt(err error) bool { return errors.Is(err, engine.ErrCorrupt) }

func wrong(f workload.Fault, err error, format string, args ...any) error {
	return &workload.Violation{Fault: f, Text: fmt.Sprintf(format, args...), Err: err}
}

// try damages a copy of the image and reads it. The error goes with undetected
// and is a *workload.Violation.
func (im *image) try(g damage, fresh func() *simdisk.Disk) (v verdict, err error) {
	d := fresh()
	if changed, err := g.do(d, im.sectors, im.earlier, im.seed); err != nil || !changed {
		return unchanged, err
	}
	err = workload.Guard(func() error {
		v, err = im.read(d)
		return err
	})
	if err != nil {
		return undetected, fmt.Errorf("%v: %w", g, err)
	}
	return v, nil
}

func (im *image) read(d *simdisk.Disk) (v verdict, err error) {
	e, err := im.on(d)(directory)
	if err != nil {
		if corrupt(err) {
			return detected, nil
		}
		return undetected, wrong(workload.WrongError, err, "open is not ErrCorrupt")
	}
	defer func() {
		if closeErr := e.Close(); err == nil && closeErr != nil {
			if corrupt(closeErr) {
				v = detected
				return
			}
			err = wrong(workload.WrongError, closeErr, "close")
		}
	}()
	want := im.history.States[len(im.history.States)-1]
	if !im.clean {
		number, err := workload.Newest(e)
		switch {
		case corrupt(err):
			return detected, nil
		case err != nil:
			return undetected, err
		}
		i := slices.IndexFunc(im.history.States, func(s workload.State) bool { return s.Number == number })
		if i < 0 {
			return undetected, wrong(workload.Wrong, nil, "the marker names batch %d, which was never applied", number)
		}
		want = im.history.States[i]
	}
	failed, err := workload.Readable(e, want.Entries, corrupt)
	switch {
	case err != nil:
		return undetected, err
	case failed > 0:
		return detected, nil
	}
	return harmless, nil
}

// damages are all that can be done to the image.
func (im *image) damages() []damage {
	all := make([]damage, 0, len(im.sectors)*int(kinds))
	for _, s := range im.sectors {
		for k := flip; k < kinds; k++ {
			all = append(all, damage{s, k})
		}
	}
	return all
}

// copies returns a function that makes copies of the image, for one goroutine.
func (im *image) copies(mu *sync.Mutex) func() *simdisk.Disk {
	return func() *simdisk.Disk {
		mu.Lock()
		defer mu.Unlock()
		return im.disk.Crash(nil, im.seed)
	}
}

// found is a failure before it is shrunk.
type found struct {
	fault workload.Fault
	im    *image
	g     damage
	err   error
}

// Mode damages what is stored. Work counts workloads, each once after a clean
// close and once after a loss of power; 0 is 2. The first has every kind of
// operation, the others follow from the seed. A run reports the first failure of
// each kind.
func Mode(ctx context.Context, r target.Run) (target.Result, error) {
	start := time.Now()
	result := target.Result{Mode: Name, Engine: r.Engine.Name}
	leave := func(why string) (target.Result, error) {
		result.LeftOut = append(result.LeftOut, why)
		return result, nil
	}
	switch e := r.Engine; {
	case e.Missing != "":
		return leave(e.Name + ": " + e.Missing)
	case e.OpenOn == nil:
		return leave(e.Name + " does not run on a simulated disk")
	}
	s, err := open(r.Engine)
	if err != nil {
		return result, err
	}
	if !s.traits.Persistent {
		return leave(r.Engine.Name + " keeps nothing on a disk")
	}
	var ends time.Time
	if r.Budget > 0 {
		ends = start.Add(r.Budget)
	}
	over := func() bool { return !ends.IsZero() && time.Now().After(ends) }
	work := r.Work
	if work == 0 {
		work = 2
	}
	var failures []found
	for round := int64(0); (len(failures) == 0 || r.Engine.Foreign) && ctx.Err() == nil; round++ {
		if ends.IsZero() && round >= work || over() {
			break
		}
		seed := r.Seed + uint64(round)
		w := workload.Random(seed, 120, s.traits)
		if round == 0 {
			w = slices.Concat(workload.Alphabet(s.traits), w)
		}
		for _, clean := range []bool{true, false} {
			im, err := s.prepare(ctx, w, seed, clean)
			if err != nil {
				if workload.FaultOf(err) == "" || ctx.Err() != nil {
					return result, err
				}
				result.Failures = append(result.Failures, s.report(err, w, seed, clean, ""))
				return result, nil
			}
			for _, f := range im.run(ctx, &result, r, over) {
				if !slices.ContainsFunc(failures, func(g found) bool { return g.fault == f.fault }) {
					failures = append(failures, f)
				}
			}
			if im.skipped > 0 {
				result.LeftOut = append(result.LeftOut, fmt.Sprintf("%d sectors of files of more than %d sectors", im.skipped, mostSectors))
			}
		}
		result.Add("workloads", 1)
	}
	for _, f := range failures {
		if r.Engine.Foreign {
			result.Observed = append(result.Observed, fmt.Sprintf("%s: not detected, after a %s: %v", f.fault, closeName(f.im.clean), f.err))
			continue
		}
		result.Failures = append(result.Failures, f.shrink(ctx))
	}
	if damaged := result.Get("detected") + result.Get("harmless") + result.Get("undetected"); damaged == 0 && ctx.Err() == nil {
		result.Failures = append(result.Failures, target.Failure{What: "nothing was damaged: nothing was tested", Seed: r.Seed})
	}
	result.Elapsed = time.Since(start)
	return result, ctx.Err()
}

func closeName(clean bool) string {
	if clean {
		return "close"
	}
	return "cut"
}

// open asks an engine for its traits.
func open(e target.Engine) (s store, err error) {
	s.engine = e
	d := simdisk.New(simdisk.Options{})
	if err := d.MkdirAll(directory); err != nil {
		return s, err
	}
	err = workload.Guard(func() error {
		opened, err := e.OpenOn(d, directory)
		if err != nil {
			return fmt.Errorf("open %s on an empty disk: %w", e.Name, err)
		}
		s.traits = opened.Traits()
		return opened.Close()
	})
	return s, err
}

// run does all damages of an image, on all cores, and returns the first failure
// of each kind, in the order of the damages.
func (im *image) run(ctx context.Context, result *target.Result, r target.Run, over func() bool) []found {
	all := im.damages()
	if r.Engine.Foreign { // some take long to say that a sector is damaged
		random := rand.New(rand.NewPCG(im.seed, 6))
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if n := len(all); r.Budget == 0 && n > foreignDamages {
			all = all[:foreignDamages]
			result.LeftOut = append(result.LeftOut, fmt.Sprintf("%d of %d damages of an image: a sample, without a budget", n-foreignDamages, n))
		}
	}
	verdicts := make([]verdict, len(all))
	errs := make([]error, len(all))
	var next, done atomic.Int64
	var halt atomic.Bool
	var mu sync.Mutex
	hang := workers.Run(workers.Patience, func(begin func(damage)) {
		fresh := im.copies(&mu)
		for ctx.Err() == nil && !halt.Load() && !over() {
			i := int(next.Add(1)) - 1
			if i >= len(all) {
				return
			}
			begin(all[i])
			v, err := im.try(all[i], fresh)
			mu.Lock()
			verdicts[i], errs[i] = v, err
			mu.Unlock()
			done.Add(1)
		}
	}, func() { r.Report(done.Load(), int64(len(all)), "sectors damaged") })
	halt.Store(true)
	mu.Lock()
	defer mu.Unlock()
	var failures []found
	if hang != nil {
		failures = append(failures, found{workload.Hung, im, hang.Task, wrong(workload.Hung, nil, "no end after %v\n%s", workers.Patience, hang.Stacks)})
	}
	result.Add("sectors", int64(len(im.sectors)))
	for i, err := range errs {
		switch verdicts[i] {
		case detected:
			result.Add("detected", 1)
		case harmless:
			result.Add("harmless", 1)
		case undetected:
			result.Add("undetected", 1)
		}
		if err == nil {
			continue
		}
		fault := workload.FaultOf(err)
		if !slices.ContainsFunc(failures, func(f found) bool { return f.fault == fault }) {
			failures = append(failures, found{fault, im, all[i], err})
		}
	}
	if left := int64(len(all)) - done.Load(); left > 0 && hang == nil && ctx.Err() == nil && !r.Engine.Foreign {
		result.LeftOut = append(result.LeftOut, fmt.Sprintf("%d of %d damages of an image: the budget was over", left, len(all)))
	}
	return failures
}

// shrink makes the workload of a failure small.
func (f found) shrink(ctx context.Context) target.Failure {
	if f.fault != workload.Hung {
		workload.Shrink(f.im.w, 100, func(w workload.Workload) bool {
			im, err := f.im.prepare(ctx, w, f.im.seed, f.im.clean)
			if err != nil {
				return false
			}
			var mu sync.Mutex
			for _, g := range im.damages() {
				if g.kind != f.g.kind {
					continue
				}
				if _, err := im.try(g, im.copies(&mu)); workload.FaultOf(err) == f.fault {
					f.im, f.g, f.err = im, g, err
					return true
				}
			}
			return false
		})
	}
	if f.fault != workload.Hung {
		var mu sync.Mutex
		if _, err := f.im.try(f.g, f.im.copies(&mu)); workload.FaultOf(err) != f.fault {
			f.err = fmt.Errorf("%w (it did not happen again: the engine does not do the same each time)", f.err)
		}
	}
	return f.im.report(f.err, f.im.w, f.im.seed, f.im.clean, f.g.name(f.im.names))
}

// report makes the failure of a run.
func (s store) report(err error, w workload.Workload, seed uint64, clean bool, damage string) target.Failure {
	var v *workload.Violation
	trace := ""
	if errors.As(err, &v) && v.Stack != "" {
		trace = "-- the panic\n" + v.Stack
	}
	return target.Failure{
		What: err.Error(), Seed: seed, Workload: w.String(), Trace: trace,
		Command: fmt.Sprintf("orbit-cli torture --modes %s --engines %s --replay %s", Name, s.engine.Name,
			strings.Join([]string{Name, strconv.FormatUint(seed, 16), closeName(clean), damage, w.Pack()}, ".")),
	}
}

// Replay does again what the Command of a failure says, and returns the failure
// that it meets; a zero one if the engine keeps its promises.
func Replay(ctx context.Context, e target.Engine, replay string) (target.Failure, error) {
	bad := func(why error) (target.Failure, error) {
		return target.Failure{}, fmt.Errorf("%w: replay string %q: %w", engine.ErrInvalid, replay, why)
	}
	parts := strings.Split(replay, ".")
	if len(parts) != 5 || parts[0] != Name {
		return bad(fmt.Errorf("want %s.SEED.close|cut.DAMAGE.WORKLOAD", Name))
	}
	seed, err := strconv.ParseUint(parts[1], 16, 64)
	if err != nil {
		return bad(err)
	}
	w, err := workload.Unpack(parts[4])
	if err != nil {
		return bad(err)
	}
	if e.OpenOn == nil {
		return bad(fmt.Errorf("%s does not run on a simulated disk", e.Name))
	}
	s, err := open(e)
	if err != nil {
		return target.Failure{}, err
	}
	clean := parts[2] == closeName(true)
	im, err := s.prepare(ctx, w, seed, clean)
	if err != nil {
		if workload.FaultOf(err) == "" {
			return target.Failure{}, err
		}
		return s.report(err, w, seed, clean, ""), nil
	}
	if parts[3] == "" {
		return target.Failure{}, nil
	}
	g, err := parseDamage(parts[3], im.names)
	if err != nil {
		return bad(err)
	}
	var mu sync.Mutex
	if _, err := im.try(g, im.copies(&mu)); err != nil {
		return s.report(err, w, seed, clean, parts[3]), nil
	}
	return target.Failure{}, nil
}
