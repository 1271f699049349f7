package drivertest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// largest is the size above which a limit is not tried out, but only its other
// side.
const largest = 1 << 20

var limitCases = []Case{
	{"limits/keys", func(s *session) {
		limits := s.caps.Limits
		if limits.MaxKeyBytes < 64 || limits.MaxValueBytes < 1024 {
			s.failf("limits %+v are below what the services need", limits)
		}
		_, err := s.Put(s.ctx, nil, []byte("v"), driver.PutOptions{})
		s.wants(driver.ErrInvalid, err, "put of the empty key")
		_, err = s.Get(s.ctx, nil)
		s.wants(driver.ErrInvalid, err, "get of the empty key")
		s.wants(driver.ErrInvalid, s.Delete(s.ctx, []byte{}, driver.DeleteOptions{}), "delete of the empty key")
		key := bytes.Repeat([]byte{'k'}, limits.MaxKeyBytes+1)
		_, err = s.Put(s.ctx, key, nil, driver.PutOptions{})
		s.wants(driver.ErrTooLarge, err, "put of a key of %d bytes", len(key))
		_, err = s.Get(s.ctx, key)
		s.wants(driver.ErrTooLarge, err, "get of a key of %d bytes", len(key))
		s.wants(driver.ErrTooLarge, s.Delete(s.ctx, key, driver.DeleteOptions{}), "delete of a key of %d bytes", len(key))
		s.listed(driver.ListOptions{})
		s.put(string(key[1:]), "v")
		s.has(string(key[1:]), "v")
		s.listed(driver.ListOptions{}, string(key[1:]))
		zeros := string(make([]byte, limits.MaxKeyBytes))
		s.put(zeros, "v")
		s.has(zeros, "v")
	}},
	{"limits/values", func(s *session) {
		n := s.caps.Limits.MaxValueBytes
		_, err := s.Put(s.ctx, []byte("k"), make([]byte, n+1), driver.PutOptions{})
		s.wants(driver.ErrTooLarge, err, "put of a value of %d bytes", n+1)
		s.lacks("k")
		value := bytes.Repeat([]byte("value"), min(n, largest)/5)
		s.put("k", string(value))
		s.has("k", string(value))
	}},
}

var capabilityCases = []Case{
	{"capabilities/interfaces", func(s *session) {
		c := s.caps
		if c.Backend == "" || c.Version == "" {
			s.failf("backend %q of version %q; both must be told", c.Backend, c.Version)
		}
		if c != s.Capabilities() {
			s.failf("capabilities change")
		}
		is := func(name string, declared, has bool) {
			if declared != has {
				s.failf("capability %s is declared as %t, and the interface is there: %t", name, declared, has)
			}
		}
		_, has := s.Store.(driver.Committer)
		is("Commit", c.Commit, has)
		_, has = s.Store.(driver.BatchGetter)
		is("BatchGet", c.BatchGet, has)
		_, has = s.Store.(driver.BulkPutter)
		is("BulkPut", c.BulkPut, has)
		_, has = s.Store.(driver.Snapshotter)
		is("Snapshot", c.Snapshot, has)
		_, has = s.Store.(driver.NamedSnapshotter)
		is("Named", c.Named, has)
		_, has = s.Store.(driver.Watcher)
		is("Watch", c.Watch, has)
		_, has = s.Store.(driver.Clock)
		is("Clock", c.Clock, has)
		_, has = s.Store.(driver.Expirer)
		is("Expire", c.Expire, has)
		_, has = s.Store.(driver.Checkpointer)
		is("Checkpoint", c.Checkpoint, has)
		_, has = s.Store.(driver.Compacter)
		is("Compact", c.Compact, has)
		_, has = s.Store.(driver.Reporter)
		is("Report", c.Report, has)
		if c.RangeReads && !c.Commit {
			s.failf("ranges are taken, and there is no Commit")
		}
	}},
	{"capabilities/ping-and-report", func(s *session) {
		s.ok(s.Ping(s.ctx), "ping")
		s.put("k", "v")
		if r, ok := s.Store.(driver.Reporter); ok {
			if report := r.Report(); report.Degraded != "" {
				s.failf("a store with one entry is degraded: %s", report.Degraded)
			}
		}
	}},
	{"capabilities/ttl", func(s *session) {
		put := func(key string, ttl time.Duration) error {
			_, err := s.Put(s.ctx, []byte(key), []byte("v"), driver.PutOptions{TTL: ttl})
			return err
		}
		if !s.caps.TTL {
			s.wants(driver.ErrUnsupported, put("k", time.Hour), "put with a TTL")
			s.lacks("k")
			return
		}
		s.wants(driver.ErrInvalid, put("k", -1), "put with a TTL below 0")
		const ttl = 2 * time.Second
		s.ok(put("short", ttl), "put with a TTL")
		s.ok(put("again", ttl), "put with a TTL")
		s.ok(put("again", 24*time.Hour), "put with a longer one")
		s.ok(put("ever", ttl), "put with a TTL")
		s.put("ever", "v")
		if e := s.has("again", "v"); e.ExpiresAt.IsZero() {
			s.failf("an entry with a TTL shows no time")
		}
		if e := s.has("ever", "v"); !e.ExpiresAt.IsZero() {
			s.failf("an entry without a TTL shows %s", e.ExpiresAt)
		}
		s.has("short", "v")
		s.pass(ttl + 1100*time.Millisecond)
		s.lacks("short")
		s.has("again", "v")
		s.has("ever", "v")
		s.listed(driver.ListOptions{}, "again", "ever")
		_, err := s.Put(s.ctx, []byte("short"), []byte("v"), driver.PutOptions{IfAbsent: true})
		s.ok(err, "put if absent what has expired")
		s.ok(put("gone", time.Second), "put with a TTL")
		if x, ok := s.Store.(driver.Expirer); ok {
			s.pass(2100 * time.Millisecond)
			n, err := x.Expire(s.ctx, 10)
			s.ok(err, "expire")
			if n != 1 {
				s.failf("expire removed %d of 1 expired entry", n)
			}
			n, err = x.Expire(s.ctx, 10)
			s.ok(err, "expire")
			if n != 0 {
				s.failf("expire removed %d where there was nothing", n)
			}
		}
		s.has("again", "v")
		s.has("ever", "v")
		s.has("short", "v")
	}},
	{"capabilities/fence", func(s *session) {
		put := func(fence uint64, value string) error {
			_, err := s.Put(s.ctx, []byte("k"), []byte(value), driver.PutOptions{Fence: fence})
			return err
		}
		if !s.caps.Fence {
			s.wants(driver.ErrUnsupported, put(1, "v"), "put with a fence")
			s.wants(driver.ErrUnsupported, s.Delete(s.ctx, []byte("k"), driver.DeleteOptions{Fence: 1}), "delete with a fence")
			s.lacks("k")
			return
		}
		s.ok(put(5, "5"), "put with token 5")
		s.ok(put(5, "5 again"), "put with token 5 again")
		s.wants(driver.ErrFenced, put(4, "4"), "put with token 4 after 5")
		s.wants(driver.ErrFenced, s.Delete(s.ctx, []byte("k"), driver.DeleteOptions{Fence: 4}), "delete with token 4 after 5")
		s.has("k", "5 again")
		s.put("k", "free")
		s.wants(driver.ErrFenced, put(4, "4"), "put with token 4 after one without")
		s.ok(s.Delete(s.ctx, []byte("k"), driver.DeleteOptions{Fence: 7}), "delete with token 7")
		s.lacks("k")
		s.wants(driver.ErrFenced, put(6, "6"), "put with token 6 after a delete with 7")
		s.lacks("k")
		s.listed(driver.ListOptions{})
		if s.caps.Persistent {
			s.reopen()
			s.wants(driver.ErrFenced, put(6, "6"), "put with token 6 after a reopening")
		}
		_, err := s.Put(s.ctx, []byte("k"), []byte("7"), driver.PutOptions{Fence: 7, IfAbsent: true})
		s.ok(err, "put with token 7 if absent")
		s.delete("k")
		s.wants(driver.ErrFenced, put(6, "6"), "put with token 6 after a free delete")
		_, err = s.Put(s.ctx, []byte("other"), []byte("1"), driver.PutOptions{Fence: 1})
		s.ok(err, "put of another key with token 1")
		if c, ok := s.Store.(driver.Committer); ok {
			m := &driver.Commit{Writes: []driver.Write{{Key: []byte("free"), Value: []byte("v")}, {Key: []byte("k"), Value: []byte("v"), Fence: 6}}}
			s.wants(driver.ErrFenced, c.Commit(s.ctx, m), "commit with token 6")
			s.lacks("free")
			s.lacks("k")
		}
	}},
	{"capabilities/get-many", func(s *session) {
		b, ok := s.Store.(driver.BatchGetter)
		if !ok {
			return // capabilities/interfaces says that it is not declared
		}
		r := s.put("a", "1")
		s.put("c", "")
		got, err := b.GetMany(s.ctx, [][]byte{[]byte("c"), []byte("b"), []byte("a"), []byte("a")})
		s.ok(err, "get many")
		if len(got) != 4 || string(got[0].Key) != "c" || got[0].Revision.IsZero() || !got[1].Revision.IsZero() ||
			string(got[1].Key) != "b" || string(got[2].Value) != "1" || got[2].Revision != r || got[3].Revision != r {
			s.failf("get many of c, b, a, a: %v", got)
		}
		got[2].Value[0] = 'x'
		s.has("a", "1")
		_, err = b.GetMany(s.ctx, [][]byte{nil})
		s.wants(driver.ErrInvalid, err, "get many of the empty key")
	}},
	{"capabilities/bulk-put", func(s *session) {
		b, ok := s.Store.(driver.BulkPutter)
		if !ok {
			return // capabilities/interfaces says that it is not declared
		}
		s.put("gone", "1")
		s.put("over", "1")
		writes := []driver.Write{{Key: []byte("gone"), Delete: true}, {Key: []byte("over"), Value: []byte("2")}, {Key: []byte("new"), Value: []byte("3")}}
		s.ok(b.BulkPut(s.ctx, writes), "bulk put")
		s.lacks("gone")
		s.has("over", "2")
		s.has("new", "3")
		s.ok(b.BulkPut(s.ctx, nil), "bulk put of nothing")
		s.wants(driver.ErrInvalid, b.BulkPut(s.ctx, []driver.Write{{}}), "bulk put of the empty key")
	}},
	{"capabilities/snapshot", func(s *session) {
		sn, ok := s.Store.(driver.Snapshotter)
		if !ok {
			return // capabilities/interfaces says that it is not declared
		}
		s.put("a", "1")
		r := s.put("b", "1")
		snap, err := sn.Snapshot(s.ctx)
		s.ok(err, "snapshot")
		s.put("b", "2")
		s.delete("a")
		s.put("c", "2")
		if e, err := snap.Get(s.ctx, []byte("b")); err != nil || string(e.Value) != "1" || e.Revision != r {
			s.failf("snapshot: b is %q at %q, %v", e.Value, e.Revision, err)
		}
		if _, err := snap.Get(s.ctx, []byte("c")); err != driver.ErrNotFound { //nolint // it is bare
			s.failf("snapshot: c: %v", err)
		}
		var keys string
		for e, err := range snap.List(s.ctx, driver.ListOptions{}) {
			s.ok(err, "list a snapshot")
			keys += string(e.Key)
		}
		if keys != "ab" {
			s.failf("snapshot shows %q, want ab", keys)
		}
		s.ok(snap.Close(), "close the snapshot")
		_, err = snap.Get(s.ctx, []byte("b"))
		s.wants(driver.ErrClosed, err, "get of a closed snapshot")
	}},
	{"capabilities/named-snapshots", func(s *session) {
		n, ok := s.Store.(driver.NamedSnapshotter)
		if !ok {
			return // capabilities/interfaces says that it is not declared
		}
		names := func(want ...string) {
			got, err := n.ListSnapshots(s.ctx)
			s.ok(err, "list snapshots")
			if !slices.Equal(got, want) {
				s.failf("there are snapshots %q, want %q", got, want)
			}
		}
		names()
		r := s.put("a", "1")
		s.ok(n.CreateSnapshot(s.ctx, "then"), "create a snapshot")
		s.wants(driver.ErrConflict, n.CreateSnapshot(s.ctx, "then"), "create a snapshot of the same name")
		s.wants(driver.ErrInvalid, n.CreateSnapshot(s.ctx, ""), "create a snapshot without a name")
		s.put("a", "2")
		s.put("b", "2")
		s.ok(n.CreateSnapshot(s.ctx, "later"), "create a snapshot")
		_, err := n.OpenSnapshot(s.ctx, "never")
		s.wants(driver.ErrNotFound, err, "open a snapshot that is not there")
		s.wants(driver.ErrNotFound, n.DropSnapshot(s.ctx, "never"), "drop a snapshot that is not there")
		s.reopen()
		n = s.Store.(driver.NamedSnapshotter)
		names("later", "then")
		snap, err := n.OpenSnapshot(s.ctx, "then")
		s.ok(err, "open a snapshot")
		s.ok(n.DropSnapshot(s.ctx, "then"), "drop a snapshot")
		names("later")
		if e, err := snap.Get(s.ctx, []byte("a")); err != nil || string(e.Value) != "1" || e.Revision != r {
			s.failf("the snapshot shows a = %q at %q, %v", e.Value, e.Revision, err)
		}
		if _, err := snap.Get(s.ctx, []byte("b")); err != driver.ErrNotFound { //nolint // it is bare
			s.failf("the snapshot shows b: %v", err)
		}
		s.ok(snap.Close(), "close the snapshot")
		s.has("a", "2")
	}},
	{"capabilities/clock", func(s *session) {
		c, ok := s.Store.(driver.Clock)
		if !ok {
			return // capabilities/interfaces says that it is not declared
		}
		before, err := c.Now(s.ctx)
		s.ok(err, "now")
		s.pass(1100 * time.Millisecond)
		after, err := c.Now(s.ctx)
		s.ok(err, "now")
		if !after.After(before) || before.Year() < 2000 {
			s.failf("the clock shows %s, and a second later %s", before, after)
		}
	}},
	{"capabilities/watch", func(s *session) {
		w, ok := s.Store.(driver.Watcher)
		if !ok {
			return // capabilities/interfaces says that it is not declared
		}
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		got, ended := make(chan driver.Event), make(chan error, 1)
		seq := w.Watch(ctx, []byte("w/"))
		go func() {
			for e, err := range seq {
				if err != nil {
					ended <- err
					return
				}
				got <- e
			}
			ended <- ctx.Err()
		}()
		// The watch begins with its call, or with its first step: what is put again
		// and again is seen in the end.
		var e driver.Event
		for seen := false; !seen; {
			s.put("w/begin", "v")
			s.put("x", "v")
			select {
			case e = <-got:
				seen = true
			case err := <-ended:
				s.failf("watch ended: %w", err)
			case <-time.After(10 * time.Millisecond):
			}
		}
		s.put("w/end", "1")
		s.delete("w/end")
		for string(e.Entry.Key) != "w/end" || !e.Deleted {
			if !bytes.HasPrefix(e.Entry.Key, []byte("w/")) {
				s.failf("watch of w/ shows %q", e.Entry.Key)
			}
			select {
			case e = <-got:
			case err := <-ended:
				s.failf("watch ended: %w", err)
			case <-time.After(10 * time.Second):
				s.failf("the delete is not shown")
			}
		}
		cancel()
		for {
			select {
			case <-got:
				continue
			case err := <-ended:
				s.wants(context.Canceled, err, "watch after its context has ended")
				return
			}
		}
	}},
	{"capabilities/checkpoint-and-compact", func(s *session) {
		s.put("a", "1")
		if c, ok := s.Store.(driver.Compacter); ok {
			s.ok(c.Compact(s.ctx), "compact")
			s.has("a", "1")
		}
		c, ok := s.Store.(driver.Checkpointer)
		if !ok {
			return // capabilities/interfaces says that it is not declared
		}
		dir := filepath.Join(s.place, "..", filepath.Base(s.place)+"-checkpoint")
		defer os.RemoveAll(dir)
		s.ok(c.Checkpoint(s.ctx, dir), "checkpoint")
		s.put("a", "2")
		copied, err := s.target.Open(s.ctx, dir)
		s.ok(err, "open the checkpoint")
		e, err := copied.Get(s.ctx, []byte("a"))
		s.ok(errors.Join(err, copied.Close()), "get from the checkpoint")
		if string(e.Value) != "1" {
			s.failf("the checkpoint shows %q, want 1", e.Value)
		}
	}},
}
