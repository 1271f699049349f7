package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// DataMigration copies one provider to another. Its methods set it up and return it;
// Execute is called once.
type DataMigration struct {
	from, to   *providers.Provider
	label      string
	batch      int
	validation bool
	replace    bool
	lasting    bool
	report     func(Progress)
	barrier    func(ctx context.Context) (release func(), err error)
	sw         *Switch
}

// DefaultBatchSize is the number of entries that are written at once where nothing else
// is said.
const DefaultBatchSize = 4096

// maxPasses bounds the passes over a source that goes on changing.
const maxPasses = 20

// few is how many keys may be left when the barrier is asked for.
const few = 1000

// New returns a migration with validation, and without source and target.
func New() *DataMigration { return &DataMigration{batch: DefaultBatchSize, validation: true} }

// FromProvider sets the source, which is only read.
func (m *DataMigration) FromProvider(p *providers.Provider) *DataMigration { m.from = p; return m }

// ToProvider sets the target. Nobody else writes to it meanwhile.
func (m *DataMigration) ToProvider(p *providers.Provider) *DataMigration { m.to = p; return m }

// WithSourceName sets how the source is called in the target's record, by which a
// migration that goes on knows it again; without it, it is the provider's name.
func (m *DataMigration) WithSourceName(name string) *DataMigration { m.label = name; return m }

// WithBatchSize sets how many entries are written at once, from 1.
func (m *DataMigration) WithBatchSize(entries int) *DataMigration { m.batch = entries; return m }

// WithValidation says whether passes follow until one finds nothing that differs. It is
// on unless it is turned off, which is right for a source that nobody writes to and a
// target that can be trusted.
func (m *DataMigration) WithValidation(on bool) *DataMigration { m.validation = on; return m }

// WithReplace lets the target hold entries: it becomes a copy of the source, and loses
// what the source does not have.
func (m *DataMigration) WithReplace(on bool) *DataMigration { m.replace = on; return m }

// WithoutExpiring leaves entries that expire where they are: for a target without TTLs.
func (m *DataMigration) WithoutExpiring(on bool) *DataMigration { m.lasting = on; return m }

// WithProgress sets what is told how far it has come, from one goroutine at a time. It
// should return soon.
func (m *DataMigration) WithProgress(report func(Progress)) *DataMigration {
	m.report = report
	return m
}

// WithBarrier sets what stops all who write to the source, and returns once they have
// stopped. release is called when the target is whole, or the migration has failed.
func (m *DataMigration) WithBarrier(barrier func(ctx context.Context) (release func(), err error)) *DataMigration {
	m.barrier = barrier
	return m
}

// Live makes it a migration of what a Switch serves, to where that can cut over.
func (m *DataMigration) Live(s *Switch) *DataMigration {
	m.sw, m.from, m.to = s, s.from, s.to
	return m
}

// Result is what a migration, or an import, has done.
type Result struct {
	// LeasesMigrated and NodesMigrated are those of packages lease and node that the
	// target now has, expired or not.
	LeasesMigrated int64 `json:"leases_migrated"`
	NodesMigrated  int64 `json:"nodes_migrated"`
	// Tally is all that the target has.
	Tally
	// Changed counts the keys that were written after the first pass.
	Changed int64 `json:"changed"`
	// Passes over both sides were made, the last of which found no difference if
	// Validated.
	Passes    int  `json:"passes"`
	Validated bool `json:"validated"`
	// Resumed: it went on with what an earlier one had begun.
	Resumed bool `json:"resumed"`
	// Barrier is how long writes waited, Took how long it all took.
	Barrier time.Duration `json:"barrier_ns"`
	Took    time.Duration `json:"took_ns"`
}

func (m *DataMigration) check(ctx context.Context) error {
	switch {
	case m.from == nil || m.to == nil:
		return fmt.Errorf("%w: it needs a source and a target", driver.ErrInvalid)
	case m.from == m.to:
		return fmt.Errorf("%w: source and target are one provider, %s", driver.ErrInvalid, m.from.Name())
	case m.batch < 1:
		return fmt.Errorf("%w: batches of %d entries", driver.ErrInvalid, m.batch)
	case m.sw != nil && m.barrier != nil:
		return fmt.Errorf("%w: a Switch has a barrier of its own", driver.ErrInvalid)
	case m.sw != nil && m.sw.Over():
		return fmt.Errorf("%w: the Switch has cut over already", driver.ErrInvalid)
	}
	return Unfinished(ctx, m.from)
}

// Execute copies, and returns when the target is whole. After an error, or a kill, the
// target is marked as half filled; a migration with the same source goes on with it.
func (m *DataMigration) Execute(ctx context.Context) (Result, error) {
	start := time.Now()
	if err := m.check(ctx); err != nil {
		return Result{}, fmt.Errorf("migrate: %w", err)
	}
	if m.label == "" {
		m.label = m.from.Name()
	}
	w := &work{DataMigration: m, report: m.report}
	err := w.run(ctx)
	w.result.Took = time.Since(start)
	if err != nil {
		return w.result, fmt.Errorf("migrate from %s to %s: %w", m.from.Name(), m.to.Name(), err)
	}
	return w.result, nil
}

// work is a migration under way.
type work struct {
	*DataMigration
	report  func(Progress)
	result  Result
	tracker *changes // nil if nobody tells of writes
	held    time.Time
	release func()
}

func (w *work) run(ctx context.Context) (err error) {
	rec, resumed, err := begin(ctx, w.to, w.label, w.replace)
	if errors.Is(err, errNotEmpty) && w.sw == nil && w.barrier == nil && w.there(ctx) {
		return nil
	}
	if err != nil {
		return err
	}
	w.result.Resumed = resumed
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer w.letGo()
	if w.sw != nil {
		w.tracker = &w.sw.changes
		w.tracker.begin()
		defer w.sw.changes.end()
	} else if w.barrier != nil {
		var ended chan struct{}
		if w.tracker, ended = watch(ctx, w.from); w.tracker != nil {
			defer func() { cancel(); <-ended }()
		}
	}
	if _, err = w.pass(ctx, rec.After, rec); err != nil {
		return err
	}
	switch {
	case w.sw != nil:
		err = w.live(ctx)
	case w.barrier != nil:
		err = w.underBarrier(ctx)
	default:
		err = w.atRest(ctx)
	}
	if err != nil {
		return err
	}
	if err := finish(ctx, w.to); err != nil {
		return err
	}
	if w.sw != nil {
		w.sw.over.Store(true)
	}
	w.result.LeasesMigrated, w.result.NodesMigrated = w.result.Leases, w.result.Nodes
	return nil
}

// there reports whether all is there already.
func (w *work) there(ctx context.Context) bool {
	from, err := of(ctx, w.from)
	if err != nil {
		return false
	}
	from.lasting = w.lasting
	o, whole := copied(ctx, from, w.to, w.report)
	if whole {
		w.result = Result{Tally: o.target, Passes: 1, Validated: true, LeasesMigrated: o.target.Leases, NodesMigrated: o.target.Nodes}
	}
	return whole
}

// pass makes one pass over both sides, behind a key.
func (w *work) pass(ctx context.Context, after []byte, rec *record) (outcome, error) {
	from, err := of(ctx, w.from)
	if err != nil {
		return outcome{}, err
	}
	from.lasting = w.lasting
	w.result.Passes++
	p := pass{from: from, to: w.to, batch: w.batch, after: after, record: rec, report: w.report, progress: Progress{Phase: "copy", Pass: w.result.Passes}}
	if rec == nil {
		p.progress.Phase = "compare"
	}
	if w.tracker != nil {
		p.expected = w.tracker.has
	}
	o, err := p.run(ctx)
	if err != nil {
		return o, err
	}
	if rec == nil {
		w.result.Changed += o.changed
	}
	w.result.Tally = o.source // which the target now has
	return o, nil
}

// atRest validates a copy of a source to which nobody should be writing.
func (w *work) atRest(ctx context.Context) error {
	// After going on, nobody knows what became of what was there before.
	if !w.validation && !w.result.Resumed {
		return nil
	}
	for w.result.Passes < maxPasses {
		o, err := w.pass(ctx, nil, nil)
		if err != nil {
			return err
		}
		if done, err := w.settled(&o); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: the source was still changing in the last of %d passes; stop its writers, or give a barrier", driver.ErrConflict, w.result.Passes)
}

// settled reports whether a pass is the last: nothing differed.
func (w *work) settled(o *outcome) (bool, error) {
	if o.changed > 0 {
		return !w.validation, nil
	}
	if !o.source.same(&o.target) {
		return false, fmt.Errorf("%w: no entry differs, and the digests do: %s has %d entries, %s, and %s %d, %s", driver.ErrCorrupt,
			w.from.Name(), o.source.Entries, o.source.Digest, w.to.Name(), o.target.Entries, o.target.Digest)
	}
	w.result.Tally, w.result.Validated = o.target, true
	return true, nil
}

// underBarrier repeats passes until little is left, and makes the last ones while
// nobody writes.
func (w *work) underBarrier(ctx context.Context) error {
	for before := int64(-1); w.result.Passes < maxPasses; {
		n, lost, err := w.drain(ctx, false)
		if err != nil {
			return err
		}
		if w.tracker == nil || lost {
			o, err := w.pass(ctx, nil, nil)
			if err != nil {
				return err
			}
			n = o.changed
		}
		if n <= few || before >= 0 && n > before/2 { // it gets no less
			break
		}
		before = n
	}
	if err := w.hold(ctx, w.barrier); err != nil {
		return err
	}
	w.tracker = nil
	for range 3 {
		o, err := w.pass(ctx, nil, nil)
		if err != nil {
			return err
		}
		if done, err := w.settled(&o); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: the source changes under the barrier, which holds not all of its writers", driver.ErrConflict)
}

// live makes passes until one finds nothing but what the Switch told of, and copies the
// rest while writes wait.
func (w *work) live(ctx context.Context) error {
	for sure := false; !sure || w.tracker.lostSome(); {
		if w.result.Passes > maxPasses {
			return fmt.Errorf("%w: the source changes faster than it is copied, after %d passes", driver.ErrConflict, w.result.Passes)
		}
		_, lost, err := w.drain(ctx, w.validation)
		if err != nil {
			return err
		}
		if sure = !w.validation && !w.result.Resumed && !lost && w.result.Passes == 1; sure {
			break
		}
		o, err := w.pass(ctx, nil, nil)
		if err != nil {
			return err
		}
		sure = o.unexpected == 0 || !w.validation
		w.result.Validated = sure && w.validation
	}
	for range maxPasses {
		if n, lost, err := w.drain(ctx, w.validation); err != nil {
			return err
		} else if lost {
			return w.live(ctx)
		} else if n <= few {
			break
		}
	}
	if err := w.hold(ctx, w.sw.hold); err != nil {
		return err
	}
	if _, lost, err := w.drain(ctx, w.validation); err != nil {
		return err
	} else if lost {
		w.letGo()
		return w.live(ctx)
	}
	return nil
}

// drain copies the keys that were written meanwhile, and returns how many there were.
func (w *work) drain(ctx context.Context, checked bool) (n int64, lost bool, err error) {
	if w.tracker == nil {
		return 0, true, nil
	}
	keys, lost := w.tracker.take()
	changed, err := w.catchUp(ctx, keys, checked)
	w.result.Changed += changed
	if w.report != nil && len(keys) > 0 {
		w.report(Progress{Phase: "catch up", Pass: w.result.Passes, Entries: int64(len(keys)), Changed: changed})
	}
	return int64(len(keys)), lost, err
}

func (w *work) hold(ctx context.Context, barrier func(context.Context) (func(), error)) error {
	release, err := barrier(ctx)
	if err != nil {
		return fmt.Errorf("stop the writers: %w", err)
	}
	w.held, w.release = time.Now(), release
	return nil
}

// letGo lifts the barrier, if there is one.
func (w *work) letGo() {
	if w.held.IsZero() {
		return
	}
	if w.release != nil {
		w.release()
	}
	w.result.Barrier += time.Since(w.held)
	w.held, w.release = time.Time{}, nil
}
