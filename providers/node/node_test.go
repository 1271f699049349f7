package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/memory"
	"github.com/orbit-persistence/orbit/providers/node"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestIDText: every ID has a text of its own, which is read back.
func TestIDText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := node.ID{Namespace: rapid.String().Draw(t, "namespace"), Key: rapid.String().Draw(t, "key")}
		if back, err := node.ParseID(id.String()); err != nil || back != id {
			t.Fatalf("%q becomes %+v, %v", id, back, err)
		}
	})
	for _, bad := range []string{"", "a", "a/b/c", "a/%", "%41/b"} {
		if id, err := node.ParseID(bad); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%q is %+v, %v", bad, id, err)
		}
	}
}

func keys(t *testing.T, seq iter.Seq2[node.Info, error]) (out string) {
	t.Helper()
	for n, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out += n.ID.Key + " "
	}
	return out
}

func TestDirectory(t *testing.T) {
	for _, name := range []string{"native", "cas"} {
		t.Run(name, func(t *testing.T) {
			var nanos atomic.Int64
			nanos.Store(1e18)
			now := func() time.Time { return time.Unix(0, nanos.Load()).UTC() }
			m, err := memory.Open(t.Context(), memory.Config{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			var s driver.Store = m
			if name == "cas" {
				s = drivertest.CASOnly(s)
			}
			p := providers.OpenStore(s, providers.Config{})
			defer p.Close()
			d := node.New(p, node.Options{Now: now})
			ctx := t.Context()
			ok := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			wants := func(what string, err, want error) {
				t.Helper()
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
			}
			most := 100
			n := node.Info{ID: node.ID{Namespace: "n", Key: "a"}, URL: "http://a", Port: 50056, Status: node.Active,
				Capabilities: node.Capabilities{AddressableTypes: []string{"Player"}, MaxAddressables: &most, Tags: map[string]string{"zone": "1"}},
				Lease:        &node.Lease{ExpiresAt: now().Add(time.Minute), RenewAt: now().Add(time.Second), ChallengeToken: "c"}}
			wants("update of nothing", d.Update(ctx, n), driver.ErrNotFound)
			ok(d.Store(ctx, n))
			if got, err := d.Get(ctx, n.ID); err != nil || !reflect.DeepEqual(got, n) {
				t.Errorf("got %+v, %v", got, err)
			}
			ok(d.Store(ctx, node.Info{ID: node.ID{Namespace: "n", Key: "b"}, Status: node.Draining}))
			ok(d.Store(ctx, node.Info{ID: node.ID{Namespace: "n", Key: "c"}, Status: node.Active}))
			if all, active := keys(t, d.List(ctx)), keys(t, d.ListActive(ctx)); all != "a b c " || active != "a c " {
				t.Errorf("all are %s, active %s", all, active)
			}
			renewed := node.Lease{ExpiresAt: now().Add(2 * time.Minute), ChallengeToken: "c"}
			ok(d.RenewLease(ctx, n.ID, renewed))
			nanos.Add(int64(time.Minute))
			if got, err := d.Get(ctx, n.ID); err != nil || *got.Lease != renewed {
				t.Errorf("after a renewal: %+v, %v", got.Lease, err)
			}
			wants("renewal by another", d.RenewLease(ctx, n.ID, node.Lease{ChallengeToken: "x"}), driver.ErrFenced)
			wants("renewal of nothing", d.RenewLease(ctx, node.ID{Key: "x"}, renewed), driver.ErrNotFound)
			nanos.Add(int64(time.Minute))
			_, err = d.Get(ctx, n.ID)
			wants("get of what has expired", err, driver.ErrNotFound)
			wants("renewal of what has expired", d.RenewLease(ctx, n.ID, renewed), driver.ErrNotFound)
			wants("update of what has expired", d.Update(ctx, n), driver.ErrNotFound)
			if all, active := keys(t, d.List(ctx)), keys(t, d.ListActive(ctx)); all != "b c " || active != "c " {
				t.Errorf("all are %s, active %s", all, active)
			}
			with := node.New(p, node.Options{Now: now, IncludeExpired: true})
			if all, active := keys(t, with.List(ctx)), keys(t, with.ListActive(ctx)); all != "a b c " || active != "c " {
				t.Errorf("expired included, all are %s, active %s", all, active)
			}
			for want := 1; want >= 0; want-- {
				if n, err := d.CleanupExpired(ctx); n != want || err != nil {
					t.Errorf("cleanup removes %d, %v", n, err)
				}
			}
			for want := 1; want >= 0; want-- {
				if was, err := d.Remove(ctx, node.ID{Namespace: "n", Key: "b"}); was != (want == 1) || err != nil {
					t.Errorf("remove: %t, %v", was, err)
				}
			}
			for what, bad := range map[string]node.Info{"key": {Status: node.Active}, "status": {ID: n.ID}, "port": {ID: n.ID, Status: node.Active, Port: -1}} {
				wants(what, d.Store(ctx, bad), driver.ErrInvalid)
			}
			// What another version wrote is refused.
			key := []byte("node/\x00\x01z\x00\x01")
			for _, value := range []string{`{"version":2}`, `no`} {
				if _, err := p.Put(context.Background(), key, []byte(value), providers.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				_, err := d.Get(ctx, node.ID{Key: "z"})
				wants(value, err, driver.ErrCorrupt)
			}
			if _, err := json.Marshal(n); err != nil {
				t.Error(err)
			}
		})
	}
}
