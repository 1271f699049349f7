package redis_test

import (
	"testing"

	bare "github.com/redis/go-redis/v9"

	"github.com/orbit-persistence/orbit/internal/beside"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/redis"
)

// The provider, with all that stands before a driver, beside the client library, doing
// the same on the same server. A put of the library is a SET: no index, no revision, and
// nobody is told.

func benchmark(b *testing.B, provided func(p *providers.Provider, key string) error, bareCall func(c *bare.Client, key string) error) {
	server := servers.StartRedis(b, servers.RedisOptions{})
	p, err := providers.Open(b.Context(), providers.Config{Backend: redis.Backend, Options: redis.Config{URL: "redis://" + server.Address, Prefix: "bench"}})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	client := admin(b, &bare.Options{Addr: server.Address})
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
	}, func(c *bare.Client, key string) error { return c.Set(b.Context(), "other:"+key, beside.Value, 0).Err() })
}

func BenchmarkGet(b *testing.B) {
	benchmark(b, func(p *providers.Provider, key string) error {
		_, err := p.Get(b.Context(), []byte(key))
		return err
	}, func(c *bare.Client, key string) error { return c.Get(b.Context(), "bench:{0}:value:"+key).Err() })
}
