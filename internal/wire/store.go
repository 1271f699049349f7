package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
)

// Target is a provider whose wire is to fail.
type Target struct {
	// Server is the address of the server.
	Server string
	// Open opens the store at a place, over a wire at an address.
	Open func(ctx context.Context, address, place string) (driver.Store, error)
}

// silence is after how long a caller gives a call up that a silent fault has met.
const silence = 100 * time.Millisecond

// Run breaks the wire in the middle of each kind of call, in each way, and then of calls
// at random while histories are recorded.
func Run(t *testing.T, target Target) {
	t.Run("each-call", func(t *testing.T) { eachCall(t, target) })
	t.Run("bulk", func(t *testing.T) { bulk(t, target) })
	t.Run("histories", func(t *testing.T) { histories(t, target) })
}

// call is a call that a fault meets.
type call struct {
	name string
	// prepare makes what the call is about, by a store whose wire works.
	prepare func(ctx context.Context, direct driver.Store, key string) (driver.Revision, error)
	run     func(ctx context.Context, s driver.Store, key string, r driver.Revision) error
	// gone tells that the call removes the key, else it makes it "new". reads tells that
	// it writes nothing.
	gone, reads bool
}

func nothing(context.Context, driver.Store, string) (driver.Revision, error) {
	return driver.Revision{}, nil
}

func old(ctx context.Context, direct driver.Store, key string) (driver.Revision, error) {
	return direct.Put(ctx, []byte(key), []byte("old"), driver.PutOptions{})
}

func putting(name string, prepare func(context.Context, driver.Store, string) (driver.Revision, error), o driver.PutOptions, at bool) call {
	return call{name: name, prepare: prepare, run: func(ctx context.Context, s driver.Store, key string, r driver.Revision) error {
		if at {
			o.IfRevision = r
		}
		_, err := s.Put(ctx, []byte(key), []byte("new"), o)
		return err
	}}
}

// calls returns those that a store has.
func calls(s driver.Store) []call {
	all := []call{
		putting("put", old, driver.PutOptions{}, false),
		putting("put if absent", nothing, driver.PutOptions{IfAbsent: true}, false),
		putting("put at a revision", old, driver.PutOptions{}, true),
		{name: "delete", prepare: old, gone: true, run: func(ctx context.Context, s driver.Store, key string, _ driver.Revision) error {
			return s.Delete(ctx, []byte(key), driver.DeleteOptions{})
		}},
		{name: "delete at a revision", prepare: old, gone: true, run: func(ctx context.Context, s driver.Store, key string, r driver.Revision) error {
			return s.Delete(ctx, []byte(key), driver.DeleteOptions{IfRevision: r})
		}},
		{name: "get", prepare: old, reads: true, run: func(ctx context.Context, s driver.Store, key string, _ driver.Revision) error {
			_, err := s.Get(ctx, []byte(key))
			return err
		}},
		{name: "list", prepare: old, reads: true, run: func(ctx context.Context, s driver.Store, key string, _ driver.Revision) error {
			for _, err := range s.List(ctx, driver.ListOptions{Prefix: []byte(key)}) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "ping", prepare: nothing, reads: true, run: func(ctx context.Context, s driver.Store, _ string, _ driver.Revision) error { return s.Ping(ctx) }},
	}
	c := s.Capabilities()
	if c.TTL {
		all = append(all, putting("put with a TTL", old, driver.PutOptions{TTL: time.Hour}, false))
	}
	if c.Fence {
		all = append(all, putting("put with a fence", old, driver.PutOptions{Fence: 7}, false))
	}
	if _, ok := s.(driver.Committer); ok {
		all = append(all, call{name: "commit", prepare: old, run: func(ctx context.Context, s driver.Store, key string, r driver.Revision) error {
			return s.(driver.Committer).Commit(ctx, &driver.Commit{
				Reads:  []driver.Read{{Key: []byte(key), Revision: r}},
				Writes: []driver.Write{{Key: []byte(key), Value: []byte("new")}, {Key: []byte(key + "/2"), Value: []byte("new")}},
			})
		}})
	}
	if _, ok := s.(driver.BulkPutter); ok {
		all = append(all, call{name: "bulk put", prepare: old, run: func(ctx context.Context, s driver.Store, key string, _ driver.Revision) error {
			return s.(driver.BulkPutter).BulkPut(ctx, []driver.Write{{Key: []byte(key), Value: []byte("new")}})
		}})
	}
	if _, ok := s.(driver.BatchGetter); ok {
		all = append(all, call{name: "get many", prepare: old, reads: true, run: func(ctx context.Context, s driver.Store, key string, _ driver.Revision) error {
			_, err := s.(driver.BatchGetter).GetMany(ctx, [][]byte{[]byte(key), []byte("absent")})
			return err
		}})
	}
	return all
}

// eachCall: what a call says of a write that a fault has met is true, then and later;
// and the store serves again when the wire does.
func eachCall(t *testing.T, target Target) {
	w := servers.NewWire(t, target.Server)
	place := t.TempDir()
	open := func(address string) driver.Store {
		s, err := target.Open(t.Context(), address, place)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	s, direct := open(w.Address), open(target.Server)
	type promise struct {
		c    call
		key  string
		what string
	}
	var refused []promise // what was said not to be applied must never be
	doubts, harmed := map[string]bool{}, 0
	for _, f := range Faults() {
		for _, c := range calls(s) {
			for attempt := 0; ; attempt++ {
				what := fmt.Sprintf("%s, in a %s", f.Name, c.name)
				key := fmt.Sprintf("%s/%s/%d", f.Name, c.name, attempt)
				serves(t, s)
				r, err := c.prepare(t.Context(), direct, key)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if f.Silent {
					ctx, cancel = context.WithTimeout(t.Context(), silence)
				}
				Break(w, f)
				err = c.run(ctx, s, key, r)
				cancel()
				w.Mend()
				applied := !c.reads && isApplied(t, direct, c, key)
				if err != nil {
					harmed++
				}
				unknown, ended := errors.Is(err, driver.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded)
				switch {
				case err == nil && !c.reads && !applied:
					t.Errorf("%s: it has succeeded, and is not there", what)
				case err != nil && f.Slow:
					t.Errorf("%s: %v", what, err)
				case unknown && (c.reads || errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrConflict)):
					t.Errorf("%s: of two kinds, or of a read: %v", what, err)
				case unknown:
					doubts[f.Name+"/"+c.name] = doubts[f.Name+"/"+c.name] || applied
				case err != nil && !errors.Is(err, driver.ErrUnavailable) && !(f.Silent && ended):
					t.Errorf("%s: of no kind that it should be: %v", what, err)
				case err != nil && !c.reads:
					refused = append(refused, promise{c, key, what + ": " + err.Error()})
				}
				// A lost reply leaves a doubt about what was done, if the server was quick
				// enough to do it.
				if f.Name != ReplyLost.Name || c.reads || doubts[f.Name+"/"+c.name] || c.name == "put with a TTL" || c.name == "put with a fence" || attempt == 20 {
					break
				}
			}
		}
	}
	for _, p := range refused {
		if isApplied(t, direct, p.c, p.key) {
			t.Errorf("it was said that nothing was applied, and it is there: %s", p.what)
		}
	}
	for _, c := range calls(s) {
		if !c.reads && !strings.HasPrefix(c.name, "put with") && !doubts[ReplyLost.Name+"/"+c.name] {
			t.Errorf("no reply of a %s that was done was lost; the test has checked nothing", c.name)
		}
	}
	t.Logf("%d calls were harmed, %d said that nothing was applied", harmed, len(refused))
}

// serves waits until a store serves again.
func serves(t *testing.T, s driver.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		_, err := s.Put(ctx, []byte("serves"), nil, driver.PutOptions{})
		if err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
		if ctx.Err() != nil {
			t.Fatalf("it does not serve after the wire was mended: %v", err)
		}
	}
}

func isApplied(t *testing.T, direct driver.Store, c call, key string) bool {
	t.Helper()
	e, err := direct.Get(t.Context(), []byte(key))
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		t.Fatal(err)
	}
	if c.gone {
		return err != nil
	}
	return err == nil && string(e.Value) == "new"
}

// bulk breaks the wire within bulk puts of which a part is done. None may say that nothing
// was applied, whatever the call met that has failed.
func bulk(t *testing.T, target Target) {
	w := servers.NewWire(t, target.Server)
	place := t.TempDir()
	open := func(address string) driver.Store {
		s, err := target.Open(t.Context(), address, place)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s, direct := open(w.Address), open(target.Server)
	put, ok := s.(driver.BulkPutter)
	if !ok {
		return // capabilities/interfaces sees that it is not declared
	}
	ttl := time.Duration(0)
	if s.Capabilities().TTL {
		ttl = time.Hour
	}
	for attempt := range 12 {
		serves(t, s)
		var writes []driver.Write
		for i := range 4000 {
			writes = append(writes, driver.Write{Key: fmt.Appendf(nil, "bulk/%d/%d", attempt, i), Value: make([]byte, 100), TTL: ttl})
		}
		ended := make(chan error, 1)
		go func() { ended <- put.BulkPut(t.Context(), writes) }()
		begun := func() bool {
			for _, err := range direct.List(t.Context(), driver.ListOptions{Prefix: fmt.Appendf(nil, "bulk/%d/", attempt), Limit: 1, KeysOnly: true}) {
				return err == nil
			}
			return false
		}
		for !begun() {
			time.Sleep(100 * time.Microsecond)
		}
		Break(w, Refused)
		if err := <-ended; err != nil && (errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, driver.ErrOutcomeUnknown)) {
			t.Errorf("a bulk put of which a part is done: %v", err)
		}
		w.Mend()
	}
}

// histories runs the cases of drivertest that record histories, while some calls meet
// faults.
func histories(t *testing.T, target Target) {
	for _, c := range drivertest.Cases() {
		if c.Name != "concurrent/linearizable" && c.Name != "concurrent/serializable" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			w := servers.NewWire(t, target.Server)
			chaos := &chaos{w: w, left: wellCalls}
			err := c.Run(t.Context(), drivertest.Target{Name: "over a wire that fails", Operations: 120, Open: func(ctx context.Context, place string) (driver.Store, error) {
				s, err := target.Open(ctx, w.Address, place)
				if err != nil {
					return nil, err
				}
				committer, _ := s.(driver.Committer)
				plain := harmed{s, chaos}
				if committer == nil {
					return plain, nil
				}
				return harmedCommitter{plain, committer}, nil
			}}, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if chaos.failed.Load() < 10 {
				t.Errorf("only %d calls have failed", chaos.failed.Load())
			}
			t.Logf("%d of %d calls have failed, %d of them with an unknown outcome", chaos.failed.Load(), chaos.calls.Load(), chaos.unknown.Load())
		})
	}
}

// chaos breaks a wire after some calls that went well, and mends it after some that it
// has met.
type chaos struct {
	w                      *servers.Wire
	calls, failed, unknown atomic.Int64

	mu           sync.Mutex // guards what follows, and the wire
	faults, left int        // how many there were; how many calls until the next change
	broken       bool
}

const (
	wellCalls   = 25
	harmedCalls = 4
)

// turn counts a call that has ended.
func (c *chaos) turn(well bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.broken && !well {
		return // the client is about to find the wire again
	}
	if c.left--; c.left > 0 {
		return
	}
	if c.broken {
		c.w.Mend()
		c.left = wellCalls
	} else {
		Break(c.w, Faults()[c.faults%len(Faults())])
		c.faults, c.left = c.faults+1, harmedCalls
	}
	c.broken = !c.broken
}

func (c *chaos) do(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	c.calls.Add(1)
	err := do(ctx)
	late := errors.Is(err, context.DeadlineExceeded)
	lost := errors.Is(err, driver.ErrOutcomeUnknown) || errors.Is(err, driver.ErrUnavailable) || late
	c.turn(!lost)
	if errors.Is(err, driver.ErrOutcomeUnknown) {
		c.unknown.Add(1)
	}
	if lost {
		c.failed.Add(1)
	}
	if late && !errors.Is(err, driver.ErrOutcomeUnknown) {
		// The caller has given up; the case knows of no context of its own.
		return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
	}
	return err
}

// harmed is a store over such a wire. It repeats reads, as a provider does.
type harmed struct {
	driver.Store
	chaos *chaos
}

type harmedCommitter struct {
	harmed
	driver.Committer
}

func (s harmed) Get(ctx context.Context, key []byte) (e driver.Entry, err error) {
	for {
		err = s.chaos.do(ctx, func(ctx context.Context) (err error) { e, err = s.Store.Get(ctx, key); return err })
		if !errors.Is(err, driver.ErrUnavailable) || ctx.Err() != nil {
			return e, err
		}
		time.Sleep(5 * time.Millisecond) // as the pauses of a provider
	}
}

func (s harmed) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (r driver.Revision, err error) {
	err = s.chaos.do(ctx, func(ctx context.Context) (err error) { r, err = s.Store.Put(ctx, key, value, o); return err })
	return r, err
}

func (s harmed) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	return s.chaos.do(ctx, func(ctx context.Context) error { return s.Store.Delete(ctx, key, o) })
}

func (s harmedCommitter) Commit(ctx context.Context, m *driver.Commit) error {
	return s.chaos.do(ctx, func(ctx context.Context) error { return s.Committer.Commit(ctx, m) })
}
