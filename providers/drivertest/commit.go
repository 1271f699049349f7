package drivertest

import (
	"github.com/orbit-persistence/orbit/providers/driver"
)

var commitCases = []Case{
	committing("commit/atomic", func(s *session, c driver.Committer) {
		old := s.put("old", "1")
		s.put("gone", "1")
		m := &driver.Commit{
			Reads:  []driver.Read{{Key: []byte("old"), Revision: old}, {Key: []byte("absent")}},
			Writes: []driver.Write{put("old", "2"), put("new", "2"), remove("gone"), remove("never")},
		}
		s.ok(c.Commit(s.ctx, m), "commit")
		if s.has("old", "2").Revision == old {
			s.failf("a commit leaves the revision as it was")
		}
		s.has("new", "2")
		s.lacks("gone")
		s.lacks("never")
		s.wants(driver.ErrConflict, c.Commit(s.ctx, m), "the same commit again")
		s.has("old", "2")
		s.lacks("gone")
		s.listed(driver.ListOptions{}, "new", "old")
		// What it wrote can be written again in every way.
		_, err := s.Put(s.ctx, []byte("new"), []byte("3"), driver.PutOptions{IfRevision: s.has("new", "2").Revision})
		s.ok(err, "put at the revision of a commit")
		_, err = s.Put(s.ctx, []byte("gone"), []byte("3"), driver.PutOptions{IfAbsent: true})
		s.ok(err, "put if absent what a commit removed")
	}),
	committing("commit/validates-reads", func(s *session, c driver.Committer) {
		first := s.put("a", "1")
		s.put("b", "1")
		fail := func(what string, reads ...driver.Read) {
			m := &driver.Commit{Reads: reads, Writes: []driver.Write{put("x", "1"), put("a", "x")}}
			s.wants(driver.ErrConflict, c.Commit(s.ctx, m), "%s", what)
			s.lacks("x")
		}
		fail("read as absent what is there", driver.Read{Key: []byte("b")})
		fail("read what is not there", driver.Read{Key: []byte("c"), Revision: first})
		second := s.put("a", "1")
		fail("read at an old revision what it writes too", driver.Read{Key: []byte("a"), Revision: first})
		fail("the second read is old", driver.Read{Key: []byte("a"), Revision: second}, driver.Read{Key: []byte("b"), Revision: first})
		s.has("a", "1")
		s.ok(c.Commit(s.ctx, &driver.Commit{Reads: []driver.Read{{Key: []byte("a"), Revision: second}}}), "a commit that only reads")
		s.put("a", "2")
		s.wants(driver.ErrConflict, c.Commit(s.ctx, &driver.Commit{Reads: []driver.Read{{Key: []byte("a"), Revision: second}}}), "a commit that only reads, of what has changed")
		s.ok(c.Commit(s.ctx, &driver.Commit{}), "an empty commit")
	}),
	committing("commit/refuses", func(s *session, c driver.Committer) {
		commit := func(w ...driver.Write) error { return c.Commit(s.ctx, &driver.Commit{Writes: w}) }
		s.wants(driver.ErrInvalid, commit(put("a", "1"), put("a", "2")), "a key twice")
		s.wants(driver.ErrInvalid, commit(put("a", "1"), put("", "2")), "the empty key")
		s.wants(driver.ErrTooLarge, commit(put("a", "1"), put(string(make([]byte, s.caps.Limits.MaxKeyBytes+1)), "")), "a key too large")
		if s.caps.Limits.MaxCommitWrites < 10 || s.caps.Limits.MaxCommitBytes < s.caps.Limits.MaxKeyBytes {
			s.failf("limits of a commit are %+v", s.caps.Limits)
		}
		if !s.caps.TTL {
			w := put("b", "2")
			w.TTL = 1
			s.wants(driver.ErrUnsupported, commit(put("a", "1"), w), "a TTL")
		}
		s.listed(driver.ListOptions{})
	}),
	committing("commit/ranges", func(s *session, c driver.Committer) {
		s.put("r/a", "1")
		s.put("r/b", "1")
		s.put("s", "1")
		o := driver.ListOptions{Prefix: []byte("r/")}
		commit := func() (*driver.Commit, func() error) {
			m := &driver.Commit{Ranges: []driver.RangeRead{{Options: o}}, Writes: []driver.Write{put("w", "1")}}
			for _, e := range s.list(o) {
				m.Ranges[0].Seen = append(m.Ranges[0].Seen, driver.Read{Key: e.Key, Revision: e.Revision})
			}
			return m, func() error { return c.Commit(s.ctx, m) }
		}
		_, run := commit()
		if !s.caps.RangeReads {
			s.wants(driver.ErrUnsupported, run(), "a commit with a range")
			s.lacks("w")
			return
		}
		s.ok(run(), "a range unchanged")
		for what, change := range map[string]func(){
			"added":          func() { s.put("r/c", "1") },
			"written":        func() { s.put("r/a", "1") },
			"removed":        func() { s.delete("r/b") },
			"added in front": func() { s.put("r/", "1") },
		} {
			_, run := commit()
			s.delete("w")
			change()
			s.wants(driver.ErrConflict, run(), "a key of the range is %s", what)
			s.lacks("w")
		}
		_, run = commit()
		s.put("s", "2")
		s.ok(run(), "a key beside the range is written")
	}),
}

func put(key, value string) driver.Write {
	return driver.Write{Key: []byte(key), Value: []byte(value)}
}
func remove(key string) driver.Write { return driver.Write{Key: []byte(key), Delete: true} }

// committing makes a case for Committers. A store that is none passes: the case
// capabilities/interfaces has seen that it does not declare to be.
func committing(name string, run func(*session, driver.Committer)) Case {
	return Case{name, func(s *session) {
		if c, ok := s.Store.(driver.Committer); ok {
			run(s, c)
		}
	}}
}
