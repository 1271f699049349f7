package intent_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/intent"
	"github.com/orbit-persistence/orbit/providers/memory"
)

// slotted is a store in which keys lie together whose last bytes are both even or odd.
type slotted struct {
	*handle
	all     driver.Committer
	commits *atomic.Int64
}

func (s slotted) Together(a, b []byte) bool { return (a[len(a)-1]^b[len(b)-1])&1 == 0 }

func (s slotted) CommitTogether(ctx context.Context, m *driver.Commit) error {
	for i := range m.Writes {
		if !s.Together(m.Writes[0].Key, m.Writes[i].Key) {
			return fmt.Errorf("%w: keys of two slots", driver.ErrInvalid)
		}
	}
	for i := range m.Reads {
		if !s.Together(m.Reads[0].Key, m.Reads[i].Key) {
			return fmt.Errorf("%w: keys of two slots", driver.ErrInvalid)
		}
	}
	if len(m.Writes) > 5 {
		return driver.ErrTooLarge
	}
	s.commits.Add(1)
	return s.all.Commit(ctx, m)
}

// TestTogether: transactions of keys that lie together go by one call, beside others that
// go by intents over the same keys.
func TestTogether(t *testing.T) {
	places := map[string]*shared{}
	engines := map[*shared]driver.Committer{}
	var commits atomic.Int64
	drivertest.Run(t, drivertest.Target{Name: "intent together", Operations: 400, Open: func(ctx context.Context, place string) (driver.Store, error) {
		p := places[place]
		if p == nil {
			m, err := memory.Open(ctx, memory.Config{})
			if err != nil {
				return nil, err
			}
			p = &shared{place: place, places: places}
			p.Store, engines[p] = drivertest.CASOnly(m), driver.Committer(m)
			places[place] = p
		}
		p.clients++
		return intent.Wrap(slotted{&handle{shared: p}, engines[p], &commits}, intent.Options{Timeout: time.Minute}), nil
	}})
	if commits.Load() < 50 {
		t.Errorf("only %d transactions went by one call", commits.Load())
	}
}

// TestTogetherIsOneCall: no record is written and no intent; one that is too large for one
// call goes by them.
func TestTogetherIsOneCall(t *testing.T) {
	m, err := memory.Open(t.Context(), memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var commits atomic.Int64
	p := &shared{places: map[string]*shared{}, clients: 1, Store: drivertest.CASOnly(m)}
	writes := 0
	counted := &drivertest.Faulty{Store: p.Store, Before: func(_ context.Context, c drivertest.Call) error {
		if c.Op == "put" || c.Op == "delete" {
			writes++
		}
		return nil
	}}
	p.Store = counted
	s := intent.Wrap(slotted{&handle{shared: p}, driver.Committer(m), &commits}, intent.Options{}).(store)
	defer s.Close()
	commit := func(keys ...string) {
		t.Helper()
		c := &driver.Commit{}
		for _, key := range keys {
			c.Writes = append(c.Writes, driver.Write{Key: []byte(key), Value: []byte(key), Fence: 3})
		}
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if e, err := s.Get(t.Context(), []byte(key)); err != nil || string(e.Value) != key {
				t.Errorf("%s is %q, %v", key, e.Value, err)
			}
		}
	}
	commit("a1", "b3", "c5")
	if writes != 0 || commits.Load() != 1 {
		t.Errorf("%d writes beside %d calls", writes, commits.Load())
	}
	commit("a1", "b2")
	if commits.Load() != 1 {
		t.Error("keys that do not lie together went by one call")
	}
	commit("a1", "b1", "c1", "d1", "e1", "f1")
	if commits.Load() != 1 {
		t.Error("too many keys went by one call")
	}
}
