package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// leader returns the number of the member that leads.
func leader(t *testing.T, c *servers.Etcd) int {
	t.Helper()
	client := bare(t, clientv3.Config{Endpoints: c.Endpoints()})
	for i, m := range c.Members {
		status, err := client.Status(t.Context(), m.URL)
		if err != nil {
			t.Fatal(err)
		}
		if status.Leader == status.Header.MemberId {
			return i
		}
	}
	t.Fatal("nobody leads")
	return 0
}

// load is clients that write, read and swap until they are told to stop. What they saw
// is kept.
type load struct {
	store driver.Store
	start time.Time
	done  atomic.Int64 // writes that have succeeded

	mu       sync.Mutex // guards what follows
	history  check.History
	unknown  int
	appended map[string]bool // keys of their own that were acknowledged
	broken   error
}

const loadClients = 6

func (l *load) run(ctx context.Context, group *sync.WaitGroup) {
	for client := range loadClients {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 3))
			for i := 0; ctx.Err() == nil; i++ {
				l.step(client, i, random)
				time.Sleep(time.Millisecond) // so that the history can be judged
			}
		})
	}
}

func (l *load) step(client, i int, random *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	key, value := string("abcd"[random.IntN(4)]), fmt.Sprintf("%d-%d", client, i)
	own := "own/" + value
	op := check.Operation{Client: client, Call: time.Since(l.start).Nanoseconds()}
	record, write := true, true
	var err error
	switch random.IntN(4) {
	case 0:
		write = false
		var e driver.Entry
		if e, err = l.store.Get(ctx, []byte(key)); err == nil {
			op.Reads = []check.Read{check.Got(key, string(e.Value))}
		} else if errors.Is(err, driver.ErrNotFound) {
			op.Reads, err = []check.Read{check.Missed(key)}, nil
		}
	case 1:
		_, err = l.store.Put(ctx, []byte(key), []byte(value), driver.PutOptions{})
		op.Changes = []check.Change{{Kind: check.Put, Key: key, Value: value}}
	case 2:
		e, getErr := l.store.Get(ctx, []byte(key))
		if getErr != nil {
			return
		}
		op.Call = time.Since(l.start).Nanoseconds()
		err = l.store.(driver.Committer).Commit(ctx, &driver.Commit{
			Reads:  []driver.Read{{Key: []byte(key), Revision: e.Revision}},
			Writes: []driver.Write{{Key: []byte(key), Value: []byte(value)}, {Key: []byte(own), Value: []byte(value)}},
		})
		op.Reads = []check.Read{check.Got(key, string(e.Value))}
		op.Changes = []check.Change{{Kind: check.Put, Key: key, Value: value}}
	case 3:
		record = false
		_, err = l.store.Put(ctx, []byte(own), []byte(value), driver.PutOptions{IfAbsent: true})
	}
	op.Return = time.Since(l.start).Nanoseconds()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		if write {
			l.done.Add(1)
			if record == false || len(op.Reads) > 0 {
				l.appended[own] = true
			}
		}
	case errors.Is(err, driver.ErrOutcomeUnknown):
		if errors.Is(err, driver.ErrUnavailable) {
			l.broken = fmt.Errorf("of two kinds: %w", err)
		}
		l.unknown++
		op.Return = check.Never
	case errors.Is(err, driver.ErrUnavailable), errors.Is(err, driver.ErrConflict), errors.Is(err, context.DeadlineExceeded):
		record = false
	default:
		l.broken = err
	}
	if record {
		l.history.Operations = append(l.history.Operations, op)
	}
}

// TestFailover: a follower and then the leader are killed and come back, under load. The
// cluster goes on without either, what was acknowledged is there, and what was seen is
// linearizable.
func TestFailover(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 3, servers.EtcdOptions{})
	s := open(t, etcd.Config{Endpoints: c.Endpoints(), Prefix: "failover"})
	for _, key := range []string{"a", "b", "c", "d"} {
		put(t, s, key, "0-begin-"+key)
	}
	l := &load{store: s, start: time.Now(), appended: map[string]bool{}}
	for _, key := range []string{"a", "b", "c", "d"} {
		l.history.Operations = append(l.history.Operations, check.Operation{Client: loadClients, Changes: []check.Change{{Kind: check.Put, Key: key, Value: "0-begin-" + key}}})
	}
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	l.run(ctx, &group)
	goOn := func(what string) {
		t.Helper()
		limit, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		for want := l.done.Load() + 150; l.done.Load() < want; time.Sleep(5 * time.Millisecond) {
			if limit.Err() != nil {
				t.Fatalf("nothing is written any more %s", what)
			}
		}
	}
	goOn("at the beginning")
	first := leader(t, c)
	follower := c.Members[(first+1)%3]
	follower.Kill()
	goOn("without a follower")
	follower.Restart()
	goOn("with the follower back")
	c.Members[first].Kill()
	goOn("without the leader")
	c.Members[first].Restart()
	goOn("with the old leader back")
	if now := leader(t, c); now == first {
		t.Logf("the old leader leads again")
	}
	stop()
	group.Wait()
	if l.broken != nil {
		t.Error(l.broken)
	}
	lost := 0
	for key := range l.appended {
		if !has(t, s, key) {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, len(l.appended))
	}
	verdict, err := check.Referee{Timeout: 30 * time.Second}.Keys(&l.history)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d operations, %d of unknown outcome, %d keys acknowledged; verdict %+v", len(l.history.Operations), l.unknown, len(l.appended), verdict)
}

// TestNoMajority: a member alone serves nothing, and says so, also to a commit that only
// reads; and the store serves again when the others are back.
func TestNoMajority(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 3, servers.EtcdOptions{})
	s := open(t, etcd.Config{Endpoints: c.Endpoints()[:1], Prefix: "alone"})
	r := put(t, s, "k", "v")
	c.Members[1].Kill()
	c.Members[2].Kill()
	read := &driver.Commit{Reads: []driver.Read{{Key: []byte("k"), Revision: r}}}
	ranged := &driver.Commit{Ranges: []driver.RangeRead{{Seen: []driver.Read{{Key: []byte("k"), Revision: r}}}}}
	for what, call := range map[string]func(ctx context.Context) error{
		"get":                            func(ctx context.Context) error { _, err := s.Get(ctx, []byte("k")); return err },
		"ping":                           s.Ping,
		"a commit that reads a key":      func(ctx context.Context) error { return s.Commit(ctx, read) },
		"a commit that reads a range":    func(ctx context.Context) error { return s.Commit(ctx, ranged) },
		"a commit that reads no entries": func(ctx context.Context) error { return s.Commit(ctx, &driver.Commit{Ranges: []driver.RangeRead{{Options: driver.ListOptions{Prefix: []byte("x")}}}}) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := call(ctx); !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s without a majority: %v", what, err)
		}
		cancel()
	}
	c.Members[1].Restart()
	for {
		err := s.Commit(t.Context(), read)
		if err == nil {
			break
		}
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Commit(t.Context(), ranged); err != nil {
		t.Error(err)
	}
	c.Members[2].Restart()
}
