package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/fight"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/internal/wire"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/redis"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	fight.Main(fighter)
	goleak.VerifyTestMain(m, wire.Ignored...)
}

// fighter opens the provider of a process; its place is the URL.
func fighter(ctx context.Context, place string) (*providers.Provider, error) {
	return providers.Open(ctx, providers.Config{
		Backend: redis.Backend, Options: redis.Config{URL: place, Prefix: "fight"},
		Retry: providers.Retry{FirstPause: 5 * time.Millisecond, MaxPause: 50 * time.Millisecond}, Breaker: providers.Breaker{Failures: -1},
	})
}

// TestLeaseFight: see package fight. The server flushes each write before it answers, so
// that a kill loses none that was acknowledged.
func TestLeaseFight(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t, servers.RedisOptions{Args: []string{"--appendfsync", "always"}})
	w := servers.NewWire(t, server.Address)
	cut := func(f wire.Fault) func() {
		return func() {
			wire.Break(w, f)
			time.Sleep(300 * time.Millisecond) // longer than leases last
			w.Mend()
		}
	}
	fight.Run(t, fight.Options{
		Place: "redis://" + w.Address, Acquisitions: 2000, Server: "Redis 7.0.15",
		Disturb: []func(){cut(wire.Refused), cut(wire.ReplyLost), func() { server.Kill(); server.Restart() }},
	})
}
