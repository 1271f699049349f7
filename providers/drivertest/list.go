package drivertest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/orbit-persistence/orbit/providers/driver"
)

var listCases = []Case{
	{"list/order-and-prefix", func(s *session) {
		s.listed(driver.ListOptions{})
		for _, k := range []string{"b", "a/2", "a", "a/1", "ab", "c"} {
			s.put(k, k)
		}
		s.listed(driver.ListOptions{}, "a", "a/1", "a/2", "ab", "b", "c")
		s.listed(driver.ListOptions{Prefix: []byte("a/")}, "a/1", "a/2")
		s.listed(driver.ListOptions{Prefix: []byte("a")}, "a", "a/1", "a/2", "ab")
		s.listed(driver.ListOptions{Prefix: []byte("x")})
		s.delete("a/1")
		s.listed(driver.ListOptions{Prefix: []byte("a/")}, "a/2")
		for _, e := range s.list(driver.ListOptions{}) {
			if string(e.Value) != string(e.Key) {
				s.failf("list: %q = %q", e.Key, e.Value)
			}
		}
	}},
	{"list/pages", func(s *session) {
		random := rand.New(rand.NewPCG(1, 2))
		model := map[string]bool{}
		for range s.target.Operations / 2 {
			k := fmt.Sprintf("%c/%03d", 'a'+random.IntN(3), random.IntN(400))
			model[k] = true
			s.put(k, "v")
		}
		var keys []string
		for k := range model {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, o := range []driver.ListOptions{
			{}, {Prefix: []byte("b/")}, {After: []byte("b/200")}, {Prefix: []byte("b/"), After: []byte("b/100"), Limit: 7},
			{Prefix: []byte("b/"), After: []byte("a/100")}, {Prefix: []byte("b/"), After: []byte("c")}, {Limit: 1}, {Limit: 10000}, {After: []byte("a/0005"), Limit: 3}, {After: []byte{}},
		} {
			var want []string
			for _, k := range keys {
				if bytes.HasPrefix([]byte(k), o.Prefix) && (o.After == nil || k > string(o.After)) && (o.Limit == 0 || len(want) < o.Limit) {
					want = append(want, k)
				}
			}
			s.listed(o, want...)
		}
		// Page after page, everything comes once.
		var got []string
		for o := (driver.ListOptions{Limit: 17}); ; {
			page := s.list(o)
			for _, e := range page {
				got = append(got, string(e.Key))
			}
			if len(page) < o.Limit {
				break
			}
			o.After = page[len(page)-1].Key
		}
		if !slices.Equal(got, keys) {
			s.failf("pages of 17 show %d keys of %d", len(got), len(keys))
		}
	}},
	{"list/keys-only", func(s *session) {
		s.put("a", "1")
		s.put("b", "2")
		for i, e := range s.list(driver.ListOptions{KeysOnly: true}) {
			if want := string("ab"[i]); string(e.Key) != want || e.Value != nil {
				s.failf("keys only: want %s without a value, got %q = %q", want, e.Key, e.Value)
			}
		}
		s.listed(driver.ListOptions{KeysOnly: true}, "a", "b")
	}},
	{"list/stop-and-again", func(s *session) {
		for i := range 150 {
			s.put(fmt.Sprintf("%03d", i), "v")
		}
		seq := s.List(s.ctx, driver.ListOptions{})
		for range 2 {
			n := 0
			for e, err := range seq {
				s.ok(err, "list")
				if string(e.Key) != fmt.Sprintf("%03d", n) {
					s.failf("entry %d is %q", n, e.Key)
				}
				if n++; n == 100 {
					break
				}
			}
			if n != 100 {
				s.failf("the list ends after %d of 150 entries", n)
			}
		}
		s.ok(s.Close(), "close after a list that was left")
	}},
	{"list/while-written", func(s *session) {
		for i := range 120 {
			s.put(fmt.Sprintf("stay/%03d", i), "v")
		}
		stop, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			other := []byte("stay/000x")
			for i := 0; ; i++ {
				select {
				case <-stop:
					ended <- nil
					return
				default:
				}
				key := append(other, byte(i))
				_, err := s.Put(s.ctx, key, key, driver.PutOptions{})
				if err == nil {
					err = s.Delete(s.ctx, key, driver.DeleteOptions{})
				}
				if err == nil {
					_, err = s.Put(s.ctx, fmt.Appendf(nil, "stay/%03d", i%120), []byte("w"), driver.PutOptions{})
				}
				if err != nil {
					ended <- err
					return
				}
			}
		}()
		for range 5 {
			n, last := 0, ""
			for e, err := range s.List(s.ctx, driver.ListOptions{Prefix: []byte("stay/")}) {
				if err != nil || string(e.Key) <= last {
					close(stop)
					<-ended
					s.failf("list while written: %q after %q, %v", e.Key, last, err)
				}
				if last = string(e.Key); len(last) == len("stay/000") {
					n++
				}
			}
			if n != 120 {
				close(stop)
				<-ended
				s.failf("list while written: %d of 120 keys that stay are shown", n)
			}
		}
		close(stop)
		s.ok(<-ended, "write while listing")
	}},
}
