package redis_test

import (
	"fmt"
	"testing"

	bare "github.com/redis/go-redis/v9"

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
	for i := range keys {
		if _, err := p.Put(b.Context(), []byte(key(i)), value, providers.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	run := func(name string, call func(key string) error) {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := call(key(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("provider", func(key string) error { return provided(p, key) })
	run("bare", func(key string) error { return bareCall(client, "bench:{0}:value:"+key) })
}

const keys = 1000

var value = make([]byte, 100)

func key(i int) string { return fmt.Sprintf("key/%06d", i%keys) }

func BenchmarkPut(b *testing.B) {
	benchmark(b, func(p *providers.Provider, key string) error {
		_, err := p.Put(b.Context(), []byte(key), value, providers.PutOptions{})
		return err
	}, func(c *bare.Client, key string) error { return c.Set(b.Context(), "other:"+key, value, 0).Err() })
}

func BenchmarkGet(b *testing.B) {
	benchmark(b, func(p *providers.Provider, key string) error {
		_, err := p.Get(b.Context(), []byte(key))
		return err
	}, func(c *bare.Client, key string) error { return c.Get(b.Context(), key).Err() })
}
