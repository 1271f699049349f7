package drivertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/providers/driver"
)

const clients = 4

// stores returns a store for each client, of two that are open if that can be.
func (s *session) stores() [clients]driver.Store {
	other := s.another()
	return [clients]driver.Store{s.Store, other, s.Store, other}
}

var concurrentCases = []Case{
	{"concurrent/linearizable", func(s *session) {
		var h check.History
		var mu sync.Mutex
		start := time.Now()
		now := func() int64 { return time.Since(start).Nanoseconds() }
		s.concurrently(func(client int, store driver.Store, random *rand.Rand) error {
			for i := range s.target.Operations / clients {
				key := string("abc"[random.IntN(3)])
				value := fmt.Sprintf("%d-%d", client, i)
				op := check.Operation{Client: client, Call: now(), Changes: nil}
				record, err := false, error(nil)
				switch random.IntN(6) {
				case 0, 1:
					record = true
					var e driver.Entry
					if e, err = store.Get(s.ctx, []byte(key)); err == nil {
						op.Reads = []check.Read{check.Got(key, string(e.Value))}
					} else if errors.Is(err, driver.ErrNotFound) {
						op.Reads, err = []check.Read{check.Missed(key)}, nil
					}
				case 2:
					record = true
					_, err = store.Put(s.ctx, []byte(key), []byte(value), driver.PutOptions{})
					op.Changes = []check.Change{{Kind: check.Put, Key: key, Value: value}}
				case 3:
					record = true
					err = store.Delete(s.ctx, []byte(key), driver.DeleteOptions{})
					op.Changes = []check.Change{{Kind: check.Delete, Key: key}}
				case 4:
					_, err = store.Put(s.ctx, []byte(key), []byte(value), driver.PutOptions{IfAbsent: true})
					record = err == nil
					op.Reads = []check.Read{check.Missed(key)}
					op.Changes = []check.Change{{Kind: check.Put, Key: key, Value: value}}
				case 5:
					e, getErr := store.Get(s.ctx, []byte(key))
					if getErr != nil {
						err = getErr
						break
					}
					op.Call = now()
					_, err = store.Put(s.ctx, []byte(key), []byte(value), driver.PutOptions{IfRevision: e.Revision})
					record = err == nil
					op.Reads = []check.Read{check.Got(key, string(e.Value))}
					op.Changes = []check.Change{{Kind: check.Put, Key: key, Value: value}}
				}
				op.Return = now()
				switch {
				case err == nil, errors.Is(err, driver.ErrConflict), errors.Is(err, driver.ErrNotFound):
				case errors.Is(err, driver.ErrOutcomeUnknown):
					op.Return, record = check.Never, true
				case errors.Is(err, driver.ErrUnavailable):
					record = false
				default:
					return err
				}
				if record {
					mu.Lock()
					h.Operations = append(h.Operations, op)
					mu.Unlock()
				}
			}
			return nil
		})
		verdict, err := check.Referee{Timeout: 20 * time.Second}.Keys(&h)
		s.ok(err, "linearizability of %d operations", len(h.Operations))
		if verdict.Unknown > 0 {
			s.failf("linearizability: %w for %d keys of %d", check.ErrUnknown, verdict.Unknown, verdict.Parts)
		}
	}},
	{"concurrent/counter", func(s *session) {
		s.put("n", "0")
		each := s.target.Operations / clients / 4
		s.concurrently(func(_ int, store driver.Store, _ *rand.Rand) error {
			for range each {
				for {
					e, err := store.Get(s.ctx, []byte("n"))
					if err != nil {
						return err
					}
					n, err := strconv.Atoi(string(e.Value))
					if err != nil {
						return err
					}
					_, err = store.Put(s.ctx, []byte("n"), []byte(strconv.Itoa(n+1)), driver.PutOptions{IfRevision: e.Revision})
					if err == nil {
						break
					}
					if !errors.Is(err, driver.ErrConflict) {
						return err
					}
				}
			}
			return nil
		})
		s.has("n", strconv.Itoa(clients*each))
	}},
	{"concurrent/one-creator", func(s *session) {
		for i := range s.target.Operations / 20 {
			key := fmt.Sprint("k", i)
			var mu sync.Mutex
			won := ""
			s.concurrently(func(client int, store driver.Store, _ *rand.Rand) error {
				_, err := store.Put(s.ctx, []byte(key), []byte{byte('a' + client)}, driver.PutOptions{IfAbsent: true})
				if errors.Is(err, driver.ErrConflict) {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				won += string(byte('a' + client))
				return err
			})
			if len(won) != 1 {
				s.failf("put if absent by %d clients: %q have won", clients, won)
			}
			s.has(key, won)
		}
	}},
	committing("concurrent/phantoms", func(s *session, _ driver.Committer) {
		if !s.caps.RangeReads {
			return // commit/ranges has seen that they are refused
		}
		// Each commit puts a key whose name is how many there are: with a phantom two of
		// them put the same.
		var mu sync.Mutex
		committed := 0
		s.concurrently(func(client int, store driver.Store, _ *rand.Rand) error {
			for range s.target.Operations / clients / 4 {
				m := &driver.Commit{Ranges: []driver.RangeRead{{Options: driver.ListOptions{Prefix: []byte("p/")}}}}
				for e, err := range store.List(s.ctx, m.Ranges[0].Options) {
					if err != nil {
						return err
					}
					m.Ranges[0].Seen = append(m.Ranges[0].Seen, driver.Read{Key: e.Key, Revision: e.Revision})
				}
				m.Writes = []driver.Write{put(fmt.Sprintf("p/%06d", len(m.Ranges[0].Seen)), strconv.Itoa(client))}
				err := store.(driver.Committer).Commit(s.ctx, m)
				if errors.Is(err, driver.ErrConflict) {
					continue
				}
				if err != nil {
					return err
				}
				mu.Lock()
				committed++
				mu.Unlock()
			}
			return nil
		})
		if n := len(s.list(driver.ListOptions{Prefix: []byte("p/")})); n != committed || n == 0 {
			s.failf("%d commits have succeeded, and made %d keys", committed, n)
		}
	}),
	committing("concurrent/serializable", func(s *session, _ driver.Committer) {
		var history []check.Transaction
		var mu sync.Mutex
		start := time.Now()
		committed := 0
		s.concurrently(func(client int, store driver.Store, random *rand.Rand) error {
			for i := range s.target.Operations / clients {
				tx := check.Transaction{Client: client}
				m := &driver.Commit{}
				lists := map[string][]int64{}
				tx.Call = time.Since(start).Nanoseconds()
				for step := range 1 + random.IntN(3) {
					key := fmt.Sprint("list", random.IntN(5))
					if _, read := lists[key]; read {
						continue
					}
					e, err := store.Get(s.ctx, []byte(key))
					if err != nil && !errors.Is(err, driver.ErrNotFound) {
						return err
					}
					var list []int64
					if err == nil {
						if err := json.Unmarshal(e.Value, &list); err != nil {
							return err
						}
					}
					lists[key] = list
					m.Reads = append(m.Reads, driver.Read{Key: []byte(key), Revision: e.Revision})
					tx.Steps = append(tx.Steps, check.Step{Key: key, List: list})
					if random.IntN(2) == 0 {
						value := int64(client)<<32 | int64(i)<<4 | int64(step)
						data, err := json.Marshal(append(list[:len(list):len(list)], value))
						if err != nil {
							return err
						}
						m.Writes = append(m.Writes, driver.Write{Key: []byte(key), Value: data})
						tx.Steps = append(tx.Steps, check.Step{Key: key, Append: true, Value: value})
					}
				}
				err := store.(driver.Committer).Commit(s.ctx, m)
				tx.Return = time.Since(start).Nanoseconds()
				switch {
				case err == nil:
					tx.Outcome = check.Committed
				case errors.Is(err, driver.ErrOutcomeUnknown):
					if errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrConflict) {
						return fmt.Errorf("an error says that the outcome is unknown, and that it is known: %w", err)
					}
					tx.Outcome, tx.Return = check.Unknown, check.Never
				case errors.Is(err, driver.ErrConflict), errors.Is(err, driver.ErrUnavailable):
					tx.Outcome = check.Aborted
				default:
					return err
				}
				mu.Lock()
				history = append(history, tx)
				if err == nil {
					committed++
				}
				mu.Unlock()
			}
			return nil
		})
		if anomalies := check.Cycles(history, true); len(anomalies) > 0 {
			s.failf("%d transactions: %v", len(history), anomalies[0])
		}
		if committed < 10 {
			s.failf("only %d of %d transactions have committed", committed, len(history))
		}
	}),
}

// concurrently runs a client on each store, and fails the case with the first
// error.
func (s *session) concurrently(run func(client int, store driver.Store, random *rand.Rand) error) {
	var group sync.WaitGroup
	errs := make([]error, clients)
	for i, store := range s.stores() {
		group.Go(func() { errs[i] = run(i, store, rand.New(rand.NewPCG(uint64(i), 7))) })
	}
	group.Wait()
	for i, err := range errs {
		s.ok(err, "client %d", i)
	}
}
