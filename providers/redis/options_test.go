package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bare "github.com/redis/go-redis/v9"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/redis"
)

func open(t testing.TB, c redis.Config) driver.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func put(t testing.TB, s driver.Store, key, value string) driver.Revision {
	t.Helper()
	r, err := s.Put(t.Context(), []byte(key), []byte(value), driver.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func has(t testing.TB, s driver.Store, key string) bool {
	t.Helper()
	_, err := s.Get(t.Context(), []byte(key))
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// admin returns the client library itself.
func admin(t testing.TB, o *bare.Options) *bare.Client {
	t.Helper()
	client := bare.NewClient(o)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestDatabaseAndPrefix(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t, servers.RedisOptions{})
	url := "redis://" + server.Address
	s := open(t, redis.Config{URL: url, Prefix: "here"})
	other := open(t, redis.Config{URL: url, Prefix: "there"})
	none := open(t, redis.Config{URL: url, Database: 1})
	put(t, s, "key", "value")
	if has(t, other, "key") || has(t, none, "key") {
		t.Error("a key is seen under another prefix, or in another database")
	}
	if _, err := s.Put(t.Context(), []byte("absent"), nil, driver.PutOptions{IfRevision: driver.NumberRevision(7)}); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("put at the revision of another backend: %v", err)
	}
	put(t, none, "key", "value")
	for db, want := range map[int]string{0: "here:format here:{0}:index here:{0}:value:key there:format", 1: "format {0}:index {0}:value:key"} {
		keys, err := admin(t, &bare.Options{Addr: server.Address, DB: db}).Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(keys)
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("database %d has %s", db, got)
		}
	}
	c := s.Capabilities()
	if c.Version != "Redis 7.0.15" || !strings.Contains(c.Caveat, "failover loses") || !strings.Contains(c.Caveat, "appendfsync") {
		t.Errorf("the capabilities are %+v", c)
	}
	if _, err := redis.Open(t.Context(), redis.Config{URL: url, Database: 99}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a database that is not there: %v", err)
	}
	if _, err := redis.Open(t.Context(), redis.Config{URL: url, ClusterMode: true}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a server taken for a cluster: %v", err)
	}
	if _, err := redis.Open(t.Context(), redis.Config{URL: "redis://" + servers.Address(t)}); !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("where nobody listens: %v", err)
	}
}

// TestConnectionTimeout: a server that cannot be reached is given up by itself.
func TestConnectionTimeout(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// TLS is part of the making of a connection, and the server takes no part in it.
	_, err = redis.Open(t.Context(), redis.Config{URL: "rediss://" + l.Addr().String(), ConnectionTimeout: 50 * time.Millisecond})
	if !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("a silent server: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = redis.Open(ctx, redis.Config{URL: "redis://" + l.Addr().String(), ConnectionTimeout: time.Hour}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent server, and a context that ends: %v", err)
	}
}

// TestPoolSize: calls at once share as many connections as there may be.
func TestPoolSize(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t, servers.RedisOptions{})
	boss := admin(t, &bare.Options{Addr: server.Address})
	for _, size := range []int{1, 3} {
		received := func() (n int) {
			t.Helper()
			text, err := boss.Info(t.Context(), "stats").Result()
			if err != nil {
				t.Fatal(err)
			}
			_, after, _ := strings.Cut(text, "total_connections_received:")
			if _, err := fmt.Sscan(after, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := received()
		s := open(t, redis.Config{URL: "redis://" + server.Address, PoolSize: size})
		if err := boss.Do(t.Context(), "client", "pause", 60000, "write").Err(); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() { _, _ = s.Put(t.Context(), fmt.Append(nil, i), nil, driver.PutOptions{}) })
		}
		for blocked := 0; blocked < size; {
			text, err := boss.Info(t.Context(), "clients").Result()
			if err != nil {
				t.Fatal(err)
			}
			_, after, _ := strings.Cut(text, "blocked_clients:")
			if _, err := fmt.Sscan(after, &blocked); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err := boss.Do(t.Context(), "client", "unpause").Err(); err != nil {
			t.Fatal(err)
		}
		group.Wait()
		if n := received() - before; n != size {
			t.Errorf("with a pool of %d, %d connections were made", size, n)
		}
	}
}

func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]redis.Config{
		"no scheme":                    {URL: "localhost:6379"},
		"a user in the URL":            {URL: "redis://user:hunter2@a:1"},
		"a database in the URL":        {URL: "redis://a:1/3"},
		"no password":                  {Username: "user"},
		"an authority without TLS":     {CACert: garbage},
		"no authority in a file":       {URL: "rediss://a:1", CACert: garbage},
		"no such file":                 {URL: "rediss://a:1", CACert: garbage + "/none"},
		"braces":                       {Prefix: "{a}"},
		"a long prefix":                {Prefix: strings.Repeat("x", 129)},
		"partitions without a cluster": {Partitions: 2},
		"too many partitions":          {ClusterMode: true, Partitions: 1025},
		"below 0":                      {PoolSize: -1},
	} {
		_, err := redis.Open(t.Context(), c)
		if !errors.Is(err, driver.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := redis.Open(t.Context(), redis.Config{ClusterMode: true, Database: 1}); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("a database of a cluster: %v", err)
	}
}

// TestSecurity: TLS with an authority of one's own, the server's password, and a user with
// the rights that the package documents. No message shows a password.
func TestSecurity(t *testing.T) {
	t.Parallel()
	secret := servers.Secret("redis")
	ours, others := servers.NewAuthority(t), servers.NewAuthority(t)
	cert, key := ours.Issue("server")
	server := servers.StartRedis(t, servers.RedisOptions{Cert: cert, Key: key, CA: ours.CACert, Args: []string{"--requirepass", secret}})
	good := redis.Config{URL: "rediss://" + server.Address, Prefix: "orbit", CACert: ours.CACert, Password: config.NewSecret(secret), ConnectionTimeout: 20 * time.Second}
	tls, err := redis.TLS(good)
	if err != nil {
		t.Fatal(err)
	}
	boss := admin(t, &bare.Options{Addr: server.Address, TLSConfig: tls, Password: secret})
	rule := append([]any{"acl", "setuser", "orbit", "on", ">" + secret + "-2"}, redis.Rights("orbit")...)
	if err := boss.Do(t.Context(), rule...).Err(); err != nil {
		t.Fatal(err)
	}
	var said []string
	fails := func(what string, kind error, text string, change func(c *redis.Config)) {
		t.Helper()
		c := good
		change(&c)
		s, err := redis.Open(t.Context(), c)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: want %q with %q, got %v", what, kind, text, err)
		}
		said = append(said, fmt.Sprint(err), fmt.Sprintf("%v %+v %#v", c, c, c))
	}
	s := open(t, good)
	put(t, s, "k", "v")
	user := good
	user.Username, user.Password = "orbit", config.NewSecret(secret+"-2")
	p := open(t, user)
	if _, err := p.Put(t.Context(), []byte("k"), []byte("2"), driver.PutOptions{TTL: time.Hour, Fence: 4, IfRevision: put(t, p, "k", "1")}); err != nil {
		t.Errorf("the rights are not enough: %v", err)
	}
	if _, err := p.(driver.Expirer).Expire(t.Context(), 10); err != nil {
		t.Errorf("the rights are not enough: %v", err)
	}
	for range p.List(t.Context(), driver.ListOptions{}) {
	}
	for _, err := range p.(driver.Watcher).Watch(ended(t), nil) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the rights are not enough: %v", err)
		}
	}
	fails("an authority of others", driver.ErrUnavailable, "certificate", func(c *redis.Config) { c.CACert = others.CACert })
	fails("the system's authorities", driver.ErrUnavailable, "certificate", func(c *redis.Config) { c.CACert = "" })
	fails("no password", driver.ErrDenied, "NOAUTH", func(c *redis.Config) { c.Password = config.Secret{} })
	fails("a wrong password", driver.ErrDenied, "WRONGPASS", func(c *redis.Config) { c.Password = config.NewSecret("wrong-" + secret) })
	fails("a user that is not there", driver.ErrDenied, "WRONGPASS", func(c *redis.Config) { c.Username = "nobody" })
	fails("another prefix", driver.ErrDenied, "NOPERM", func(c *redis.Config) { *c = user; c.Prefix = "elsewhere" })
	fails("no TLS", driver.ErrUnavailable, "", func(c *redis.Config) { c.URL, c.CACert = "redis://"+server.Address, "" })
	for _, text := range said {
		if strings.Contains(text, secret) {
			t.Errorf("a secret is shown: %s", text)
		}
	}
}

// ended returns a context that ends soon.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	return ctx
}
