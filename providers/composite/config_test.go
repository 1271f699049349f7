package composite_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/composite"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/memory"
)

func TestConfig(t *testing.T) {
	side := inMemory(nil)
	for want, c := range map[string]composite.Config{
		"no primary":                         {Backup: side},
		"no backup":                          {Primary: side},
		`mode "fast"`:                        {Primary: side, Backup: side, Mode: "fast"},
		"allow_single in mode periodic":      {Primary: side, Backup: side, Mode: composite.Periodic, AllowSingle: true},
		"sync_interval of -1s":               {Primary: side, Backup: side, SyncInterval: -time.Second},
		"health_check_interval of -1s":       {Primary: side, Backup: side, HealthCheckInterval: -time.Second},
		"lease_ttl of -1s":                   {Primary: side, Backup: side, LeaseTTL: -time.Second},
		"request_timeout of -1s":             {Primary: side, Backup: side, RequestTimeout: -time.Second},
		"failover_threshold of -1":           {Primary: side, Backup: side, FailoverThreshold: -1},
		`the backup: open provider: invalid`: {Primary: side, Backup: composite.Side{Backend: "tape"}},
	} {
		if _, err := composite.Open(t.Context(), c); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestProvider: a composite is a provider as any other, its health shows which side
// serves, and the goroutine of the chores does them.
func TestProvider(t *testing.T) {
	w := newWorld(t)
	wires := w.wires()
	c := w.config(wires)
	c.AllowSingle, c.Now, c.Sleep, c.HealthCheckInterval, c.LeaseTTL, c.RequestTimeout = true, nil, nil, 5*time.Millisecond, time.Minute, time.Minute
	p, err := providers.Open(t.Context(), providers.Config{Backend: composite.Backend, Options: c})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx := t.Context()
	if _, err := p.Put(ctx, []byte("k"), []byte("1"), providers.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if h := p.Health(ctx); h.State != providers.Healthy {
		t.Errorf("%+v", h)
	}
	wires[0].set(dead)
	until(t, func() bool { s, _ := composite.StatusOf(p.Driver()); return s.Serving == "backup" })
	if _, err := p.Put(ctx, []byte("k"), []byte("2"), providers.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	h := p.Health(ctx)
	if reasons := strings.Join(h.Reasons, "; "); h.State != providers.Degraded || !strings.Contains(reasons, "the backup serves alone, the other side is behind by 1 rows") ||
		!strings.Contains(reasons, "nobody is there") {
		t.Errorf("%+v", h)
	}
	if _, err := p.Put(ctx, []byte("k"), []byte("3"), providers.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	wires[0].set(sound)
	until(t, func() bool { s, _ := composite.StatusOf(p.Driver()); return s.Serving == "primary" && s.Trouble == "" })
	if e, err := p.Get(ctx, []byte("k")); err != nil || string(e.Value) != "3" {
		t.Errorf("%q, %v", e.Value, err)
	}
	if h := p.Health(ctx); h.State != providers.Healthy {
		t.Errorf("%+v", h)
	}
	err = p.Update(ctx, func(tx *providers.Tx) error {
		e, err := tx.Get(ctx, []byte("k"))
		if err != nil {
			return err
		}
		return tx.Put(ctx, []byte("l"), e.Value, providers.PutOptions{})
	})
	if err != nil {
		t.Error(err)
	}
}

// until waits for what is waited for.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for !done() {
		select {
		case <-t.Context().Done():
			t.Fatal("it does not come")
		case <-time.After(time.Millisecond):
		}
	}
}

// TestBackendsByName: sides are opened by their backends, and closed with the
// composite.
func TestBackendsByName(t *testing.T) {
	s, err := composite.Open(t.Context(), composite.Config{
		Primary: composite.Side{Backend: "memory", Options: memory.Config{MaxEntries: 10}}, Backup: composite.Side{Backend: "memory"},
	})
	if err != nil {
		t.Fatal(err)
	}
	failed := error(nil)
	for i := range 20 {
		if _, err := s.Put(t.Context(), []byte{byte(i + 1)}, nil, driver.PutOptions{}); err != nil {
			failed = err
		}
	}
	if failed == nil {
		t.Error("the primary's limit is not kept")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), []byte("k")); !errors.Is(err, driver.ErrClosed) {
		t.Error(err)
	}
}

// TestRequestTimeout: a side that does not answer has failed, though the caller would
// wait longer.
func TestRequestTimeout(t *testing.T) {
	w := newWorld(t)
	p := w.open(func(c *composite.Config) { c.AllowSingle, c.RequestTimeout = true, 200*time.Millisecond })
	p.wires[0].set(hangs)
	p.fails(func() error { _, err := p.get("k"); return err })
	p.serves("backup", true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Get(ctx, []byte("k")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
