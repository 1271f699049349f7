package workload

import (
	"context"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// after is the number of the batch that is written after the first recovery;
// those after later ones count on. Workloads do not get that far.
const after = 1 << 40

// Recovery is the opening of a store after a power cut, and all that is asked of
// it then.
type Recovery struct {
	// Open opens the store in a directory.
	Open func(dir string) (engine.Engine, error)
	// Directory is where the store is.
	Directory string
	Traits    engine.Traits
	History   *History
	// Accept is what is right. The first Copies checkpoints of the history are
	// there.
	Accept Accept
	Copies int
	// Depth counts the power cuts so far, from 1.
	Depth int
	// Second: a second opener is tried too.
	Second bool
	// Mark is told what is right from then on. It may be nil.
	Mark func(label string, a Accept)
}

// Run opens the store, reads it, writes a Flushed batch, closes it in order,
// and opens and reads it again. It returns the state that was shown first. Its
// error holds a *Violation, that of a panic too.
func (r *Recovery) Run(ctx context.Context) (shown State, err error) {
	err = Guard(func() error {
		shown, err = r.steps(ctx)
		return err
	})
	return shown, err
}

func (r *Recovery) mark(label string, a Accept) {
	if r.Mark != nil {
		r.Mark(label, a)
	}
}

func (r *Recovery) steps(ctx context.Context) (shown State, err error) {
	r.mark("recover", r.Accept)
	e, err := r.Open(r.Directory)
	if err != nil {
		return shown, &Violation{Fault: NotOpened, Text: "after a power cut", Err: err}
	}
	defer func() {
		if e == nil {
			return
		}
		closeErr := e.Close()
		if err == nil && closeErr != nil {
			closeErr = &Violation{Fault: Failed, Text: "close after recovery", Err: closeErr}
		}
		err = errors.Join(err, closeErr)
	}()
	if shown, err = r.History.Check(e, r.Accept); err != nil {
		return shown, err
	}
	var before uint64
	if q, ok := e.(engine.Sequenced); ok && r.Traits.Sequenced {
		if before = q.LastSequence(); before < shown.Sequence {
			return shown, &Violation{Fault: SequenceBack, Text: fmt.Sprintf("the store shows batch %d of sequence %d, and LastSequence is %d", shown.Number, shown.Sequence, before)}
		}
	}
	if r.Second {
		if err := r.refused(); err != nil {
			return shown, err
		}
	}
	for _, c := range r.History.Copies[:r.Copies] {
		if err := r.History.CheckCopy(r.Open, c); err != nil {
			return shown, err
		}
	}

	// The same changes as those of the batch that was lost, if there was one: what
	// is left of that may then be met where the new one ends.
	changes := []Change{{Kind: engine.OpPut, Key: fmt.Sprintf("after%d", r.Depth), Size: 30}}
	if lost := shown.Place + 1; lost < len(r.History.States) {
		changes = r.History.States[lost].Changes
	}
	number := after + uint64(r.Depth)
	next := shown.After(changes, number)
	either := r.Accept
	either.Also = append(either.Also[:len(either.Also):len(either.Also)], next)
	only := Accept{Least: 1, Also: []State{next}}
	r.mark("begin a batch after recovery", either)
	batch := Batch(changes, number)
	if err := r.flush(ctx, e, batch); err != nil {
		return shown, &Violation{Fault: Failed, Text: "write after recovery", Err: err}
	}
	r.mark("end", only)
	if r.Traits.Sequenced {
		if next.Sequence = batch.Sequence(); next.Sequence <= before {
			return shown, &Violation{Fault: SequenceBack, Text: fmt.Sprintf("LastSequence was %d, and the next batch has %d", before, next.Sequence)}
		}
		only.Also[0] = next
	}
	if err := Same(e, next.Entries); err != nil {
		return shown, fmt.Errorf("after a further write: %w", err)
	}
	closing := e
	e = nil
	if err := closing.Close(); err != nil {
		return shown, &Violation{Fault: Failed, Text: "close after recovery", Err: err}
	}
	again, err := r.Open(r.Directory)
	if err != nil {
		return shown, &Violation{Fault: NotOpened, Text: "after recovery and a clean close", Err: err}
	}
	e = again
	if _, err := r.History.Check(e, only); err != nil {
		return shown, fmt.Errorf("after recovery, a further write and a clean close: %w", err)
	}
	if q, ok := e.(engine.Sequenced); ok && r.Traits.Sequenced && q.LastSequence() < next.Sequence {
		return shown, &Violation{Fault: SequenceBack, Text: fmt.Sprintf("it was %d before a clean close, and is %d", next.Sequence, q.LastSequence())}
	}
	return shown, nil
}

// flush applies a batch and makes it durable.
func (r *Recovery) flush(ctx context.Context, e engine.Engine, b *engine.Batch) error {
	defer func() { Garble(b.Encoded()) }()
	if r.Traits.Durability.Has(engine.Flushed) {
		return e.Apply(ctx, b, engine.Flushed)
	}
	d, _ := r.Traits.Durability.Strongest()
	if err := e.Apply(ctx, b, d); err != nil {
		return err
	}
	return e.Sync(ctx)
}

// refused opens the store a second time, which must be ErrLocked.
func (r *Recovery) refused() error {
	r.mark("recover", r.Accept)
	e, err := r.Open(r.Directory)
	if err == nil {
		return &Violation{Fault: NotLocked, Text: "two handles are open", Err: e.Close()}
	}
	if !errors.Is(err, engine.ErrLocked) {
		return &Violation{Fault: NotLocked, Text: "a second open is not ErrLocked", Err: err}
	}
	return nil
}
