package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// markers is the prefix of the keys under which writers put their numbers;
// beyond is the first key behind them.
const (
	markers = "m/"
	beyond  = "m0"
)

// clock gives the time of a history.
type clock struct{ start time.Time }

func newClock() *clock { return &clock{time.Now()} }

func (c *clock) now() int64 { return int64(time.Since(c.start)) + 1 }

// between returns a moment later than all that it gave, and earlier than all that
// it will give.
func (c *clock) between() int64 {
	at := c.now() + 1
	for c.now() <= at {
		runtime.Gosched()
	}
	return at
}

// client is one writer and reader, and its part of the history.
type client struct {
	id        int
	rng       *rand.Rand
	clock     *clock
	keys      int
	ops       []check.Operation
	events    []span // of each of ops, on the disk's log
	first     int    // in ops, of this part of the history
	medium    medium
	number    uint64 // of its last batch
	conflicts int64

	held []holding
}

// span is between which events of a disk something took place.
type span struct{ call, end int }

// moment is when something was called.
type moment struct {
	time  int64
	event int
}

// holding is a snapshot or an iterator that is kept while the clients go on.
type holding struct {
	op       int // in ops
	steps    int // until it is given up
	snapshot engine.Snapshot
	iterator engine.Iterator
	scan     check.Read
}

func newClient(id int, seed uint64, c *clock, keys int, on medium) *client {
	return &client{id: id, rng: rand.New(rand.NewPCG(seed, uint64(id)+1)), clock: c, keys: keys, medium: on}
}

// work lets the clients do their steps at once. It returns what the engine did
// wrong, or the context's error.
func work(ctx context.Context, e engine.Engine, clients []*client, s shape) error {
	errs := make([]error, len(clients))
	for range s.batches {
		var all sync.WaitGroup
		for i, c := range clients {
			all.Go(func() {
				for n := 0; n < s.steps && errs[i] == nil; n++ {
					if errs[i] = ctx.Err(); errs[i] == nil {
						errs[i] = c.step(ctx, e)
					}
				}
			})
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			break
		}
	}
	for i, c := range clients {
		errs[i] = errors.Join(errs[i], c.release(len(c.held)))
	}
	return errors.Join(errs...)
}

// begin is the moment of a call.
func (c *client) begin() moment { return moment{event: c.medium.events(), time: c.clock.now()} }

// record notes an operation that has just returned, and returns its index.
func (c *client) record(call moment, o check.Operation) int {
	o.Client, o.Call, o.Return = c.id, call.time, c.clock.now()
	c.ops = append(c.ops, o)
	c.events = append(c.events, span{call.event, c.medium.events()})
	return len(c.ops) - 1
}

// step does one random operation.
func (c *client) step(ctx context.Context, e engine.Engine) error {
	for i := range c.held {
		c.held[i].steps--
	}
	due := 0
	for due < len(c.held) && c.held[due].steps <= 0 {
		due++
	}
	if err := c.release(due); err != nil {
		return err
	}
	if c.rng.IntN(4) == 0 {
		runtime.Gosched()
	}
	switch n := c.rng.IntN(100); {
	case n < 25:
		return c.read(e, c.point())
	case n < 32:
		return c.read(e, c.span())
	case n < 37:
		return c.multiGet(e)
	case n < 45:
		return c.look(e)
	case n < 50:
		return c.hold(e)
	case n < 60:
		return c.update(ctx, e)
	case n < 62:
		return c.flush(ctx, e)
	}
	return c.write(ctx, e)
}

func (c *client) key() string { return fmt.Sprintf("k/%03d", c.rng.IntN(c.keys)) }

func (c *client) point() check.Read { return check.Read{Key: c.key()} }

// span is a range of some keys, or of all that there are.
func (c *client) span() check.Read {
	r := check.Read{Scan: true, Key: c.key()}
	switch c.rng.IntN(4) {
	case 0:
		r.Key = ""
	case 1:
		r.Limit = 1 + c.rng.IntN(8)
	default:
		r.Upper = c.key() + "~"
	}
	return r
}

// read reads the newest state.
func (c *client) read(e engine.Engine, r check.Read) error {
	call := c.begin()
	if err := c.fill(e, &r); err != nil {
		return err
	}
	c.record(call, check.Operation{Reads: []check.Read{r}})
	return nil
}

// fill reads what r asks for.
func (c *client) fill(from engine.Reader, r *check.Read) error {
	if !r.Scan {
		key := []byte(r.Key)
		value, err := from.Get(key, nil)
		workload.Garble(key)
		if errors.Is(err, engine.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("get %s: %w", r.Key, err)
		}
		r.Entries = []check.Entry{{Key: r.Key, Value: string(value)}}
		return nil
	}
	it, err := newIterator(from, r)
	if err != nil {
		return fmt.Errorf("new iterator: %w", err)
	}
	return c.walk(it, r)
}

// newIterator makes an iterator over what r asks for.
func newIterator(from engine.Reader, r *check.Read) (engine.Iterator, error) {
	o := engine.IterOptions{Lower: []byte(r.Key)}
	if r.Upper != "" {
		o.Upper = []byte(r.Upper)
	}
	it, err := from.NewIterator(o)
	workload.Garble(o.Lower, o.Upper)
	return it, err
}

// walk goes through an iterator, backwards at times, and closes it.
func (c *client) walk(it engine.Iterator, r *check.Read) error {
	first, next := it.First, it.Next
	back := r.Limit == 0 && c.rng.IntN(3) == 0
	if back {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok && (r.Limit == 0 || len(r.Entries) < r.Limit); ok = next() {
		value, err := it.Value()
		if err != nil {
			return errors.Join(fmt.Errorf("value of %q: %w", it.Key(), err), it.Close())
		}
		r.Entries = append(r.Entries, check.Entry{Key: string(it.Key()), Value: string(value)})
	}
	if back {
		slices.Reverse(r.Entries)
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	return nil
}

func (c *client) multiGet(e engine.Engine) error {
	x, ok := e.(engine.MultiGetter)
	if !ok {
		return c.look(e)
	}
	o := check.Operation{Reads: make([]check.Read, 3)}
	keys := make([][]byte, len(o.Reads))
	for i := range keys {
		o.Reads[i] = c.point()
		keys[i] = []byte(o.Reads[i].Key)
	}
	call := c.begin()
	err := x.MultiGet(keys, func(i int, value []byte, present bool) {
		if present {
			o.Reads[i].Entries = []check.Entry{{Key: o.Reads[i].Key, Value: string(value)}}
		}
	})
	workload.Garble(keys...)
	if err != nil {
		return fmt.Errorf("multi-get: %w", err)
	}
	c.record(call, o)
	return nil
}

// snapshot takes a snapshot and records when.
func (c *client) snapshot(e engine.Engine) (engine.Snapshot, int, error) {
	call := c.begin()
	snap, err := e.Snapshot()
	if err != nil {
		return nil, 0, fmt.Errorf("snapshot: %w", err)
	}
	op := c.record(call, check.Operation{})
	if x, ok := snap.(engine.SequencedSnapshot); ok && e.Traits().Sequenced {
		c.ops[op].Sequence = x.Sequence()
	}
	return snap, op, nil
}

// see reads from a snapshot and adds it to the snapshot's operation.
func (c *client) see(snap engine.Snapshot, op int, reads ...check.Read) error {
	for _, r := range reads {
		if err := c.fill(snap, &r); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		c.ops[op].Reads = append(c.ops[op].Reads, r)
	}
	return nil
}

// look takes a snapshot and reads everything in it.
func (c *client) look(e engine.Engine) error {
	snap, op, err := c.snapshot(e)
	if err != nil {
		return err
	}
	return errors.Join(c.see(snap, op, c.point(), check.Read{Scan: true}), snap.Close())
}

// hold takes a snapshot or an iterator, to be read some steps later. Much that is
// held would only slow the engine.
func (c *client) hold(e engine.Engine) error {
	if len(c.held) == 3 {
		return c.look(e)
	}
	h := holding{steps: 1 + c.rng.IntN(6)}
	if len(c.held) > 0 { // in the order in which they are due
		h.steps = max(h.steps, c.held[len(c.held)-1].steps)
	}
	if c.rng.IntN(2) == 0 {
		h.scan = c.span()
		call := c.begin()
		it, err := newIterator(e, &h.scan)
		if err != nil {
			return fmt.Errorf("new iterator: %w", err)
		}
		h.iterator, h.op = it, c.record(call, check.Operation{})
		c.held = append(c.held, h)
		return nil
	}
	snap, op, err := c.snapshot(e)
	if err != nil {
		return err
	}
	h.snapshot, h.op = snap, op
	c.held = append(c.held, h)
	return c.see(snap, op, c.point())
}

// release reads and closes the first n of what is held.
func (c *client) release(n int) error {
	var errs []error
	for _, h := range c.held[:n] {
		if h.iterator != nil {
			errs = append(errs, c.walk(h.iterator, &h.scan))
			c.ops[h.op].Reads = append(c.ops[h.op].Reads, h.scan)
			continue
		}
		errs = append(errs, c.see(h.snapshot, h.op, c.point(), c.span(), check.Read{Scan: true, Key: markers, Upper: beyond}), h.snapshot.Close())
	}
	c.held = slices.Delete(c.held, 0, n)
	return errors.Join(errs...)
}

// changes makes up a batch; its marker stands anywhere in it.
func (c *client) changes() []check.Change {
	c.number++
	mark := check.Change{Kind: check.Put, Key: fmt.Sprintf("%s%02d", markers, c.id), Value: strconv.FormatUint(c.number, 10)}
	changes := []check.Change{mark}
	for n := range 1 + c.rng.IntN(4) {
		var change check.Change
		switch key := c.key(); c.rng.IntN(10) {
		case 0, 1:
			change = check.Change{Kind: check.Delete, Key: key}
		case 2:
			change = check.Change{Kind: check.DeleteRange, Key: key, Value: fmt.Sprintf("k/%03d", c.rng.IntN(c.keys+1))}
		default:
			change = check.Change{Kind: check.Put, Key: key, Value: c.value(n)}
		}
		changes = slices.Insert(changes, c.rng.IntN(len(changes)+1), change)
	}
	return changes
}

// value returns a value that nobody else puts; some are long.
func (c *client) value(n int) string {
	v := fmt.Sprintf("%d.%d.%d", c.id, c.number, n)
	if c.rng.IntN(50) == 0 {
		return v + strings.Repeat(".", 3000)
	}
	return v
}

func batch(changes []check.Change) *engine.Batch {
	var b engine.Batch
	for _, change := range changes {
		switch key, second := []byte(change.Key), []byte(change.Value); change.Kind {
		case check.Put:
			b.Put(key, second)
		case check.Delete:
			b.Delete(key)
		case check.DeleteRange:
			b.DeleteRange(key, second)
		}
	}
	return &b
}

// durability is mostly the weakest class, which shows the most of concurrency.
func (c *client) durability(t engine.Traits) engine.Durability {
	d := engine.Durabilities[c.rng.IntN(len(engine.Durabilities))]
	if c.rng.IntN(4) == 0 && t.Durability.Has(d) {
		return d
	}
	return weakest(t)
}

func weakest(t engine.Traits) engine.Durability {
	for _, d := range engine.Durabilities {
		if t.Durability.Has(d) {
			return d
		}
	}
	return engine.Flushed
}

func survives(d engine.Durability) check.Survival {
	switch d {
	case engine.Flushed:
		return check.SurvivesPower
	case engine.Buffered:
		return check.SurvivesExit
	}
	return check.Volatile
}

func (c *client) write(ctx context.Context, e engine.Engine) error {
	changes := c.changes()
	b := batch(changes)
	d := c.durability(e.Traits())
	call := c.begin()
	if err := e.Apply(ctx, b, d); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	defer workload.Garble(b.Encoded())
	c.record(call, check.Operation{Changes: changes, Sequence: b.Sequence(), Survives: survives(d)})
	return nil
}

// update commits on condition that what a snapshot showed is unchanged.
func (c *client) update(ctx context.Context, e engine.Engine) (err error) {
	x, ok := e.(engine.Conditional)
	if !ok {
		return c.write(ctx, e)
	}
	snap, op, err := c.snapshot(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	reads := []check.Read{c.point(), c.point()}
	if c.rng.IntN(3) == 0 {
		first := c.rng.IntN(c.keys)
		reads = append(reads, check.Read{Scan: true, Key: fmt.Sprintf("k/%03d", first), Upper: fmt.Sprintf("k/%03d", first+1+c.rng.IntN(3))})
	}
	if err := c.see(snap, op, reads...); err != nil {
		return err
	}
	reads = slices.Clone(c.ops[op].Reads)
	var set engine.ReadSet
	for _, r := range reads {
		if r.Scan {
			set.Ranges = append(set.Ranges, engine.Range{Lower: []byte(r.Key), Upper: []byte(r.Upper)})
		} else {
			set.Keys = append(set.Keys, []byte(r.Key))
		}
	}
	if c.rng.IntN(2) == 0 {
		runtime.Gosched()
	}
	changes := c.changes()
	b := batch(changes)
	d := c.durability(e.Traits())
	call := c.begin()
	err = x.ApplyIf(ctx, snap, set, b, d)
	defer forget(set, b)
	switch {
	case errors.Is(err, engine.ErrConflict):
		c.conflicts++
	case err != nil:
		return fmt.Errorf("apply-if: %w", err)
	default:
		c.record(call, check.Operation{Reads: reads, Changes: changes, Sequence: b.Sequence(), Survives: survives(d)})
	}
	return nil
}

// forget overwrites what a conditional commit was given.
func forget(set engine.ReadSet, b *engine.Batch) {
	workload.Garble(set.Keys...)
	for _, r := range set.Ranges {
		workload.Garble(r.Lower, r.Upper)
	}
	workload.Garble(b.Encoded())
}

// flush makes durable what was applied before it.
func (c *client) flush(ctx context.Context, e engine.Engine) error {
	if !e.Traits().Persistent {
		return nil
	}
	call := c.begin()
	if err := e.Sync(ctx); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	c.record(call, check.Operation{Survives: check.SurvivesPower})
	return nil
}
