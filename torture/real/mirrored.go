package real

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/internal/loopfs"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// NamePaths is the name of the mode that takes paths away.
const NamePaths = "paths-real"

// Paths is a target.Mode: a store has its data on two paths, each on a file system of its
// own, and one of them fails under several writers and readers. Rounds take turns:
//
//   - shut down: the file system of a path is shut down, later mounted again, stale;
//   - cut short: its device ends early, so that reads and writes there are EIO, and an
//     empty file system takes its place later; on XFS alone, see IOErrors;
//   - frozen: writes to it wait, as on a device that hangs, until it is thawed;
//   - stale alone: only the path that was lost is there when the store is opened;
//   - power cut: while the store is degraded, or brings a path level, both go.
//
// No operation of the store may fail while one path is left, and Paths must say which is
// gone, and why; what comes back is brought level; then each path alone has everything
// that was acknowledged. Work counts rounds; 0 is one of each kind on each pair of file
// systems.
func Paths(ctx context.Context, r target.Run) (target.Result, error) {
	m := newRun(NamePaths, r)
	if r.Engine.OpenMirrored == nil {
		m.result.LeftOut = append(m.result.LeftOut, r.Engine.Name+" keeps its data on one path")
		return m.result, nil
	}
	kinds, err := m.usable()
	if err != nil || len(kinds) == 0 {
		return m.result, err
	}
	began := time.Now()
	err = m.pathRounds(ctx, kinds)
	m.result.Elapsed = time.Since(began)
	return m.result, err
}

// scenario is a kind of round.
type scenario struct {
	name string
	// on reports whether the path that fails may be on such a file system; nil if on any.
	on  func(loopfs.Kind) bool
	run func(*mirror, context.Context) error
}

var scenarios = []scenario{
	{name: "paths shut down", run: (*mirror).shutDown},
	{name: "paths cut short", run: (*mirror).cutShort, on: bearsShortDevice},
	{name: "paths frozen", run: (*mirror).frozen},
	{name: "stale paths alone", run: (*mirror).staleAlone},
	{name: "power cuts", run: (*mirror).powerCut},
}

// pathRounds takes pairs of file systems through the scenarios.
func (m *run) pathRounds(ctx context.Context, kinds []loopfs.Kind) error {
	random := rand.New(rand.NewPCG(m.Seed, 0))
	work := m.Work
	if work == 0 {
		work = int64(len(scenarios) * len(kinds))
	}
	for _, s := range scenarios {
		m.result.Add(s.name, 0)
	}
	for n := int64(0); n < work || !m.ends.IsZero(); n++ {
		if m.over() || ctx.Err() != nil {
			return ctx.Err()
		}
		s := scenarios[n%int64(len(scenarios))]
		fit := slices.DeleteFunc(slices.Clone(kinds), func(k loopfs.Kind) bool { return s.on != nil && !s.on(k) })
		if len(fit) == 0 {
			m.result.LeftOut = append(m.result.LeftOut, s.name+": no file system that can be had here bears it")
			m.result.LeftOut = slices.Compact(m.result.LeftOut)
			continue
		}
		failing := fit[int(n/int64(len(scenarios)))%len(fit)]
		other := kinds[random.IntN(len(kinds))]
		x, err := newMirror(ctx, m, failing, other, random.Uint64())
		if err != nil {
			return err
		}
		fault := s.run(x, ctx)
		m.result.Add(s.name, 1)
		m.result.Add("changes acknowledged", int64(x.load.acked().sum()))
		m.result.Add("reads", int64(x.load.reads.Load()))
		err = x.end()
		if fault != nil {
			fault = fmt.Errorf("%s, of %s beside %s: %w", s.name, failing.Name, other.Name, fault)
			if workload.FaultOf(fault) == "" || ctx.Err() != nil {
				return errors.Join(fault, err)
			}
			m.result.Failures = append(m.result.Failures, target.Failure{What: fault.Error(), Seed: m.Seed, Command: m.command()})
			return err
		}
		if err != nil {
			return err
		}
		m.Report(n+1, m.Work, "rounds")
	}
	return nil
}

// mirror is a store on two paths, of which the first is the one that fails.
type mirror struct {
	*run
	disks  [2]*loopfs.Disk
	dirs   []string
	random *rand.Rand
	load   *load
	store  target.Mirrored
	open   bool
}

// dataDirectory is that of a path below its mount point: where that is not mounted, it is
// missing, and not empty.
const dataDirectory = "data"

// newMirror makes the file systems, and opens an empty store on them. Which of the two
// comes first in the store is the seed's.
func newMirror(ctx context.Context, m *run, failing, other loopfs.Kind, seed uint64) (*mirror, error) {
	x := &mirror{run: m, random: rand.New(rand.NewPCG(seed, 1)), load: newLoad(seed)}
	for i, k := range []loopfs.Kind{failing, other} {
		d, err := loopfs.New(ctx, m.Directory, k)
		if err == nil {
			x.disks[i] = d
			err = d.Mount()
		}
		if err != nil {
			return nil, errors.Join(err, x.end())
		}
		x.dirs = append(x.dirs, filepath.Join(d.Path(), dataDirectory))
	}
	if err := x.openStore(false); err != nil {
		return nil, errors.Join(err, x.end())
	}
	return x, nil
}

// end closes what is open and takes the file systems away.
func (x *mirror) end() error {
	var errs []error
	if x.open {
		x.open = false
		if err := x.store.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the store at the end of a round: %w", err))
		}
	}
	for _, d := range x.disks {
		if d != nil {
			errs = append(errs, d.Close(false))
		}
	}
	return errors.Join(errs...)
}

// order returns the paths in the order in which the store knows them.
func (x *mirror) order() []string {
	if x.load.seed&1 == 1 {
		return []string{x.dirs[1], x.dirs[0]}
	}
	return x.dirs
}

// path returns how a path is, by its disk.
func (x *mirror) path(disk int) target.PathState {
	if x.load.seed&1 == 1 {
		disk = 1 - disk
	}
	return x.store.Paths()[disk]
}

func (x *mirror) openStore(force bool) error {
	s, err := x.Engine.OpenMirrored(x.order(), force)
	if err != nil {
		return &workload.Violation{Fault: workload.NotOpened, Text: fmt.Sprintf("with force %v", force), Err: err}
	}
	x.store, x.open = s, true
	return nil
}

func (x *mirror) closeStore() error {
	x.open = false
	if err := x.store.Close(); err != nil {
		return &workload.Violation{Fault: workload.Failed, Text: "close", Err: err}
	}
	return nil
}

// mostAwaited is how long a state of the store is waited for.
const mostAwaited = time.Minute

// await does nothing while the load goes on, until something is so. It ends early when the
// load has met an error.
func (x *mirror) await(ctx context.Context, what string, is func() bool) error {
	vain := time.NewTimer(mostAwaited)
	defer vain.Stop()
	for over := false; !is(); {
		if err := errors.Join(ctx.Err(), x.load.err()); err != nil {
			return err
		}
		if over {
			return x.inVain(what)
		}
		select {
		case <-x.load.progress:
		case <-ctx.Done():
		case <-vain.C:
			over = true
		}
	}
	return nil
}

// inVain is the violation of a store that does not come to a state.
func (x *mirror) inVain(what string) error {
	var states []string
	for i, p := range x.store.Paths() {
		states = append(states, fmt.Sprintf("path %d: in sync %v, copied %d, %v", i, p.InSync, p.Copied, p.Cause))
	}
	return &workload.Violation{Fault: workload.Hung, Text: fmt.Sprintf("%s is waited for in vain: %d changes are acknowledged, %d reads done; %s", what, x.load.acked().sum(), x.load.reads.Load(), strings.Join(states, "; "))}
}

// goesOn waits for some changes and reads more.
func (x *mirror) goesOn(ctx context.Context, changes int) error {
	acked, reads := x.load.acked(), x.load.reads.Load()
	return x.await(ctx, "that the store goes on", func() bool {
		now := x.load.acked()
		for w := range now {
			if now[w] == acked[w] {
				return false
			}
		}
		return now.sum() >= acked.sum()+uint64(changes) && x.load.reads.Load() >= reads+20
	})
}

// loses waits until the store goes on without the first path, and says why, and looks
// whether it does go on.
func (x *mirror) loses(ctx context.Context) error {
	if err := x.await(ctx, "that the path is lost", func() bool { return !x.path(0).InSync }); err != nil {
		return err
	}
	if err := x.goesOn(ctx, 50+x.random.IntN(200)); err != nil {
		return err
	}
	if p := x.path(0); !p.InSync && p.Cause == nil {
		return &workload.Violation{Fault: workload.WrongError, Text: "a path is lost, and the store does not say why"}
	}
	return nil
}

// regains waits until the first path counts again.
func (x *mirror) regains(ctx context.Context) error {
	if err := x.await(ctx, "that the path is brought level", func() bool { return x.path(0).InSync }); err != nil {
		return err
	}
	return x.goesOn(ctx, 50)
}

// finish ends the load, and looks at the store, and then at each path alone, the one that
// came back first.
func (x *mirror) finish() error {
	if err := x.load.halt(); err != nil {
		return err
	}
	all := x.load.acked()
	if err := x.load.check(x.store, all); err != nil {
		return err
	}
	if err := x.closeStore(); err != nil {
		return err
	}
	for away := 1; away >= 0; away-- {
		if err := x.disks[away].Unmount(); err != nil {
			return err
		}
		if err := x.openStore(true); err != nil {
			return fmt.Errorf("path %d alone: %w", 1-away, err)
		}
		if err := x.load.check(x.store, all); err != nil {
			return fmt.Errorf("path %d alone: %w", 1-away, err)
		}
		if err := errors.Join(x.closeStore(), x.disks[away].Mount()); err != nil {
			return err
		}
	}
	return nil
}

// begin starts the load and lets it go on for a while.
func (x *mirror) begin(ctx context.Context) error {
	x.load.start(x.store)
	return x.goesOn(ctx, 100+x.random.IntN(600))
}

// beginAndCut starts the load, shuts the first file system down, and looks that the store
// goes on.
func (x *mirror) beginAndCut(ctx context.Context) error {
	if err := x.begin(ctx); err != nil {
		return err
	}
	if err := x.disks[0].Cut(); err != nil {
		return err
	}
	return x.loses(ctx)
}

// comesBack mounts the first file system again, as it was left.
func (x *mirror) comesBack() error {
	if err := x.letsGo(); err != nil {
		return err
	}
	return x.disks[0].Mount()
}

// shutDown is the round of a path whose file system is shut down, and comes back stale.
func (x *mirror) shutDown(ctx context.Context) (err error) {
	defer x.stopLoad(&err)
	if err := x.beginAndCut(ctx); err != nil {
		return err
	}
	if err := x.comesBack(); err != nil {
		return err
	}
	if err := x.regains(ctx); err != nil {
		return err
	}
	return x.finish()
}

// letsGo unmounts the first path, while the store is open: else its file system could not
// be mended.
func (x *mirror) letsGo() error {
	if err := x.disks[0].Unmount(); err != nil {
		return &workload.Violation{Fault: workload.Failed, Text: "the store keeps files open in a path that it goes on without", Err: err}
	}
	return nil
}

// cutShort is the round of a path whose device ends early, and that is replaced.
func (x *mirror) cutShort(ctx context.Context) (err error) {
	defer x.stopLoad(&err)
	if err := x.begin(ctx); err != nil {
		return err
	}
	at, err := x.someBlock()
	if err != nil {
		return err
	}
	if err := x.disks[0].Truncate(at); err != nil {
		return err
	}
	if err := x.loses(ctx); err != nil {
		return err
	}
	if err := x.disks[0].Cut(); err != nil && !errors.Is(err, os.ErrInvalid) {
		// The kernel may have shut it down itself.
		if _, statErr := os.ReadDir(x.dirs[0]); statErr == nil {
			return err
		}
	}
	if err := x.letsGo(); err != nil {
		return err
	}
	if err := errors.Join(x.disks[0].Format(ctx), x.disks[0].Mount(), os.Mkdir(x.dirs[0], 0o700)); err != nil {
		return err
	}
	if err := x.regains(ctx); err != nil {
		return err
	}
	return x.finish()
}

// someBlock returns where on the first disk a block of one of the store's files lies.
func (x *mirror) someBlock() (int64, error) {
	names, err := filepath.Glob(filepath.Join(x.dirs[0], "*.wal"))
	if err != nil {
		return 0, err
	}
	x.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		extents, err := x.disks[0].Extents(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was given back meanwhile
		}
		if err != nil {
			return 0, err
		}
		if len(extents) > 0 {
			return extents[x.random.IntN(len(extents))], nil
		}
	}
	return 0, fmt.Errorf("%s has no segment whose device could be cut short", x.dirs[0])
}

// frozen is the round of a path whose writes wait.
func (x *mirror) frozen(ctx context.Context) (err error) {
	defer x.stopLoad(&err)
	if err := x.begin(ctx); err != nil {
		return err
	}
	if err := x.disks[0].Freeze(); err != nil {
		return err
	}
	fault := x.loses(ctx)
	if err := x.disks[0].Thaw(); err != nil {
		return errors.Join(fault, err)
	}
	if fault != nil {
		return fault
	}
	if err := x.regains(ctx); err != nil {
		return err
	}
	return x.finish()
}

// staleAlone is the round of a store that is opened with the path alone that was lost.
func (x *mirror) staleAlone(ctx context.Context) (err error) {
	defer x.stopLoad(&err)
	if err := x.begin(ctx); err != nil {
		return err
	}
	before := x.load.flushed()
	if err := x.disks[0].Cut(); err != nil {
		return err
	}
	if err := x.loses(ctx); err != nil {
		return err
	}
	if err := x.load.halt(); err != nil {
		return err
	}
	all := x.load.acked()
	if err := x.closeStore(); err != nil {
		return err
	}
	if err := errors.Join(x.disks[0].Unmount(), x.disks[0].Mount(), x.disks[1].Unmount()); err != nil {
		return err
	}
	s, err := x.Engine.OpenMirrored(x.order(), false)
	if err == nil {
		x.store, x.open = s, true
		return &workload.Violation{Fault: workload.NotRefused, Text: "the path alone that had been lost was taken for the store"}
	}
	if text := err.Error(); !strings.Contains(text, x.dirs[1]) || !strings.Contains(text, "force") {
		return &workload.Violation{Fault: workload.WrongError, Text: "the refusal does not name the path that is missing, and what to do", Err: err}
	}
	if x.random.IntN(2) == 0 {
		// By force it goes on with what was there when it was lost.
		if err := x.openStore(true); err != nil {
			return err
		}
		if err := x.load.check(x.store, before); err != nil {
			return fmt.Errorf("the stale path by force: %w", err)
		}
		// It counts from now on, once something was written.
		x.load.start(x.store)
		if err := x.goesOn(ctx, 20); err != nil {
			return err
		}
		if err := x.load.halt(); err != nil {
			return err
		}
		all = x.load.acked()
		if err := x.closeStore(); err != nil {
			return err
		}
	}
	if err := x.disks[1].Mount(); err != nil {
		return err
	}
	if err := x.openStore(false); err != nil {
		return err
	}
	if err := x.load.check(x.store, all); err != nil {
		return fmt.Errorf("both paths are back: %w", err)
	}
	x.load.start(x.store)
	// Which of the two is behind depends on what was forced.
	if err := x.await(ctx, "that both paths are in sync", func() bool { return x.path(0).InSync && x.path(1).InSync }); err != nil {
		return err
	}
	return x.finish()
}

// powerCut is the round in which both paths go at the same time.
func (x *mirror) powerCut(ctx context.Context) (err error) {
	defer x.stopLoad(&err)
	if err := x.beginAndCut(ctx); err != nil {
		return err
	}
	if x.random.IntN(3) > 0 {
		// It is brought level, or has just been.
		if err := x.comesBack(); err != nil {
			return err
		}
		least := x.random.Int64N(1 << 20)
		if err := x.await(ctx, "that the path is being brought level", func() bool { p := x.path(0); return p.InSync || p.Copied > least }); err != nil {
			return err
		}
	}
	before := x.load.flushed() // see lane.step
	x.load.mayFail.Store(true)
	if err := errors.Join(x.disks[1].Cut(), x.disks[0].Cut()); err != nil {
		return err
	}
	if err := x.load.halt(); err != nil {
		return err
	}
	x.open = false
	_ = x.store.Close() // its devices are gone
	for _, d := range x.disks {
		if err := errors.Join(d.Unmount(), d.Mount()); err != nil {
			return err
		}
	}
	if err := x.openStore(false); err != nil {
		return err
	}
	if err := x.load.check(x.store, before); err != nil {
		return err
	}
	x.load.start(x.store)
	if err := x.await(ctx, "that both paths are in sync", func() bool { return x.path(0).InSync && x.path(1).InSync }); err != nil {
		return err
	}
	return x.finish()
}

// stopLoad ends the load where a round ends early.
func (x *mirror) stopLoad(err *error) {
	if *err == nil {
		return
	}
	select {
	case <-x.load.stop:
	default:
		x.load.mayFail.Store(true)
		if loadErr := x.load.halt(); loadErr != nil && !errors.Is(*err, loadErr) {
			*err = errors.Join(loadErr, *err)
		}
	}
}
