package vfs_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// hungFile answers no read until it is released.
type hungFile struct {
	vfs.File
	released chan struct{}
	read     chan []byte
}

func (f *hungFile) Name() string { return "hung" }

func (f *hungFile) ReadAt(p []byte, _ int64) (int, error) {
	<-f.released
	n := copy(p, "late")
	f.read <- p
	return n, nil
}

func newHungFile() *hungFile {
	return &hungFile{released: make(chan struct{}), read: make(chan []byte, 1)}
}

func TestPoolTimeout(t *testing.T) {
	q, err := vfs.NewPool(1)
	if err != nil {
		t.Fatal(err)
	}
	f := newHungFile()
	memory := make([]byte, 4)
	r := &vfs.Request{File: f, Data: memory, Timeout: time.Millisecond}
	if n, err := q.Submit(r); n != 1 || err != nil {
		t.Fatalf("Submit: %d, %v", n, err)
	}
	var done [2]*vfs.Request
	n, err := q.Wait(done[:], 1, 0)
	if n != 1 || err != nil || done[0] != r {
		t.Fatalf("Wait: %d, %v, %v", n, err, done[0])
	}
	if !errors.Is(r.Err, os.ErrDeadlineExceeded) || r.Data != nil || r.N != 0 {
		t.Fatalf("a request that hangs came back as %+v", r)
	}
	if q.InFlight() != 0 || q.Stuck() != 1 {
		t.Fatalf("in flight %d, stuck %d; want 0, 1", q.InFlight(), q.Stuck())
	}

	// What is stuck takes its room, and there is nothing to wait for.
	r.Data = make([]byte, 4)
	if n, err := q.Submit(r); n != 0 || err != nil {
		t.Fatalf("Submit with all stuck: %d, %v", n, err)
	}
	if n, err := q.Wait(done[:], 1, 0); n != 0 || err != nil {
		t.Fatalf("Wait with all stuck: %d, %v", n, err)
	}

	// The late end goes to the memory that the request lost, and gives the room
	// back.
	close(f.released)
	if p := <-f.read; &p[0] != &memory[0] {
		t.Fatal("the late read went elsewhere")
	}
	for q.Stuck() > 0 {
		if n, err := q.Wait(done[:], 1, 0); n != 0 || err != nil {
			t.Fatalf("Wait: %d, %v", n, err)
		}
	}
	if n, err := q.Submit(r); n != 1 || err != nil {
		t.Fatalf("Submit with room again: %d, %v", n, err)
	}
	if n, err := q.Wait(done[:], 1, 0); n != 1 || err != nil || string(r.Data[:r.N]) != "late" {
		t.Fatalf("Wait: %d, %v, %+v", n, err, r)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPoolCloseWithStuck(t *testing.T) {
	q, err := vfs.NewPool(2)
	if err != nil {
		t.Fatal(err)
	}
	f := newHungFile()
	if _, err := q.Submit(&vfs.Request{File: f, Data: make([]byte, 4), Timeout: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); !errors.Is(err, engine.ErrInUse) {
		t.Fatalf("Close with a request stuck: %v", err)
	}
	// The worker ends with its call, as goleak sees.
	close(f.released)
}

func TestPoolWaitLimit(t *testing.T) {
	q, err := vfs.NewPool(2)
	if err != nil {
		t.Fatal(err)
	}
	f := newHungFile()
	r := &vfs.Request{File: f, Data: make([]byte, 4)}
	if _, err := q.Submit(r); err != nil {
		t.Fatal(err)
	}
	var done [1]*vfs.Request
	for range 2 {
		if n, err := q.Wait(done[:], 1, time.Millisecond); n != 0 || err != nil {
			t.Fatalf("Wait up to its limit: %d, %v", n, err)
		}
	}
	if n, err := q.Wait(done[:], 0, 0); n != 0 || err != nil || q.InFlight() != 1 {
		t.Fatalf("Wait for none: %d, %v", n, err)
	}
	close(f.released)
	if n, err := q.Wait(done[:], 1, 0); n != 1 || err != nil || done[0] != r || r.N != 4 {
		t.Fatalf("Wait: %d, %v, %+v", n, err, r)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}
