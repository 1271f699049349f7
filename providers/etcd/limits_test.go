package etcd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestLimits: what fits is done at one moment, what does not is refused by name, and
// nothing of it is applied.
func TestLimits(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 1, servers.EtcdOptions{})
	s := open(t, etcd.Config{Endpoints: c.Endpoints(), Prefix: strings.Repeat("p", 128)})
	client := bare(t, clientv3.Config{Endpoints: c.Endpoints()})
	limits := s.Capabilities().Limits
	key := func(kind byte, i int) []byte {
		return append(bytes.Repeat([]byte{kind}, limits.MaxKeyBytes-4), fmt.Sprintf("%04d", i)...)
	}
	commit := func(kind byte, writes, reads, fences, bytesOfValues int) (*driver.Commit, error) {
		m := &driver.Commit{}
		for i := range writes {
			w := driver.Write{Key: key(kind, i), Value: make([]byte, bytesOfValues/writes)}
			if i < fences {
				w.Fence = 9
			}
			m.Writes = append(m.Writes, w)
		}
		for i := range reads {
			m.Reads = append(m.Reads, driver.Read{Key: key('r', i)})
		}
		return m, s.Commit(t.Context(), m)
	}
	atOneMoment := func(m *driver.Commit) {
		t.Helper()
		var revision driver.Revision
		for i := range m.Writes {
			e, err := s.Get(t.Context(), m.Writes[i].Key)
			if err != nil || i > 0 && e.Revision != revision {
				t.Fatalf("write %d is at revision %s, the first at %s; %v", i, e.Revision, revision, err)
			}
			revision = e.Revision
		}
	}
	room := limits.MaxCommitBytes - limits.MaxCommitWrites*limits.MaxKeyBytes
	// The largest of every kind.
	m, err := commit('a', limits.MaxCommitWrites, 128, 0, room)
	if err != nil {
		t.Fatalf("the largest commit: %v", err)
	}
	atOneMoment(m)
	if m, err = commit('b', 64, 64, 64, limits.MaxCommitBytes-64*limits.MaxKeyBytes); err != nil {
		t.Fatalf("the largest commit with fences: %v", err)
	}
	atOneMoment(m)
	if _, err = s.Put(t.Context(), key('v', 0), make([]byte, limits.MaxValueBytes), driver.PutOptions{Fence: 3, IfAbsent: true, TTL: time.Hour}); err != nil {
		t.Fatalf("the largest value: %v", err)
	}
	before, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]struct{ writes, reads, fences int }{
		"129 writes": {129, 0, 0}, "129 reads": {1, 129, 0}, "65 writes with fences": {65, 0, 65}, "a fence too many to compare": {1, 128, 1},
	} {
		if _, err := commit('c', n.writes, n.reads, n.fences, 0); !errors.Is(err, driver.ErrTooLarge) || !strings.Contains(err.Error(), "12") {
			t.Errorf("%s: %v", what, err)
		}
	}
	after, err := client.Get(t.Context(), "x")
	if err != nil || after.Header.Revision != before.Header.Revision {
		t.Errorf("what was refused has changed something: %v", err)
	}

	// Ranges: 127 keys and their range can be compared.
	for i := range 128 {
		if i == 127 {
			m := &driver.Commit{Ranges: []driver.RangeRead{seen(t, s, "n/")}, Writes: []driver.Write{{Key: []byte("w"), Value: []byte("1")}}}
			if err := s.Commit(t.Context(), m); err != nil || len(m.Ranges[0].Seen) != 127 {
				t.Errorf("a range of %d: %v", len(m.Ranges[0].Seen), err)
			}
		}
		put(t, s, fmt.Sprintf("n/%03d", i), "v")
	}
	m = &driver.Commit{Ranges: []driver.RangeRead{seen(t, s, "n/")}, Writes: []driver.Write{{Key: []byte("w"), Value: []byte("2")}}}
	if err := s.Commit(t.Context(), m); !errors.Is(err, driver.ErrTooLarge) {
		t.Errorf("a range of %d: %v", len(m.Ranges[0].Seen), err)
	}
	// A list that was cut does not depend on what comes behind it.
	cut := driver.RangeRead{Options: driver.ListOptions{Prefix: []byte("n/"), Limit: 5}, Seen: m.Ranges[0].Seen[:5]}
	put(t, s, "n/100", "again")
	if err := s.Commit(t.Context(), &driver.Commit{Ranges: []driver.RangeRead{cut}}); err != nil {
		t.Errorf("a key behind a list that was cut: %v", err)
	}
	put(t, s, "n/0045", "behind")
	if err := s.Commit(t.Context(), &driver.Commit{Ranges: []driver.RangeRead{cut}}); err != nil {
		t.Errorf("a key right behind a list that was cut: %v", err)
	}
	put(t, s, "n/0035", "within")
	if err := s.Commit(t.Context(), &driver.Commit{Ranges: []driver.RangeRead{cut}}); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("a key within a list that was cut: %v", err)
	}

	// Bulk: any number, in parts.
	var writes []driver.Write
	for i := range 1000 {
		writes = append(writes, driver.Write{Key: fmt.Appendf(nil, "bulk/%d", i%700), Value: make([]byte, 3000), Fence: uint64(i % 300 / 299)})
	}
	writes = append(writes, driver.Write{Key: []byte("bulk/0"), Delete: true}, driver.Write{Key: []byte("bulk/1"), TTL: time.Hour})
	if err := s.BulkPut(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range s.List(t.Context(), driver.ListOptions{Prefix: []byte("bulk/")}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 699 {
		t.Errorf("%d entries of a bulk put, not 699", n)
	}
}

func seen(t *testing.T, s driver.Store, prefix string) driver.RangeRead {
	t.Helper()
	r := driver.RangeRead{Options: driver.ListOptions{Prefix: []byte(prefix)}}
	for e, err := range s.List(t.Context(), r.Options) {
		if err != nil {
			t.Fatal(err)
		}
		r.Seen = append(r.Seen, driver.Read{Key: e.Key, Revision: e.Revision})
	}
	return r
}

// TestListIsOneMoment: pages are of one revision, whatever is written meanwhile, and a
// moment that was compacted is no end.
func TestListIsOneMoment(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 1, servers.EtcdOptions{})
	s := open(t, etcd.Config{Endpoints: c.Endpoints(), Prefix: "list"})
	client := bare(t, clientv3.Config{Endpoints: c.Endpoints()})
	for i := range 300 {
		put(t, s, fmt.Sprintf("%03d", i), "v")
	}
	n := 0
	for e, err := range s.List(t.Context(), driver.ListOptions{}) {
		if err != nil || string(e.Value) != "v" {
			t.Fatalf("entry %d is %q = %q, %v", n, e.Key, e.Value, err)
		}
		if n++; n == 1 {
			put(t, s, "250", "later")
			put(t, s, "2505", "later")
			if err := s.Delete(t.Context(), []byte("299"), driver.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n != 300 {
		t.Errorf("%d entries, not 300", n)
	}
	n = 0
	var ended error
	for _, err := range s.List(t.Context(), driver.ListOptions{}) {
		if ended = err; err != nil {
			break
		}
		if n++; n == 1 {
			put(t, s, "a", "later")
			now, err := client.Get(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Compact(t.Context(), now.Header.Revision); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !errors.Is(ended, driver.ErrUnavailable) {
		t.Errorf("a list whose moment was compacted: %v after %d entries", ended, n)
	}
}

// TestWatch: what expires is told, too; a watch goes on when its member is back, and
// ends with its store.
func TestWatch(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 1, servers.EtcdOptions{})
	s := open(t, etcd.Config{Endpoints: c.Endpoints(), Prefix: "watch"})
	watching := open(t, etcd.Config{Endpoints: c.Endpoints(), Prefix: "watch"})
	events, ended := make(chan driver.Event, 1000), make(chan error, 1)
	go func() {
		for e, err := range watching.Watch(context.Background(), []byte("w/")) {
			if err != nil {
				ended <- err
				return
			}
			events <- e
		}
	}()
	next := func(key string, deleted bool) driver.Event {
		t.Helper()
		for {
			select {
			case e := <-events:
				if string(e.Entry.Key) == key && e.Deleted == deleted {
					return e
				}
			case err := <-ended:
				t.Fatalf("the watch has ended: %v", err)
			case <-time.After(60 * time.Second):
				t.Fatalf("%s, deleted %v, is not told", key, deleted)
			}
		}
	}
	for begun := false; !begun; {
		put(t, s, "w/begin", "v")
		select {
		case <-events:
			begun = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	r, err := s.Put(t.Context(), []byte("w/short"), []byte("v"), driver.PutOptions{TTL: time.Second, Fence: 5})
	if err != nil {
		t.Fatal(err)
	}
	if e := next("w/short", false); e.Entry.Revision != r || string(e.Entry.Value) != "v" || e.Entry.ExpiresAt.IsZero() {
		t.Errorf("told is %+v", e)
	}
	if e := next("w/short", true); e.Entry.Value != nil || !e.Entry.Revision.IsZero() {
		t.Errorf("told of the end is %+v", e)
	}
	c.Members[0].Kill()
	c.Members[0].Restart()
	for {
		if _, err := s.Put(t.Context(), []byte("w/again"), []byte("v"), driver.PutOptions{}); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	next("w/again", false)
	if err := watching.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, driver.ErrClosed) {
		t.Errorf("the watch of a closed store ended with %v", err)
	}
}
