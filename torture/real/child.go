package real

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// A store under real faults is opened in a process of its own, which can be
// killed. The parent starts its own executable again with childEnv set, and the
// two speak JSON, a line each way for every command, as those of the bench do.

// childEnv names the engine that a child is to run.
const childEnv = "ORBIT_TORTURE_STORE"

// The first of ExtraFiles: where the child writes its answers, and the ledger.
const (
	answerFD = 3
	ledgerFD = 4
)

// command is what the parent asks, one field set.
type command struct {
	Open  *openCommand  `json:"open,omitempty"`
	Dump  *dumpCommand  `json:"dump,omitempty"`
	Write *writeCommand `json:"write,omitempty"`
	Close bool          `json:"close,omitempty"`
}

type openCommand struct {
	Directory string `json:"directory"`
}

// dumpCommand reads everything. With Faulty reads may fail, but what they return
// must be right; Want is then what is right, nil for what the iterator shows.
type dumpCommand struct {
	Faulty bool    `json:"faulty,omitempty"`
	Want   []entry `json:"want,omitempty"`
}

// writeCommand lets all writers work until each has applied Batches batches, or
// met an error.
type writeCommand struct {
	Seed    uint64 `json:"seed"`
	Round   uint64 `json:"round"`
	Batches uint64 `json:"batches"`
}

// answer is what the child says to it.
type answer struct {
	Failed *failure `json:"failed,omitempty"`

	Traits  *engine.Traits `json:"traits,omitempty"`
	Entries []entry        `json:"entries,omitempty"`
	// Excused counts the reads that failed, where they may.
	Excused int `json:"excused,omitempty"`
	// Writers are the errors that stopped writers, nil for those without.
	Writers []*failure `json:"writers,omitempty"`
}

// failure is an error that has crossed from the child to its parent.
type failure struct {
	Text string `json:"text"`
	// Fault is that of a violation.
	Fault workload.Fault `json:"fault,omitempty"`
	// Kinds are those of the engine's contract that it is.
	Kinds []string `json:"kinds,omitempty"`
	// Read says that it was a read of the device that failed, and no write.
	Read bool `json:"read,omitempty"`
}

// Error implements error.
func (f *failure) Error() string { return f.Text }

// is reports whether the error was of that kind in the child.
func (f *failure) is(kind error) bool { return slices.Contains(f.Kinds, kind.Error()) }

func newFailure(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error(), Fault: workload.FaultOf(err)}
	var device *vfs.Error
	f.Read = errors.As(err, &device) && device.Op == "read"
	for _, kind := range []error{
		engine.ErrNotFound, engine.ErrClosed, engine.ErrLocked, engine.ErrCorrupt, engine.ErrNoSpace, engine.ErrTooLarge,
		engine.ErrUnsupported, engine.ErrReadOnly, engine.ErrInUse, engine.ErrInvalid,
	} {
		if errors.Is(err, kind) {
			f.Kinds = append(f.Kinds, kind.Error())
		}
	}
	return f
}

// RunChild serves the parent and does not return, if this process was started as
// a child of a mode of this package; else it does nothing.
func RunChild(engines []target.Engine) {
	wanted := os.Getenv(childEnv)
	if wanted == "" {
		return
	}
	c := &child{ctx: context.Background()}
	for _, e := range engines {
		if e.Name == wanted {
			c.engine = e
		}
	}
	var err error
	if c.ledger, err = openLedger(os.NewFile(ledgerFD, "ledger")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	in := bufio.NewReader(os.Stdin)
	// The answers have a descriptor of their own: what an engine prints to the
	// standard ones is its log.
	out := json.NewEncoder(os.NewFile(answerFD, "answers"))
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			os.Exit(0) // the parent is gone
		}
		var cmd command
		var a answer
		if err = json.Unmarshal(line, &cmd); err == nil {
			err = workload.Guard(func() (err error) {
				a, err = c.serve(cmd)
				return err
			})
		}
		a.Failed = newFailure(err)
		if out.Encode(a) != nil {
			os.Exit(0)
		}
	}
}

type child struct {
	ctx    context.Context
	engine target.Engine
	ledger *ledger
	store  engine.Engine
}

func (c *child) serve(cmd command) (answer, error) {
	switch {
	case cmd.Open != nil:
		return c.open(*cmd.Open)
	case c.store == nil:
		return answer{}, errors.New("no store is open")
	case cmd.Dump != nil:
		return c.dump(*cmd.Dump)
	case cmd.Write != nil:
		return c.write(*cmd.Write)
	case cmd.Close:
		e := c.store
		c.store = nil
		return answer{}, e.Close()
	}
	return answer{}, errors.New("empty command")
}

func (c *child) open(o openCommand) (answer, error) {
	if c.engine.Open == nil {
		return answer{}, fmt.Errorf("this program has no engine %q", os.Getenv(childEnv))
	}
	e, err := c.engine.Open(o.Directory)
	if err != nil {
		return answer{}, err
	}
	c.store = e
	t := e.Traits()
	return answer{Traits: &t}, nil
}

// dump returns everything that the store shows, if all ways to read it agree.
func (c *child) dump(cmd dumpCommand) (a answer, err error) {
	all := make([]workload.Entry, 0, len(cmd.Want))
	for _, e := range cmd.Want {
		all = append(all, workload.Entry{Key: string(e.Key), Value: string(e.Value)})
	}
	if cmd.Want == nil {
		if all, err = c.iterate(); err != nil && cmd.Faulty {
			return answer{Excused: 1}, nil
		} else if err != nil {
			return a, err
		}
		for _, e := range all {
			a.Entries = append(a.Entries, entry{[]byte(e.Key), []byte(e.Value)})
		}
	}
	if !cmd.Faulty {
		return a, workload.Same(c.store, all)
	}
	a.Excused, err = workload.Readable(c.store, all, func(error) bool { return true })
	return a, err
}

func (c *child) iterate() (all []workload.Entry, err error) {
	it, err := c.store.NewIterator(engine.IterOptions{})
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
	return all, it.Close()
}

// write lets the writers work.
func (c *child) write(cmd writeCommand) (answer, error) {
	p := planFor(cmd.Seed, c.store.Traits())
	a := answer{Writers: make([]*failure, writers)}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			a.Writers[w] = newFailure(workload.Guard(func() error { return c.writeAs(w, p, cmd) }))
		})
	}
	all.Wait()
	return a, nil
}

// writeAs does what one writer does in a round.
func (c *child) writeAs(w int, p plan, cmd writeCommand) error {
	var encoded engine.Batch
	mine := &c.ledger.writers[w]
	for at := mine.base.Load() + 1; at <= mine.base.Load()+cmd.Batches; at++ {
		b := p.batch(name{cmd.Round, w, at})
		encoded.Reset()
		b.encode(&encoded)
		c.ledger.begin(w, at)
		if err := c.store.Apply(c.ctx, &encoded, b.durability); err != nil {
			return err
		}
		mine.acked.Store(at)
		if b.sync {
			covered := c.ledger.acked()
			if err := c.store.Sync(c.ctx); err != nil {
				return err
			}
			for v, at := range covered {
				c.ledger.writers[v].synced.Store(at)
			}
		}
		if b.compact {
			if err := c.store.Compact(c.ctx, nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
