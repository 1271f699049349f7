package real

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// storeRounds is how many rounds one store goes through before the next begins on
// an empty place.
const storeRounds = 32

// place is where a store is, and how it is stopped.
type place interface {
	// fileSystem is the name for reports.
	fileSystem() string
	// fresh makes the place empty, and usable.
	fresh(ctx context.Context) error
	// directory is that of the store.
	directory() string
	// stop stops the store, which a child has open, and makes the place usable
	// again.
	stop(p *process) error
	// close gives the place back. With keep, it returns the path of what remains of
	// it for a person to look at.
	close(keep bool) (string, error)
}

// lane takes one store after the other through rounds.
type lane struct {
	engine target.Engine
	seed   uint64 // of the lane
	place  place
	// stops is what stop does.
	stops  event
	tally  *Row
	ledger *ledger
	random *rand.Rand

	round   uint64
	rounds  int // of this store
	history *history
	last    event // what stopped the store last
	spare   *process
	// opening is how long the store took to open.
	opening time.Duration
}

// begin makes the place ready for a new store.
func (l *lane) begin(ctx context.Context) error {
	l.history, l.rounds, l.opening, l.last = nil, 0, 0, closed
	return l.place.fresh(ctx)
}

// take returns a child that has nothing open.
func (l *lane) take() (*process, error) {
	if p := l.spare; p != nil {
		l.spare = nil
		return p, nil
	}
	return start(l.engine, l.ledger)
}

// step does one round: open, look, write, stop. Its error is a
// *workload.Violation where the engine is at fault.
func (l *lane) step(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p, err := l.take()
	if err != nil {
		return err
	}
	defer p.kill()
	l.rounds++
	if l.opening > 0 && l.random.IntN(4) == 0 {
		return l.stopOpening(p)
	}
	if err := l.look(ctx, p); err != nil {
		return err
	}
	l.round++
	l.ledger.reset(l.history.newest())
	if err := p.send(command{Write: &writeCommand{Seed: l.history.plan.seed, Round: l.round, Batches: roundBatches}}); err != nil {
		return err
	}
	// The next child starts meanwhile.
	if l.spare, err = start(l.engine, l.ledger); err != nil {
		return err
	}
	l.wait(p, uint64(math.Exp2(6*l.random.Float64())), time.Duration(l.random.Int64N(int64(3*time.Millisecond))))
	// Of what is acknowledged while the power goes, nothing is asked. An fsync that is
	// under way when ext4 or XFS is shut down may succeed although nothing was
	// written; with a device it would not have returned.
	acked := l.ledger.acks()
	stopErr := l.place.stop(p)
	p.kill()
	if l.stops == killed {
		acked = l.ledger.acks()
	}
	l.absorb(acked)
	if stopErr != nil {
		return stopErr
	}
	l.last = l.stops
	l.tally.Rounds++
	// After a power cut, writes fail, and the process may end of it.
	if l.stops == killed && p.byItself() {
		return &workload.Violation{Fault: gone, Text: howEnded(p.cmd.ProcessState) + p.log.last()}
	}
	for _, f := range p.errs() {
		if l.stops == killed {
			return &workload.Violation{Fault: workload.Failed, Text: "while the writers worked", Err: f}
		}
	}
	return nil
}

// stopOpening stops a store at some moment of its recovery.
func (l *lane) stopOpening(p *process) error {
	if err := p.send(command{Open: &openCommand{l.place.directory()}}); err != nil {
		return err
	}
	time.Sleep(time.Duration(l.random.Int64N(int64(l.opening + l.opening/4))))
	err := l.place.stop(p)
	p.kill()
	l.tally.Rounds++
	l.tally.Recoveries++
	// What a clean close made durable stays so.
	if l.last != closed {
		l.last = l.stops
	}
	return err
}

// wait returns when so many batches were acknowledged, or after a second, or if
// the writers have ended, and a little later.
func (l *lane) wait(p *process, batches uint64, more time.Duration) {
	for began := time.Now(); l.ledger.count() < batches && time.Since(began) < time.Second; {
		if !p.works(200 * time.Microsecond) {
			return
		}
	}
	time.Sleep(more)
}

// absorb takes over what the writers noted.
func (l *lane) absorb(a acks) {
	l.history.absorb(l.round, l.ledger, a)
	for w, at := range a.acked {
		for i := l.ledger.writers[w].base.Load(); i < at; i++ {
			l.tally.Acked.add(l.history.writers[w].records[i].durability, 1)
		}
	}
}

// look opens the store and holds what it shows against the oracle.
func (l *lane) look(ctx context.Context, p *process) error {
	began := time.Now()
	a, err := p.call(ctx, command{Open: &openCommand{l.place.directory()}})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &workload.Violation{Fault: workload.NotOpened, Text: l.last.String(), Err: err}
	}
	l.opening = time.Since(began)
	if l.history == nil {
		l.history = newHistory(planFor(l.seed+l.round, *a.Traits))
		l.tally.Version = a.Traits.Version
	}
	shown, err := l.read(ctx, p)
	if err != nil {
		return err
	}
	v := l.history.check(shown)
	l.tally.Lost.merge(v.lost)
	if err := v.fault(l.last); err != nil {
		return fmt.Errorf("%s: %w", l.last, err)
	}
	l.history.settle(v.shown)
	return nil
}

// read returns all that a store shows.
func (l *lane) read(ctx context.Context, p *process) ([]entry, error) {
	a, err := p.call(ctx, command{Dump: &dumpCommand{}})
	return a.Entries, asViolation(err, workload.Failed, l.last.String()+": read everything")
}

// write lets the writers work undisturbed, and returns the errors that stopped them,
// by writer.
func (l *lane) write(ctx context.Context, p *process, batches uint64) ([]*failure, error) {
	l.round++
	l.ledger.reset(l.history.newest())
	a, err := p.call(ctx, command{Write: &writeCommand{Seed: l.history.plan.seed, Round: l.round, Batches: batches}})
	l.absorb(l.ledger.acks())
	return a.Writers, err
}

// live holds what an open store shows against the oracle: nothing may be missing.
func (l *lane) live(shown []entry) error {
	v := l.history.check(shown)
	if err := v.fault(closed); err != nil {
		return fmt.Errorf("the store while it is open: %w", err)
	}
	l.history.settle(v.shown)
	return nil
}

// finish opens the store a last time, closes it in order, stops what it stands on,
// and looks whether all is there.
func (l *lane) finish(ctx context.Context) error {
	for range 2 {
		p, err := l.take()
		if err != nil {
			return err
		}
		defer p.kill()
		if err := l.look(ctx, p); err != nil {
			return err
		}
		if _, err := p.call(ctx, command{Close: true}); err != nil {
			return asViolation(err, workload.Failed, "close")
		}
		err = l.place.stop(p)
		p.kill()
		if err != nil {
			return err
		}
		l.last = closed
	}
	return nil
}

// end ends the child that is left, and gives the place back.
func (l *lane) end(keep bool) (string, error) {
	l.spare.kill()
	kept, err := l.place.close(keep)
	return kept, errors.Join(err, l.ledger.close())
}

// positions says where the writers stood, for a person.
func (l *lane) positions() string {
	if l.history == nil {
		return ""
	}
	var b strings.Builder
	for w := range l.history.writers {
		x := &l.history.writers[w]
		fmt.Fprintf(&b, "writer %d: %d begun, %d acknowledged, %d of them flushed\n", w, len(x.records), x.acked, l.history.flushed(w))
	}
	return b.String()
}
