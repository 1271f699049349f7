package etcd_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/internal/wire"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/etcd"
)

// prefix makes a name of a place.
func prefix(place string) string { return filepath.Base(filepath.Dir(place)) + filepath.Base(place) }

func TestConformance(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 3, servers.EtcdOptions{})
	drivertest.Run(t, drivertest.Target{
		Name: "etcd",
		Open: func(ctx context.Context, place string) (driver.Store, error) {
			return etcd.Open(ctx, etcd.Config{Endpoints: c.Endpoints(), Prefix: prefix(place)})
		},
	})
}

func TestWireFaults(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 1, servers.EtcdOptions{})
	wire.Run(t, wire.Target{
		Server: c.Members[0].Address,
		Open: func(ctx context.Context, address, place string) (driver.Store, error) {
			return etcd.Open(ctx, etcd.Config{Endpoints: []string{"http://" + address}, Prefix: prefix(place)})
		},
	})
}
