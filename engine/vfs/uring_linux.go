package vfs

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
)

// The part of linux/io_uring.h that is used here.
const (
	uringOffSQRing = 0
	uringOffSQEs   = 0x10000000

	uringSetupClamp = 1 << 4

	uringFeatSingleMmap = 1 << 0
	uringFeatNoDrop     = 1 << 1
	uringFeatExtArg     = 1 << 8 // Linux 5.11
	uringFeatures       = uringFeatSingleMmap | uringFeatNoDrop | uringFeatExtArg

	uringEnterGetEvents = 1 << 0
	uringEnterExtArg    = 1 << 3

	uringOpRead  = 22
	uringOpWrite = 23
)

type uringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sq                                                                     struct {
		head, tail, ringMask, ringEntries, flags, dropped, array, _ uint32
		_                                                           uint64
	}
	cq struct {
		head, tail, ringMask, ringEntries, overflow, cqes, flags, _ uint32
		_                                                           uint64
	}
}

type uringSQE struct {
	opcode, flags uint8
	priority      uint16
	fd            int32
	offset        uint64
	address       uint64
	length        uint32
	rwFlags       uint32
	userData      uint64
	_             [3]uint64
}

type uringCQE struct {
	userData uint64
	result   int32
	flags    uint32
}

type uringGetEventsArg struct {
	sigmask     uint64
	sigmaskSize uint32
	_           uint32
	timeout     uint64 // *unix.Timespec
}

// ring is the queue of Method IOUring: one submission and one completion ring,
// shared with the kernel. A completion names its slot; a slot is not used again
// before the kernel completed it. The kernel writes sqHead and cqTail, this
// process sqTail and cqHead.
type ring struct {
	flight
	// progress, by slot, is how much of its transfer is done.
	progress []int

	fd                             int
	memory, sqeMemory              []byte
	sqHead, sqTail, cqHead, cqTail *uint32
	sqMask, cqMask                 uint32
	sqes                           []uringSQE
	cqes                           []uringCQE

	arg     uringGetEventsArg
	timeout unix.Timespec
}

func newRing(depth int) (Queue, error) {
	if err := checkDepth(depth); err != nil {
		return nil, err
	}
	q := &ring{flight: newFlight(depth), progress: make([]int, depth)}
	if err := q.setup(depth); err != nil {
		return nil, err
	}
	return q, nil
}

func (q *ring) setup(depth int) error {
	// COOP_TASKRUN and DEFER_TASKRUN were measured and gained nothing; the first
	// can delay completions while the goroutine is on another thread than it
	// submitted from, the second would tie it to one.
	p := uringParams{flags: uringSetupClamp}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(depth), uintptr(unsafe.Pointer(&p)), 0)
	switch errno {
	case 0:
	case unix.ENOSYS, unix.EPERM, unix.EACCES:
		return fmt.Errorf("io_uring: %w: the kernel refuses it (see sysctl kernel.io_uring_disabled, and the container's seccomp profile): %w", engine.ErrUnsupported, errno)
	default:
		return fmt.Errorf("io_uring: set up for %d requests: %w", depth, errno)
	}
	q.fd = int(fd)
	if missing := uringFeatures &^ p.features; missing != 0 {
		closeDescriptor(q.fd)
		return fmt.Errorf("io_uring: %w: this kernel's lacks features %#x; it takes Linux 5.11", engine.ErrUnsupported, missing)
	}
	size := max(
		p.sq.array+p.sqEntries*uint32(unsafe.Sizeof(uint32(0))),
		p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(uringCQE{})),
	)
	var err error
	if q.memory, err = q.mmap(uringOffSQRing, int(size)); err == nil {
		q.sqeMemory, err = q.mmap(uringOffSQEs, int(p.sqEntries)*int(unsafe.Sizeof(uringSQE{})))
	}
	if err != nil {
		q.release()
		return fmt.Errorf("io_uring: map the rings: %w", err)
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&q.memory[offset])) }
	q.sqHead, q.sqTail, q.sqMask = at(p.sq.head), at(p.sq.tail), *at(p.sq.ringMask)
	q.cqHead, q.cqTail, q.cqMask = at(p.cq.head), at(p.cq.tail), *at(p.cq.ringMask)
	q.sqes = unsafe.Slice((*uringSQE)(unsafe.Pointer(&q.sqeMemory[0])), p.sqEntries)
	q.cqes = unsafe.Slice((*uringCQE)(unsafe.Pointer(&q.memory[p.cq.cqes])), p.cqEntries)
	// The array maps places in the ring to entries: each to its own, for good.
	array := unsafe.Slice(at(p.sq.array), p.sqEntries)
	for i := range array {
		array[i] = uint32(i)
	}
	q.arg.timeout = uint64(uintptr(unsafe.Pointer(&q.timeout)))
	return nil
}

func (q *ring) mmap(offset int64, size int) ([]byte, error) {
	return unix.Mmap(q.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
}

// release gives back everything; no request is in flight or stuck.
func (q *ring) release() {
	for _, m := range [][]byte{q.memory, q.sqeMemory} {
		if m != nil {
			unix.Munmap(m)
		}
	}
	closeDescriptor(q.fd)
}

func (q *ring) Submit(requests ...*Request) (int, error) {
	if q.closed {
		return 0, errQueueClosed("submit")
	}
	for n, r := range requests {
		if len(q.free) == 0 {
			return n, nil
		}
		f, ok := r.File.(*osFile)
		if !ok {
			return n, fmt.Errorf("submit: %w: a ring takes files of the OS, not %T", engine.ErrInvalid, r.File)
		}
		if err := f.checkTransfer(r.op(), r.Data, r.Offset); err != nil {
			return n, err
		}
		if err := f.enter(r.op()); err != nil {
			return n, err
		}
		slot := q.add(r)
		q.progress[slot] = 0
		q.push(slot, r)
	}
	return len(requests), nil
}

// push writes the rest of a transfer into the submission ring. There is room:
// the ring is as deep as there are slots, and each has one entry at most.
func (q *ring) push(slot int, r *Request) {
	done := q.progress[slot]
	rest := r.Data[done:min(len(r.Data), done+maxTransfer)]
	tail := *q.sqTail
	e := &q.sqes[tail&q.sqMask]
	*e = uringSQE{
		opcode:   uringOpRead,
		fd:       int32(r.File.(*osFile).fd),
		offset:   uint64(r.Offset + int64(done)),
		address:  uint64(addressOf(rest)),
		length:   uint32(len(rest)),
		userData: uint64(slot),
	}
	if r.Write {
		e.opcode = uringOpWrite
		if r.Flags&DSync != 0 {
			e.rwFlags = unix.RWF_DSYNC
		}
	}
	atomic.StoreUint32(q.sqTail, tail+1)
}

func (q *ring) Wait(done []*Request, least int, limit time.Duration) (int, error) {
	if q.closed {
		return 0, errQueueClosed("wait")
	}
	var until time.Time
	if limit > 0 {
		until = time.Now().Add(limit)
	}
	for n := 0; ; {
		// One system call submits and waits.
		missing := max(0, q.target(done, least, n)-n)
		if q.unsubmitted() > 0 || missing > q.completed() {
			if err := q.enterKernel(missing, q.patience(until)); err != nil {
				return n, err
			}
		}
		n += q.reap(done[n:])
		n += q.expire(done[n:])
		if n >= q.target(done, least, n) && q.unsubmitted() == 0 {
			return n, nil
		}
		if !until.IsZero() && !time.Now().Before(until) {
			return n, nil
		}
	}
}

func (q *ring) unsubmitted() int { return int(*q.sqTail - atomic.LoadUint32(q.sqHead)) }

func (q *ring) completed() int { return int(atomic.LoadUint32(q.cqTail) - *q.cqHead) }

// enterKernel submits what is in the ring and waits for completions, until there
// are that many, or a signal arrives, or patience, if not 0, is over.
func (q *ring) enterKernel(completions int, patience time.Duration) error {
	flags, arg, size := uintptr(uringEnterGetEvents), uintptr(0), uintptr(0)
	if patience > 0 {
		q.timeout = unix.NsecToTimespec(int64(patience))
		flags |= uringEnterExtArg
		arg, size = uintptr(unsafe.Pointer(&q.arg)), unsafe.Sizeof(q.arg)
	}
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(q.fd), uintptr(q.unsubmitted()), uintptr(completions), flags, arg, size)
	switch errno {
	case 0, unix.EINTR, unix.ETIME:
		return nil
	}
	return fmt.Errorf("io_uring: submit and wait: %w", errno)
}

// reap moves requests that ended into done, and returns how many.
func (q *ring) reap(done []*Request) int {
	n := 0
	head, tail := *q.cqHead, atomic.LoadUint32(q.cqTail)
	for ; head != tail && n < len(done); head++ {
		e := q.cqes[head&q.cqMask]
		slot := int(e.userData)
		f := q.slots[slot].file.(*osFile)
		transferred, err, more := q.outcome(slot, f, e.result)
		if more {
			continue
		}
		f.leave()
		if r := q.end(slot, transferred, err); r != nil {
			done[n] = r
			n++
		}
	}
	atomic.StoreUint32(q.cqHead, head)
	return n
}

// outcome tells what a completion means for its request, as ReadAt and WriteAt
// do for their calls. Where the transfer is to go on, it has been pushed again.
func (q *ring) outcome(slot int, f *osFile, result int32) (n int, err error, more bool) {
	r := q.slots[slot].request
	if r == nil {
		return 0, nil, false
	}
	at := r.Offset + int64(q.progress[slot])
	if errno := unix.Errno(-result); result < 0 {
		flushed := r.Write && (r.Flags&DSync != 0 || f.syncWrites)
		// The kernel cancels what a thread submitted that has ended; to read again does no
		// harm.
		if errno == unix.EAGAIN || errno == unix.EINTR && !flushed || errno == unix.ECANCELED && !r.Write {
			q.push(slot, r)
			return 0, nil, true
		}
		return q.progress[slot], NewError(r.op(), f.name, at, errno), false
	}
	q.progress[slot] += int(result)
	n = q.progress[slot]
	switch {
	case n == len(r.Data):
		return n, nil, false
	case result > 0 && !f.endsAt(int(result)):
		q.push(slot, r)
		return 0, nil, true
	case r.Write:
		return n, NewError(opWrite, f.name, at+int64(result), io.ErrShortWrite), false
	}
	return n, io.EOF, false
}

func (q *ring) Close() error {
	if q.closed {
		return errQueueClosed("close")
	}
	err := drain(q)
	q.closed = true
	if err != nil {
		// The rings and the buffers must stay while the kernel may write to them.
		go q.outlive()
		return err
	}
	q.release()
	return nil
}

// outlive waits for the requests that the device holds on to after Close.
func (q *ring) outlive() {
	var done [1]*Request
	for q.waiting+q.stuck > 0 {
		if q.enterKernel(1, 0) != nil {
			return
		}
		q.reap(done[:])
	}
	q.release()
}
