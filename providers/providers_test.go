package providers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, c providers.Config) *providers.Provider {
	t.Helper()
	c.Backend = "memory"
	p, err := providers.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, p)
	return p
}

func closing(t testing.TB, p *providers.Provider) {
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.Is(err, providers.ErrClosed) {
			t.Error(err)
		}
	})
}

// over opens a provider over memory, as a store that a wire leads to and that has
// compare-and-swap alone, or more.
func over(t testing.TB, c providers.Config, wrap func(driver.Store) driver.Store) *providers.Provider {
	t.Helper()
	s, err := memory.Open(t.Context(), memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := providers.OpenStore(wrap(s), c)
	closing(t, p)
	return p
}

// remote is a store that says that a wire leads to it.
type remote struct{ driver.Store }

func (r remote) Capabilities() driver.Capabilities {
	c := r.Store.Capabilities()
	c.Remote = true
	return c
}

// both runs a test over a store that commits natively, and over one with
// compare-and-swap alone.
func both(t *testing.T, run func(t *testing.T, p *providers.Provider)) {
	t.Run("native", func(t *testing.T) { run(t, open(t, providers.Config{})) })
	t.Run("cas", func(t *testing.T) { run(t, over(t, providers.Config{}, drivertest.CASOnly)) })
}

func put(t testing.TB, p *providers.Provider, key, value string) providers.Revision {
	t.Helper()
	r, err := p.Put(t.Context(), []byte(key), []byte(value), providers.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t testing.TB, p *providers.Provider, key string) string {
	t.Helper()
	e, err := p.Get(t.Context(), []byte(key))
	if errors.Is(err, providers.ErrNotFound) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(e.Value)
}

func TestLifecycle(t *testing.T) {
	p := providers.New(providers.Config{Backend: "memory"})
	if _, err := p.Get(t.Context(), []byte("k")); !errors.Is(err, providers.ErrClosed) {
		t.Errorf("before Open: %v", err)
	}
	for range 2 {
		if err := p.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(t, p, "k", "v")
	}
	if get(t, p, "k") != "v" {
		t.Error("a second Open has opened another store")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, k := t.Context(), []byte("k")
	for what, call := range map[string]func() error{
		"get":      func() error { _, err := p.Get(ctx, k); return err },
		"get many": func() error { _, err := p.GetMany(ctx, [][]byte{k}); return err },
		"put":      func() error { _, err := p.Put(ctx, k, k, providers.PutOptions{}); return err },
		"delete":   func() error { return p.Delete(ctx, k, providers.DeleteOptions{}) },
		"bulk":     func() error { return p.BulkPut(ctx, nil) },
		"commit":   func() error { return p.Commit(ctx, &driver.Commit{}) },
		"begin":    func() error { _, err := p.Begin(ctx, providers.TxOptions{}); return err },
		"update":   func() error { return p.Update(ctx, func(*providers.Tx) error { return nil }) },
		"now":      func() error { _, err := p.Now(ctx); return err },
		"list": func() error {
			for _, err := range p.List(ctx, providers.ListOptions{}) {
				return err
			}
			return nil
		},
		"open":  func() error { return p.Open(ctx) },
		"close": p.Close,
	} {
		if err := call(); !errors.Is(err, providers.ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	if h := p.Health(ctx); h.State != providers.Unhealthy {
		t.Errorf("health after Close: %+v", h)
	}
	if _, err := providers.Open(ctx, providers.Config{Backend: "memroy"}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("an unknown backend: %v", err)
	}
}

// TestRetries: what was not applied is made again, what may have been never.
func TestRetries(t *testing.T) {
	type call func(p *providers.Provider) error
	k := []byte("k")
	calls := map[string]call{
		"get": func(p *providers.Provider) error { _, err := p.Get(context.Background(), k); return err },
		"put": func(p *providers.Provider) error {
			_, err := p.Put(context.Background(), k, k, providers.PutOptions{})
			return err
		},
		"delete": func(p *providers.Provider) error { return p.Delete(context.Background(), k, providers.DeleteOptions{}) },
		"list": func(p *providers.Provider) error {
			for _, err := range p.List(context.Background(), providers.ListOptions{}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	quick := providers.Config{Retry: providers.Retry{Count: 2, FirstPause: 1}, Breaker: providers.Breaker{Failures: -1}}
	for op, call := range calls {
		for _, c := range []struct {
			err      error
			fails    int64
			attempts int64
			want     error
		}{
			{driver.ErrUnavailable, 2, 3, nil},
			{driver.ErrUnavailable, 3, 3, driver.ErrUnavailable},
			{driver.ErrOutcomeUnknown, 1, 1, driver.ErrOutcomeUnknown},
			{fmt.Errorf("%w: %w", driver.ErrUnavailable, driver.ErrOutcomeUnknown), 1, 1, driver.ErrOutcomeUnknown},
			{driver.ErrDenied, 1, 1, driver.ErrDenied},
			{driver.ErrConflict, 1, 1, driver.ErrConflict},
		} {
			var attempts atomic.Int64
			m, err := memory.Open(t.Context(), memory.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Put(t.Context(), k, k, driver.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			f := &drivertest.Faulty{Store: m, Before: func(_ context.Context, got drivertest.Call) error {
				if got.Op == op && attempts.Add(1) <= c.fails {
					return c.err
				}
				return nil
			}}
			p := providers.OpenStore(native{remote{f}, m}, quick)
			if err := call(p); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%s with %d times %v: %v", op, c.fails, c.err, err)
			}
			if n := attempts.Load(); n != c.attempts {
				t.Errorf("%s with %d times %v: %d attempts, want %d", op, c.fails, c.err, n, c.attempts)
			}
			p.Close()
		}
	}
}

// native is a faulty store that commits natively.
type native struct {
	driver.Store
	driver.Committer
}

// TestListResumes: a list that breaks off goes on behind the last key that came.
func TestListResumes(t *testing.T) {
	m, err := memory.Open(t.Context(), memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 2500 {
		key := fmt.Sprintf("%05d", i)
		want = append(want, key)
		if _, err := m.Put(t.Context(), []byte(key), nil, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	p := providers.OpenStore(native{remote{breaking{m, new(atomic.Int64)}}, m}, providers.Config{Retry: providers.Retry{FirstPause: 1, Count: 5}, Breaker: providers.Breaker{Failures: -1}})
	closing(t, p)
	for _, limit := range []int{0, 1, 1000, 1700, 2500, 9999} {
		var got []string
		for e, err := range p.List(t.Context(), providers.ListOptions{Limit: limit}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(e.Key))
		}
		n := len(want)
		if limit > 0 {
			n = min(n, limit)
		}
		if !slices.Equal(got, want[:n]) {
			t.Errorf("limit %d: %d keys", limit, len(got))
		}
	}
}

// breaking breaks every second list off after 300 entries.
type breaking struct {
	driver.Store
	lists *atomic.Int64
}

func (b breaking) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		n, breaks := 0, b.lists.Add(1)%2 == 0
		for e, err := range b.Store.List(ctx, o) {
			if n++; breaks && n > 300 {
				yield(driver.Entry{}, driver.ErrUnavailable)
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// TestBreaker: after failures in a row calls are refused at once, and health says so;
// later they are tried again.
func TestBreaker(t *testing.T) {
	var down atomic.Bool
	var reached atomic.Int64
	m, err := memory.Open(t.Context(), memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	f := &drivertest.Faulty{Store: m, Before: func(context.Context, drivertest.Call) error {
		reached.Add(1)
		if down.Load() {
			return driver.ErrUnavailable
		}
		return nil
	}}
	p := providers.OpenStore(native{remote{f}, m}, providers.Config{Retry: providers.Retry{Count: -1}, Breaker: providers.Breaker{Failures: 3, OpenFor: 50 * time.Millisecond, Successes: 1}})
	closing(t, p)
	// Answers are no failures.
	for range 10 {
		if get(t, p, "absent") != "-" {
			t.Fatal("found")
		}
	}
	down.Store(true)
	for range 3 {
		if _, err := p.Get(t.Context(), []byte("k")); !errors.Is(err, providers.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	before := reached.Load()
	_, err = p.Get(t.Context(), []byte("k"))
	if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "circuit") || reached.Load() != before {
		t.Errorf("with an open circuit: %v after %d calls", err, reached.Load()-before)
	}
	if h := p.Health(t.Context()); h.State != providers.Unhealthy || !strings.Contains(strings.Join(h.Reasons, ";"), "circuit") {
		t.Errorf("health: %+v", h)
	}
	down.Store(false)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, err := p.Get(t.Context(), []byte("k")); errors.Is(err, providers.ErrNotFound) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the circuit never closes")
		}
	}
	if h := p.Health(t.Context()); h.State != providers.Healthy || len(h.Reasons) != 0 {
		t.Errorf("health: %+v", h)
	}
}

// TestDeadline: a call that hangs ends with its timeout, and a caller's own deadline
// goes before.
func TestDeadline(t *testing.T) {
	m, err := memory.Open(t.Context(), memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	f := &drivertest.Faulty{Store: m, Before: func(ctx context.Context, _ drivertest.Call) error { <-ctx.Done(); return ctx.Err() }}
	p := providers.OpenStore(native{remote{f}, m}, providers.Config{Retry: providers.Retry{Timeout: 10 * time.Millisecond}, Breaker: providers.Breaker{Failures: -1}})
	closing(t, p)
	if _, err := p.Get(t.Context(), []byte("k")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call that hangs: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Get(ctx, []byte("k")); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
}

// TestOneDeadlineIsOneFailure: calls that one deadline of their caller ends together are
// no failures in a row; as many deadlines are.
func TestOneDeadlineIsOneFailure(t *testing.T) {
	m, err := memory.Open(t.Context(), memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	f := &drivertest.Faulty{Store: m, Before: func(ctx context.Context, c drivertest.Call) error {
		if string(c.Key) != "hangs" {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	p := providers.OpenStore(native{remote{f}, m}, providers.Config{Breaker: providers.Breaker{Failures: 3, OpenFor: time.Hour}})
	closing(t, p)
	hang := func(calls int) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var done sync.WaitGroup
		for range calls {
			done.Go(func() {
				if _, err := p.Get(ctx, []byte("hangs")); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a call that hangs: %v", err)
				}
			})
		}
		done.Wait()
	}
	hang(8)
	if got := get(t, p, "absent"); got != "-" {
		t.Errorf("after a deadline: %q", got)
	}
	for range 3 {
		hang(1)
	}
	if _, err := p.Get(t.Context(), []byte("absent")); !errors.Is(err, providers.ErrUnavailable) {
		t.Errorf("after three deadlines in a row: %v", err)
	}
}

type tracer struct {
	mu    sync.Mutex
	spans []string
}

type traceKey struct{}

func (t *tracer) Start(ctx context.Context, provider, operation string, key []byte) (context.Context, func(error)) {
	return context.WithValue(ctx, traceKey{}, operation), func(err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.spans = append(t.spans, fmt.Sprintf("%s %s %s %v", provider, operation, key, err))
	}
}

// TestMetricsAuditAndTracing: each call is seen once, errors with it, values never.
func TestMetricsAuditAndTracing(t *testing.T) {
	var log bytes.Buffer
	tr := new(tracer)
	p := open(t, providers.Config{Name: "main", Tracer: tr, Audit: slog.New(slog.NewTextHandler(&log, nil))})
	put(t, p, "k", "secret-value")
	if get(t, p, "k") != "secret-value" || get(t, p, "absent") != "-" {
		t.Fatal("get")
	}
	if _, err := p.Put(t.Context(), []byte("k"), nil, providers.PutOptions{IfAbsent: true}); !errors.Is(err, providers.ErrConflict) {
		t.Fatal(err)
	}
	if _, err := p.Put(t.Context(), nil, []byte("secret-value"), providers.PutOptions{}); !errors.Is(err, providers.ErrInvalid) {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), []byte("k"), providers.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for range p.List(t.Context(), providers.ListOptions{}) {
	}
	m := p.Metrics()
	if m.Provider != "main" || m.ReadOperations != 3 || m.WriteOperations != 3 || m.DeleteOperations != 1 || m.ErrorCount != 1 {
		t.Errorf("metrics: %+v", m)
	}
	if m.ReadLatency.Count != 3 || m.ReadLatency.Mean() <= 0 || m.WriteLatency.Quantile(0.95) <= 0 {
		t.Errorf("latencies: %d, %s, %s", m.ReadLatency.Count, m.ReadLatency.Mean(), m.WriteLatency.Quantile(0.95))
	}
	if len(tr.spans) != 7 || tr.spans[0] != "main put k <nil>" || tr.spans[2] != "main get absent not found" {
		t.Errorf("spans: %q", tr.spans)
	}
	text := log.String()
	if n := strings.Count(text, "msg=audit"); n != 4 || strings.Contains(text, "secret-value") || !strings.Contains(text, `operation=delete took=`) || strings.Count(text, "level=WARN") != 1 {
		t.Errorf("audit of %d lines:\n%s", n, text)
	}
}

func TestHealthOfALimit(t *testing.T) {
	p := open(t, providers.Config{Options: memory.Config{MaxEntries: 100}})
	for i := range 81 {
		if h := p.Health(t.Context()); h.State != providers.Healthy {
			t.Fatalf("with %d of 100: %+v", i, h)
		}
		put(t, p, fmt.Sprint(i), "")
	}
	if h := p.Health(t.Context()); h.State != providers.Degraded || !strings.Contains(h.Reasons[0], "memory_usage") {
		t.Errorf("with 81 of 100: %+v", h)
	}
}

func TestRegistry(t *testing.T) {
	var r providers.Registry
	a, b := open(t, providers.Config{}), open(t, providers.Config{})
	for _, err := range []error{r.Register("a", a, providers.General), r.Register("b", b, providers.Addressable)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Register("a", b); !errors.Is(err, providers.ErrConflict) {
		t.Errorf("a name twice: %v", err)
	}
	if err := r.Register("c", b, "other"); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("an unknown use: %v", err)
	}
	for use, want := range map[providers.Use]*providers.Provider{providers.General: a, providers.Addressable: b, providers.Cluster: a} {
		if got, err := r.Default(use); err != nil || got != want {
			t.Errorf("default for %s: %v", use, err)
		}
	}
	if err := r.SetDefault(providers.Cluster, "b"); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.Default(providers.Cluster); got != b {
		t.Error("SetDefault does nothing")
	}
	if _, err := r.Get("c"); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), `["a" "b"]`) {
		t.Errorf("a missing name: %v", err)
	}
	if err := r.SetDefault(providers.Cluster, "c"); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("default of a missing name: %v", err)
	}
	if !slices.Equal(r.Names(), []string{"a", "b"}) {
		t.Errorf("names: %q", r.Names())
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Get(t.Context(), []byte("k")); !errors.Is(err, providers.ErrClosed) {
		t.Errorf("after Close of the registry: %v", err)
	}
	if _, err := new(providers.Registry).Default(providers.General); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("default of none: %v", err)
	}
}

// TestSweep: what has expired is removed in the background.
func TestSweep(t *testing.T) {
	p := open(t, providers.Config{ExpireInterval: time.Millisecond, Options: memory.Config{MaxEntries: 10}})
	if _, err := p.Put(t.Context(), []byte("k"), nil, providers.PutOptions{TTL: 1}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); p.Metrics().Report.Entries > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is never removed")
		}
	}
}
