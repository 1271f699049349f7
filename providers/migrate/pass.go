package migrate

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Progress is how far a migration, an import or an export has come.
type Progress struct {
	// Phase is "copy" in the first pass, "compare" in the next ones, "catch up" while
	// what was written meanwhile is copied, "export", "check" while a file is.
	Phase string `json:"phase"`
	// Pass counts passes from 1.
	Pass int `json:"pass,omitempty"`
	// Entries and Bytes were read from the source in this pass, Changed were written to
	// the target.
	Entries int64 `json:"entries"`
	Bytes   int64 `json:"bytes"`
	Changed int64 `json:"changed,omitempty"`
	// Key is the last one that was read.
	Key []byte `json:"-"`
}

// tolerance is by how much the remaining times of an entry may differ on two sides:
// some backends count them in seconds.
const tolerance = 2 * time.Second

// batchBytes bounds a batch, beside the number of its entries.
const batchBytes = 4 << 20

// pass compares a source and a target, and makes them equal unless it only looks.
type pass struct {
	from  source
	to    *providers.Provider
	batch int
	// look: the target is not changed. first: and the first difference ends it.
	look, first bool
	// record, unless nil, is kept up to date with the batches.
	record *record
	// expected, unless nil, tells that a difference in a key says nothing: it was
	// written during the pass.
	expected func(key []byte) bool
	report   func(Progress)
	progress Progress

	after    []byte
	now      func() time.Time // the target's clock
	can      providers.Capabilities
	writes   []driver.Write
	size     int
	spare    [][]driver.Write // of batches that have landed
	flying   []flight
	landed   []byte // all up to it, with it, has been written
	recorded []byte
}

// flight is a batch on its way.
type flight struct {
	upTo   []byte
	writes []driver.Write
	done   chan error
}

// outcome is what a pass has found.
type outcome struct {
	source, target Tally
	// changed counts the keys in which they differed, unexpected those of which it was
	// not told. first is one of these.
	changed, unexpected int64
	first               []byte
	why                 string
}

func (p *pass) run(ctx context.Context) (o outcome, err error) {
	target, err := of(ctx, p.to)
	if err != nil {
		return o, err
	}
	p.now, p.can = target.now, p.to.Capabilities()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, to := read(ctx, p.from, p.after), read(ctx, target, p.after)
	defer func() {
		cancel()
		for _, c := range []*cursor{from, to} {
			for range c.ahead { // until its goroutine has ended
			}
		}
		for _, f := range p.flying {
			<-f.done
		}
	}()
	p.landed = p.after
	for {
		s, err := from.head(ctx)
		if err != nil {
			return o, err
		}
		t, err := to.head(ctx)
		if err != nil {
			return o, err
		}
		if s == nil && t == nil {
			break
		}
		order := 0
		switch {
		case t == nil:
			order = -1
		case s == nil:
			order = 1
		default:
			order = bytes.Compare(s.Key, t.Key)
		}
		var key []byte
		switch {
		case order < 0:
			key, t = s.Key, nil
		case order > 0:
			key, s = t.Key, nil
		default:
			key = s.Key
		}
		if why := p.differ(s, t); why != "" {
			o.changed++
			if p.expected == nil || !p.expected(key) {
				if o.unexpected++; o.first == nil {
					o.first, o.why = bytes.Clone(key), why
				}
			}
			if p.first {
				return o, nil
			}
			if err := p.write(ctx, s, key); err != nil {
				return o, err
			}
		}
		if s != nil {
			p.progress.Entries++
			p.progress.Bytes += int64(len(s.Key) + len(s.Value))
			from.next()
		}
		if t != nil {
			to.next()
		}
		if p.progress.Entries&(chunkEntries-1) == 0 && s != nil {
			p.tell(key, o.changed)
		}
	}
	if err := p.depart(ctx); err != nil {
		return o, err
	}
	if err := p.land(0); err != nil {
		return o, err
	}
	p.tell(nil, o.changed)
	o.source, o.target = from.tally, to.tally
	return o, nil
}

func (p *pass) tell(key []byte, changed int64) {
	if p.report == nil {
		return
	}
	p.progress.Changed = changed
	if key != nil {
		p.progress.Key = key
	}
	p.report(p.progress)
}

// differ says in what an entry differs on the two sides, "" if in nothing; nil is that
// it is not there.
func (p *pass) differ(s, t *providers.Entry) string {
	var left, there time.Duration
	if s != nil && !s.ExpiresAt.IsZero() {
		left = s.ExpiresAt.Sub(p.from.now())
	}
	if t != nil && !t.ExpiresAt.IsZero() {
		there = t.ExpiresAt.Sub(p.now())
	}
	switch {
	case t == nil && !s.ExpiresAt.IsZero() && left <= tolerance, s == nil && !t.ExpiresAt.IsZero() && there <= tolerance:
		return "" // it ends just now
	case t == nil:
		return "it is missing in the target"
	case s == nil:
		return "it is not in the source"
	case !bytes.Equal(s.Value, t.Value):
		return "its value differs"
	case s.ExpiresAt.IsZero() != t.ExpiresAt.IsZero():
		return "it expires on one side alone"
	case !s.ExpiresAt.IsZero() && (left-there).Abs() > tolerance:
		return fmt.Sprintf("it expires in %s, and %s in the target", left, there)
	}
	return ""
}

// write makes the target's entry that of the source, nil to delete it.
func (p *pass) write(ctx context.Context, s *providers.Entry, key []byte) error {
	if p.look {
		return nil
	}
	w := driver.Write{Key: key, Delete: true}
	if s != nil {
		w = driver.Write{Key: s.Key, Value: s.Value}
		if !s.ExpiresAt.IsZero() {
			if !p.can.TTL {
				return driver.KeyError("copy", s.Key, fmt.Errorf("%w: it expires, and %s keeps no time", driver.ErrUnsupported, p.to.Name()))
			}
			if w.TTL = s.ExpiresAt.Sub(p.from.now()); w.TTL <= 0 {
				w = driver.Write{Key: key, Delete: true}
			}
		}
	}
	p.writes = append(p.writes, w)
	if p.size += len(w.Key) + len(w.Value); len(p.writes) >= p.batch || p.size >= batchBytes {
		return p.depart(ctx)
	}
	return nil
}

// depart sends a batch on its way.
func (p *pass) depart(ctx context.Context) error {
	if len(p.writes) == 0 {
		return nil
	}
	upTo := p.writes[len(p.writes)-1].Key
	if p.record != nil && !bytes.Equal(p.landed, p.recorded) {
		p.record.After, p.recorded = p.landed, p.landed
		p.writes = append(p.writes, driver.Write{Key: recordKey, Value: p.record.encode()})
	}
	f := flight{upTo, p.writes, make(chan error, 1)}
	go func() { f.done <- p.to.BulkPut(ctx, f.writes) }()
	p.flying = append(p.flying, f)
	p.writes, p.size = nil, 0
	if n := len(p.spare); n > 0 {
		p.writes, p.spare = p.spare[n-1][:0], p.spare[:n-1]
	}
	most := 2
	if p.can.Remote {
		most = 8 // their time is the wire's
	}
	return p.land(most)
}

// land waits until at most so many batches are on their way.
func (p *pass) land(most int) error {
	for len(p.flying) > most {
		f := p.flying[0]
		p.flying = p.flying[1:]
		if err := <-f.done; err != nil {
			return fmt.Errorf("write to %s: %w", p.to.Name(), err)
		}
		p.landed, p.spare = f.upTo, append(p.spare, f.writes)
	}
	return nil
}
