package real

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/internal/loopfs"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// NameIOErrors is the mode's name.
const NameIOErrors = "eio"

const failingRounds = 2

// IOErrors is a target.Mode: it makes the device of a store fail. In even rounds
// the file system is shut down under the writers, so that each write and flush is
// EIO: they must be told, later writes are ErrReadOnly, and what the store still
// shows is right; mounted again, it has all that was flushed. In odd rounds, on XFS,
// the device is cut short at a block of one of the store's files, while the store is
// closed: it does not open, or each read gives what is right or an error. Work
// counts rounds on each file system; 0 is 2.
//
// A device under ext4 is not cut short. Linux 6.18 meets a BUG in mballoc.c when an
// engine tries again and again to write there, and the mount is stuck until the
// machine starts anew.
func IOErrors(ctx context.Context, r target.Run) (target.Result, error) {
	m := newRun(NameIOErrors, r)
	kinds, err := m.usable()
	if err != nil || len(kinds) == 0 {
		return m.result, err
	}
	if !slices.ContainsFunc(kinds, bearsShortDevice) {
		m.result.LeftOut = append(m.result.LeftOut, "devices that are cut short: that is done to XFS alone, which is not to be had here")
	}
	if r.Work == 0 {
		r.Work = failingRounds
	}
	result, err := m.each(ctx, kinds, r.Work, func(ctx context.Context, l *lane, d *disk, n int64) error {
		if n%2 == 1 && bearsShortDevice(d.kind) {
			return m.failReads(ctx, l, d)
		}
		return m.failWrites(ctx, l, d)
	})
	met := result.Get("writers refused") + result.Get("stores not opened") + result.Get("reads refused") + result.Get("processes that ended")
	if err == nil && len(result.Failures) == 0 && len(result.Observed) == 0 && met == 0 {
		err = errors.New("no error of a device was met: nothing was tested")
	}
	return result, err
}

// bearsShortDevice reports whether the kernel survives it when the device of such a
// file system is cut short.
func bearsShortDevice(k loopfs.Kind) bool { return k.Type == "xfs" }

// failWrites is an even round.
func (m *run) failWrites(ctx context.Context, l *lane, d *disk) error {
	p, err := start(l.engine, l.ledger)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := l.look(ctx, p); err != nil {
		return err
	}
	l.round++
	l.ledger.reset(l.history.newest())
	if err := p.send(command{Write: &writeCommand{Seed: l.history.plan.seed, Round: l.round, Batches: roundBatches}}); err != nil {
		return err
	}
	l.wait(p, 1+uint64(l.random.IntN(100)), time.Duration(l.random.Int64N(int64(3*time.Millisecond))))
	before := l.ledger.acks() // see lane.step
	if err := d.Cut(); err != nil {
		return err
	}
	a, fault := p.receive(ctx)
	l.absorb(l.ledger.acks())
	if fault == nil {
		fault = m.refusedWrites(ctx, l, p, a.Writers)
	}
	if exited(fault) && l.engine.MayExit {
		m.result.Add("processes that ended", 1)
		fault = nil
	}
	if ctx.Err() != nil || fault != nil && workload.FaultOf(fault) == "" {
		return fault
	}
	// Whatever it did, what was flushed is there afterwards.
	p.kill()
	if err := errors.Join(d.Unmount(), d.Mount()); err != nil {
		return err
	}
	for w := range l.history.writers {
		x := &l.history.writers[w]
		x.acked, x.synced = max(x.base, before.acked[w]), before.synced[w]
	}
	l.last = cut
	if err := m.lookAgain(ctx, l); err != nil {
		return err
	}
	return fault
}

// refusedWrites looks at a store after its device failed under the writers.
func (m *run) refusedWrites(ctx context.Context, l *lane, p *process, stopped []*failure) error {
	some := false
	for _, f := range stopped {
		if f != nil {
			// A commit that could not read the page it changes has written nothing.
			some = some || !f.Read
			m.result.Add("writers refused", 1)
		}
	}
	a, err := p.call(ctx, command{Dump: &dumpCommand{Faulty: true}})
	if err != nil {
		return asViolation(err, workload.Failed, "read after writes failed")
	}
	m.result.Add("reads refused", int64(a.Excused))
	if a.Excused == 0 {
		if err := l.live(a.Entries); err != nil {
			return err
		}
	}
	if !some {
		return nil // the writers had done all before the device failed, or met no write that did
	}
	again, err := l.write(ctx, p, 1)
	if err != nil {
		return err
	}
	for _, f := range again {
		if f == nil || !f.is(engine.ErrReadOnly) {
			return &workload.Violation{Fault: workload.NotRefused, Text: "after writes and flushes failed, a write is not ErrReadOnly", Err: nilOr(f)}
		}
	}
	return nil
}

// nilOr makes a plain nil of no failure.
func nilOr(f *failure) error {
	if f == nil {
		return nil
	}
	return f
}

// asViolation makes a violation of an error that a child answered, of the given
// kind if it is not one already. Another error stays what it is.
func asViolation(err error, kind workload.Fault, text string) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	if f.Fault != "" {
		kind = f.Fault
	}
	return &workload.Violation{Fault: kind, Text: text, Err: f}
}

// failReads is an odd round.
func (m *run) failReads(ctx context.Context, l *lane, d *disk) error {
	p, err := start(l.engine, l.ledger)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := l.look(ctx, p); err != nil {
		return err
	}
	errs, err := l.write(ctx, p, 1+uint64(l.random.IntN(roundBatches/4)))
	if err != nil {
		return err
	}
	for _, f := range errs {
		if f != nil {
			return &workload.Violation{Fault: workload.Failed, Text: "while the writers worked", Err: f}
		}
	}
	shown, err := l.read(ctx, p)
	if err != nil {
		return err
	}
	if err := l.live(shown); err != nil {
		return err
	}
	if _, err := p.call(ctx, command{Close: true}); err != nil {
		return asViolation(err, workload.Failed, "close")
	}
	p.kill()
	if err := errors.Join(d.Unmount(), d.Mount()); err != nil { // so that nothing is in the cache
		return err
	}
	at, file, err := l.somewhere(d)
	if err != nil {
		return err
	}
	if err := d.Truncate(at); err != nil {
		return err
	}
	p, err = start(l.engine, l.ledger)
	if err != nil {
		return err
	}
	defer p.kill()
	fault := m.damagedReads(ctx, l, p, shown)
	if exited(fault) && l.engine.MayExit {
		m.result.Add("processes that ended", 1)
		return nil
	}
	if v := (*workload.Violation)(nil); errors.As(fault, &v) {
		v.Text = "the device ends within " + file + ": " + v.Text
	}
	return fault
}

// damagedReads opens and reads a store on a device that ends within it.
func (m *run) damagedReads(ctx context.Context, l *lane, p *process, want []entry) error {
	var f *failure
	_, err := p.call(ctx, command{Open: &openCommand{l.place.directory()}})
	if errors.As(err, &f) && f.Fault == "" {
		m.result.Add("stores not opened", 1)
		return nil
	}
	if err != nil {
		return asViolation(err, workload.Failed, "open")
	}
	a, err := p.call(ctx, command{Dump: &dumpCommand{Faulty: true, Want: want}})
	if err != nil {
		return asViolation(err, workload.Failed, "read")
	}
	m.result.Add("reads refused", int64(a.Excused))
	if a.Excused == 0 {
		m.result.Add("stores that did not need what is gone", 1)
	}
	return nil
}

// somewhere chooses a block of a file of the store, and returns its place on the
// device and the file's name.
func (l *lane) somewhere(d *disk) (int64, string, error) {
	var names []string
	err := filepath.WalkDir(l.place.directory(), func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return 0, "", err
	}
	l.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		blocks, err := d.Extents(name)
		if err != nil {
			return 0, "", err
		}
		if len(blocks) > 0 {
			return blocks[l.random.IntN(len(blocks))], filepath.Base(name), nil
		}
	}
	return 0, "", errors.New("the files of the store have no blocks")
}
