package objectstest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/fight"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
)

// fighter opens the provider of a process of LeaseFight; its place is an address and a
// prefix.
func fighter(open Opener) fight.Open {
	return func(ctx context.Context, where string) (*providers.Provider, error) {
		address, prefix, _ := strings.Cut(where, " ")
		s, err := open(ctx, address, prefix)
		if err != nil {
			return nil, err
		}
		return providers.OpenStore(s, providers.Config{
			Retry: providers.Retry{FirstPause: 5 * time.Millisecond, MaxPause: 50 * time.Millisecond}, Breaker: providers.Breaker{Failures: -1},
		}), nil
	}
}

// LeaseFight lets clients in several processes fight for leases; see package fight. The
// revisions of these services have no order.
func LeaseFight(t *testing.T, of Service) {
	wire := servers.NewWire(t, of.Address)
	disturb := []func(){
		func() {
			wire.Cut()
			time.Sleep(300 * time.Millisecond) // longer than leases last
			wire.Mend()
		},
		func() {
			wire.Fail(servers.FromServer, "timeout", map[string]int{"timeout": 0})
			time.Sleep(300 * time.Millisecond)
			wire.Mend()
		},
	}
	if of.Restart != nil {
		disturb = append(disturb, of.Restart)
	}
	fight.Run(t, fight.Options{
		Place: wire.Address + " " + place(t.TempDir()), Server: of.Server, Emulator: of.Emulator,
		Acquisitions: 32, Leases: 2, Unordered: true, MayDeny: of.MayDeny, Disturb: disturb,
	})
}
