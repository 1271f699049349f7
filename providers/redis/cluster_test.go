package redis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bare "github.com/redis/go-redis/v9"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/redis"
)

// TestClusterFailover: a master is killed under load, and its replica takes over. The
// store goes on, no revision of a key comes back, and what was lost is no more than what
// the capabilities say can be.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	c := servers.StartRedisCluster(t)
	s := open(t, redis.Config{URL: "redis://" + c.Nodes[0].Address, ClusterMode: true, Prefix: "failover"})
	var mu sync.Mutex
	given := map[string]map[driver.Revision]bool{}
	newest := map[string]driver.Revision{}
	var done, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for client := range 4 {
		random := rand.New(rand.NewPCG(uint64(client), 5))
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprintf("%d/%d", client, random.IntN(40))
				call, cancel := context.WithTimeout(context.Background(), time.Second)
				r, err := s.Put(call, []byte(key), fmt.Append(nil, i), driver.PutOptions{})
				cancel()
				if err != nil {
					failed.Add(1)
					if !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, driver.ErrOutcomeUnknown) && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("during a failover: %v", err)
						return
					}
					time.Sleep(10 * time.Millisecond)
					mu.Lock()
					delete(newest, key) // it may have been applied
					mu.Unlock()
					continue
				}
				mu.Lock()
				if given[key] == nil {
					given[key] = map[driver.Revision]bool{}
				}
				if given[key][r] {
					t.Errorf("revision %s of %s is given twice", r, key)
				}
				given[key][r], newest[key] = true, r
				mu.Unlock()
				done.Add(1)
			}
		})
	}
	goOn := func(what string) {
		t.Helper()
		limit, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		for want := done.Load() + 2000; done.Load() < want; time.Sleep(5 * time.Millisecond) {
			if limit.Err() != nil {
				t.Fatalf("nothing is written any more %s", what)
			}
		}
	}
	goOn("at the beginning")
	c.Nodes[0].Kill()
	boss := admin(t, &bare.Options{Addr: c.Nodes[1].Address})
	for {
		info, err := boss.ClusterInfo(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info, "cluster_current_epoch:7") && strings.Contains(info, "cluster_state:ok") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	goOn("without a master")
	c.Nodes[0].Restart()
	goOn("with the old master back")
	stop()
	group.Wait()
	lost := 0
	for key, r := range newest {
		if e, err := s.Get(t.Context(), []byte(key)); err != nil || e.Revision != r {
			lost++
		}
	}
	if failed.Load() == 0 {
		t.Error("no call has failed; the test has checked nothing")
	}
	if caveat := s.Capabilities().Caveat; !strings.Contains(caveat, "failover loses") {
		t.Errorf("the caveat is %q", caveat)
	}
	t.Logf("%d puts, %d failed, %d of %d keys have lost their newest", done.Load(), failed.Load(), lost, len(newest))
}

// TestWait: a write that too few replicas have is in doubt, and says so.
func TestWait(t *testing.T) {
	t.Parallel()
	c := servers.StartRedisCluster(t)
	url := "redis://" + c.Nodes[0].Address
	s := open(t, redis.Config{URL: url, ClusterMode: true, Partitions: 3, Prefix: "wait", WaitReplicas: 1, WaitTimeout: 10 * time.Second})
	hasty := open(t, redis.Config{URL: url, ClusterMode: true, Partitions: 3, Prefix: "wait", WaitReplicas: 1, WaitTimeout: 50 * time.Millisecond})
	if !strings.Contains(s.Capabilities().Caveat, "WAIT") {
		t.Errorf("the caveat is %q", s.Capabilities().Caveat)
	}
	for i := range 30 {
		put(t, s, fmt.Sprint("k", i), "v")
	}
	for _, n := range c.Nodes[3:] {
		n.Pause()
	}
	_, err := hasty.Put(t.Context(), []byte("k1"), []byte("alone"), driver.PutOptions{})
	if !errors.Is(err, driver.ErrOutcomeUnknown) || errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "0 replicas") {
		t.Errorf("a write without replicas: %v", err)
	}
	if e, err := hasty.Get(t.Context(), []byte("k1")); err != nil || string(e.Value) != "alone" {
		t.Errorf("it is %q, %v", e.Value, err)
	}
	for _, n := range c.Nodes[3:] {
		n.Resume()
	}
	put(t, s, "k1", "together")
	// A server of its own has none to wait for.
	server := servers.StartRedis(t, servers.RedisOptions{})
	single := open(t, redis.Config{URL: "redis://" + server.Address, WaitReplicas: 1, WaitTimeout: 20 * time.Millisecond})
	if _, err := single.Put(t.Context(), []byte("k"), nil, driver.PutOptions{}); !errors.Is(err, driver.ErrOutcomeUnknown) {
		t.Errorf("a write without replicas: %v", err)
	}
}

// TestPartitions: stores of different partitions do not share keys; and transactions of a
// provider go across slots.
func TestPartitions(t *testing.T) {
	t.Parallel()
	c := servers.StartRedisCluster(t)
	url := "redis://" + c.Nodes[2].Address
	open(t, redis.Config{URL: url, ClusterMode: true, Partitions: 8, Prefix: "p"})
	for _, partitions := range []int{0, 1, 9} {
		if _, err := redis.Open(t.Context(), redis.Config{URL: url, ClusterMode: true, Partitions: partitions, Prefix: "p"}); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "partitions=8") {
			t.Errorf("%d partitions where there are 8: %v", partitions, err)
		}
	}
	if _, err := redis.Open(t.Context(), redis.Config{URL: url}); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "ClusterMode") {
		t.Errorf("a cluster taken for a server: %v", err)
	}
	p, err := providers.Open(t.Context(), providers.Config{Backend: redis.Backend, Options: redis.Config{URL: url, ClusterMode: true, Prefix: "tx"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const accounts, each = 20, 100
	for i := range accounts {
		if _, err := p.Put(t.Context(), fmt.Append(nil, "account/", i), fmt.Append(nil, each), providers.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	amount := func(value []byte) (n int) {
		if _, err := fmt.Sscan(string(value), &n); err != nil {
			t.Error(err)
		}
		return n
	}
	var group sync.WaitGroup
	for client := range 4 {
		random := rand.New(rand.NewPCG(uint64(client), 6))
		group.Go(func() {
			for range 25 {
				from, to := random.IntN(accounts), random.IntN(accounts)
				if from == to {
					continue
				}
				err := p.Update(t.Context(), func(tx *providers.Tx) error {
					for i, change := range map[int]int{from: -1, to: 1} {
						key := fmt.Append(nil, "account/", i)
						e, err := tx.Get(t.Context(), key)
						if err != nil {
							return err
						}
						if err := tx.Put(t.Context(), key, fmt.Append(nil, amount(e.Value)+change), providers.PutOptions{}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	sum := 0
	for e, err := range p.List(t.Context(), providers.ListOptions{Prefix: []byte("account/")}) {
		if err != nil {
			t.Fatal(err)
		}
		sum += amount(e.Value)
	}
	if sum != accounts*each {
		t.Errorf("there is %d, and was %d", sum, accounts*each)
	}
}

// TestWatchEnds: where the connection ends changes may be missed, and a watch says so;
// what has expired is told by Expire.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t, servers.RedisOptions{Args: []string{"--appendfsync", "always"}})
	s := open(t, redis.Config{URL: "redis://" + server.Address})
	watching := open(t, redis.Config{URL: "redis://" + server.Address})
	begin := func() (chan driver.Event, chan error) {
		events, ended := make(chan driver.Event, 1000), make(chan error, 1)
		go func() {
			for e, err := range watching.(driver.Watcher).Watch(context.Background(), []byte("w/")) {
				if err != nil {
					ended <- err
					return
				}
				events <- e
			}
		}()
		for {
			put(t, s, "w/begin", "v")
			select {
			case <-events:
				return events, ended
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	events, ended := begin()
	r, err := s.Put(t.Context(), []byte("w/short"), []byte("v"), driver.PutOptions{TTL: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for has(t, s, "w/short") {
		time.Sleep(5 * time.Millisecond)
	}
	if n, err := s.(driver.Expirer).Expire(t.Context(), 10); n != 1 || err != nil {
		t.Errorf("expired are %d, %v", n, err)
	}
	told := ""
	for told != "put end" {
		select {
		case e := <-events:
			if string(e.Entry.Key) != "w/short" {
				continue
			}
			if e.Deleted {
				told += " end"
			} else if told = "put"; e.Entry.Revision != r || e.Entry.ExpiresAt.IsZero() {
				t.Errorf("told is %+v", e)
			}
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(30 * time.Second):
			t.Fatalf("told is %q", told)
		}
	}
	last := put(t, s, "kept", "v")
	server.Kill()
	if err := <-ended; !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("the watch of a server that was killed ended with %v", err)
	}
	server.Restart()
	for {
		e, err := s.Get(t.Context(), []byte("kept"))
		if err == nil {
			if e.Revision != last {
				t.Errorf("a revision is %s, and was %s", e.Revision, last)
			}
			break
		}
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	_, ended = begin()
	if err := watching.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, driver.ErrClosed) {
		t.Errorf("the watch of a closed store ended with %v", err)
	}
}
