package composite

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"golang.org/x/sync/semaphore"
)

// The sides, by their numbers.
const (
	primary = 0
	backup  = 1
)

var sideNames = [2]string{"primary", "backup"}

// pair is a composite in mode Synchronous or Periodic.
type pair struct {
	c     Config
	me    string
	begun time.Time
	sides [2]*side
	shape shape
	caps  driver.Capabilities
	locks *locks

	// turn is shared by operations, and had whole by what changes state.
	turn *semaphore.Weighted
	// state is replaced by whoever has turn whole.
	state atomic.Pointer[state]

	count atomic.Uint64   // of the revisions of this epoch
	beats atomic.Uint64   // of leases that were written
	valid [2]atomic.Int64 // until when this process has the lease of a side, since begun
	doubt atomic.Bool     // a commit is under way whose outcome nobody knows
	spoil atomic.Bool     // a write has not come to the side that is brought level
	watch [2]sighting     // used by who acquires
	life  context.Context // of the chores
	end   context.CancelFunc
	ended chan struct{} // closed when the chores have ended
	due   chores

	mu     sync.Mutex // guards what follows
	closed bool
	// behind are the rows that the side that does not serve may have otherwise; all, if
	// everything is. since is when the first of them was written.
	behind map[string]struct{}
	all    bool
	since  time.Time
	status Status
}

// state is which process serves from which side. It is not changed once it is there.
type state struct {
	// held: this process has the lease; if not, why says what has become of it.
	held bool
	why  error
	// epoch is that of the newest revisions; top the highest that any side has seen.
	epoch, top uint64
	serving    int
	// alone: writes do not go to the other side; filling: they do again, as it is being
	// brought level.
	alone, filling bool
	// level: the other side has all that was acknowledged, and all that a read has shown.
	level bool
	// frozen: writes are refused until both sides are there.
	frozen bool
	// fence is the revision of the control on each side, zero where this process has none.
	fence [2]driver.Revision
	// term begins anew when the lease is acquired, and when a side is level again.
	term uint64
}

func (st *state) other() int { return 1 - st.serving }

// uses reports whether writes go to a side.
func (st *state) uses(i int) bool { return i == st.serving || !st.alone }

// sighting is a control and lease that another process has, and since when they were
// seen so.
type sighting struct {
	control, lease driver.Revision
	since          time.Time
}

// whole is the weight of all turns.
const whole = 1 << 30

// maxBehind bounds the rows that are remembered one by one.
const maxBehind = 100_000

func openPair(ctx context.Context, c Config) (*pair, error) {
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	p := &pair{
		c: c, me: hex.EncodeToString(id), begun: c.Now(), locks: newLocks(), turn: semaphore.NewWeighted(whole),
		ended: make(chan struct{}), behind: map[string]struct{}{},
	}
	p.life, p.end = context.WithCancel(context.Background())
	p.sides = [2]*side{newSide(sideNames[0], c.Primary, &c), newSide(sideNames[1], c.Backup, &c)}
	p.state.Store(&state{why: errors.New("it is not open yet")})
	p.due = chores{p.begun, p.begun, p.begun}
	if err := p.open(ctx); err != nil {
		p.end()
		return nil, errors.Join(err, p.sides[0].close(), p.sides[1].close())
	}
	return p, nil
}

// open reaches the sides, and waits for the lease.
func (p *pair) open(ctx context.Context) error {
	var errs [2]error
	for i, s := range p.sides {
		if _, errs[i] = s.reach(ctx); errs[i] == nil {
			continue
		}
		errs[i] = fmt.Errorf("the %s: %w", s.name, errs[i])
		if ctx.Err() != nil || !errors.Is(errs[i], driver.ErrUnavailable) && !errors.Is(errs[i], context.DeadlineExceeded) {
			return errs[i]
		}
		s.mu.Lock()
		s.last, s.pings = errs[i], p.c.FailoverThreshold
		s.mu.Unlock()
	}
	if errs[0] != nil && errs[1] != nil {
		return errors.Join(errs[0], errs[1])
	}
	if err := p.fit(ctx); err != nil {
		return err
	}
	for {
		err := p.acquire(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, errWait) {
			return err
		}
		if err := p.c.Sleep(ctx, p.c.LeaseTTL/10); err != nil {
			return fmt.Errorf("%w; given up: %w", driver.ErrLocked, err)
		}
	}
	st := p.state.Load()
	if st.alone && !st.level {
		err := p.restore(ctx)
		if err != nil && ctx.Err() != nil {
			return err
		}
		// Where it failed, the chores go on with it, and health says so.
		p.trouble(err)
	}
	return nil
}

// fit finds out what both sides together can do: from them, or from the record of one.
func (p *pair) fit(ctx context.Context) error {
	one, two := p.sides[0].opened(), p.sides[1].opened()
	if one != nil && two != nil {
		a, b := one.Capabilities(), two.Capabilities()
		p.shape = shape{
			Version: a.Backend + " " + a.Version + " and " + b.Backend + " " + b.Version,
			TTL:     a.TTL && b.TTL && a.Clock && b.Clock,
			Limits: driver.Limits{
				MaxKeyBytes:     min(a.Limits.MaxKeyBytes, b.Limits.MaxKeyBytes) - keyOverhead,
				MaxValueBytes:   min(a.Limits.MaxValueBytes, b.Limits.MaxValueBytes) - rowHeader,
				MaxCommitBytes:  min(a.Limits.MaxCommitBytes, b.Limits.MaxCommitBytes) / 2,
				MaxCommitWrites: min(a.Limits.MaxCommitWrites, b.Limits.MaxCommitWrites) / 2, // each may change a fence, too
			},
		}
		p.shape.Limits.MaxCommitWrites = min(p.shape.Limits.MaxCommitWrites, max(p.shape.Limits.MaxCommitBytes/(4*rowHeader), 1))
		if p.shape.Durability = min(a.Durability, b.Durability); p.c.Mode == Synchronous && !p.c.AllowSingle {
			p.shape.Durability = max(a.Durability, b.Durability)
		}
		p.shape.Persistent = a.Persistent || b.Persistent
	} else {
		i := primary
		if one == nil {
			i = backup
		}
		v, err := p.look(ctx, i)
		if err != nil {
			return err
		}
		if !v.exists() {
			_, last := p.sides[1-i].failures()
			return fmt.Errorf("%w: the %s is empty, and what the %s has is not known: %v", driver.ErrUnavailable, sideNames[i], sideNames[1-i], last)
		}
		p.shape = v.Pair
	}
	p.caps = driver.Capabilities{
		Backend: Backend, Version: p.shape.Version, Durability: p.shape.Durability, Persistent: p.shape.Persistent,
		TTL: p.shape.TTL, Fence: true, RangeReads: true, Limits: p.shape.Limits,
		Commit: true, BatchGet: true, BulkPut: true, Report: true, Clock: p.shape.TTL, Expire: p.shape.TTL,
	}
	return nil
}

// declared hides what the sides cannot do.
func (p *pair) declared() driver.Store {
	if p.caps.TTL {
		return &timedPair{p}
	}
	return p
}

// enter begins an operation; exit ends it.
func (p *pair) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		p.exit()
		return driver.ErrClosed
	}
	return nil
}

func (p *pair) exit() { p.turn.Release(1) }

// set replaces the state. The caller has turn whole.
func (p *pair) set(next state) {
	now := p.state.Load()
	if next.epoch != now.epoch {
		p.count.Store(0)
	}
	next.top = max(next.top, next.epoch)
	p.state.Store(&next)
}

// leased reports whether this process has the lease of every side that it uses.
func (p *pair) leased(st *state) bool {
	now := int64(p.c.Now().Sub(p.begun))
	for i := range p.sides {
		if st.uses(i) && now >= p.valid[i].Load() {
			return false
		}
	}
	return true
}

// usable returns why an operation cannot be done, nil if it can.
func (p *pair) usable(ctx context.Context, st *state, write bool) error {
	switch {
	case !st.held:
		return fmt.Errorf("composite: %w", st.why)
	case write && st.why != nil:
		return fmt.Errorf("composite: %w", st.why)
	case write && st.frozen:
		_, last := p.sides[st.other()].failures()
		if last == nil {
			last = errors.New("it is being brought level")
		}
		return fmt.Errorf("composite: %w: the %s is out, and allow_single is not set, so that nothing is written to one side alone: %v",
			driver.ErrUnavailable, sideNames[st.other()], last)
	case !p.leased(st):
		err := p.renewAll(ctx, st)
		if errors.Is(err, driver.ErrOutcomeUnknown) && !errors.Is(err, errLost) {
			// The lease may have been renewed; the operation has surely not been made.
			err = fmt.Errorf("composite: %w: the lease could not be renewed: %v", driver.ErrUnavailable, err)
		}
		return err
	}
	return nil
}

// renewAll prolongs the lease of every side that is used.
func (p *pair) renewAll(ctx context.Context, st *state) error {
	for i := range p.sides {
		if !st.uses(i) {
			continue
		}
		if err := p.renew(ctx, i, st.fence[i]); err != nil {
			return err
		}
	}
	return nil
}

// halfway is the error of a write that one side has taken, and of which that is not
// known of the other.
type halfway struct {
	err error
	// has is the side that has it for certain, none that surely has not; -1 is neither.
	has, none int
}

// Error implements error.
func (h *halfway) Error() string { return h.err.Error() + "; one side may have the write" }

// Is makes it ErrOutcomeUnknown, and errLost where it is that.
func (h *halfway) Is(kind error) bool {
	return kind == driver.ErrOutcomeUnknown || kind == errLost && errors.Is(h.err, errLost) //nolint:errorlint // kinds are compared
}

// do makes one operation, and makes it again where that is safe after a failover. It is
// the operation's error, or nil if a failover has decided for the write.
func (p *pair) do(ctx context.Context, write bool, op func(ctx context.Context, st *state) error) error {
	const attempts = 4 // a failover of each side, and one more
	for attempt := 1; ; attempt++ {
		if write && p.doubt.Load() {
			if err := p.settle(ctx); err != nil && !p.goesOn(ctx, err) {
				return err
			}
		}
		if err := p.enter(ctx); err != nil {
			return err
		}
		st := p.state.Load()
		err := p.usable(ctx, st, write)
		if err == nil {
			if err = op(ctx, st); !write && isAnswer(err) && !p.leased(st) {
				err = errExpired
			}
		}
		p.exit()
		if isAnswer(err) || ctx.Err() != nil {
			return err
		}
		if errors.Is(err, errLost) {
			p.verify(ctx)
			switch now := p.state.Load(); {
			case !now.held, errors.Is(err, driver.ErrOutcomeUnknown):
				return err
			case attempt == attempts:
				return fmt.Errorf("composite: %w: a side has refused a commit %d times without a reason: %v", driver.ErrUnavailable, attempts, err)
			}
			continue
		}
		now := p.failoverFrom(ctx, st)
		if errors.Is(err, errExpired) && attempt < attempts {
			continue
		}
		if now == st || !now.held || attempt == attempts {
			return err
		}
		var half *halfway
		switch {
		case errors.As(err, &half):
			switch {
			case now.term != st.term || now.frozen:
				return err
			case half.has == now.serving && now.alone:
				return nil // it has the write, and the other does not count any more
			case half.none == now.serving && (now.alone || now.epoch != st.epoch):
				// What was under way to the other side is refused, or does not count.
			default:
				return err
			}
		case errors.Is(err, driver.ErrOutcomeUnknown):
			return err
		}
	}
}

// failoverFrom fails over, if a side has failed too often and that was not done since
// seen, and returns the state then.
func (p *pair) failoverFrom(ctx context.Context, seen *state) *state {
	p.failover(ctx, seen)
	now := p.state.Load()
	// Another one may have changed the state and not got any further.
	for tries := 0; tries < 3 && now != seen && now.held && !now.alone && (p.out(primary) || p.out(backup)); tries++ {
		p.failover(ctx, now)
		now = p.state.Load()
	}
	return now
}

// errExpired says that a read may be older than what another process has written.
var errExpired = fmt.Errorf("composite: %w: the lease ran out during the read", driver.ErrUnavailable)

// isAnswer reports whether an operation has been answered.
func isAnswer(err error) bool {
	return err == nil || isAny(err, answers) && !errors.Is(err, errLost) && !errors.Is(err, driver.ErrOutcomeUnknown)
}

// goesOn reports whether a failover has followed an error of settle.
func (p *pair) goesOn(ctx context.Context, err error) bool {
	if errors.Is(err, errLost) {
		p.verify(ctx)
		return false
	}
	st := p.state.Load()
	p.failover(ctx, st)
	return p.state.Load() != st
}

// out reports whether a side has failed too often.
func (p *pair) out(i int) bool {
	n, _ := p.sides[i].failures()
	return n >= p.c.FailoverThreshold
}

// failover changes which sides are used, if one has failed too often and seen is still
// the state.
func (p *pair) failover(ctx context.Context, seen *state) {
	if p.state.Load() != seen || !p.out(primary) && !p.out(backup) {
		return
	}
	if p.turn.Acquire(ctx, whole) != nil {
		return
	}
	defer p.turn.Release(whole)
	st := p.state.Load()
	if st != seen || !st.held || st.why != nil {
		return
	}
	other := st.other()
	next := *st
	next.alone, next.filling = true, false
	next.frozen = p.c.Mode == Synchronous && !p.c.AllowSingle
	next.level = next.frozen
	p.mu.Lock()
	behind := len(p.behind) > 0 || p.all
	p.mu.Unlock()
	switch {
	case p.out(other) && st.alone:
		if st.filling {
			p.spoil.Store(true)
		}
		return
	case p.out(other) && p.out(st.serving):
		return
	case p.out(other) && next.frozen:
		p.set(next)
		return
	case p.out(other):
		next.epoch = p.lead(ctx, st, st.serving, isAhead, &next)
	case p.c.Mode == Synchronous && !st.level:
		return // the other has not all that was acknowledged
	case st.fence[other].IsZero():
		return // it was never reached
	case next.frozen:
		// It shows writes of unknown outcome now that the first side may not have: there
		// is no way back to that before it is level.
		next.level = !behind
		next.serving, next.epoch = other, p.lead(ctx, st, other, isLevel, &next)
	default:
		next.serving, next.epoch = other, p.lead(ctx, st, other, isAhead, &next)
	}
	if next.epoch == 0 {
		return // the side that was to lead fails, too, and that is counted
	}
	p.doubt.Store(false) // what was under way to the side that leads is refused now
	p.set(next)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Failovers++
	if p.c.Mode == Periodic {
		p.status.Lost += uint64(len(p.behind))
		p.status.LostAll = p.status.LostAll || p.all
	}
}

// lead writes a new epoch in which a side serves without the other, and returns it; 0 if
// that fails.
func (p *pair) lead(ctx context.Context, st *state, i int, l level, next *state) uint64 {
	epoch, err := nextEpoch(st.top, i)
	if err != nil {
		p.trouble(err)
		return 0
	}
	fence, err := p.advance(ctx, i, st.fence[i], control{Epoch: epoch, Serving: sideNames[i], Level: l})
	if errors.Is(err, errLost) {
		p.lose(err)
		return 0
	}
	if err != nil {
		p.trouble(err)
		return 0
	}
	next.fence[i] = fence
	return epoch
}

// lose notes that another process serves. The caller has turn whole.
func (p *pair) lose(err error) {
	st := *p.state.Load()
	st.held, st.why = false, err
	p.set(st)
}

// verify looks whether this process still has its sides, after a commit has said no.
func (p *pair) verify(ctx context.Context) {
	if p.turn.Acquire(ctx, whole) != nil {
		return
	}
	defer p.turn.Release(whole)
	st := p.state.Load()
	if !st.held {
		return
	}
	next := *st
	for i, s := range p.sides {
		if !st.uses(i) && !st.filling {
			continue
		}
		now, mine, err := p.mine(ctx, i)
		if err == nil && !mine {
			p.lose(fmt.Errorf("%s: %w", s.name, errLost))
			return
		}
		if err == nil {
			next.fence[i] = now // by an advance whose outcome was not known
		}
	}
	if next.fence != st.fence {
		p.set(next)
	}
}

// settle writes a new epoch to the sides that are used, after a commit of unknown
// outcome: what is still under way is refused from then on. Then it makes both sides
// the same where they may not be.
func (p *pair) settle(ctx context.Context) error {
	if err := p.turn.Acquire(ctx, whole); err != nil {
		return err
	}
	defer p.turn.Release(whole)
	return p.settleWhole(ctx)
}

func (p *pair) settleWhole(ctx context.Context) error {
	st := p.state.Load()
	if !p.doubt.Load() || !st.held || st.frozen || st.why != nil {
		return nil
	}
	epoch, err := nextEpoch(st.top, st.serving)
	if err != nil {
		return err
	}
	next := *st
	next.top = epoch
	for _, i := range [2]int{st.other(), st.serving} { // the one that serves last, as with every write
		if !st.uses(i) {
			continue
		}
		l := isLevel
		if st.alone {
			l = isAhead
		}
		fence, err := p.advance(ctx, i, next.fence[i], control{Epoch: epoch, Serving: sideNames[st.serving], Level: l})
		if err != nil {
			p.set(next)
			return err
		}
		next.fence[i] = fence
	}
	next.epoch = epoch
	next.filling = false // what was under way to the side that is brought level is not refused
	if st.filling {
		p.spoil.Store(true)
	}
	p.set(next)
	if !st.alone {
		if err := p.copyBehind(ctx, p.state.Load()); err != nil {
			return err
		}
	}
	p.doubt.Store(false)
	return nil
}

// fall marks rows that the side that does not serve may have otherwise.
func (p *pair) fall(rows []driver.Write) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		p.since = p.c.Now()
	}
	for i := range rows {
		if p.all {
			return
		}
		p.behind[string(rows[i].Key)] = struct{}{}
		if len(p.behind) > maxBehind {
			p.fallAll()
		}
	}
}

// fallAll marks all rows. The caller holds mu.
func (p *pair) fallAll() {
	p.all = true
	clear(p.behind)
	if p.since.IsZero() {
		p.since = p.c.Now()
	}
}

// trouble keeps what health is to show of the chores.
func (p *pair) trouble(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Trouble = ""
	if err != nil {
		p.status.Trouble = err.Error()
	}
}
