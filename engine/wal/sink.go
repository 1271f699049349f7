package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// sink is one directory of a log.
type sink struct {
	dir string
	// work feeds the goroutine that writes to this sink; nil where the leader of a
	// flush does it.
	work chan sinkWork
	// ended is closed when that goroutine has ended.
	ended chan struct{}

	// calls is how many calls of it are under way.
	calls atomic.Int64
	// silence begins when a call has taken too long; a sink that rejoins has another one.
	silence atomic.Pointer[silence]

	// Guarded by Log.mu.
	lost       error // why the log goes on without it
	hung       bool  // a call of it has not come back
	unmappable bool
	// letGo: its files are to be closed, which waits until no call uses them.
	letGo bool
}

// silence of a sink ends all waiting for it: of several calls that hang, which nobody made
// at the same time, none is waited for longer than the first.
type silence struct {
	context.Context
	begin context.CancelFunc
}

func newSink(dir string) *sink {
	k := &sink{dir: dir}
	k.listen()
	return k
}

// listen ends the silence of a sink that answers again.
func (k *sink) listen() {
	ctx, begin := context.WithCancel(context.Background())
	k.silence.Store(&silence{ctx, begin})
}

type sinkWork struct {
	batch *batch
	done  chan<- sinkResult
}

type sinkResult struct {
	sink   int
	err    error
	silent bool // nobody waits for it any longer
}

// batch is what one flush writes.
type batch struct {
	extents []extent
	dirty   []*segment
	cached  int64 // how much of dirty was written since the last flush
	// abandoned: a sink took too long, and may still read the buffers.
	abandoned atomic.Bool
}

// writeTo brings the batch to one sink: durable when it returns. What is in the
// page cache goes first, because direct writes may go to the same pages. It ends at
// the first failure, or where it was given up: the log went on without the sink.
func (b *batch) writeTo(sink int) error {
	for _, s := range b.dirty {
		if b.abandoned.Load() {
			return errHung
		}
		if err := vfs.Unbounded(s.files[sink].cached).SyncData(); err != nil {
			return err
		}
	}
	for _, e := range b.extents {
		if b.abandoned.Load() {
			return errHung
		}
		if _, err := vfs.Unbounded(e.seg.files[sink].direct).WriteAt(e.buf, e.off, vfs.DSync); err != nil {
			return err
		}
	}
	return nil
}

// bytes is about how much there is to write.
func (b *batch) bytes() (n int64) {
	n = b.cached
	for _, e := range b.extents {
		n += int64(len(e.buf))
	}
	return n
}

// start begins the goroutine of a sink. It ends at stop.
func (k *sink) start(index int) {
	work, ended := make(chan sinkWork), make(chan struct{})
	k.work, k.ended = work, ended
	go func() {
		defer close(ended)
		for w := range work {
			err := w.batch.writeTo(index)
			k.calls.Add(-1)
			w.done <- sinkResult{sink: index, err: err}
		}
	}()
}

// stop ends the goroutine, and waits for it unless it hangs.
func (k *sink) stop() {
	if k.work == nil {
		return
	}
	close(k.work)
	k.work = nil
	if !k.hung {
		<-k.ended
	}
}

// inSync returns the indices of the sinks that count. Under mu.
func (l *Log) inSync() []int {
	live := make([]int, 0, len(l.sinks))
	for i, k := range l.sinks {
		if k.lost == nil {
			live = append(live, i)
		}
	}
	return live
}

// Lose makes the log go on without a sink, as if a flush of it had failed. The last one
// is kept.
func (l *Log) Lose(i int, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.inSync()) > 1 && !l.closed {
		l.lose(i, cause, false)
	}
}

// timesFor returns how many times Options.SinkTimeout a sink has to take bytes: much has as
// long as a slow device takes for it.
func timesFor(bytes int64) int { return 1 + int(bytes>>22) }

// unwatched reports whether calls of a sink have no time limit: there is no other one to go
// on with.
func (l *Log) unwatched() bool { return l.options.Inline || len(l.sinks) == 1 }

// timed makes a call of a sink, which takes so many times Options.SinkTimeout at most where
// there is another sink; errHung if it takes longer.
func (l *Log) timed(i, times int, call func() error) error {
	if l.unwatched() {
		return call()
	}
	k := l.sinks[i]
	silence := k.silence.Load()
	done := make(chan error, 1)
	k.calls.Add(1)
	go func() {
		err := call()
		k.calls.Add(-1)
		done <- err
	}()
	timeout := time.NewTimer(time.Duration(times) * l.options.SinkTimeout)
	defer timeout.Stop()
	select {
	case err := <-done:
		return err
	case <-timeout.C:
		silence.begin()
	case <-silence.Done():
	}
	return fmt.Errorf("%s: %w", k.dir, errHung)
}

// timedOpen is timed for a call that opens something. What is opened too late is closed:
// else nobody could unmount the file system that hung.
func timedOpen[T io.Closer](l *Log, i int, open func() (T, error)) (T, error) {
	opened := make(chan T, 1)
	err := l.timed(i, 1, func() error {
		defer close(opened)
		f, err := open()
		if err == nil {
			opened <- f
		}
		return err
	})
	if errors.Is(err, errHung) {
		k := l.sinks[i]
		k.calls.Add(1)
		go func() { // it ends when the call does
			if f, ok := <-opened; ok {
				_ = f.Close() // nothing was written by it
			}
			k.calls.Add(-1)
		}()
	}
	if err != nil {
		var none T
		return none, err
	}
	return <-opened, nil
}

// closeLater closes a file of a sink that hangs, where that may take as long as the call.
func (k *sink) closeLater(f segmentFile) {
	k.calls.Add(1)
	go func() { // it ends when the sink answers
		_ = f.Close() // the sink does not count
		k.calls.Add(-1)
	}()
}

// LetGo closes the files of a sink that was lost, so that its file system can be unmounted
// and mended. Where calls of it are under way, or a flush, they are closed later.
func (l *Log) LetGo(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sinks[i].letGo = l.sinks[i].lost != nil
	if !l.flushing && !l.making && !l.closed {
		l.closeLost()
	}
}

// closeLost closes the files of the sinks that LetGo was called for. Under mu, while no
// flush is under way.
func (l *Log) closeLost() {
	for i, k := range l.sinks {
		if !k.letGo || k.lost == nil || k.calls.Load() > 0 {
			continue
		}
		k.letGo = false
		for _, s := range l.segments {
			if s.files != nil {
				_ = s.files[i].Close() // nothing is lost that was not before
				s.files[i] = segmentFile{}
			}
		}
	}
}

// errHung is the error of a sink that took longer than Options.SinkTimeout.
var errHung = errors.New("the sink does not answer")

// lose makes the log go on without a sink; the others are told by the next flush.
// Without the last one the log is read-only. Under mu.
func (l *Log) lose(i int, cause error, hung bool) {
	k := l.sinks[i]
	k.hung = k.hung || hung
	if k.lost != nil {
		return
	}
	if len(l.inSync()) == 1 {
		l.fail(cause)
		return
	}
	k.lost = cause
	l.reform = true
	if l.options.OnLost != nil {
		l.options.OnLost(i, cause)
	}
}

// write brings a batch to the sinks, in parallel, and returns the error of each,
// by place in live.
func (l *Log) write(b *batch, live []int) []error {
	errs := make([]error, len(live))
	if len(live) == 1 || l.options.Inline {
		for k, i := range live {
			errs[k] = b.writeTo(i)
		}
		return errs
	}
	place := make(map[int]int, len(live))
	done := make(chan sinkResult, 2*len(live)) // room for who comes too late
	for k, i := range live {
		place[i] = k
		errs[k] = fmt.Errorf("flush log %s: %w within %v", l.sinks[i].dir, errHung, l.options.SinkTimeout)
		l.sinks[i].calls.Add(1)
		l.sinks[i].work <- sinkWork{b, done}
		stop := context.AfterFunc(l.sinks[i].silence.Load(), func() { done <- sinkResult{sink: i, silent: true} })
		defer stop()
	}
	limit := l.options.SinkTimeout * time.Duration(timesFor(int64(b.bytes())))
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	answered, silent := make([]bool, len(live)), false
	for left := len(live); left > 0; {
		select {
		case r := <-done:
			k := place[r.sink]
			if answered[k] {
				continue
			}
			answered[k] = true
			left--
			if silent = silent || r.silent; !r.silent {
				errs[k] = r.err
			}
		case <-timeout.C:
			for k, i := range live {
				if !answered[k] {
					l.sinks[i].silence.Load().begin()
				}
			}
		}
	}
	if silent {
		b.abandoned.Store(true)
	}
	return errs
}
