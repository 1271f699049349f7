package etcd_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/fight"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/internal/wire"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/etcd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	fight.Main(fighter)
	goleak.VerifyTestMain(m, wire.Ignored...)
}

// fighter opens the provider of a process; its place is the endpoints.
func fighter(ctx context.Context, place string) (*providers.Provider, error) {
	c := etcd.Config{Prefix: "fight"}
	if err := json.Unmarshal([]byte(place), &c.Endpoints); err != nil {
		return nil, err
	}
	return providers.Open(ctx, providers.Config{
		Backend: etcd.Backend, Options: c,
		Retry: providers.Retry{FirstPause: 5 * time.Millisecond, MaxPause: 50 * time.Millisecond}, Breaker: providers.Breaker{Failures: -1},
	})
}

// TestLeaseFight: see package fight. Each process reaches each member over a wire.
func TestLeaseFight(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 3, servers.EtcdOptions{})
	var wires []*servers.Wire
	var endpoints []string
	for _, m := range c.Members {
		w := servers.NewWire(t, m.Address)
		wires, endpoints = append(wires, w), append(endpoints, "http://"+w.Address)
	}
	place, err := json.Marshal(endpoints)
	if err != nil {
		t.Fatal(err)
	}
	cut := func(f wire.Fault) func() {
		return func() {
			for _, w := range wires {
				wire.Break(w, f)
			}
			time.Sleep(300 * time.Millisecond) // longer than leases last
			for _, w := range wires {
				w.Mend()
			}
		}
	}
	fight.Run(t, fight.Options{
		Place: string(place), Acquisitions: 600, Server: "etcd v3.6.16, three members",
		Disturb: []func(){
			cut(wire.Refused), cut(wire.ReplyLost),
			func() {
				m := c.Members[leader(t, c)]
				m.Kill()
				m.Restart()
			},
		},
	})
}
