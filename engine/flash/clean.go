package flash

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/wal"
)

const (
	// slackSegments is how many segments may be there beyond what Fill asks for.
	slackSegments = 4
	// moveBytes is about how much cleaning writes at a time, movedBytes how much the kernel
	// has of that before it is flushed: the flush of a commit would take longer.
	moveBytes  = 256 << 10
	movedBytes = 8 << 20
)

// excess returns by how many bytes the segments that are not dead take more than Fill
// allows for what is of use. Under mu.
func (e *Engine) excess() int64 {
	return e.total - int64(float64(e.live)/e.options.Fill) - slackSegments*e.options.SegmentBytes
}

// setBehind notes whether cleaning is so far behind that writers must wait. Under mu.
func (e *Engine) setBehind() {
	was := e.behind
	e.behind = e.excess() > e.live/8+2*slackSegments*e.options.SegmentBytes && e.victim(false, math.MaxUint64) != nil
	if was && !e.behind {
		e.changed.Broadcast()
	}
}

// victim returns the segment that is best cleaned: with the most to gain for what is
// to be written again, and that has not changed for long (Rosenblum and Ousterhout, "The
// Design and Implementation of a Log-Structured File System", SOSP 1991). With all, only
// one that is worth it by itself. None is above number. Under mu.
func (e *Engine) victim(all bool, number uint64) *segment {
	var best *segment
	var most float64
	for _, s := range e.segments {
		if s == e.current || s.died != 0 || s.damaged || s.number > number {
			continue
		}
		u := min(float64(s.live)/float64(s.bytes+1), 1)
		if u > 0.97 || all && u > 0.9 {
			continue
		}
		gain := (1 - u) * float64(e.applied-s.born+1) / (1 + u)
		// Of equals the older one, so that the choice is the same each time.
		if gain > most || gain == most && best != nil && s.number < best.number {
			best, most = s, gain
		}
	}
	return best
}

// cleanEach gives back what can go and cleans a segment, by turns, until nothing is left to
// clean. See cleanOnce.
func (e *Engine) cleanEach(ctx context.Context, all bool, number uint64) error {
	var full error
	for more := true; more; {
		err := e.giveBack(ctx, full == nil)
		if harmless(err) {
			// What can be cleaned without more room is, and gives some back.
			full, err = err, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			more, err = e.cleanOnce(ctx, all, number)
		}
		if err != nil {
			return err
		}
	}
	return full
}

// cleanOnce cleans one segment, if that is due, or all that have room to gain, one after
// the other. It reports whether it did.
func (e *Engine) cleanOnce(ctx context.Context, all bool, number uint64) (bool, error) {
	e.cleaning.Lock()
	defer e.cleaning.Unlock()
	e.mu.Lock()
	var s *segment
	if e.failed == nil && (all || e.excess() > 0) {
		s = e.victim(all, number)
	}
	if s == nil {
		e.setBehind() // what was behind may have died by itself, and writers wait
	}
	e.mu.Unlock()
	if s == nil {
		return false, nil
	}
	err := e.clean(ctx, s)
	e.mu.Lock()
	e.setBehind()
	e.mu.Unlock()
	if err != nil {
		return false, err
	}
	e.counters.cleaned.Add(1)
	return true, nil
}

// clean writes what is of use in a segment again.
func (e *Engine) clean(ctx context.Context, s *segment) error {
	m := moving{e: e, ctx: ctx, s: s, payload: []byte{recordOther, recordMoves}}
	var failed error
	for _, p := range e.present() {
		data, err := e.readSegment(ctx, p, s)
		if err == nil {
			err = wal.ScanSegment(data, s.slot, s.number, m.record)
		}
		if e := m.write(); e != nil {
			return e
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && failed == nil {
			failed = err
		}
		e.mu.Lock()
		left := s.live
		e.mu.Unlock()
		if left == 0 {
			return nil
		}
		// A record that does not match hides those behind it; another path has them.
	}
	e.mu.Lock()
	s.damaged = true
	e.mu.Unlock()
	e.counters.damaged.Add(1)
	if failed != nil && !errors.Is(failed, engine.ErrCorrupt) {
		return failed
	}
	return nil
}

// moving is the cleaning of a segment.
type moving struct {
	e       *Engine
	ctx     context.Context
	s       *segment
	payload []byte
	count   int
}

// record moves the values of a record that are of use.
func (m *moving) record(r wal.Record) error {
	return eachValue(r, func(key []byte, at location) error {
		if now, ok := m.e.index.root.Load().get(key); !ok || now != at {
			return nil
		}
		stored := r.Payload[int64(at.offset)-r.Place.Offset:][:at.bytes()]
		m.payload = appendMove(m.payload, key, at, stored)
		m.count++
		if len(m.payload) >= moveBytes {
			return m.write()
		}
		return nil
	})
}

// write logs what was gathered. It flushes what would wait in memory. What the kernel has must
// be flushed before the segment goes that it was in, and till then more comes to its pages.
func (m *moving) write() error {
	if m.count == 0 {
		return nil
	}
	if err := m.ctx.Err(); err != nil {
		return err
	}
	e := m.e
	e.lockCommits()
	sequence, at, err := m.log()
	e.mu.Unlock()
	e.unflushed += len(m.payload)
	if err == nil && (e.unflushed >= movedBytes || e.log.Unwritten(at.Segment)) {
		e.unflushed = 0
		err = e.judge(e.log.Flush(sequence))
	}
	if err != nil {
		return fmt.Errorf("clean segment %d: %w", m.s.number, err)
	}
	e.counters.moved.Add(uint64(len(m.payload)))
	m.payload, m.count = m.payload[:2], 0
	return nil
}

// log gives what was gathered its place in the log, and brings it into sight. Under mu.
func (m *moving) log() (sequence uint64, at wal.Place, err error) {
	e := m.e
	if e.failed != nil {
		return 0, at, e.failed
	}
	sequence, at, err = e.log.AppendAt(m.ctx, m.payload, engine.Flushed)
	if err != nil {
		if errors.Is(err, engine.ErrReadOnly) {
			err = e.fail(err)
		}
		return 0, at, err
	}
	return sequence, at, e.addMoves(m.payload, at, sequence)
}

// addMoves brings moves of the log into the index: of each key that still has the value
// that was moved, the new place counts. Under mu.
func (e *Engine) addMoves(payload []byte, at wal.Place, sequence uint64) error {
	s := e.segmentAt(at)
	// A move changes nothing that readers see, so each comes into sight by itself.
	r := e.index.change(false)
	for next := 2; next < len(payload); {
		m, n, err := nextMove(payload, next)
		if err != nil {
			return err
		}
		next = n
		old, ok := r.get(m.key)
		if !ok || old.segment != m.from.segment || old.offset != m.from.offset {
			continue
		}
		l := location{s.id, uint32(at.Offset) + uint32(m.storedAt), uint32(len(m.stored)) | uint32(m.codec)<<sizeBits, checksum.Of(m.stored)}
		e.use(s, len(m.key), l)
		r, _, _ = e.index.put(r, nil, m.key, l)
		e.index.publish(r)
		if e.cache.on() {
			e.cache.moved(hashOf(m.key), old.place(), l.place())
		}
		e.drop(len(m.key), old)
	}
	e.index.publish(r)
	e.appliedRecord(sequence, len(payload))
	return nil
}

// eachValue calls f for each value in a record of the log, with the key that it was put
// under.
func eachValue(r wal.Record, f func(key []byte, at location) error) error {
	p := r.Payload
	segment := uint32(r.Place.Segment)
	if len(p) >= 2 && p[0] == recordOther && p[1] == recordMoves {
		for next := 2; next < len(p); {
			m, n, err := nextMove(p, next)
			if err != nil {
				return err
			}
			next = n
			at := location{segment, uint32(r.Place.Offset) + uint32(m.storedAt), uint32(len(m.stored)) | uint32(m.codec)<<sizeBits, checksum.Of(m.stored)}
			if err := f(m.key, at); err != nil {
				return err
			}
		}
		return nil
	}
	next, packed := 0, false
	if len(p) >= 2 && p[0] == recordOther {
		if p[1] != recordPacked && p[1] != recordPart {
			return nil
		}
		next, packed = 2, true
	}
	var key []byte
	for next < len(p) {
		o, n, err := nextOperation(p, next, packed)
		if err != nil {
			return err
		}
		next = n
		if o.kind != engine.OpPut {
			continue
		}
		key = append(appendPrefix(key[:0], o.family), o.key...)
		if err := f(key, o.location(segment, r.Place.Offset)); err != nil {
			return err
		}
	}
	return nil
}

// Compact implements engine.Engine: every segment of which more than a tenth is of no use
// is cleaned. Ranges are no matter: segments are in the order in which values were
// written.
func (e *Engine) Compact(ctx context.Context, _, _ []byte) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	failed, number := e.failed, uint64(0)
	if e.current != nil {
		number = e.current.number
	}
	e.mu.Unlock()
	if failed != nil {
		return failed
	}
	err := e.cleanEach(ctx, true, number)
	if err == nil {
		// What a replay needs no more can be given back.
		err = e.checkpoint(ctx)
	}
	if err == nil {
		err = e.free()
	}
	if err != nil {
		return fmt.Errorf("compact: %w", e.judge(err))
	}
	return nil
}
