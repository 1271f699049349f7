package real

import (
	"context"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// NameNoSpace is the mode's name.
const NameNoSpace = "nospace"

const (
	fullRounds = 2
	// fillBatches is how many batches each writer applies before room is taken away.
	fillBatches = 256
	// afterRoom is how many batches each writer applies once there is room again.
	afterRoom = 20
)

// NoSpace is a target.Mode: it lets writers work until the file system is full. The
// batch that ErrNoSpace refused must not be there, all others must, and reads go
// on. Then, in even rounds, room is made, and the store takes writes again; in odd
// ones, the process is killed, the store is opened while there is no room, which
// must work or be ErrNoSpace, and once more when there is. Work counts rounds on
// each file system; 0 is 2.
func NoSpace(ctx context.Context, r target.Run) (target.Result, error) {
	m := newRun(NameNoSpace, r)
	kinds, err := m.usable()
	if err != nil || len(kinds) == 0 {
		return m.result, err
	}
	if r.Work == 0 {
		r.Work = fullRounds
	}
	result, err := m.each(ctx, kinds, r.Work, m.full)
	if err == nil && len(result.Failures) == 0 && len(result.Observed) == 0 && result.Get("full disks") == 0 {
		err = errors.New("no disk became full: nothing was tested")
	}
	return result, err
}

// full is one round. Whatever the engine did on a full disk, its store is whole
// afterwards.
func (m *run) full(ctx context.Context, l *lane, d *disk, n int64) error {
	fault := m.fullAndAgain(ctx, l, d, n)
	if workload.FaultOf(fault) == "" || ctx.Err() != nil {
		return fault
	}
	if exited(fault) && l.engine.MayExit {
		m.result.Add("processes that ended", 1)
		fault = nil
	}
	if err := d.Empty(); err != nil {
		return err
	}
	l.last = killed
	if err := m.lookAgain(ctx, l); err != nil {
		return errors.Join(fault, fmt.Errorf("with room again: %w", err))
	}
	return fault
}

func (m *run) fullAndAgain(ctx context.Context, l *lane, d *disk, n int64) error {
	p, err := start(l.engine, l.ledger)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := l.look(ctx, p); err != nil {
		return err
	}
	refused, err := m.fill(ctx, l, d, p)
	if exited(err) {
		m.result.Add("full disks", 1)
	}
	if err != nil || refused == nil {
		return err
	}
	m.result.Add("full disks", 1)
	if err := m.refusedWhole(ctx, l, p, refused); err != nil {
		return err
	}
	if n%2 == 1 {
		p.kill()
		if p, err = m.reopenFull(ctx, l, d); err != nil {
			return err
		}
		defer p.kill()
	} else if err := d.Empty(); err != nil {
		return err
	}
	errs, err := l.write(ctx, p, afterRoom)
	if err != nil {
		return err
	}
	for _, f := range errs {
		if f != nil {
			return &workload.Violation{Fault: workload.NotResumed, Text: "a write after room was made", Err: f}
		}
	}
	if _, err := p.call(ctx, command{Close: true}); err != nil {
		return asViolation(err, workload.Failed, "close after the disk had been full")
	}
	p.kill()
	l.last = closed
	return m.lookAgain(ctx, l)
}

// lookAgain opens the store in a new child and looks at it.
func (m *run) lookAgain(ctx context.Context, l *lane) error {
	p, err := start(l.engine, l.ledger)
	if err != nil {
		return err
	}
	defer p.kill()
	return l.look(ctx, p)
}

// fill lets writers work until one of them is refused, and returns their errors. An
// engine that tidies up may never fill the disk: room is then taken from it, and if
// that does not help, there is no error.
func (m *run) fill(ctx context.Context, l *lane, d *disk, p *process) ([]*failure, error) {
	for room := int64(32<<10) << l.random.IntN(6); room > 1<<10; room /= 2 {
		if err := d.Fill(room); err != nil {
			return nil, err
		}
		errs, err := l.write(ctx, p, fillBatches)
		if err != nil {
			return nil, err
		}
		for _, f := range errs {
			if f != nil {
				return errs, nil
			}
		}
	}
	m.result.Add("disks that did not fill", 1)
	return nil, nil
}

// refusedWhole looks at the open store after writers were refused.
func (m *run) refusedWhole(ctx context.Context, l *lane, p *process, refused []*failure) error {
	for w, f := range refused {
		if f == nil {
			continue
		}
		m.result.Add("batches refused", 1)
		if !f.is(engine.ErrNoSpace) {
			return &workload.Violation{Fault: workload.WrongError, Text: "a write on a full disk is not ErrNoSpace", Err: f}
		}
		if f.is(engine.ErrReadOnly) {
			refused[w] = nil // it is in doubt
		}
	}
	shown, err := l.read(ctx, p)
	if err != nil {
		return err
	}
	v := l.history.check(shown)
	for w, f := range refused {
		if f != nil && v.shown[w] > l.history.writers[w].acked {
			return &workload.Violation{Fault: workload.HalfApplied, Text: "the store shows a batch that it refused", Err: f}
		}
	}
	return l.live(shown)
}

// reopenFull opens a store whose process was killed while there is no room, and
// again when there is. It returns the process that has it open then.
func (m *run) reopenFull(ctx context.Context, l *lane, d *disk) (*process, error) {
	l.last = killed
	err := m.lookAgain(ctx, l)
	var f *failure
	switch {
	case err == nil:
		m.result.Add("opened while full", 1)
	case workload.FaultOf(err) == workload.NotOpened && errors.As(err, &f) && f.is(engine.ErrNoSpace):
		m.result.Add("not opened while full", 1)
	default:
		return nil, err
	}
	if err := d.Empty(); err != nil {
		return nil, err
	}
	p, err := start(l.engine, l.ledger)
	if err != nil {
		return nil, err
	}
	if err := l.look(ctx, p); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}
