package wal

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// source is the content of a segment in one sink, read ahead of who parses it.
type source struct {
	name string
	data []byte

	mu     sync.Mutex
	more   *sync.Cond
	filled int
	err    error // why no more comes
}

const (
	readChunk = 1 << 20
	// readers is how many chunks are read at a time: one would leave a device idle
	// while its chunk is copied out of the page cache.
	readers = 4
)

// newSource returns the source of a file, into a buffer of its size.
func newSource(name string, buf []byte) *source {
	s := &source{name: name, data: buf}
	s.more = sync.NewCond(&s.mu)
	return s
}

// fill reads the file into the source, so many chunks at a time, until ctx ends.
func (s *source) fill(ctx context.Context, fsys vfs.FS, readers int) {
	f, err := fsys.Open(s.name, vfs.ReadOnly)
	if err == nil {
		err = s.read(ctx, f, readers)
		if e := f.Close(); err == nil {
			err = e
		}
	}
	s.mu.Lock()
	s.err = err
	s.more.Broadcast()
	s.mu.Unlock()
}

// read reads the chunks of an open file. What is before the first chunk that
// cannot be read is there when it returns.
func (s *source) read(ctx context.Context, f vfs.File, readers int) error {
	chunks := (len(s.data) + readChunk - 1) / readChunk
	if chunks == 0 {
		return nil
	}
	done := make([]bool, chunks)
	errs := make([]error, chunks)
	next, whole := 0, 0 // under s.mu
	work := func() {
		for {
			s.mu.Lock()
			n := next
			next++
			s.mu.Unlock()
			if n >= chunks {
				return
			}
			p := s.data[n*readChunk : min((n+1)*readChunk, len(s.data))]
			err := ctx.Err()
			if err == nil {
				var got int
				if got, err = f.ReadAt(p, int64(n)*readChunk); err == io.EOF {
					// Shorter than it was a moment ago; what is missing is empty.
					clear(p[got:])
					err = nil
				}
			}
			s.mu.Lock()
			errs[n], done[n] = err, err == nil
			if err != nil {
				next = chunks
			}
			for whole < chunks && done[whole] {
				whole++
			}
			s.filled = min(whole*readChunk, len(s.data))
			s.more.Broadcast()
			s.mu.Unlock()
		}
	}
	if readers = min(readers, chunks); readers == 1 {
		work()
	} else {
		var wg sync.WaitGroup
		for range readers {
			wg.Go(work)
		}
		wg.Wait()
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// wait returns how much there is, once it is at least n bytes, or the error of
// reading that much.
func (s *source) wait(n int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.filled < n && s.err == nil {
		s.more.Wait()
	}
	if s.filled < n {
		return s.filled, s.err
	}
	return s.filled, nil
}

// scanner parses the records of a segment.
type scanner struct {
	header
	seed     uint64
	off      int
	sequence uint64 // of the next record
	before   uint64 // the first sequence of the next segment; 0 for the newest
	closed   bool   // the mark of Close was read
	groups   int
	marked   uint64 // all records up to it were flushed, a mark says
}

func newScanner(h header, before uint64) *scanner {
	return &scanner{header: h, seed: h.seed(), off: headBytes, sequence: h.first, before: before}
}

// run parses until the records end, and calls each, unless nil, with those above
// after. A return without an error says nothing about why they end: see done.
func (s *scanner) run(src *source, after uint64, each func(Record) error) error {
	data, filled := src.data, 0
	unit := int(s.unit)
	for !s.done() {
		if s.off+recordHeader > len(data) {
			return nil
		}
		if s.off+recordHeader > filled {
			var err error
			if filled, err = src.wait(s.off + recordHeader); err != nil {
				return err
			}
		}
		stored := binary.LittleEndian.Uint32(data[s.off:])
		word := binary.LittleEndian.Uint32(data[s.off+4:])
		n := int(word >> kindBits)
		end := s.off + recordBytes(n)
		switch {
		case word == 0 && stored == 0 && s.off&(unit-1) != 0:
			s.off = int(roundUp(int64(s.off), int64(unit)))
			continue
		case end > len(data):
			return nil
		case end > filled:
			var err error
			if filled, err = src.wait(end); err != nil {
				return err
			}
		}
		if word&(1<<kindBits-1) == kindData {
			payload := data[s.off+recordHeader : s.off+recordHeader+n : s.off+recordHeader+n]
			if !checksum.Matches(stored, seal(checksum.Of(payload), s.seed, int64(s.off), s.sequence, word)) {
				return nil
			}
			if s.sequence > after && each != nil {
				if err := each(Record{s.sequence, payload, Place{int(s.place), s.number, int64(s.off + recordHeader)}}); err != nil {
					return err
				}
			}
			s.sequence++
			s.off = end
			continue
		}
		m, ok := decodeMark(data[s.off:])
		if !ok || m.id != s.id || m.seed != s.seed || m.offset != int64(s.off) || m.sequence != s.sequence {
			return nil
		}
		s.groups++
		s.closed = m.closed
		s.marked = max(s.marked, m.durable)
		s.off += markBytes
	}
	return nil
}

// done reports whether all records of the segment were read, and it is known that
// there are no more.
func (s *scanner) done() bool { return s.closed || s.before != 0 && s.sequence >= s.before }

// claims returns the highest sequence that any mark of the log in the source says
// is durable, from an offset on; of any log, if id is 0. Marks that lie where they
// do not belong count too: they were true when they were written.
func claims(src *source, id uint64, from int) (uint64, error) {
	if _, err := src.wait(len(src.data)); err != nil {
		return 0, err
	}
	var most uint64
	for off := from &^ (leastUnit - 1); off+markBytes <= len(src.data); off += leastUnit {
		if m, ok := decodeMark(src.data[off:]); ok && (id == 0 || m.id == id) {
			most = max(most, m.durable)
		}
	}
	return most, nil
}
