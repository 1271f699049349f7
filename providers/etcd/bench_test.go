package etcd_test

import (
	"fmt"
	"testing"

	"github.com/orbit-persistence/orbit/internal/beside"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The provider, with all that stands before a driver, beside the client library, doing
// the same on the same cluster of three.

func benchmark(b *testing.B, provided func(p *providers.Provider, key string) error, bareCall func(c *clientv3.Client, key string) error) {
	cluster := servers.EtcdCluster(b, 3, servers.EtcdOptions{})
	p, err := providers.Open(b.Context(), providers.Config{Backend: etcd.Backend, Options: etcd.Config{Endpoints: cluster.Endpoints(), Prefix: "bench"}})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	client := bare(b, clientv3.Config{Endpoints: cluster.Endpoints()})
	for i := range beside.Keys {
		if _, err := p.Put(b.Context(), []byte(beside.Key(i)), beside.Value, providers.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	beside.Measure(b, func(i int) error { return provided(p, beside.Key(i)) }, func(i int) error { return bareCall(client, beside.Key(i)) })
}

func BenchmarkPut(b *testing.B) {
	benchmark(b, func(p *providers.Provider, key string) error {
		_, err := p.Put(b.Context(), []byte(key), beside.Value, providers.PutOptions{})
		return err
	}, func(c *clientv3.Client, key string) error {
		_, err := c.Put(b.Context(), key, string(beside.Value))
		return err
	})
}

func BenchmarkGet(b *testing.B) {
	benchmark(b, func(p *providers.Provider, key string) error {
		_, err := p.Get(b.Context(), []byte(key))
		return err
	}, func(c *clientv3.Client, key string) error {
		r, err := c.Get(b.Context(), "bench/data/"+key)
		if err == nil && len(r.Kvs) == 0 {
			err = fmt.Errorf("%s is not there", key)
		}
		return err
	})
}
