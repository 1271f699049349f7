package errors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// effects are the faults, with the methods that can have them.
var effects = []struct {
	effect simdisk.Effect
	ops    simdisk.Op
}{
	{simdisk.EIO, simdisk.OpAny},
	{simdisk.NoSpace, simdisk.OpOpen | simdisk.OpAnyWrite | simdisk.OpFlush | simdisk.OpPreallocate | simdisk.OpTruncate |
		simdisk.OpPunch | simdisk.OpRename | simdisk.OpLink | simdisk.OpClone | simdisk.OpMkdirAll | simdisk.OpLock},
	{simdisk.ShortWrite, simdisk.OpAnyWrite},
	{simdisk.FailedFlush, simdisk.OpFlush},
}

// methods are all single methods of simdisk.
func methods() []simdisk.Op {
	var ops []simdisk.Op
	for op := simdisk.Op(1); op&simdisk.OpAny != 0; op <<= 1 {
		ops = append(ops, op)
	}
	return ops
}

// failing is one fault.
type failing struct {
	op     simdisk.Op
	nth    int
	effect simdisk.Effect
	sticky bool
}

// String returns the fault as it stands in a replay string: "sync:3:EIO:once".
func (f failing) String() string {
	times := "once"
	if f.sticky {
		times = "sticky"
	}
	return fmt.Sprintf("%v:%d:%s:%s", f.op, f.nth, strings.ReplaceAll(f.effect.String(), " ", "-"), times)
}

// parseFailing reads what String wrote.
func parseFailing(s string) (failing, error) {
	parts := strings.Split(s, ":")
	if len(parts) == 4 {
		for _, op := range methods() {
			for _, e := range effects {
				for _, sticky := range []bool{false, true} {
					f := failing{op: op, effect: e.effect, sticky: sticky}
					if _, err := fmt.Sscanf(parts[1], "%d", &f.nth); err == nil && f.String() == s {
						return f, nil
					}
				}
			}
		}
	}
	return failing{}, fmt.Errorf("%w: fault %q", engine.ErrInvalid, s)
}

// flush reports whether what fails is a flush.
func (f failing) flush() bool { return f.op&simdisk.OpFlush != 0 }

// explains reports whether err is what the fault may become.
func (f failing) explains(err error) bool {
	if errors.Is(err, engine.ErrNotFound) {
		return false
	}
	switch f.effect {
	case simdisk.NoSpace:
		if errors.Is(err, engine.ErrNoSpace) {
			return true
		}
		// A store into a hole of a mapping.
		return f.op == simdisk.OpMapWrite && errors.Is(err, syscall.EIO) || f.flush() && errors.Is(err, engine.ErrReadOnly)
	case simdisk.ShortWrite:
		return errors.Is(err, io.ErrShortWrite) || errors.Is(err, syscall.EIO) || errors.Is(err, engine.ErrReadOnly)
	}
	return errors.Is(err, syscall.EIO) || errors.Is(err, engine.ErrReadOnly)
}

// patience is how long an engine that is not ours may take for a workload, which
// takes milliseconds, before the disk is mended: many wait until it is.
var patience = 3 * time.Second

// attempt is a workload under one fault.
type attempt struct {
	store
	failing
	w    workload.Workload
	seed uint64

	disk     *simdisk.Disk
	fault    *simdisk.Injection
	session  workload.Session
	hung     atomic.Bool // until the disk was mended; of an engine that is not ours
	cut      bool        // the power was cut after the first firing
	poisoned bool        // an Apply or Sync reported a failed flush
	fired    bool
	cuts     int64
}

func wrong(f workload.Fault, err error, format string, args ...any) error {
	return &workload.Violation{Fault: f, Text: fmt.Sprintf(format, args...), Err: err}
}

// run returns the first violation, nil if there is none.
func (a *attempt) run(ctx context.Context) error {
	d, err := newDisk(a.engine, a.seed, false)
	if err != nil {
		return err
	}
	a.disk = d
	a.fault = d.Inject(simdisk.Fault{Op: a.op, Nth: a.nth, Sticky: a.sticky, Effect: a.effect})
	if a.engine.Foreign {
		watch := time.AfterFunc(patience, func() {
			a.hung.Store(true)
			a.fault.Remove()
		})
		defer watch.Stop()
	}
	a.session = workload.Session{Open: a.on(d), Directory: directory, History: workload.NewHistory()}
	return workload.Guard(func() error {
		err := a.steps(ctx)
		if closeErr := a.session.Abandon(); closeErr != nil && !a.explains(closeErr) && !errors.Is(closeErr, engine.ErrReadOnly) {
			err = errors.Join(err, wrong(workload.WrongError, closeErr, "close"))
		}
		a.fired = a.fault.Fired() > 0
		return err
	})
}

func (a *attempt) steps(ctx context.Context) error {
	s := &a.session
	a.disk.Mark("open")
	if err := s.Start(); err != nil {
		if err := a.judge(err, "open", 0); err != nil {
			return err
		}
		return a.restart(ctx)
	}
	for _, o := range a.w {
		before := a.fault.Fired()
		a.disk.Mark(o.String())
		err := s.Do(ctx, o)
		if err != nil {
			if err := a.judge(err, o.String(), before); err != nil {
				return err
			}
		} else if o.Kind == workload.Write && a.poisoned {
			return wrong(workload.NotRefused, nil, "%s succeeded", o)
		}
		if o.Kind == workload.Reopen {
			a.poisoned = false
			if err != nil {
				return a.restart(ctx)
			}
		}
		now := a.fault.Fired()
		if err != nil && now > before && a.flush() && (o.Kind == workload.Write || o.Kind == workload.Sync) && !a.thrownAway(err) {
			a.poisoned = true
		}
		if err := a.readable(); err != nil {
			return fmt.Errorf("after %s: %w", o, err)
		}
		if now > 0 && !a.cut {
			a.cut = true
			if err := a.powerCuts(ctx); err != nil {
				return fmt.Errorf("after a power cut behind %s: %w", o, err)
			}
		}
		if len(s.Doubt) > 0 {
			break // of two writes in doubt, either could have come through
		}
	}
	return a.finish(ctx)
}

// thrownAway reports whether an operation was refused for want of room after the engine had
// removed each file that could not be flushed: what it makes anew relies on none of them.
func (a *attempt) thrownAway(err error) bool {
	return a.effect == simdisk.NoSpace && errors.Is(err, engine.ErrNoSpace) && !errors.Is(err, engine.ErrReadOnly) && a.fault.FilesAreGone()
}

// judge returns the violation in an error of an operation, nil if the fault
// explains it. before is how often it had fired before the operation.
func (a *attempt) judge(err error, what string, before int) error {
	var v *workload.Violation
	if errors.As(err, &v) && v.Fault != workload.Failed {
		return err
	}
	switch {
	case a.fault.Fired() == 0:
		return err
	case a.poisoned && errors.Is(err, engine.ErrReadOnly):
		return nil
	case a.explains(err):
		return nil
	case errors.Is(err, engine.ErrReadOnly) && before > 0:
		return nil
	}
	return wrong(workload.WrongError, err, "%s, when the disk gave %v", what, a.effect)
}

// readable reads the store while the fault is there.
func (a *attempt) readable() error {
	e := a.session.Engine()
	states := a.session.History.States
	_, err := workload.Readable(e, states[len(states)-1].Entries, a.explains)
	for _, s := range a.session.Doubt {
		if err == nil {
			return nil
		}
		_, err = workload.Readable(e, s.Entries, a.explains)
	}
	return err
}

// extra is a batch that a workload does not have.
var extra = workload.Op{Kind: workload.Write, Changes: []workload.Change{{Kind: engine.OpPut, Key: "extra", Size: 40}}}

// finish mends the disk, and asks what then still holds. A fault that has not
// fired yet is to do so in the close.
func (a *attempt) finish(ctx context.Context) error {
	if a.fault.Fired() == 0 {
		a.disk.Mark("close")
		if err := a.session.Finish(); err != nil {
			if err := a.judge(err, "close", 0); err != nil {
				return err
			}
		}
		if err := a.powerCuts(ctx); err != nil {
			return fmt.Errorf("after a power cut behind the close: %w", err)
		}
		return a.restart(ctx)
	}
	a.fault.Remove()
	a.disk.Mark("the disk is mended")
	s := &a.session
	h := s.History
	if shown, err := h.Check(s.Engine(), workload.Accept{Least: h.Bounds.Begun, Most: h.Bounds.Begun, Also: s.Doubt}); err != nil {
		return fmt.Errorf("when the disk is mended: %w", err)
	} else if shown.Number != h.States[h.Bounds.Begun].Number {
		// The store could not be read when it took the write, and shows it.
		return a.close(ctx)
	}
	doubt := s.Doubt
	err := s.Do(ctx, a.strongest(extra))
	switch {
	case a.poisoned && err == nil:
		return wrong(workload.NotRefused, nil, "when the disk is mended")
	case err == nil:
	case a.poisoned && errors.Is(err, engine.ErrReadOnly):
		s.Doubt = doubt
	case a.effect == simdisk.NoSpace && !a.flush() && a.op != simdisk.OpMapWrite && !a.fault.RefusedOverwrite():
		return wrong(workload.NotResumed, err, "after %v", a.failing)
	case errors.Is(err, engine.ErrReadOnly):
		s.Doubt = doubt
	default:
		return wrong(workload.WrongError, err, "write when the disk is mended")
	}
	if err := a.powerCuts(ctx); err != nil {
		return fmt.Errorf("after a power cut when the disk is mended: %w", err)
	}
	return a.close(ctx)
}

// close ends the session, and opens the store once more.
func (a *attempt) close(ctx context.Context) error {
	if err := a.session.Finish(); err != nil {
		var v *workload.Violation
		if errors.As(err, &v) && v.Fault != workload.Failed {
			return err
		}
		if !errors.Is(err, engine.ErrReadOnly) && !a.explains(err) {
			return wrong(workload.WrongError, err, "close")
		}
	}
	return a.restart(ctx)
}

// restart opens the store on the mended disk, without a crash.
func (a *attempt) restart(ctx context.Context) error {
	a.fault.Remove()
	if err := a.session.Abandon(); err != nil && !a.explains(err) && !errors.Is(err, engine.ErrReadOnly) {
		return wrong(workload.WrongError, err, "close")
	}
	a.disk.Mark("restart")
	r := a.recovery(a.disk, true)
	if _, err := r.Run(ctx); err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	return nil
}

func (a *attempt) recovery(d *simdisk.Disk, kept bool) workload.Recovery {
	h := a.session.History
	r := workload.Recovery{
		Open: a.on(d), Directory: directory, Traits: a.traits, History: h,
		Accept: workload.Accept{Least: h.Bounds.Flushed, Most: h.Bounds.Begun, Also: a.session.Doubt},
		Copies: h.Bounds.Copies, Depth: 1,
	}
	if kept {
		r.Accept.Least = h.Bounds.Buffered
	}
	return r
}

// mixtures is the number of power cuts with random fates in each place.
const mixtures = 2

// powerCuts cuts the power here, on copies of the disk.
func (a *attempt) powerCuts(ctx context.Context) error {
	w := a.disk.Walk()
	for w.Next() {
	}
	n := len(w.Pending())
	random := newRandom(a.seed, uint64(a.disk.Events()))
	for i := range 2 + mixtures {
		fates := make([]simdisk.Fate, n)
		for j := range fates {
			switch {
			case i == 1:
				fates[j] = simdisk.Kept
			case i > 1:
				fates[j] = simdisk.Fate(random.IntN(int(simdisk.Garbage) + 1))
			}
		}
		a.cuts++
		r := a.recovery(w.Crash(fates, a.seed), i == 1)
		if _, err := r.Run(ctx); err != nil {
			return fmt.Errorf("%v of %d units: %w", fates, n, err)
		}
		if n == 0 {
			break
		}
	}
	return nil
}
