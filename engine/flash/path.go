package flash

import (
	"errors"
	"path/filepath"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// path is one directory that holds the store.
type path struct {
	index int
	dir   string
	// gate has room for as many reads as may be in flight.
	gate     chan struct{}
	inFlight atomic.Int64
	// away: it is not read from.
	away atomic.Bool
}

func newPath(index int, dir string, depth int) *path {
	return &path{index: index, dir: dir, gate: make(chan struct{}, depth)}
}

func (p *path) segmentName(slot int) string { return filepath.Join(p.dir, wal.SlotName(slot)) }

// begin begins a read, when fewer than IODepth are in flight.
func (p *path) begin() {
	p.inFlight.Add(1)
	p.gate <- struct{}{}
}

func (p *path) end() {
	<-p.gate
	p.inFlight.Add(-1)
}

// bestPath returns the path that is read from, with the shortest queue; nil if there is
// none.
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

// readPaths reads what is stored at a location from the path with the shortest queue, and
// if that fails from the others.
func (e *Engine) readPaths(s *segment, at location, b *buffer) ([]byte, error) {
	var first error
	best := e.bestPath()
	for i := -1; i < len(e.paths); i++ {
		p := best
		if i >= 0 {
			if p = e.paths[i]; p == best || p.away.Load() {
				continue
			}
		}
		if p == nil {
			continue
		}
		stored, err := e.readFrom(p, s, int64(at.offset), at.bytes(), b)
		if err == nil {
			if stored, err = verified(s, at, stored); err == nil {
				return stored, nil
			}
			err = vfs.NewError("read", p.segmentName(s.slot), int64(at.offset), err)
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = errors.New("no path can be read")
	}
	return nil, first
}
