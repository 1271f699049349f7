package redis_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/internal/wire"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
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
