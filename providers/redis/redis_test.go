package redis_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/internal/wire"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/intent"
	"github.com/orbit-persistence/orbit/providers/redis"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, wire.Ignored) }

// prefix makes a name of a place.
func prefix(place string) string { return filepath.Base(filepath.Dir(place)) + filepath.Base(place) }

func TestConformance(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t, servers.RedisOptions{})
	drivertest.Run(t, drivertest.Target{
		Name: "redis", Server: "Redis 7.0.15",
		Open: func(ctx context.Context, place string) (driver.Store, error) {
			return redis.Open(ctx, redis.Config{URL: "redis://" + server.Address, Prefix: prefix(place)})
		},
	})
}

// TestClusterConformance: the store over many slots, which is no Committer; the same with
// transactions by package intent; and a store in one slot.
func TestClusterConformance(t *testing.T) {
	t.Parallel()
	c := servers.StartRedisCluster(t)
	open := func(partitions int) func(ctx context.Context, place string) (driver.Store, error) {
		return func(ctx context.Context, place string) (driver.Store, error) {
			return redis.Open(ctx, redis.Config{URL: "redis://" + c.Nodes[1].Address, ClusterMode: true, Partitions: partitions, Prefix: prefix(place)})
		}
	}
	t.Run("slots", func(t *testing.T) {
		drivertest.Run(t, drivertest.Target{Name: "redis cluster", Server: "Redis 7.0.15, six nodes", Operations: 300, Open: open(16)})
	})
	t.Run("one-slot", func(t *testing.T) {
		drivertest.Run(t, drivertest.Target{Name: "redis cluster, one slot", Server: "Redis 7.0.15, six nodes", Operations: 300, Open: open(1)})
	})
	t.Run("intents", func(t *testing.T) {
		drivertest.Run(t, drivertest.Target{Name: "redis cluster, transactions", Server: "Redis 7.0.15, six nodes", Operations: 300,
			Open: func(ctx context.Context, place string) (driver.Store, error) {
				s, err := open(16)(ctx, place)
				if err != nil {
					return nil, err
				}
				return intent.Wrap(s, intent.Options{}), nil
			},
		})
	})
}
