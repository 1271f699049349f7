package fight

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/node"
	"golang.org/x/sys/unix"
)

// Open opens a provider in a process, at a place that Run was given.
type Open func(ctx context.Context, place string) (*providers.Provider, error)

// order is what a process is told to do, in its environment.
type order struct {
	Place           string
	Process         int
	Clients, Leases int
	Registers       int // operations on plain keys of each client
	TTL             time.Duration
	ClockOff        time.Duration
	Seed            uint64
	MayDeny         bool
}

const variable = "ORBIT_FIGHT"

// event is what a client tells of one call.
type event struct {
	Kind      string           `json:",omitempty"` // acquire, renew, release, write, register, end
	Client    int              `json:",omitempty"`
	Lease     int              `json:",omitempty"`
	Token     uint64           `json:",omitempty"`
	Call      int64            `json:",omitempty"` // on the machine's monotonic clock, as all times here
	Return    int64            `json:",omitempty"`
	Valid     int64            `json:",omitempty"` // until when the holder may go on
	Revision  string           `json:",omitempty"` // of a write; their texts are in its order
	Fenced    bool             `json:",omitempty"` // a write was refused by its token
	Operation *check.Operation `json:",omitempty"`
	Error     string           `json:",omitempty"` // one that should not be
}

// Main is the client's side: TestMain calls it first. In a process that Run has started
// it does not return.
func Main(open Open) {
	text := os.Getenv(variable)
	if text == "" {
		return
	}
	var o order
	out := &tongue{to: json.NewEncoder(os.Stdout)}
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = fight(o, open, out)
	}
	if err != nil {
		out.say(event{Kind: "end", Error: err.Error()})
	}
	os.Exit(0)
}

// tongue tells the parent.
type tongue struct {
	mu sync.Mutex // guards to
	to *json.Encoder
}

func (g *tongue) say(e event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.to.Encode(e) // if nobody listens any more, the fight is over
}

// monotonic is a clock that all processes of the machine share.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // it does not fail
	return t.Nano()
}

// fight runs the clients of a process until its input ends.
func fight(o order, open Open, out *tongue) error {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		var b [1]byte
		_, _ = os.Stdin.Read(b[:]) // the parent has closed it, or is dead
	}()
	p, err := open(context.Background(), o.Place)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	now := func() time.Time { return time.Now().Add(o.ClockOff) }
	d := lease.New(p, lease.Options{Now: now})
	var group sync.WaitGroup
	for i := range o.Clients {
		c := &client{o: o, number: o.Process*o.Clients + i, p: p, d: d, now: now, out: out, before: map[int]uint64{}}
		c.random = rand.New(rand.NewPCG(o.Seed, uint64(c.number)))
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if i < o.Registers {
					c.register(i)
				}
				c.round()
			}
		})
	}
	group.Wait()
	if err := p.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	out.say(event{Kind: "end"})
	return nil
}

type client struct {
	o      order
	number int
	p      *providers.Provider
	d      *lease.Directory
	now    func() time.Time
	random *rand.Rand
	out    *tongue
	// before holds, of each lease, the token that the client had last.
	before map[int]uint64
}

const callTimeout = 2 * time.Second

// tell tells of a call that has succeeded, or has failed as it may.
func (c *client) tell(e event, err error) bool {
	e.Client, e.Return = c.number, monotonic()
	switch {
	case err == nil:
		c.out.say(e)
		return true
	case errors.Is(err, driver.ErrFenced):
		e.Fenced = true
		c.out.say(e)
	case errors.Is(err, driver.ErrOutcomeUnknown) && errors.Is(err, driver.ErrUnavailable):
		c.out.say(event{Kind: e.Kind, Client: c.number, Error: "of two kinds: " + err.Error()})
	case errors.Is(err, driver.ErrConflict), errors.Is(err, driver.ErrUnavailable), errors.Is(err, driver.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded):
	case errors.Is(err, driver.ErrDenied) && c.o.MayDeny:
	default:
		c.out.say(event{Kind: e.Kind, Client: c.number, Error: err.Error()})
	}
	return false
}

// round fights for one lease, and writes what it protects.
func (c *client) round() {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	number := c.random.IntN(c.o.Leases)
	ref := lease.Reference{Type: "fight", Key: lease.StringKey(fmt.Sprint(number))}
	e := event{Kind: "acquire", Lease: number, Call: monotonic()}
	held, err := c.d.Acquire(ctx, ref, node.ID{Namespace: "fight", Key: fmt.Sprint(c.number)}, c.o.TTL)
	e.Token, e.Valid = held.Token, c.valid(&held)
	if !c.tell(e, err) {
		return
	}
	// A token of before is of no use once a newer one was written with; a client that was
	// stopped comes with one by chance, this one on purpose.
	older := c.before[number]
	c.before[number] = held.Token
	if c.write(ctx, number, held.Token) && older != 0 && c.random.IntN(4) == 0 {
		c.write(ctx, number, older)
	}
	switch c.random.IntN(20) {
	case 0: // it is held for longer than allowed, and written to all the same
		time.Sleep(c.o.TTL + c.o.TTL/4)
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		c.renew(ctx, number, &held)
		c.write(ctx, number, held.Token)
		return
	case 1: // it is left
		return
	case 2, 3, 4:
		c.renew(ctx, number, &held)
		c.write(ctx, number, held.Token)
	}
	e = event{Kind: "release", Lease: number, Token: held.Token, Call: monotonic()}
	if err := c.d.Release(ctx, held); errors.Is(err, driver.ErrOutcomeUnknown) {
		c.tell(e, nil) // it may be free by now
	} else {
		c.tell(e, err)
	}
}

func (c *client) valid(h *lease.Held) int64 {
	return monotonic() + int64(h.ValidUntil.Sub(c.now()))
}

func (c *client) renew(ctx context.Context, number int, h *lease.Held) {
	e := event{Kind: "renew", Lease: number, Token: h.Token, Call: monotonic()}
	again, err := c.d.Renew(ctx, *h)
	if err == nil {
		*h = again
		e.Valid = c.valid(h)
	}
	c.tell(e, err)
}

// write writes under a fence, and reports whether it was done.
func (c *client) write(ctx context.Context, number int, token uint64) bool {
	e := event{Kind: "write", Lease: number, Token: token, Call: monotonic()}
	r, err := c.p.Put(ctx, fmt.Appendf(nil, "protected/%d", number), fmt.Appendf(nil, "%d", token), providers.PutOptions{Fence: token})
	if e.Revision = r.Tag(); e.Revision == "" {
		e.Revision = fmt.Sprintf("%020d", r.Number())
	}
	return c.tell(e, err)
}

// register makes one operation on a plain key.
func (c *client) register(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	key, value := fmt.Sprint("register/", c.random.IntN(3)), fmt.Sprintf("%d-%d", c.number, i)
	op := &check.Operation{Client: c.number, Call: monotonic()}
	var err error
	switch c.random.IntN(3) {
	case 0:
		var e providers.Entry
		if e, err = c.p.Get(ctx, []byte(key)); err == nil {
			op.Reads = []check.Read{check.Got(key, string(e.Value))}
		} else if errors.Is(err, driver.ErrNotFound) {
			op.Reads, err = []check.Read{check.Missed(key)}, nil
		}
	case 1:
		_, err = c.p.Put(ctx, []byte(key), []byte(value), providers.PutOptions{})
		op.Changes = []check.Change{{Kind: check.Put, Key: key, Value: value}}
	case 2:
		e, getErr := c.p.Get(ctx, []byte(key))
		if getErr != nil {
			return
		}
		op.Call = monotonic()
		_, err = c.p.Put(ctx, []byte(key), []byte(value), providers.PutOptions{IfRevision: e.Revision})
		op.Reads = []check.Read{check.Got(key, string(e.Value))}
		op.Changes = []check.Change{{Kind: check.Put, Key: key, Value: value}}
	}
	op.Return = monotonic()
	if errors.Is(err, driver.ErrOutcomeUnknown) {
		op.Return, err = check.Never, nil
	}
	c.tell(event{Kind: "register", Operation: op}, err)
}
