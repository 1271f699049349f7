package enginebench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
	"golang.org/x/term"
)

// run is a run under way.
type run struct {
	suite
	Result
	sizes
	dir      string
	seed     uint64
	rng      *rand.Rand // the order in which engines take turns
	own      subject
	peers    []subject
	progress *progress
	started  time.Time
	budget   time.Duration
}

// section is a part of the run, which --only takes by its key.
type section struct {
	key, name string
	measure   func(*run, context.Context) error
}

// errBudget is why a run's context ends that took longer than it may.
var errBudget = errors.New("the time budget was used up")

// measure runs the sections in a directory of its own below parent, and judges what
// is measured, be it all or what there was time for.
func (r *run) measure(ctx context.Context, parent string, chosen []section) (err error) {
	if r.budget > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, r.started.Add(r.budget), errBudget)
		defer stop()
	}
	if r.dir, err = os.MkdirTemp(parent, "orbit-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	r.progress = newProgress(os.Stderr, term.IsTerminal(int(os.Stderr.Fd())))
	defer r.progress.close()
	for i, s := range chosen {
		r.progress.prefix = fmt.Sprintf("%d/%d  ", i+1, len(chosen))
		if !r.fits(s.name+" ("+s.key+")", 0) {
			continue
		}
		if err := s.measure(r, ctx); err != nil {
			if ctx.Err() == nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			r.cutShort(ctx, chosen[i:])
			break
		}
	}
	r.Growth = r.curves()
	r.Goals = r.judge(r.goals(r.sizes, r.rocksdb()))
	r.Seconds = time.Since(r.started).Seconds()
	return nil
}

// cutShort records that the first of the sections was not measured whole, and the
// others not at all.
func (r *run) cutShort(ctx context.Context, left []section) {
	why := "the run was interrupted"
	if errors.Is(context.Cause(ctx), errBudget) {
		why = fmt.Sprintf("the time budget of %v was used up; give more with --budget", r.budget)
	} else {
		r.Interrupted = true
	}
	r.leaveOut("%s (%s), in part: %s", left[0].name, left[0].key, why)
	for _, s := range left[1:] {
		r.leaveOut("%s (%s): %s", s.name, s.key, why)
	}
}

// all are the engine of the goals, then its peers.
func (r *run) all() []subject { return append([]subject{r.own}, r.peers...) }

// fits reports whether something that takes about so long still fits into the
// budget; if not, it is left out.
func (r *run) fits(what string, about time.Duration) bool {
	left := r.budget - time.Since(r.started)
	if r.budget == 0 || about <= left && left > 0 {
		return true
	}
	r.leaveOut("%s: the time budget of %v was used up, or would not last (about %v needed); give more with --budget", what, r.budget, about.Round(time.Second))
	return false
}

// memoryConfig is a config for a store in memory, whose cache has room for the
// records, those put while it is measured, and what engines need beside them.
func memoryConfig(records int) config {
	return config{CacheBytes: min(4*int64(records)*bench.UniformRecordBytes+256*mib, 12<<30), Class: engine.Buffered}
}

// stores makes a store for each subject; done removes them all.
func (r *run) stores(list []subject, records int, c config) (all []*store, done func() error, err error) {
	done = func() error {
		var errs []error
		for _, s := range all {
			errs = append(errs, s.remove())
		}
		return errors.Join(errs...)
	}
	for _, subject := range list {
		s, err := r.newStore(subject, records, c)
		if err != nil {
			return nil, nil, errors.Join(err, done())
		}
		all = append(all, s)
	}
	return all, done, nil
}

// loaded is stores, opened and loaded in bulk.
func (r *run) loaded(ctx context.Context, section string, list []subject, records int) (all []*store, done func() error, err error) {
	c := memoryConfig(records)
	all, done, err = r.stores(list, records, c)
	if err != nil {
		return nil, nil, err
	}
	err = r.turns(ctx, section, "load", all, func(s *store) error {
		if _, err := s.open(ctx, c); err != nil {
			return err
		}
		return s.load(ctx)
	})
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return all, done, nil
}

// turns calls f for each store, in an order that changes. An engine that fails is
// left out from there on; only an end of the context is an error.
func (r *run) turns(ctx context.Context, section, what string, all []*store, f func(*store) error) error {
	for _, i := range r.rng.Perm(len(all)) {
		s := all[i]
		if s.broken != nil {
			continue
		}
		r.progress.tell("%s: %s, %s", section, what, s.name)
		err := f(s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.broken = fmt.Errorf("%s: %w", what, err)
			s.kill()
			r.leaveOut("%s, %s: it failed at %v", section, s.name, s.broken)
			continue
		}
		if s.traits.Version != "" {
			r.Versions[s.name] = s.traits.Version
		}
	}
	return nil
}
