package cowbtree

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// extentRef is where a value is that is too large for a page.
type extentRef struct {
	id    uint64
	bytes uint32
	sum   uint32
	birth uint64
}

func readExtentRef(b []byte) extentRef {
	return extentRef{id: u64(b, 0), bytes: u32(b, 8), sum: u32(b, 12), birth: u64(b, 16)}
}

func (x extentRef) appendTo(b []byte) []byte {
	var p [extentBytes]byte
	putU64(p[:], 0, x.id)
	putU32(p[:], 8, x.bytes)
	putU32(p[:], 12, x.sum)
	putU64(p[:], 16, x.birth)
	return append(b, p[:]...)
}

// readExtent appends a value that lies in an extent.
func (e *Engine) readExtent(x extentRef, dst []byte) ([]byte, error) {
	where := extentOf(x.id)
	if int64(x.bytes) > where.n*sectorBytes {
		return dst, fmt.Errorf("%w: a value of %d bytes in %d sectors of %s", engine.ErrCorrupt, x.bytes, where.n, e.data.Name())
	}
	s := storedPool.Get().(*stored)
	defer func() {
		if cap(s.raw) <= 1<<20 {
			storedPool.Put(s)
		}
	}()
	b, err := e.readAt(where.at*sectorBytes, int(x.bytes), &s.raw)
	if err != nil {
		return dst, err
	}
	e.counters.extentReads.Add(1)
	if !checksum.Matches(x.sum, checksum.Of(b)) {
		return dst, vfs.NewError("read value", e.data.Name(), where.at*sectorBytes, fmt.Errorf("%w: the checksum of %d bytes does not match; restore the store from a backup, or delete the key", engine.ErrCorrupt, len(b)))
	}
	return append(dst, b...), nil
}

// writeExtent writes a value to an extent of its own. Under mu.
func (e *Engine) writeExtent(value []byte) (extentRef, error) {
	where, err := e.room(sectors(len(value)), sectors(len(value)))
	if err != nil {
		return extentRef{}, e.refused(err)
	}
	b := vfs.AlignedBuffer(int(where.n)*sectorBytes, max(e.align.Memory, 1))
	copy(b, value)
	if _, err := e.data.WriteAt(b, where.at*sectorBytes, vfs.Plain); err != nil {
		e.space.give(where)
		return extentRef{}, e.refused(err)
	}
	e.young[where.at] = where.n
	return extentRef{id: where.id(), bytes: uint32(len(value)), sum: checksum.Of(value), birth: e.history.generation}, nil
}

// room takes an extent, and makes the file longer if there is none.
func (e *Engine) room(least, most int64) (extent, error) {
	for {
		if x, ok := e.space.take(least, most); ok {
			return x, nil
		}
		if err := e.growFile(least); err != nil {
			return extent{}, err
		}
	}
}

const (
	leastGrowth = 64 << 10 / sectorBytes
	mostGrowth  = 64 << 20 / sectorBytes
)

// growFile makes the data file longer, by n sectors at least.
func (e *Engine) growFile(n int64) error {
	// One after the other: what fails takes back all that is behind the end.
	e.growing.Lock()
	defer e.growing.Unlock()
	e.space.mu.Lock()
	size := e.space.size
	e.space.mu.Unlock()
	step := max(n+blockSectors, min(max(size/8, leastGrowth), mostGrowth))
	step = (step + blockSectors - 1) &^ (blockSectors - 1)
	err := e.data.Preallocate(size*sectorBytes, step*sectorBytes)
	if err != nil && !isUnsupported(err) {
		// What was taken of it goes back; if that fails too, the file is a little
		// longer than it need be, and the next opening knows that it is free.
		_ = e.data.Truncate(size * sectorBytes)
		return err
	}
	e.space.grown(size + step)
	return nil
}
