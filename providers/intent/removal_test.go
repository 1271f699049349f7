package intent_test

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
)

// TestSlowSweeper: a sweeper has read that a transaction is aborted, and is slow to
// remove the record. Another one has removed it, and the owner, whose first call comes
// as late, commits: the slow removal does not take the record that says so.
func TestSlowSweeper(t *testing.T) {
	b, c := base(t), newClock()
	put(t, client(t, b, c), "k", "old")

	create, created := make(chan struct{}), false
	dead := make(chan struct{})
	placed := make(chan struct{})
	owner := client(t, &drivertest.Faulty{Store: b,
		Before: func(_ context.Context, call drivertest.Call) error {
			if call.Op == "put" && len(call.Key) > 1 && !created {
				created = true
				<-create
			}
			select {
			case <-dead:
				return drivertest.ErrKilled
			default:
				return nil
			}
		},
		After: func(_ context.Context, call drivertest.Call) error {
			if call.Op == "put" && string(call.Key) == "k" {
				close(placed)
			}
			if call.Op == "put" && len(call.Key) > 1 && committedAt(t, b, call.Key) {
				close(dead) // it has committed, and settles nothing
			}
			return nil
		},
	}, c)
	done := make(chan error, 1)
	go func() {
		done <- owner.Commit(t.Context(), &driver.Commit{Writes: []driver.Write{{Key: []byte("k"), Value: []byte("new")}}})
	}()
	<-placed

	// Somebody has met the intent after its timeout, and died when the record said aborted.
	e, err := b.Get(t.Context(), []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	record := append([]byte{0, 0, 't'}, e.Value[1:17]...)
	aborted := binary.BigEndian.AppendUint64([]byte{1, 3}, 1)
	if _, err := b.Put(t.Context(), record, append(aborted, 0, 0, 0, 0), driver.PutOptions{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	remove, removing, removed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	sweeper := client(t, &drivertest.Faulty{Store: b, Before: func(_ context.Context, call drivertest.Call) error {
		if call.Op == "delete" {
			close(removing)
			<-remove
		}
		return nil
	}}, c)
	if n, err := sweeper.Sweep(t.Context()); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	go func() { _, err := sweeper.Sweep(t.Context()); removed <- err }()
	<-removing
	if err := b.Delete(t.Context(), record, driver.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}

	close(create)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	close(remove)
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	if v, _ := get(t, client(t, b, c), "k"); v != "new" {
		t.Errorf("what was committed is %q", v)
	}
}

// committedAt reports whether the record of a key says that its transaction is committed.
func committedAt(t *testing.T, b driver.Store, key []byte) bool {
	e, err := b.Get(t.Context(), key)
	return err == nil && len(e.Value) > 1 && e.Value[1] == 2
}
