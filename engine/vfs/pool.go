package vfs

import (
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// pool is the queue of blocking calls. It knows files only as File, so it suits
// every FS.
type pool struct {
	flight
	// Each slot in flight is in one of the channels or with one worker, so that
	// neither channel, being as deep as the queue, ever blocks its sender.
	work    chan poolWork
	ended   chan poolResult
	workers int
	timer   *time.Timer
}

type poolWork struct {
	slot   int
	file   File
	data   []byte
	offset int64
	write  bool
	flags  WriteFlags
}

type poolResult struct {
	slot, n int
	err     error
}

// NewPool returns a queue of Method Pool, for files of any FS. Its goroutines
// end at Close, but for those in a call that does not return.
func NewPool(depth int) (Queue, error) {
	if err := checkDepth(depth); err != nil {
		return nil, err
	}
	return &pool{
		flight: newFlight(depth),
		work:   make(chan poolWork, depth),
		ended:  make(chan poolResult, depth),
	}, nil
}

func (q *pool) Submit(requests ...*Request) (int, error) {
	if q.closed {
		return 0, errQueueClosed("submit")
	}
	for n, r := range requests {
		if len(q.free) == 0 {
			return n, nil
		}
		if r.File == nil {
			return n, fmt.Errorf("submit: %w: request without a file", engine.ErrInvalid)
		}
		slot := q.add(r)
		// A worker for each request in flight, as many as were ever needed.
		if q.workers < q.waiting+q.stuck {
			q.workers++
			go serve(q.work, q.ended)
		}
		q.work <- poolWork{slot, r.File, r.Data, r.Offset, r.Write, r.Flags}
	}
	return len(requests), nil
}

// serve is a worker. It does not touch requests, which may be the caller's again
// after their timeout.
func serve(work <-chan poolWork, ended chan<- poolResult) {
	for w := range work {
		var n int
		var err error
		if w.write {
			n, err = w.file.WriteAt(w.data, w.offset, w.flags)
		} else {
			n, err = w.file.ReadAt(w.data, w.offset)
		}
		ended <- poolResult{w.slot, n, err}
	}
}

func (q *pool) Wait(done []*Request, least int, limit time.Duration) (int, error) {
	if q.closed {
		return 0, errQueueClosed("wait")
	}
	var until time.Time
	if limit > 0 {
		until = time.Now().Add(limit)
	}
	for n := 0; ; {
		n += q.reap(done[n:])
		n += q.expire(done[n:])
		if n >= q.target(done, least, n) || !until.IsZero() && !time.Now().Before(until) {
			return n, nil
		}
		patience := q.patience(until)
		if patience == 0 {
			n += q.deliver(done[n:], <-q.ended)
			continue
		}
		q.arm(patience)
		select {
		case r := <-q.ended:
			n += q.deliver(done[n:], r)
		case <-q.timer.C:
		}
	}
}

// reap moves requests that ended into done, and returns how many.
func (q *pool) reap(done []*Request) int {
	n := 0
	for n < len(done) {
		select {
		case r := <-q.ended:
			n += q.deliver(done[n:], r)
		default:
			return n
		}
	}
	return n
}

func (q *pool) arm(d time.Duration) {
	if q.timer == nil {
		q.timer = time.NewTimer(d)
	} else {
		q.timer.Reset(d)
	}
}

// deliver puts the request of an outcome into done, which has room, and returns
// 1; 0 if it had been given up.
func (q *pool) deliver(done []*Request, r poolResult) int {
	request := q.end(r.slot, r.n, r.err)
	if request == nil {
		return 0
	}
	done[0] = request
	return 1
}

func (q *pool) Close() error {
	if q.closed {
		return errQueueClosed("close")
	}
	err := drain(q)
	q.closed = true
	close(q.work)
	if q.timer != nil {
		q.timer.Stop()
	}
	return err
}

func errQueueClosed(op string) error { return fmt.Errorf("%s queue: %w", op, engine.ErrClosed) }
