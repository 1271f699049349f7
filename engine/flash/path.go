package flash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// path is one directory or block device that holds the store.
type path struct {
	index int
	dir   string
	// gate has room for as many reads as may be in flight.
	gate     chan struct{}
	inFlight atomic.Int64
	// deepest is the most there ever were.
	deepest atomic.Int64
	// away: it does not count, and is not read from. spare: it does not because there are
	// enough others, one of whose places it can take.
	away, spare atomic.Bool
	// measuring has room for one question for its usage.
	measuring chan struct{}
	// ring carries out reads of the only path while there are several; nil for blocking calls
	// alone.
	ring *vfs.ReadRing
	// latency is about how long a read takes that is slower than 99 of 100, in ns.
	latency atomic.Int64
	// copied and total tell how far it is brought level.
	copied, total atomic.Int64

	// lock is that of the directory. Whoever opens, resyncs or closes the store has it.
	lock io.Closer

	mu    sync.Mutex
	cause error // why it is away; guarded by mu
}

func newPath(index int, dir string, depth int) *path {
	return &path{index: index, dir: dir, gate: make(chan struct{}, depth), measuring: make(chan struct{}, 1)}
}

func (p *path) segmentName(slot int) string { return filepath.Join(p.dir, wal.SlotName(slot)) }

// begin begins a read, when fewer than IODepth are in flight, and returns how many there
// are then.
func (p *path) begin() int64 {
	n := p.inFlight.Add(1)
	p.gate <- struct{}{}
	p.noteDepth()
	return n
}

// beginSome begins at least one read and up to n, as many as there is room for, and returns
// how many.
func (p *path) beginSome(n int) int {
	p.inFlight.Add(1)
	p.gate <- struct{}{}
	begun := 1
	for full := false; begun < n && !full; {
		select {
		case p.gate <- struct{}{}:
			begun++
		default:
			full = true
		}
	}
	p.inFlight.Add(int64(begun - 1))
	p.noteDepth()
	return begun
}

func (p *path) endSome(n int) {
	for range n {
		p.end()
	}
}

// noteDepth notes how many reads are in flight, if that is the most yet.
func (p *path) noteDepth() {
	for now := int64(len(p.gate)); ; {
		most := p.deepest.Load()
		if now <= most || p.deepest.CompareAndSwap(most, now) {
			return
		}
	}
}

// fewReads is up to how many reads at a time are blocking calls, which are the faster way
// while each has a processor to block.
const fewReads = 2

// read fills data from a file of the path, however long that takes. Where that fails the
// device may still write to the data, if lost says so.
func (p *path) read(f vfs.File, data []byte, off int64, r *vfs.Request) (lost bool, err error) {
	f = vfs.Unbounded(f)
	n := p.begin()
	defer p.end()
	if p.ring == nil || n <= fewReads {
		_, err = f.ReadAt(data, off)
		return false, err
	}
	*r = vfs.Request{File: f, Data: data, Offset: off}
	if err = p.ring.Read(r); err == nil {
		err = r.Err
	}
	lost = r.Data == nil
	*r = vfs.Request{}
	return lost, err
}

// openRing makes a ring for the reads of the only path, where there is direct I/O and the
// kernel has rings; otherwise reads are blocking calls, and Metrics say so. With several
// paths they always are: what a thread has submitted to a ring ends when that thread takes
// note of it, and one that waits in another call for a path that hangs does not, so that a
// read of a path that does answer would not come back either.
func (e *Engine) openRing() error {
	if e.options.Inline || e.buffered.Load() || e.options.IODepth <= fewReads || len(e.paths) > 1 {
		return nil
	}
	ring, err := vfs.NewReadRing(e.fs, e.options.IODepth)
	if errors.Is(err, engine.ErrUnsupported) {
		e.ringRefused = err
		return nil
	}
	e.paths[0].ring = ring
	return err
}

func (p *path) end() {
	<-p.gate
	p.inFlight.Add(-1)
}

// leave notes that the store goes on without the path.
func (p *path) leave(cause error) {
	p.mu.Lock()
	if !p.away.Load() {
		p.cause = cause
	}
	p.mu.Unlock()
	p.away.Store(true)
}

// lost notes that the log goes on without a path.
func (e *Engine) lost(i int, cause error) {
	e.paths[i].leave(cause)
	e.tellPathsChanged()
}

// because notes why the path is still away.
func (p *path) because(cause error) {
	p.mu.Lock()
	p.cause = cause
	p.mu.Unlock()
}

// acquire takes the lock of the directory.
func (p *path) acquire(fsys vfs.FS) error {
	if p.lock != nil {
		return nil
	}
	l, err := fsys.Lock(p.dir)
	if err == nil {
		p.lock = l
	}
	return err
}

// giveUp releases the lock. Of a path that went it may fail, and is gone all the same.
func (p *path) giveUp() error {
	l := p.lock
	p.lock = nil
	if l == nil {
		return nil
	}
	err := l.Close()
	if p.away.Load() {
		return nil
	}
	return err
}

// present returns the paths that count.
func (e *Engine) present() []*path {
	out := make([]*path, 0, len(e.paths))
	for _, p := range e.paths {
		if !p.away.Load() {
			out = append(out, p)
		}
	}
	return out
}

// bestPath returns the path that counts with the shortest queue; nil if there is none.
func (e *Engine) bestPath() *path {
	var best *path
	var least int64
	for _, p := range e.paths {
		if p.away.Load() {
			continue
		}
		if n := p.inFlight.Load(); best == nil || n < least {
			best, least = p, n
		}
	}
	return best
}

// losePath makes the store go on without a path, if there is another one.
func (e *Engine) losePath(p *path, cause error) {
	e.log.Lose(p.index, cause)
}

// answer is what a path had to say to a read.
type answer struct {
	path   *path
	stored []byte
	buffer *buffer
	err    error
}

// readPaths reads what is stored at a location from the path with the shortest queue. If
// that fails, or takes longer than reads there do, another one is asked too. What is not
// as the index says is written again from a path that has it.
func (e *Engine) readPaths(s *segment, at location, b *buffer) ([]byte, error) {
	first := e.bestPath()
	if first == nil {
		return nil, fmt.Errorf("%w: no path can be read", engine.ErrReadOnly)
	}
	if len(e.paths) == 1 {
		return e.readVerified(first, s, at, b)
	}
	if e.options.Inline {
		return e.readInTurn(first, s, at, b)
	}
	return e.readHedged(first, s, at, b)
}

// readVerified reads what is stored at a location in one path.
func (e *Engine) readVerified(p *path, s *segment, at location, b *buffer) ([]byte, error) {
	stored, err := e.readFrom(p, s, int64(at.offset), at.bytes(), b)
	if err != nil {
		return nil, err
	}
	if err := verified(at, stored); err != nil {
		return nil, vfs.NewError("read", p.segmentName(s.slot), int64(at.offset), err)
	}
	return stored, nil
}

// readInTurn asks one path after the other.
func (e *Engine) readInTurn(first *path, s *segment, at location, b *buffer) ([]byte, error) {
	var bad []answer
	order := append([]*path{first}, slices.DeleteFunc(e.present(), func(p *path) bool { return p == first })...)
	for _, p := range order {
		stored, err := e.readVerified(p, s, at, b)
		if err == nil {
			e.mend(s, at, stored, bad)
			return stored, nil
		}
		bad = append(bad, answer{path: p, err: err})
	}
	return nil, worst(bad)
}

// worst returns the error of a value that no path has: that it is damaged, if one says so.
func worst(bad []answer) error {
	for _, a := range bad {
		if errors.Is(a.err, engine.ErrCorrupt) {
			return a.err
		}
	}
	return bad[0].err
}

const (
	// hedgeLeast is the least time after which another path is asked too.
	hedgeLeast = 2 * time.Millisecond
)

// readHedged asks a path, and another one when that takes long, or fails. A read that has
// not come back at the deadline ends the path's part in the store; its buffer is never
// used again.
func (e *Engine) readHedged(first *path, s *segment, at location, b *buffer) ([]byte, error) {
	order := append([]*path{first}, slices.DeleteFunc(e.present(), func(p *path) bool { return p == first })...)
	answers := make(chan answer, len(order))
	asked, open, rounds := 0, 0, 0
	timeout := e.readTimeout(at.bytes())
	ask := func() {
		p := order[asked]
		asked++
		open++
		go func() { // it ends when the device lets go of it
			own := takeBuffer(at.bytes() + 2*e.options.BlockBytes)
			begin := time.Now()
			// Whoever asked may have had the answer of another path by then.
			overdue := time.AfterFunc(timeout, func() { e.losePath(p, e.noAnswer(p, s, timeout)) })
			stored, err := e.readVerified(p, s, at, own)
			overdue.Stop()
			if err == nil {
				p.note(time.Since(begin))
			}
			answers <- answer{p, stored, own, err}
		}()
	}
	ask()
	timer := time.NewTimer(first.patience())
	defer timer.Stop()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	var bad []answer
	for {
		select {
		case a := <-answers:
			open--
			if a.err == nil {
				stored := b.take(a)
				e.mend(s, at, stored, bad)
				return stored, nil
			}
			a.buffer.giveBack()
			bad = append(bad, a)
			if asked < len(order) {
				ask()
			} else if open == 0 {
				return nil, worst(bad)
			}
		case <-timer.C:
			if asked < len(order) {
				e.counters.hedged.Add(1)
				ask()
			}
		case <-deadline.C:
			// Whoever was asked a deadline ago and has not answered is lost by now.
			if asked < len(order) {
				ask()
			}
			if rounds++; rounds <= len(order) {
				deadline.Reset(timeout)
				continue
			}
			return nil, worst(append(bad, answer{err: e.noAnswer(order[0], s, timeout)}))
		}
	}
}

// note takes a read into account: an estimate of the 99th percentile, which grows by 99
// steps for a slow read and shrinks by one for a fast one.
func (p *path) note(took time.Duration) {
	const step = 64
	now := p.latency.Load()
	if int64(took) > now {
		p.latency.Store(now + 99*(step+now>>12))
	} else {
		p.latency.Store(max(now-(step+now>>12), 0))
	}
}

// patience is after what time another path is asked too.
func (p *path) patience() time.Duration {
	return max(time.Duration(p.latency.Load()), hedgeLeast)
}

// mend writes a value again in the paths where it was not as it should be.
func (e *Engine) mend(s *segment, at location, stored []byte, bad []answer) {
	for _, a := range bad {
		if a.path.away.Load() {
			continue
		}
		if err := e.repair(a.path, s, int64(at.offset), stored); err != nil {
			e.losePath(a.path, errors.Join(a.err, err))
		}
	}
}

// repair writes bytes of a segment again in one path. The segment that is written to, and
// one that goes, is left alone.
func (e *Engine) repair(p *path, s *segment, off int64, good []byte) error {
	e.mu.Lock()
	current := s == e.current // what is appended there may share a block
	e.mu.Unlock()
	if current || e.log.Unwritten(s.number) {
		return nil
	}
	s.mendMu.Lock()
	defer s.mendMu.Unlock()
	if s.gone() {
		return nil
	}
	f, err := e.fs.Open(p.segmentName(s.slot), 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(good, off, vfs.Plain)
	if err == nil {
		err = f.SyncData()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		e.counters.repaired.Add(1)
	}
	return err
}

// rejoin brings a path level, and lets it count again.
func (e *Engine) rejoin(ctx context.Context, p *path) error {
	if e.deadline != nil && e.deadline.Pending(p.dir) > 0 {
		return fmt.Errorf("%w: a call of %s has not come back, and might take effect on what is copied there", engine.ErrInUse, p.dir)
	}
	p.spare.Store(false)
	p.copied.Store(0)
	p.total.Store(0)
	if err := p.acquire(e.fs); err != nil {
		return err
	}
	if err := e.tryDirect(p); err != nil {
		return err
	}
	locked := false
	defer func() {
		if locked {
			e.checkpointing.Unlock()
		}
	}()
	pace := pacer{rate: e.options.ResyncRate, inline: e.options.Inline}
	err := e.log.Rejoin(ctx, p.index, wal.RejoinOptions{
		Pace: pace.wait,
		Progress: func(copied, total int64) {
			p.copied.Store(copied)
			p.total.Store(total)
		},
		Ready: func() error {
			// Until the path counts no other checkpoint is written.
			e.checkpointing.Lock()
			locked = true
			return e.copyIndex(ctx, p)
		},
	})
	if err != nil {
		return err
	}
	e.counters.resyncs.Add(1)
	e.counters.resynced.Add(uint64(p.copied.Load()))
	e.closeFilesIn(p) // which may be of files that are not there any more
	p.mu.Lock()
	p.cause = nil
	p.away.Store(false)
	p.mu.Unlock()
	e.tellPathsChanged()
	return nil
}

// copyIndex gives a path the checkpoint that another one has. With checkpointing held.
func (e *Engine) copyIndex(ctx context.Context, p *path) error {
	from := e.present()
	if len(from) == 0 {
		return fmt.Errorf("%w: no path counts", engine.ErrReadOnly)
	}
	data, err := readWhole(ctx, e.fs, filepath.Join(from[0].dir, indexName), e.options.Inline)
	if err != nil {
		return err
	}
	h, err := decodeHeader(data)
	if err != nil {
		return err
	}
	h.path = uint32(p.index)
	copy(data, h.encode())
	_, err = replaceIndex(e.fs, p.dir, func(f vfs.File) (int64, error) {
		n, err := f.WriteAt(data, 0, vfs.Plain)
		return int64(n), err
	})
	return err
}

// letGo closes all that is open in a path that was lost, and releases its lock, so that its
// file system can be unmounted, mended and mounted again while the store goes on.
func (e *Engine) letGo(p *path) {
	e.closeFilesIn(p)
	e.log.LetGo(p.index)
	_ = p.giveUp() // what fails there is gone all the same
}

// closeFilesIn closes the files that are open for reading in a path.
func (e *Engine) closeFilesIn(p *path) {
	e.segmentsMu.RLock()
	open := make([]vfs.File, 0, len(e.segments))
	for _, s := range e.segments {
		if f := s.takeFile(p); f != nil {
			open = append(open, f)
		}
	}
	e.segmentsMu.RUnlock()
	for _, f := range open {
		_ = f.Close() // nothing was written by it
	}
}

// takeFile returns the file that is open for reading in a path, which is then the caller's;
// nil if there is none.
func (s *segment) takeFile(p *path) (f vfs.File) {
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	if s.files != nil {
		f, s.files[p.index] = s.files[p.index], nil
	}
	return f
}

// pacer keeps to a rate.
type pacer struct {
	rate   int64 // bytes a second; not above 0 for no bound
	inline bool
	next   time.Time
}

func (p *pacer) wait(ctx context.Context, bytes int) error {
	if p.rate <= 0 || p.inline {
		return ctx.Err()
	}
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(bytes) / float64(p.rate) * float64(time.Second)))
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// resync brings level what can be, until as many paths count as there are to be replicas;
// the others that are there are spare.
func (e *Engine) resync(ctx context.Context) error {
	var errs []error
	changed := false
	defer func() {
		if changed {
			e.tellPathsChanged()
		}
	}()
	for _, p := range e.paths {
		if !p.away.Load() || ctx.Err() != nil {
			continue
		}
		changed = true // the cause at least may be another
		if !p.spare.Load() {
			e.letGo(p)
		}
		if _, err := e.fs.Stat(p.dir); err != nil {
			if p.spare.Swap(false) {
				p.because(err)
			}
			continue // it is still away
		}
		if len(e.present()) >= e.options.Replicas {
			p.spare.Store(true)
			continue
		}
		if err := e.rejoin(ctx, p); err != nil {
			p.because(err)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// PathsChanged returns a channel that is closed at the next change of what Paths says, other
// than of how much was copied. Whoever asks for it before Paths misses none.
func (e *Engine) PathsChanged() <-chan struct{} {
	e.changeMu.Lock()
	defer e.changeMu.Unlock()
	if e.change == nil {
		e.change = make(chan struct{})
	}
	return e.change
}

func (e *Engine) tellPathsChanged() {
	e.changeMu.Lock()
	defer e.changeMu.Unlock()
	if e.change != nil {
		close(e.change)
		e.change = nil
	}
}

// PathStatus tells how a path is.
type PathStatus struct {
	// Dir is the directory or block device.
	Dir string
	// InSync: everything that was acknowledged is there.
	InSync bool
	// Spare: it is not, since there are Options.Replicas others; it takes the place of one
	// that is lost.
	Spare bool
	// Cause is why it is not in sync; of a spare, what made it leave.
	Cause error
	// Commit and Entries are of the checkpoint that is there, where Status was asked.
	Commit, Entries uint64
	// Copied and Total tell how many bytes of how many it has been given, since it was
	// begun to be brought level; 0 before.
	Copied, Total int64
}

// Paths tells how each path is. A store is degraded while fewer than Options.Replicas are in
// sync; it goes on with any number that is.
func (e *Engine) Paths() []PathStatus {
	out := make([]PathStatus, len(e.paths))
	for i, p := range e.paths {
		p.mu.Lock()
		out[i] = PathStatus{Dir: p.dir, InSync: !p.away.Load(), Spare: p.away.Load() && p.spare.Load(), Cause: p.cause, Copied: p.copied.Load(), Total: p.total.Load()}
		p.mu.Unlock()
	}
	return out
}
