package vfs

import (
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
)

// ReadRing carries out reads of many goroutines at once through one ring of io_uring. It
// has no goroutine of its own: one of the callers leads, which is to say that it submits
// for all who came meanwhile and waits in the kernel for all, in one system call, until
// its own reads have ended; then another caller leads. Who comes while the leader sleeps
// in the kernel submits for itself. Nobody else's thread is blocked, so that it does as
// well with a GOMAXPROCS of 2 as with 8.
//
// A read ends when the thread that submitted it takes note of that, which the kernel has it
// do at its next chance. A thread that has gone on to another call, and waits in it for a
// device without being interruptible, has none: the read is as late as that call. So a ring
// is not for reads that must come back although another device of the process hangs.
type ReadRing struct {
	// mu guards what is below, and the side of the ring that is this process's. It is
	// not held in the kernel.
	mu   sync.Mutex
	ring *ring
	// queued are the requests that there is no room for yet, in their order.
	queued []*Request
	// parked are the callers that wait, but for the leader.
	parked []*ringCaller
	// led: a caller leads. asleep: it is in the kernel, or about to be.
	led, asleep bool
	// callers counts the calls of Read that have not returned.
	callers int
	closed  bool
	// broken is what the kernel refused the ring with.
	broken error
	done   []*Request
}

// ringCaller is one call of Read.
type ringCaller struct {
	left   int // requests that have not ended
	parked bool
	at     int // its place among the parked
	// wake says whether it is to lead; otherwise its requests have ended.
	wake chan bool
}

var ringCallers = sync.Pool{New: func() any { return &ringCaller{wake: make(chan bool, 1)} }}

// NewReadRing returns a ring for reads of files of fsys, up to depth of them in flight.
// It is ErrUnsupported where a queue of Method IOUring is, of the lowest FS if fsys is
// Layered. It must be closed.
func NewReadRing(fsys FS, depth int) (*ReadRing, error) {
	for l, ok := fsys.(Layered); ok; l, ok = fsys.(Layered) {
		fsys = l.Below()
	}
	q, err := fsys.NewQueue(QueueOptions{Depth: depth, Method: IOUring})
	if err != nil {
		return nil, err
	}
	r, ok := q.(*ring)
	if !ok {
		return nil, fmt.Errorf("read ring: %w: the queue is %T", engine.ErrUnsupported, q)
	}
	return &ReadRing{ring: r, done: make([]*Request, depth)}, nil
}

// Read carries out reads, in no particular order, and returns when all have ended; their
// outcomes are in them. Timeouts are ignored. The error is that of the ring: ErrClosed, or
// a refusal of the kernel; the Data of requests that it may still write to is nil then.
func (r *ReadRing) Read(requests ...*Request) error {
	c := ringCallers.Get().(*ringCaller)
	c.left = 0
	for _, q := range requests {
		if q.pin() {
			q.caller = c
			c.left++
		} else {
			q.N, q.Err = q.File.ReadAt(q.Data, q.Offset)
		}
	}
	if c.left == 0 {
		ringCallers.Put(c)
		return nil
	}
	err := r.read(c, requests)
	for _, q := range requests {
		q.caller = nil
		q.unpin()
	}
	return err
}

// read is Read of those requests that have the caller.
func (r *ReadRing) read(c *ringCaller, requests []*Request) error {
	r.mu.Lock()
	if r.closed || r.broken != nil {
		err := r.broken
		if r.closed {
			err = errQueueClosed("read")
		}
		r.mu.Unlock()
		ringCallers.Put(c)
		return err
	}
	r.callers++
	for _, q := range requests {
		if q.caller == c {
			r.queued = append(r.queued, q)
		}
	}
	r.admit()
	if r.led && c.left > 0 {
		r.park(c)
		r.wait(c)
	} else {
		r.lead(c)
	}
	ringCallers.Put(c)
	return r.leave()
}

// wait waits until the requests of a caller that is parked have ended. It is called, and
// returns, with mu held.
func (r *ReadRing) wait(c *ringCaller) {
	submit := 0
	if r.asleep {
		submit = r.ring.unsubmitted()
	}
	r.mu.Unlock()
	for submit > 0 {
		errno := r.ring.enter(submit, 0)
		if errno != unix.EAGAIN && errno != unix.EBUSY && errno != unix.EINTR {
			break // what it may be else, the leader meets too
		}
		runtime.Gosched()
	}
	lead := <-c.wake
	r.mu.Lock()
	if lead {
		r.led = false
		r.lead(c)
	}
}

// lead submits and waits for all, until the requests of the caller have ended. With mu
// held.
func (r *ReadRing) lead(c *ringCaller) {
	if c.left == 0 {
		return
	}
	r.led = true
	for c.left > 0 && r.broken == nil {
		r.asleep = true
		submit := r.ring.unsubmitted()
		r.mu.Unlock()
		errno := r.ring.enter(submit, 1)
		r.mu.Lock()
		r.asleep = false
		switch errno {
		case 0, unix.EINTR:
		case unix.EAGAIN, unix.EBUSY: // short of memory for a moment
			r.mu.Unlock()
			runtime.Gosched()
			r.mu.Lock()
		default:
			r.fail(fmt.Errorf("io_uring: submit and wait: %w", errno))
		}
		ended := r.ring.reap(r.done)
		for _, q := range r.done[:ended] {
			r.end(q)
		}
		r.admit()
		if ended > 0 && c.left > 0 {
			// Those who were woken most likely come with their next reads, which then
			// need no system call of their own.
			r.mu.Unlock()
			runtime.Gosched()
			r.mu.Lock()
		}
	}
	r.led = false
	if n := len(r.parked); n > 0 {
		// Who came last leads longest.
		next := r.parked[n-1]
		r.unpark(next)
		r.led = true
		next.wake <- true
	}
}

// admit brings requests that wait into the ring, while there is room. With mu held, as the
// following are.
func (r *ReadRing) admit() {
	n := 0
	for ; n < len(r.queued) && len(r.ring.free) > 0; n++ {
		q := r.queued[n]
		if _, err := r.ring.Submit(q); err != nil {
			q.N, q.Err = 0, err
			r.end(q)
		}
	}
	r.queued = append(r.queued[:0], r.queued[n:]...)
}

// end notes that a request has ended, and wakes its caller if that was the last one and it
// is parked.
func (r *ReadRing) end(q *Request) {
	c := q.caller
	q.caller = nil
	c.left--
	if c.left == 0 && c.parked {
		r.unpark(c)
		c.wake <- false
	}
}

func (r *ReadRing) park(c *ringCaller) {
	c.at, c.parked = len(r.parked), true
	r.parked = append(r.parked, c)
}

func (r *ReadRing) unpark(c *ringCaller) {
	c.parked = false
	last := len(r.parked) - 1
	r.parked[c.at] = r.parked[last]
	r.parked[c.at].at = c.at
	r.parked[last] = nil
	r.parked = r.parked[:last]
}

// fail gives up the ring. The kernel may have some of the requests for ever.
func (r *ReadRing) fail(err error) {
	r.broken = err
	for i := range r.ring.slots {
		q := r.ring.slots[i].request
		if q == nil {
			continue
		}
		r.ring.slots[i].request = nil
		r.ring.waiting--
		r.ring.stuck++
		q.Data, q.N, q.Err = nil, 0, err
		r.queued = append(r.queued, q)
	}
	for _, q := range r.queued {
		q.N, q.Err = 0, err
		c := q.caller
		q.caller = nil
		c.left--
	}
	r.queued = nil
	for _, c := range r.parked {
		c.parked = false
		c.wake <- false
	}
	r.parked = nil
}

// leave ends a call, and unlocks mu.
func (r *ReadRing) leave() error {
	defer r.mu.Unlock()
	r.callers--
	if r.closed && r.callers == 0 {
		r.release()
	}
	return r.broken
}

// release gives the ring back; what the kernel never ended stays mapped.
func (r *ReadRing) release() {
	if r.ring.stuck == 0 {
		r.ring.closed = true
		r.ring.release()
	}
}

// Close refuses further reads. Those in flight go on, and the last of them releases the
// ring. A second Close is ErrClosed.
func (r *ReadRing) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errQueueClosed("close")
	}
	r.closed = true
	if r.callers == 0 {
		r.release()
	}
	return nil
}

// enter submits up to n entries of the ring and waits until there are completions, both in
// one system call. It may be called by several threads at once.
func (q *ring) enter(n, completions int) unix.Errno {
	flags := uintptr(0)
	if completions > 0 {
		flags = uringEnterGetEvents
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(q.fd), uintptr(n), uintptr(completions), flags, 0, 0)
	return errno
}
