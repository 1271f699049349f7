package vfstest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

func queueOf(method vfs.Method) func(*env) {
	return func(e *env) {
		const depth = 8
		q, err := e.NewQueue(vfs.QueueOptions{Depth: depth, Method: method})
		if errors.Is(err, engine.ErrUnsupported) {
			e.skip("no queue by %v: %v", method, err)
		}
		e.must(err)
		e.closeLater(q)
		for _, bad := range []int{-1, 0, vfs.MaxDepth + 1} {
			_, err := e.NewQueue(vfs.QueueOptions{Depth: bad, Method: method})
			e.want(err, engine.ErrInvalid, "a queue of no depth")
		}
		queueLimits(e, q, depth)
		queueOutcomes(e, q)
		queueModel(e, q, depth)
		e.must(q.Close())
		_, err = q.Submit()
		e.want(err, engine.ErrClosed, "Submit after Close")
		_, err = q.Wait(nil, 0, 0)
		e.want(err, engine.ErrClosed, "Wait after Close")
		e.want(q.Close(), engine.ErrClosed, "second Close")

		// Close takes the requests in flight with it.
		q, err = e.NewQueue(vfs.QueueOptions{Depth: depth, Method: method})
		e.must(err)
		e.closeLater(q)
		f := e.open("closing", vfs.Create)
		_, err = q.Submit(&vfs.Request{File: f, Data: []byte("written"), Write: true})
		e.must(err)
		e.must(q.Close())
		e.must(f.Close())
		e.expect("closing", "written")
	}
}

// waitOne returns the one request that is in flight.
func (e *env) waitOne(q vfs.Queue) *vfs.Request {
	var done [1]*vfs.Request
	n, err := q.Wait(done[:], 1, 0)
	e.must(err)
	e.check(n == 1, "Wait for one returned %d", n)
	return done[0]
}

// queueLimits fills the queue over its depth.
func queueLimits(e *env, q vfs.Queue, depth int) {
	f := e.open("limits", vfs.Create)
	requests := make([]*vfs.Request, depth+3)
	for i := range requests {
		requests[i] = &vfs.Request{File: f, Write: true, Offset: int64(i), Data: []byte{byte('a' + i)}, Timeout: time.Hour}
	}
	n, err := q.Submit(requests...)
	e.must(err)
	e.check(n == depth && q.InFlight() == depth, "a queue of depth %d took %d, and holds %d", depth, n, q.InFlight())
	n, err = q.Submit(requests[depth:]...)
	e.check(n == 0 && err == nil, "a full queue took %d, %v", n, err)

	done := make([]*vfs.Request, 2*depth)
	n, err = q.Wait(done[:1], 5, 0)
	e.must(err)
	e.check(n == 1, "Wait filled one place with %d", n)
	n, err = q.Wait(done[1:], 2*depth, 0)
	e.must(err)
	e.check(n == depth-1 && q.InFlight() == 0, "Wait for all returned %d, %d are left", n, q.InFlight())
	n, err = q.Submit(requests[depth:]...)
	e.check(n == 3 && err == nil, "an empty queue took %d of 3, %v", n, err)
	n, err = q.Wait(done[depth:], 3, time.Hour)
	e.must(err)
	e.check(n == 3, "Wait for three returned %d", n)
	seen := make(map[*vfs.Request]bool)
	for _, r := range done[:depth+3] {
		e.must(r.Err)
		e.check(r.N == 1 && !seen[r], "a request came back twice or not whole")
		seen[r] = true
	}
	e.check(e.content(f) == "abcdefghijk", "content %q", e.content(f))

	// With nothing in flight there is nothing to wait for.
	n, err = q.Wait(done, 1, 0)
	e.check(n == 0 && err == nil, "Wait of an empty queue: %d, %v", n, err)
	e.must(f.Close())
}

// queueOutcomes checks that a request ends as ReadAt and WriteAt do.
func queueOutcomes(e *env, q vfs.Queue) {
	e.create("outcomes", "0123456789")
	f := e.open("outcomes", 0)
	able := e.capabilities()
	for _, r := range []struct {
		request vfs.Request
		n       int
		err     error
	}{
		{vfs.Request{Data: make([]byte, 10)}, 10, nil},
		{vfs.Request{Data: make([]byte, 10), Offset: 5}, 5, io.EOF},
		{vfs.Request{Data: make([]byte, 1), Offset: 10}, 0, io.EOF},
		{vfs.Request{}, 0, nil},
		{vfs.Request{Data: []byte("xyz"), Offset: 8, Write: true}, 3, nil},
		{vfs.Request{Data: []byte("!"), Offset: 11, Write: true, Flags: vfs.DSync}, 1, nil},
	} {
		request := r.request
		if request.Flags&vfs.DSync != 0 && !able.DSync {
			continue
		}
		request.File = f
		_, err := q.Submit(&request)
		e.must(err)
		got := e.waitOne(q)
		e.check(got == &request && got.N == r.n && (got.Err == r.err), "request of %d at %d: %d, %v; want %d, %v",
			len(r.request.Data), r.request.Offset, got.N, got.Err, r.n, r.err)
	}
	e.check(e.content(f) == "01234567xyz!" || !able.DSync, "content %q", e.content(f))

	// What can never be is refused by Submit or by the outcome, as the queue likes.
	e.must(f.Close())
	request := &vfs.Request{File: f, Data: make([]byte, 1)}
	e.want(e.outcome(q, request), engine.ErrClosed, "a request to a closed file")
	f = e.open("outcomes", vfs.ReadOnly)
	request = &vfs.Request{File: f, Data: make([]byte, 1), Write: true}
	e.want(e.outcome(q, request), engine.ErrInvalid, "a write through a read-only handle")
	request = &vfs.Request{File: f, Data: make([]byte, 1), Offset: -1}
	e.want(e.outcome(q, request), engine.ErrInvalid, "a negative offset")
	_, err := q.Submit(&vfs.Request{})
	e.want(err, engine.ErrInvalid, "a request without a file")
	e.must(f.Close())
}

func (e *env) outcome(q vfs.Queue, r *vfs.Request) error {
	if _, err := q.Submit(r); err != nil {
		return err
	}
	return e.waitOne(q).Err
}

// queueModel keeps the queue full of random reads and writes of blocks, never
// two of one block at a time, and compares every read; direct where there is
// direct I/O.
func queueModel(e *env, q vfs.Queue, depth int) {
	const blocks, block = 64, 4096
	flags := vfs.Create
	able := e.capabilities()
	if able.Direct {
		flags |= vfs.Direct
	}
	f := e.open("model", flags)
	random := rand.New(rand.NewPCG(3, 4))
	want := vfs.AlignedBuffer(blocks*block, block)
	e.write(f, want, 0)
	busy := make(map[int64]bool)
	idle := make([]*vfs.Request, depth)
	for i := range idle {
		idle[i] = &vfs.Request{File: f, Data: vfs.AlignedBuffer(block, block), Timeout: time.Hour}
	}
	done := make([]*vfs.Request, depth)
	for started := 0; ; {
		for len(idle) > 0 && started < 3000 {
			at := int64(random.IntN(blocks)) * block
			if busy[at] {
				continue
			}
			r := idle[len(idle)-1]
			idle = idle[:len(idle)-1]
			busy[at] = true
			r.Offset, r.Write = at, random.IntN(3) == 0
			if r.Write {
				for i := range r.Data {
					r.Data[i] = byte(random.Uint32())
				}
				copy(want[at:], r.Data)
			} else {
				clear(r.Data)
			}
			n, err := q.Submit(r)
			e.must(err)
			e.check(n == 1, "a queue with room took nothing")
			started++
		}
		if q.InFlight() == 0 {
			break
		}
		n, err := q.Wait(done, 1, 0)
		e.must(err)
		e.check(n > 0, "Wait for one returned none")
		for _, r := range done[:n] {
			e.must(r.Err)
			e.check(r.N == block && bytes.Equal(r.Data, want[r.Offset:r.Offset+block]), "block at %d differs", r.Offset)
			delete(busy, r.Offset)
			idle = append(idle, r)
		}
	}
	got := vfs.AlignedBuffer(blocks*block, block)
	_, err := f.ReadAt(got, 0)
	e.must(err)
	e.check(bytes.Equal(got, want), "the content differs in the end")
	e.must(f.Close())
}
