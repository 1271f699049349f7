package providers_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
)

func begin(t *testing.T, p *providers.Provider) *providers.Tx {
	t.Helper()
	tx, err := p.Begin(t.Context(), providers.TxOptions{Isolation: providers.ReadCommitted})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tx.Rollback)
	return tx
}

func txGet(t *testing.T, tx *providers.Tx, key string) string {
	t.Helper()
	e, err := tx.Get(t.Context(), []byte(key))
	if errors.Is(err, providers.ErrNotFound) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(e.Value)
}

func txPut(t *testing.T, tx *providers.Tx, key, value string) {
	t.Helper()
	if err := tx.Put(t.Context(), []byte(key), []byte(value), providers.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestTransaction: what it writes is its own until Commit, and gone after Rollback.
func TestTransaction(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider) {
		put(t, p, "a", "1")
		put(t, p, "b", "1")
		for _, commits := range []bool{false, true} {
			tx := begin(t, p)
			txPut(t, tx, "a", "2")
			txPut(t, tx, "c", "2")
			if err := tx.Delete(t.Context(), []byte("b"), providers.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := txGet(t, tx, "a") + txGet(t, tx, "b") + txGet(t, tx, "c"); got != "2-2" {
				t.Errorf("the transaction sees %s", got)
			}
			if got := get(t, p, "a") + get(t, p, "b") + get(t, p, "c"); got != "11-" {
				t.Errorf("others see %s before its end", got)
			}
			want := "11-"
			if commits {
				want = "2-2"
				if err := tx.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else {
				tx.Rollback()
			}
			if got := get(t, p, "a") + get(t, p, "b") + get(t, p, "c"); got != want {
				t.Errorf("commit is %t, and afterwards there is %s", commits, got)
			}
			if _, err := tx.Get(t.Context(), []byte("a")); !errors.Is(err, providers.ErrClosed) {
				t.Errorf("get of a transaction that has ended: %v", err)
			}
			if err := tx.Commit(t.Context()); !errors.Is(err, providers.ErrClosed) {
				t.Errorf("commit of a transaction that has ended: %v", err)
			}
		}
	})
}

// TestWriteSkew: of two transactions that each read what the other writes, one
// conflicts.
func TestWriteSkew(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider) {
		put(t, p, "a", "1")
		put(t, p, "b", "1")
		one, two := begin(t, p), begin(t, p)
		for _, tx := range []*providers.Tx{one, two} {
			txGet(t, tx, "a")
			txGet(t, tx, "b")
		}
		txPut(t, one, "a", "0")
		txPut(t, two, "b", "0")
		if err := one.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := two.Commit(t.Context()); !errors.Is(err, providers.ErrConflict) {
			t.Errorf("the second commit: %v", err)
		}
		if got := get(t, p, "a") + get(t, p, "b"); got != "01" {
			t.Errorf("afterwards there is %s", got)
		}
	})
}

// TestReadOnlyTransactionSeesOneMoment, or conflicts.
func TestReadOnlyTransactionSeesOneMoment(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider) {
		put(t, p, "a", "1")
		put(t, p, "b", "1")
		tx := begin(t, p)
		a := txGet(t, tx, "a")
		if err := p.Update(t.Context(), func(tx *providers.Tx) error {
			txPut(t, tx, "a", "2")
			txPut(t, tx, "b", "2")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		b := txGet(t, tx, "b")
		err := tx.Commit(t.Context())
		if err != nil && !errors.Is(err, providers.ErrConflict) || err == nil && a != b {
			t.Errorf("it has read %s and %s, and ends with %v", a, b, err)
		}
	})
}

// TestUpdateCounts: Update runs again until nothing is lost.
func TestUpdateCounts(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider) {
		const clients, each = 4, 25
		var group sync.WaitGroup
		for range clients {
			group.Go(func() {
				for range each {
					err := p.Update(context.Background(), func(tx *providers.Tx) error {
						n := 0
						e, err := tx.Get(context.Background(), []byte("n"))
						if err == nil {
							n, err = strconv.Atoi(string(e.Value))
						}
						if err != nil && !errors.Is(err, providers.ErrNotFound) {
							return err
						}
						return tx.Put(context.Background(), []byte("n"), []byte(strconv.Itoa(n+1)), providers.PutOptions{})
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		if got := get(t, p, "n"); got != strconv.Itoa(clients*each) {
			t.Errorf("counted to %s", got)
		}
		// An error of the function rolls back, and is not run again.
		enough, runs := errors.New("enough"), 0
		if err := p.Update(t.Context(), func(tx *providers.Tx) error { runs++; txPut(t, tx, "n", "x"); return enough }); err != enough || runs != 1 {
			t.Errorf("after %d runs: %v", runs, err)
		}
		if got := get(t, p, "n"); got != strconv.Itoa(clients*each) {
			t.Errorf("after a function that fails: %s", got)
		}
	})
}

// TestTransactionTimeout: a transaction that nobody ends is over at its timeout.
func TestTransactionTimeout(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider) {
		tx, err := p.Begin(t.Context(), providers.TxOptions{Timeout: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		txErr := error(nil)
		for txErr == nil || errors.Is(txErr, providers.ErrNotFound) {
			_, txErr = tx.Get(t.Context(), []byte(fmt.Sprint(time.Now().UnixNano())))
		}
		if !errors.Is(txErr, context.DeadlineExceeded) {
			t.Errorf("after its timeout: %v", txErr)
		}
		if err := tx.Commit(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("commit after its timeout: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err) // nothing is held
		}
	})
}

// TestTransactionList: a list shows what the transaction has written, and a phantom is
// a conflict.
func TestTransactionList(t *testing.T) {
	keys := func(t *testing.T, tx *providers.Tx, o providers.ListOptions) (out string) {
		for e, err := range tx.List(t.Context(), o) {
			if err != nil {
				t.Fatal(err)
			}
			out += string(e.Key) + " "
		}
		return out
	}
	both(t, func(t *testing.T, p *providers.Provider) {
		for _, k := range []string{"l/a", "l/b", "l/c", "m"} {
			put(t, p, k, "1")
		}
		tx := begin(t, p)
		if !p.Capabilities().RangeReads {
			for _, err := range tx.List(t.Context(), providers.ListOptions{}) {
				if !errors.Is(err, providers.ErrUnsupported) {
					t.Errorf("list: %v", err)
				}
			}
			return
		}
		txPut(t, tx, "l/aa", "2")
		txPut(t, tx, "l/z", "2")
		if err := tx.Delete(t.Context(), []byte("l/b"), providers.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		o := providers.ListOptions{Prefix: []byte("l/")}
		if got := keys(t, tx, o); got != "l/a l/aa l/c l/z " {
			t.Errorf("list shows %s", got)
		}
		o.Limit, o.After = 2, []byte("l/a")
		if got := keys(t, tx, o); got != "l/aa l/c " {
			t.Errorf("list of 2 after l/a shows %s", got)
		}
		put(t, p, "l/phantom", "1")
		if err := tx.Commit(t.Context()); !errors.Is(err, providers.ErrConflict) {
			t.Errorf("commit after a phantom: %v", err)
		}
	})
}

// TestListGuarded works on every backend: a writer that bumps the guard is seen.
func TestListGuarded(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider) {
		put(t, p, "l/a", "1")
		put(t, p, "guard", "1")
		for _, phantom := range []bool{false, true} {
			tx := begin(t, p)
			n := 0
			for _, err := range tx.ListGuarded(t.Context(), providers.ListOptions{Prefix: []byte("l/")}, []byte("guard")) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 1 {
				t.Errorf("%d are listed", n)
			}
			txPut(t, tx, "sum", fmt.Sprint(n))
			if phantom {
				if err := p.Update(t.Context(), func(tx *providers.Tx) error { txPut(t, tx, "l/b", "1"); txPut(t, tx, "guard", "2"); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if err := tx.Commit(t.Context()); (err != nil) != phantom || phantom && !errors.Is(err, providers.ErrConflict) {
				t.Errorf("phantom is %t: %v", phantom, err)
			}
		}
	})
}

// TestListGuardedAfterAWrite: a transaction that has written the guard itself sees that
// another has, too.
func TestListGuardedAfterAWrite(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider) {
		put(t, p, "guard", "1")
		tx := begin(t, p)
		txPut(t, tx, "guard", "2")
		for _, err := range tx.ListGuarded(t.Context(), providers.ListOptions{Prefix: []byte("l/")}, []byte("guard")) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Update(t.Context(), func(tx *providers.Tx) error { txPut(t, tx, "l/b", "1"); txPut(t, tx, "guard", "3"); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); !errors.Is(err, providers.ErrConflict) {
			t.Errorf("commit: %v", err)
		}
	})
}

// TestReadOnly: nothing is written, and what was read is validated where it was not of one
// moment.
func TestReadOnly(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider) {
		put(t, p, "a", "1")
		tx, err := p.Begin(t.Context(), providers.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := tx.Put(t.Context(), []byte("a"), nil, providers.PutOptions{}); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("put: %v", err)
		}
		if err := tx.Delete(t.Context(), []byte("a"), providers.DeleteOptions{}); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("delete: %v", err)
		}
		if got := txGet(t, tx, "a"); got != "1" {
			t.Errorf("it sees %s", got)
		}
		put(t, p, "a", "2")
		fixed := p.Capabilities().Snapshot
		if got := txGet(t, tx, "a"); got != "1" {
			t.Errorf("then it sees %s", got)
		}
		n := 0
		for _, err := range tx.List(t.Context(), providers.ListOptions{}) {
			if fixed != (err == nil) || err != nil && !errors.Is(err, providers.ErrUnsupported) {
				t.Errorf("list: %v", err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d are listed", n)
		}
		if err := tx.Commit(t.Context()); fixed != (err == nil) || err != nil && !errors.Is(err, providers.ErrConflict) {
			t.Errorf("commit: %v", err)
		}
	})
}

// TestPrefetch: what was read together counts as read, and costs no call of its own.
func TestPrefetch(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider) {
		put(t, p, "a", "1")
		tx := begin(t, p)
		txPut(t, tx, "c", "3")
		if err := tx.Prefetch(t.Context(), [][]byte{[]byte("a"), []byte("b"), []byte("c")}); err != nil {
			t.Fatal(err)
		}
		before := p.Metrics().ReadOperations
		if got := txGet(t, tx, "a") + txGet(t, tx, "b") + txGet(t, tx, "c"); got != "1-3" {
			t.Errorf("it sees %s", got)
		}
		if reads := p.Metrics().ReadOperations - before; !p.Capabilities().Snapshot && reads != 0 {
			t.Errorf("%d reads", reads)
		}
		put(t, p, "b", "2")
		if err := tx.Commit(t.Context()); !errors.Is(err, providers.ErrConflict) {
			t.Errorf("commit: %v", err)
		}
	})
}
