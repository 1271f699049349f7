package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/orbit-persistence/orbit/providers/driver"
)

var pointCases = []Case{
	{"point/put-get-delete", func(s *session) {
		s.lacks("a")
		s.delete("a")
		s.put("a", "1")
		s.has("a", "1")
		s.put("a", "2")
		s.put("b", "")
		s.has("a", "2")
		s.has("b", "")
		s.delete("a")
		s.lacks("a")
		s.has("b", "")
	}},
	{"point/ownership", func(s *session) {
		key, value := []byte("key"), []byte("value")
		_, err := s.Put(s.ctx, key, value, driver.PutOptions{})
		s.ok(err, "put")
		copy(key, "xxx")
		copy(value, "xxxxx")
		e := s.has("key", "value")
		for i := range e.Value {
			e.Value[i] = 'y'
		}
		_ = append(e.Value, 'z')
		s.has("key", "value")
		for _, e := range s.list(driver.ListOptions{}) {
			for i := range e.Value {
				e.Value[i] = 'y'
			}
			copy(e.Key, "yyy")
		}
		s.has("key", "value")
	}},
	{"point/binary-keys", func(s *session) {
		var keys []string
		for i := range 256 {
			keys = append(keys, string([]byte{byte(i)}))
			if i%16 == 0 {
				keys = append(keys, string([]byte{byte(i), 0}), string([]byte{byte(i), 0xff, 0xff}))
			}
		}
		keys = append(keys, "../up", "..", "/root", "//", "a/b/", "\x00\x00h", "\x00\x01", "é", "Zz", "%2e", "\xff\xff\xff")
		unique := map[string]bool{}
		for _, k := range keys {
			unique[k] = true
			s.put(k, "of "+k)
		}
		for k := range unique {
			s.has(k, "of "+k)
		}
		got := s.list(driver.ListOptions{})
		if len(got) != len(unique) {
			s.failf("%d keys are listed of %d", len(got), len(unique))
		}
		for i, e := range got {
			if !unique[string(e.Key)] || i > 0 && bytes.Compare(got[i-1].Key, e.Key) >= 0 || string(e.Value) != "of "+string(e.Key) {
				s.failf("list: %q = %q after %q", e.Key, e.Value, got[max(i-1, 0)].Key)
			}
		}
		s.listed(driver.ListOptions{Prefix: []byte("\xff")}, "\xff", "\xff\xff\xff")
	}},
	{"revision/never-again", func(s *session) {
		seen := map[driver.Revision]bool{}
		note := func(r driver.Revision) {
			if seen[r] {
				s.failf("revision %q is given twice to one key", r)
			}
			seen[r] = true
			if e := s.has("k", "same"); e.Revision != r {
				s.failf("put gives revision %q, get %q", r, e.Revision)
			}
			if l := s.list(driver.ListOptions{}); len(l) != 1 || l[0].Revision != r {
				s.failf("put gives revision %q, list shows %v", r, l)
			}
		}
		for range 3 {
			note(s.put("k", "same"))
			note(s.put("k", "same"))
			s.delete("k")
		}
		if s.caps.Persistent {
			s.reopen()
		}
		note(s.put("k", "same"))
	}},
	{"condition/if-absent", func(s *session) {
		put := func() error {
			_, err := s.Put(s.ctx, []byte("k"), []byte("new"), driver.PutOptions{IfAbsent: true})
			return err
		}
		s.ok(put(), "put what is absent")
		s.wants(driver.ErrConflict, put(), "put what is there")
		s.put("k", "old")
		s.wants(driver.ErrConflict, put(), "put what is there")
		s.has("k", "old")
		s.delete("k")
		s.ok(put(), "put what was deleted")
	}},
	{"condition/if-revision", func(s *session) { ifRevision(s, "k") }},
	// The leases of package lease are such keys, which a backend may keep as objects of
	// another kind, with rules of their own.
	{"condition/if-revision-of-a-lease", func(s *session) { ifRevision(s, "lease/k") }},
	{"context/cancelled", func(s *session) {
		revision := s.put("k", "1")
		ctx, cancel := context.WithCancelCause(s.ctx)
		cancel(errors.New("enough"))
		for what, call := range everyCall(ctx, s.Store) {
			err := call()
			s.wants(context.Canceled, err, "%s with a cancelled context", what)
			if errors.Is(err, driver.ErrOutcomeUnknown) {
				s.failf("%s with a context cancelled before: %v", what, err)
			}
		}
		if e := s.has("k", "1"); e.Revision != revision || len(s.list(driver.ListOptions{})) != 1 {
			s.failf("a cancelled call has changed something")
		}
	}},
	{"lifetime/closed", func(s *session) {
		s.put("k", "1")
		caps := s.Capabilities()
		s.ok(s.Close(), "close")
		for what, call := range everyCall(s.ctx, s.Store) {
			s.wants(driver.ErrClosed, call(), "%s after close", what)
		}
		s.wants(driver.ErrClosed, s.Close(), "second close")
		if s.Capabilities() != caps {
			s.failf("capabilities are others after close")
		}
	}},
	{"lifetime/reopen", func(s *session) {
		for i := range 200 {
			s.put(fmt.Sprint("k", i), fmt.Sprint(i))
		}
		s.delete("k7")
		revision := s.put("last", "1")
		s.reopen()
		if !s.caps.Persistent {
			s.listed(driver.ListOptions{})
			return
		}
		if s.has("last", "1").Revision != revision {
			s.failf("the revision is another after a reopening")
		}
		s.lacks("k7")
		if n := len(s.list(driver.ListOptions{})); n != 200 {
			s.failf("%d entries of 200 after a reopening", n)
		}
	}},
	{"lifetime/two-at-once", func(s *session) {
		s.put("k", "1")
		second, err := s.target.Open(s.ctx, s.place)
		if err == nil {
			s.opened = append(s.opened, second)
		}
		switch {
		case s.caps.Shared:
			s.ok(err, "open a second client")
			if e, err := second.Get(s.ctx, []byte("k")); s.caps.Staleness == 0 && (err != nil || string(e.Value) != "1") {
				s.failf("a second client sees %q, %v, and the first has put 1", e.Value, err)
			}
			return
		case !s.caps.Persistent:
			s.ok(err, "open a second store")
			if _, err := second.Get(s.ctx, []byte("k")); err != driver.ErrNotFound { //nolint // it is bare
				s.failf("a second store sees what is in the memory of the first: %v", err)
			}
			return
		}
		s.wants(driver.ErrLocked, err, "open a store that is open")
		// A store over others names who has it, for it lies nowhere itself.
		if !strings.Contains(err.Error(), s.place) && !strings.Contains(err.Error(), "process ") {
			s.failf("the refusal does not say that %s is open: %v", s.place, err)
		}
		s.put("k", "2")
		s.reopen()
		s.has("k", "2")
	}},
	{"lifetime/close-under-load", func(s *session) {
		const clients = 4
		results, running := make(chan error, clients), make(chan struct{}, clients)
		for i := range clients {
			go func() {
				key := []byte(fmt.Sprint("k", i))
				for n := 0; ; n++ {
					_, err := s.Put(s.ctx, key, key, driver.PutOptions{})
					if err == nil {
						_, err = s.Get(s.ctx, key)
					}
					if err == nil {
						for _, err = range s.List(s.ctx, driver.ListOptions{}) {
							if err != nil {
								break
							}
						}
					}
					if err != nil {
						results <- err
						return
					}
					if n == 3 {
						running <- struct{}{}
					}
				}
			}()
		}
		for range clients {
			select {
			case <-running:
			case err := <-results:
				s.failf("under load: %w", err)
			}
		}
		s.ok(s.Close(), "close under load")
		for range clients {
			s.wants(driver.ErrClosed, <-results, "a call while the store is closed")
		}
	}},
}

// everyCall returns a call of each method that can block, on key "k".
func everyCall(ctx context.Context, store driver.Store) map[string]func() error {
	k := []byte("k")
	calls := map[string]func() error{
		"get":               func() error { _, err := store.Get(ctx, k); return err },
		"put":               func() error { _, err := store.Put(ctx, k, k, driver.PutOptions{}); return err },
		"put if absent":     func() error { _, err := store.Put(ctx, []byte("l"), k, driver.PutOptions{IfAbsent: true}); return err },
		"delete":            func() error { return store.Delete(ctx, k, driver.DeleteOptions{}) },
		"delete at nothing": func() error { return store.Delete(ctx, []byte("l"), driver.DeleteOptions{}) },
		"ping":              func() error { return store.Ping(ctx) },
		"list": func() error {
			for _, err := range store.List(ctx, driver.ListOptions{}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	if c, ok := store.(driver.Committer); ok {
		calls["commit"] = func() error { return c.Commit(ctx, &driver.Commit{Writes: []driver.Write{{Key: k, Value: k}}}) }
	}
	if c, ok := store.(driver.BatchGetter); ok {
		calls["get many"] = func() error { _, err := c.GetMany(ctx, [][]byte{k}); return err }
	}
	if c, ok := store.(driver.BulkPutter); ok {
		calls["bulk put"] = func() error { return c.BulkPut(ctx, []driver.Write{{Key: k, Value: k}}) }
	}
	if c, ok := store.(driver.Snapshotter); ok {
		calls["snapshot"] = func() error {
			snap, err := c.Snapshot(ctx)
			if err == nil {
				snap.Close()
			}
			return err
		}
	}
	if c, ok := store.(driver.Clock); ok {
		calls["now"] = func() error { _, err := c.Now(ctx); return err }
	}
	if c, ok := store.(driver.Expirer); ok {
		calls["expire"] = func() error { _, err := c.Expire(ctx, 1); return err }
	}
	return calls
}

// ifRevision: what is conditional on a revision of a key is done at that one and at no other,
// also where the key is not there any more.
func ifRevision(s *session, key string) {
	put := func(r driver.Revision, value string) (driver.Revision, error) {
		return s.Put(s.ctx, []byte(key), []byte(value), driver.PutOptions{IfRevision: r})
	}
	first := s.put(key, "1")
	second, err := put(first, "2")
	s.ok(err, "put at the revision")
	_, err = put(first, "3")
	s.wants(driver.ErrConflict, err, "put at an old revision")
	s.has(key, "2")
	s.wants(driver.ErrConflict, s.Delete(s.ctx, []byte(key), driver.DeleteOptions{IfRevision: first}), "delete at an old revision")
	s.has(key, "2")
	s.ok(s.Delete(s.ctx, []byte(key), driver.DeleteOptions{IfRevision: second}), "delete at the revision")
	s.lacks(key)
	_, err = put(second, "4")
	s.wants(driver.ErrConflict, err, "put what is gone, at its last revision")
	s.wants(driver.ErrConflict, s.Delete(s.ctx, []byte(key), driver.DeleteOptions{IfRevision: second}), "delete what is gone, at its last revision")
	s.lacks(key)
	other := s.put("other", "1")
	s.put(key, "5")
	if _, err = put(other, "6"); other != s.has(key, "5").Revision {
		s.wants(driver.ErrConflict, err, "put at another key's revision")
	}
	_, err = s.Put(s.ctx, []byte(key), nil, driver.PutOptions{IfAbsent: true, IfRevision: first})
	s.wants(driver.ErrInvalid, err, "put if absent and at a revision")
}
