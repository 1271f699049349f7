package vfs

import (
	"fmt"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// Queue carries out reads and writes asynchronously, up to its depth at a time,
// in no particular order. It belongs to one goroutine at a time:
//
//	for {
//		n, err := q.Submit(next...)  // as many as there is room for
//		...
//		n, err = q.Wait(done, 1, 0)  // at least one
//		...
//	}
type Queue interface {
	// Submit takes requests from the front, while there is room, and returns how
	// many. It never waits. Fewer than all with a nil error means that the queue
	// is full; an error concerns the first that was not taken: ErrInvalid, or
	// ErrClosed. A request begins at the latest at the next Wait. Until Wait
	// returns it, it and its Data are the queue's.
	Submit(requests ...*Request) (int, error)

	// Wait fills done with requests that ended, and returns how many. It waits
	// until there are least of them, or as many as are in flight or fit into done
	// if that is fewer; and no longer than limit, 0 being no limit. With least 0
	// it does not wait. The error is that of the queue itself, ErrClosed or a
	// refusal of the kernel; those of requests are in the requests.
	Wait(done []*Request, least int, limit time.Duration) (int, error)

	// InFlight returns the number of requests that Submit took and Wait did not
	// return. Stuck returns the number of those that Wait returned at their
	// Timeout and that the device has not ended. Both take room. They are 0 once
	// the queue is closed.
	InFlight() int
	Stuck() int

	// Close waits for the requests in flight, each up to its Timeout, and drops
	// them; what it waits for may be written still. If some stay stuck it
	// returns ErrInUse with their number; what they hold is released when the
	// device ends them, if ever. A second Close is ErrClosed.
	Close() error
}

// Request is one read or write. Whoever makes it owns it before Submit and
// after Wait returned it, and may then use it again.
type Request struct {
	// File is of the FS that made the queue, and open until the request ends.
	File File
	// Data is where to read to, or what to write. After a Timeout it is nil: the
	// device may still write to that memory, so it must not be used again.
	Data   []byte
	Offset int64
	// Write tells a write from a read, Flags what it promises.
	Write bool
	Flags WriteFlags
	// Timeout, if not 0, bounds the time from Submit to the return from Wait.
	// A request that has not ended then comes back with an error that is
	// os.ErrDeadlineExceeded; whether it took effect is unknown, and a write may
	// take effect at any later time.
	Timeout time.Duration

	// N and Err are the outcome, as ReadAt and WriteAt return it.
	N   int
	Err error

	caller *ringCaller // whose it is in a ReadRing
	// pinned is the File, and pinnedAt the Offset, while these are of the file below.
	pinned   Pinner
	pinnedAt int64
}

// QueueOptions choose a queue.
type QueueOptions struct {
	// Depth is the most requests in flight, 1 to MaxDepth.
	Depth  int
	Method Method
}

// MaxDepth bounds the depth of a queue.
const MaxDepth = 4096

// Method is how a queue of OS does its work.
type Method uint8

const (
	// Pool makes one blocking system call per request, on up to Depth threads.
	// It is there on every platform. A blocked call holds one of GOMAXPROCS for
	// tens of microseconds, so that it needs a GOMAXPROCS above the number of
	// cores to reach a fast device's rate.
	Pool Method = iota
	// IOUring submits to Linux's io_uring from the caller's own thread: few
	// system calls, whatever GOMAXPROCS is. It is ErrUnsupported on other
	// platforms, before Linux 5.11, and where it is switched off, as many
	// container runtimes do; there is no silent change to Pool. The kernel cancels
	// what a thread submitted when that thread ends, so a goroutine that is locked
	// to its thread must not end before Close.
	IOUring
)

// String returns "pool" or "io_uring".
func (m Method) String() string {
	switch m {
	case Pool:
		return "pool"
	case IOUring:
		return "io_uring"
	}
	return fmt.Sprintf("method(%d)", uint8(m))
}

func checkDepth(depth int) error {
	if depth < 1 || depth > MaxDepth {
		return fmt.Errorf("%w: queue of depth %d; 1 to %d", engine.ErrInvalid, depth, MaxDepth)
	}
	return nil
}

// op returns what errors call the request.
func (r *Request) op() string {
	if r.Write {
		return opWrite
	}
	return opRead
}

// flight is what a queue has taken and not returned.
type flight struct {
	slots []slot
	free  []int
	// waiting counts slots with a request, stuck those that lost it to a timeout.
	waiting, stuck int
	// earliest is no later than any deadline in slots; zero if there is none.
	earliest time.Time
	closed   bool
}

// slot is the room of one request. It keeps the request's memory and file alive
// for as long as the kernel may use them.
type slot struct {
	request  *Request // nil if stuck, or if the slot is free
	file     File
	data     []byte
	deadline time.Time // zero is none
}

func newFlight(depth int) flight {
	fl := flight{slots: make([]slot, depth), free: make([]int, depth)}
	for i := range fl.free {
		fl.free[i] = i
	}
	return fl
}

// InFlight and Stuck are those of Queue; 0 once it is closed.
func (fl *flight) InFlight() int {
	if fl.closed {
		return 0
	}
	return fl.waiting
}

func (fl *flight) Stuck() int {
	if fl.closed {
		return 0
	}
	return fl.stuck
}

// target returns the number of requests that a Wait with n of them done already
// is to return in all, if its limit allows.
func (fl *flight) target(done []*Request, least, n int) int {
	return min(least, len(done), n+fl.waiting)
}

// add gives r a slot, of which there must be a free one.
func (fl *flight) add(r *Request) int {
	last := len(fl.free) - 1
	i := fl.free[last]
	fl.free = fl.free[:last]
	s := &fl.slots[i]
	s.request, s.file, s.data = r, r.File, r.Data
	if r.Timeout != 0 {
		s.deadline = time.Now().Add(r.Timeout)
		if fl.earliest.IsZero() || s.deadline.Before(fl.earliest) {
			fl.earliest = s.deadline
		}
	}
	r.N, r.Err = 0, nil
	fl.waiting++
	return i
}

// end frees slot i and returns its request with the outcome; nil if it was stuck.
func (fl *flight) end(i, n int, err error) *Request {
	r := fl.slots[i].request
	fl.slots[i] = slot{}
	fl.free = append(fl.free, i)
	if r == nil {
		fl.stuck--
		return nil
	}
	fl.waiting--
	r.N, r.Err = n, err
	return r
}

// expire moves the requests whose time is over into done, and returns how many.
// Their slots stay taken until the device ends them.
func (fl *flight) expire(done []*Request) int {
	if fl.earliest.IsZero() {
		return 0
	}
	now := time.Now()
	if now.Before(fl.earliest) {
		return 0
	}
	n := 0
	fl.earliest = time.Time{}
	for i := range fl.slots {
		s := &fl.slots[i]
		if s.request == nil || s.deadline.IsZero() {
			continue
		}
		if n < len(done) && !now.Before(s.deadline) {
			r := s.request
			r.Data = nil
			r.N, r.Err = 0, NewError(r.op(), r.File.Name(), r.Offset, fmt.Errorf("%w after %v", os.ErrDeadlineExceeded, r.Timeout))
			s.request = nil
			fl.waiting--
			fl.stuck++
			done[n] = r
			n++
			continue
		}
		if fl.earliest.IsZero() || s.deadline.Before(fl.earliest) {
			fl.earliest = s.deadline
		}
	}
	return n
}

// patience returns how long to sleep at most: to the caller's limit, which is
// zero for none, or to the next deadline of a request. Zero is forever.
func (fl *flight) patience(limit time.Time) time.Duration {
	next := fl.earliest
	if next.IsZero() || !limit.IsZero() && limit.Before(next) {
		next = limit
	}
	if next.IsZero() {
		return 0
	}
	return max(time.Until(next), 1)
}

// drain ends a queue's requests by waiting for them, and reports those stuck.
func drain(q Queue) error {
	var done [64]*Request
	for q.InFlight() > 0 {
		if _, err := q.Wait(done[:], 1, 0); err != nil {
			return err
		}
	}
	if n := q.Stuck(); n > 0 {
		return fmt.Errorf("close queue: %w: the device holds on to %d requests", engine.ErrInUse, n)
	}
	return nil
}
