package flash

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Get implements engine.Reader.
func (e *Engine) Get(key, dst []byte) ([]byte, error) { return e.getIn(0, key, dst, nil) }

// getIn appends the value of a key of a family in a state that is held; in the newest one
// if that is nil.
func (e *Engine) getIn(f engine.FamilyID, key, dst []byte, state *root) ([]byte, error) {
	var buf [shortKey + maxPrefix]byte
	full := append(appendPrefix(buf[:0], f), key...)
	k := cachedAs(full)
	if state == nil {
		if e.closed.Load() {
			return dst, engine.ErrClosed
		}
		if out, ok := e.cache.newest(&k, dst); ok {
			return out, nil
		}
	}
	token := e.domain.Enter()
	defer e.domain.Exit(token)
	if state == nil && e.closed.Load() { // again, now that Close waits for this get
		return dst, engine.ErrClosed
	}
	out, err := e.lookUp(&k, dst, state)
	if err != nil && err != engine.ErrNotFound {
		return dst, engine.KeyError("get", key, err)
	}
	return out, err
}

// lookUp is getIn by way of the index.
func (e *Engine) lookUp(k *cached, dst []byte, state *root) ([]byte, error) {
	r := state
	if r == nil {
		r = e.index.root.Load()
	}
	at, ok := r.get(k.key)
	for {
		if !ok {
			return dst, engine.ErrNotFound
		}
		out, err := e.value(k, at, dst)
		if err == nil || state != nil {
			return out, err
		}
		// Cleaning may have moved the value, and its segment may have gone.
		now, still := e.index.root.Load().get(k.key)
		if still && now == at {
			return dst, err
		}
		at, ok = now, still
	}
}

// value appends the value of a key at a location, from the cache or a path.
func (e *Engine) value(k *cached, at location, dst []byte) ([]byte, error) {
	if at.bytes() == 0 {
		return dst, nil
	}
	if out, ok := e.cache.get(k, at.place(), dst); ok {
		return out, nil
	}
	s := e.segmentOf(at)
	if s == nil {
		return dst, fmt.Errorf("%w: no segment %d", engine.ErrCorrupt, at.segment)
	}
	b := takeBuffer(at.bytes() + 2*e.options.BlockBytes)
	defer b.giveBack()
	stored, err := e.readStored(s, at, b)
	if err != nil {
		return dst, err
	}
	return e.unpack(k, at, stored, dst)
}

// unpack appends the value of a key that is stored at a location, and caches it.
func (e *Engine) unpack(k *cached, at location, stored, dst []byte) ([]byte, error) {
	out, err := appendUnpacked(dst, stored, at.codec())
	if err != nil {
		return dst, fmt.Errorf("segment %d at %d: %w", at.segment, at.offset, err)
	}
	e.cache.put(k, at.place(), out[len(dst):])
	return out, nil
}

// buffer is memory for direct I/O.
type buffer struct {
	data    []byte
	request vfs.Request
}

const (
	pooledBytes = 64 << 10
	memoryAlign = 4096
)

var buffers = sync.Pool{New: func() any { return &buffer{data: vfs.AlignedBuffer(pooledBytes, memoryAlign)} }}

// takeBuffer returns a buffer of at least n bytes.
func takeBuffer(n int) *buffer {
	if n <= pooledBytes {
		return buffers.Get().(*buffer)
	}
	return &buffer{data: vfs.AlignedBuffer(n, memoryAlign)}
}

func (b *buffer) giveBack() {
	if len(b.data) == pooledBytes {
		buffers.Put(b)
	}
}

// take copies an answer into the buffer, and gives back the answer's own.
func (b *buffer) take(a answer) []byte {
	if len(b.data) < len(a.stored) {
		b.data = vfs.AlignedBuffer(len(a.stored), memoryAlign)
	}
	stored := b.data[:copy(b.data, a.stored)]
	a.buffer.giveBack()
	return stored
}

// readStored returns what is stored at a location, verified, in the memory of b or of its
// own. What is damaged in one path is taken from another.
func (e *Engine) readStored(s *segment, at location, b *buffer) ([]byte, error) {
	if e.log.Unwritten(s.number) {
		stored := make([]byte, at.bytes())
		if e.log.ReadStaged(s.number, int64(at.offset), stored) {
			return stored, verified(at, stored)
		}
	}
	return e.readPaths(s, at, b)
}

// verified is ErrCorrupt if what is stored is not what the index says.
func verified(at location, stored []byte) error {
	if !checksum.Matches(at.check, checksum.Of(stored)) {
		return fmt.Errorf("%w: the checksum of %d bytes does not match", engine.ErrCorrupt, len(stored))
	}
	return nil
}

// readFrom reads n bytes of a segment in one path, in whole blocks.
func (e *Engine) readFrom(p *path, s *segment, off int64, n int, b *buffer) ([]byte, error) {
	f, data, from, err := e.blocks(p, s, off, n, b)
	if err != nil {
		return nil, err
	}
	lost, err := p.read(f, data, from, &b.request)
	if lost {
		b.data = vfs.AlignedBuffer(len(b.data), memoryAlign)
	}
	e.counters.reads.Add(1)
	e.counters.readBytes.Add(uint64(len(data)))
	if err != nil {
		return nil, err
	}
	return data[off-from:][:n], nil
}

// readInTime is readFrom where there is another path: a path that has not answered at the
// deadline is lost. What comes too late is in memory of its own, which is never used again.
func (e *Engine) readInTime(p *path, s *segment, off int64, n int, b *buffer) ([]byte, error) {
	if len(e.paths) == 1 || e.options.Inline {
		return e.readFrom(p, s, off, n, b)
	}
	answers := make(chan answer, 1)
	go func() { // it ends when the device lets go of it
		own := takeBuffer(n + 2*e.options.BlockBytes)
		stored, err := e.readFrom(p, s, off, n, own)
		answers <- answer{p, stored, own, err}
	}()
	timeout := e.readTimeout(n)
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	select {
	case a := <-answers:
		if a.err != nil {
			a.buffer.giveBack()
			return nil, a.err
		}
		return b.take(a), nil
	case <-deadline.C:
		err := e.noAnswer(p, s, timeout)
		e.losePath(p, err)
		return nil, err
	}
}

// readTimeout is how long a read of so many bytes may take: what a slow device does in that
// time.
func (e *Engine) readTimeout(bytes int) time.Duration {
	return e.options.patience() * time.Duration(1+bytes>>22)
}

// noAnswer is the error of a path that has not answered a read.
func (e *Engine) noAnswer(p *path, s *segment, timeout time.Duration) error {
	return fmt.Errorf("read %s: no answer within %v", p.segmentName(s.slot), timeout)
}

// blocks returns what is to be read for n bytes of a segment in one path: the file, the
// memory in b for it, and from where.
func (e *Engine) blocks(p *path, s *segment, off int64, n int, b *buffer) (f vfs.File, data []byte, from int64, err error) {
	if f, err = s.file(e, p); err != nil {
		return nil, nil, 0, err
	}
	block := int64(e.options.BlockBytes)
	from = off &^ (block - 1)
	end := min((off+int64(n)+block-1)&^(block-1), s.bytes)
	if end < off+int64(n) {
		return nil, nil, 0, vfs.NewError("read", f.Name(), off, fmt.Errorf("%w: it lies behind the end", engine.ErrCorrupt))
	}
	if int64(len(b.data)) < end-from {
		b.data = vfs.AlignedBuffer(int(end-from), memoryAlign)
	}
	return f, b.data[:end-from], from, nil
}

// file returns the file of a segment in a path, open for reading.
func (s *segment) file(e *Engine, p *path) (vfs.File, error) {
	if f, err := s.keep(e, p, nil); f != nil || err != nil {
		return f, err
	}
	f, err := e.fs.Open(p.segmentName(s.slot), e.readFlags())
	if err != nil {
		return nil, err
	}
	kept, err := s.keep(e, p, f)
	if kept != f {
		_ = f.Close() // another reader was first, or the segment goes
	}
	return kept, err
}

// keep returns the file that is open for reading in a path: f, unless it is nil, where there
// was none.
func (s *segment) keep(e *Engine, p *path, f vfs.File) (vfs.File, error) {
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("segment %d: %w", s.number, fs.ErrClosed)
	}
	if s.files == nil {
		s.files = make([]vfs.File, len(e.paths))
	}
	if s.files[p.index] == nil {
		s.files[p.index] = f
	}
	return s.files[p.index], nil
}

func (e *Engine) readFlags() vfs.OpenFlags {
	if e.buffered.Load() {
		return vfs.ReadOnly
	}
	return vfs.ReadOnly | vfs.Direct
}

// wanted is a value that is to be read, and what became of it.
type wanted struct {
	at    location
	key   []byte
	hash  uint64
	value []byte
	err   error
}

func want(key []byte, at location) wanted { return wanted{at: at, key: key, hash: hashOf(key)} }

// cached is how the cache knows the value, of which nobody says that it is the newest.
func (w *wanted) cached() *cached { return &cached{key: w.key, hash: w.hash} }

const (
	// gapBytes is what is read and thrown away, rather than reading twice.
	gapBytes = 8 << 10
	// runBytes is the most that is read at once.
	runBytes = 256 << 10
)

// readMany reads the values that have no error, as many at a time as IODepth allows. Those
// that are cached are appended to memory, which it returns. State is held.
func (e *Engine) readMany(list []wanted, memory []byte) []byte {
	missing, memory := e.readCached(list, memory)
	e.readMissing(missing)
	return memory
}

// readCached reads those values that are cached, and returns the others.
func (e *Engine) readCached(list []wanted, memory []byte) (missing []*wanted, _ []byte) {
	// What one would wait for comes while others are asked for.
	const together = 16
	for len(list) > 0 {
		part := list[:min(together, len(list))]
		list = list[len(part):]
		if len(part) > 1 {
			for i := range part {
				e.cache.prefetchSlot(part[i].cached())
			}
			for i := range part {
				e.cache.prefetchValue(part[i].cached(), part[i].at.bytes())
			}
		}
		for i := range part {
			w := &part[i]
			switch out, ok := memory, true; {
			case w.err != nil:
			case w.at.bytes() == 0:
				w.value = []byte{}
			default:
				if out, ok = e.cache.get(w.cached(), w.at.place(), memory); !ok {
					missing = append(missing, w)
					continue
				}
				w.value = out[len(memory):len(out):len(out)]
				memory = out
			}
		}
	}
	return missing, memory
}

// readMissing reads values from the paths.
func (e *Engine) readMissing(missing []*wanted) {
	if len(missing) == 0 {
		return
	}
	slices.SortFunc(missing, func(a, b *wanted) int {
		if a.at.place() < b.at.place() {
			return -1
		}
		return 1
	})
	var runs [][]*wanted
	for i := 0; i < len(missing); {
		j := i + 1
		first := missing[i].at
		for ; j < len(missing); j++ {
			at, before := missing[j].at, missing[j-1].at
			if at.segment != first.segment || int64(at.offset) > int64(before.offset)+int64(before.bytes())+gapBytes ||
				int64(at.offset)+int64(at.bytes())-int64(first.offset) > runBytes {
				break
			}
		}
		runs = append(runs, missing[i:j])
		i = j
	}
	if p := e.paths[0]; p.ring != nil {
		e.readBatches(p, runs)
		return
	}
	if e.options.Inline || len(runs) == 1 {
		for _, r := range runs {
			e.readRun(r)
		}
		return
	}
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(len(runs), e.options.IODepth) {
		readers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(runs); i = next.Add(1) - 1 {
				e.readRun(runs[i])
			}
		})
	}
	readers.Wait()
}

// readBatches reads runs from the only path, as many at once as there is room for.
func (e *Engine) readBatches(p *path, runs [][]*wanted) {
	for len(runs) > fewReads {
		n := p.beginSome(len(runs))
		part := runs[:n]
		runs = runs[n:]
		taken := make([]*buffer, n)
		requests := make([]*vfs.Request, 0, n)
		for i, run := range part {
			first, bytes := extent(run)
			s := e.segmentOf(first)
			if s == nil || e.log.Unwritten(s.number) {
				continue
			}
			b := takeBuffer(bytes + 2*e.options.BlockBytes)
			f, data, from, err := e.blocks(p, s, int64(first.offset), bytes, b)
			if err != nil {
				b.giveBack()
				continue
			}
			b.request = vfs.Request{File: f, Data: data, Offset: from}
			taken[i] = b
			requests = append(requests, &b.request)
			e.counters.readBytes.Add(uint64(len(data)))
		}
		e.counters.reads.Add(uint64(len(requests)))
		err := p.ring.Read(requests...)
		p.endSome(n)
		for i, run := range part {
			b := taken[i]
			if b == nil || err != nil || b.request.Err != nil {
				e.readEach(run) // which tells what is wrong
				continue
			}
			first, bytes := extent(run)
			e.accept(run, b.request.Data[int64(first.offset)-b.request.Offset:][:bytes])
			b.request = vfs.Request{}
			b.giveBack()
		}
	}
	for _, run := range runs {
		e.readRun(run)
	}
}

// extent returns where a run begins, and how many bytes it spans.
func extent(run []*wanted) (first location, bytes int) {
	first, last := run[0].at, run[len(run)-1].at
	return first, int(last.offset-first.offset) + last.bytes()
}

// readRun reads values that lie close to each other, with one read if that goes well.
func (e *Engine) readRun(run []*wanted) {
	first, n := extent(run)
	s := e.segmentOf(first)
	if len(run) > 1 && s != nil && !e.log.Unwritten(s.number) {
		b := takeBuffer(n + 2*e.options.BlockBytes)
		defer b.giveBack()
		if p := e.bestPath(); p != nil {
			if data, err := e.readInTime(p, s, int64(first.offset), n, b); err == nil {
				e.accept(run, data)
				return
			}
		}
	}
	e.readEach(run)
}

// accept takes the values of a run out of what was read for it; what is not as it should be
// is read again by itself.
func (e *Engine) accept(run []*wanted, data []byte) {
	first := run[0].at
	for _, w := range run {
		stored := data[w.at.offset-first.offset:][:w.at.bytes()]
		if verified(w.at, stored) == nil {
			w.value, w.err = e.unpack(w.cached(), w.at, stored, w.value[:0])
		} else {
			w.value, w.err = e.value(w.cached(), w.at, w.value[:0])
		}
	}
}

// readEach reads the values of a run one by one.
func (e *Engine) readEach(run []*wanted) {
	for _, w := range run {
		w.value, w.err = e.value(w.cached(), w.at, w.value[:0])
	}
}

// MultiGet implements engine.MultiGetter.
func (e *Engine) MultiGet(keys [][]byte, found func(i int, value []byte, present bool)) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	e.lockCommits()
	state, at := e.hold()
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.unhold(at)
		e.mu.Unlock()
	}()
	// A part at a time, so that many keys do not take much memory.
	const part = 256
	list := make([]wanted, 0, min(part, len(keys)))
	var names, memory []byte
	for base := 0; base < len(keys); base += part {
		n := min(part, len(keys)-base)
		list, names = list[:0], names[:0]
		for i := range n {
			from := len(names)
			names = append(appendPrefix(names, 0), keys[base+i]...)
			at, ok := state.get(names[from:])
			w := want(names[from:], at)
			if !ok {
				w.err = engine.ErrNotFound
			}
			list = append(list, w)
		}
		memory = e.readMany(list, memory[:0])
		for i := range n {
			w := &list[i]
			switch {
			case w.err == engine.ErrNotFound:
				found(base+i, nil, false)
			case w.err != nil:
				return engine.KeyError("get", keys[base+i], w.err)
			case w.value == nil:
				found(base+i, []byte{}, true)
			default:
				found(base+i, w.value, true)
			}
		}
	}
	return nil
}

// readSegment returns the content of a segment in a path, of which only what was
// flushed counts.
func (e *Engine) readSegment(ctx context.Context, p *path, s *segment) ([]byte, error) {
	if e.log.Unwritten(s.number) {
		if err := e.log.Sync(); err != nil {
			return nil, e.judge(err)
		}
	}
	const chunk = 1 << 20
	data := vfs.AlignedBuffer(int(s.bytes), memoryAlign)
	for at := 0; at < len(data); at += chunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := data[at:min(at+chunk, len(data))]
		got, err := e.readInTime(p, s, int64(at), len(part), &buffer{data: part})
		if err != nil {
			return nil, err
		}
		copy(part, got) // unless it is there
	}
	return data, nil
}
