package blockfs

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
)

const (
	formatVersion = 1
	labelMagic    = "orbitblk"
	tableMagic    = "orbittab"

	sector = 512
	// block is what everything but the data is aligned to.
	block = 4096

	frontBytes = 1 << 20
	places     = 2
	copies     = 2
	copyBytes  = 4 << 20
	dataStart  = 17 << 20
	leastBytes = 32 << 20

	leastUnit = 4 << 10
	mostUnit  = 1 << 20
	// unitsWanted is how many units a device has at least, unless they would be too small.
	unitsWanted = 4096
	// mostUnits keeps numbers of units in five bytes of a uvarint.
	mostUnits = math.MaxUint32

	mostName = 255
	// mostPayload is what is left of a copy behind the header.
	mostPayload = copyBytes - block

	// fileCost and extentCost are the most that a file, beside its name, and an extent take
	// in a table.
	fileCost   = 2 + 10 + 5
	extentCost = 15
)

var labelOffsets = [...]int64{512 << 10, 768 << 10}

// copyOffset is where a copy of the table in a place lies.
func copyOffset(place, n int) int64 { return frontBytes + int64(place*copies+n)*copyBytes }

// unitFor returns the size of a unit on a new device.
func unitFor(size int64) int64 {
	unit := int64(1) << (bits.Len64(uint64(size/unitsWanted)) - 1)
	return min(max(unit, leastUnit), mostUnit)
}

// extent is a piece of a file: count units from its unit at on lie from a unit of the device
// on.
type extent struct{ at, unit, count int64 }

// entry is a file of a table.
type entry struct {
	name    string
	size    int64
	extents []extent // ascending, apart or not mergeable
}

// header is the head of a table.
type header struct {
	unit, units int64
	generation  uint64
	length      int
	check       uint32
}

func roundUp(n int) int { return (n + block - 1) / block * block }

func seal(b []byte) { binary.LittleEndian.PutUint32(b[sector-4:], checksum.Of(b[:sector-4])) }

// sealed reports whether b begins with a label or header that is whole.
func sealed(b []byte, magic string) bool {
	return string(b[:len(magic)]) == magic &&
		checksum.Matches(binary.LittleEndian.Uint32(b[sector-4:]), checksum.Of(b[:sector-4]))
}

// checkVersion refuses what a newer program wrote.
func checkVersion(b []byte) error {
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return fmt.Errorf("%w: format version %d; this program reads %d", engine.ErrUnsupported, v, formatVersion)
	}
	return nil
}

func encodeLabel() []byte {
	b := make([]byte, block)
	copy(b, labelMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	seal(b)
	return b
}

// encode returns a table as it is written. It fills in length and check.
func (h header) encode(payload []byte) []byte {
	b := make([]byte, block+roundUp(len(payload)))
	copy(b, tableMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	binary.LittleEndian.PutUint32(b[12:], uint32(h.unit))
	binary.LittleEndian.PutUint64(b[16:], uint64(h.units))
	binary.LittleEndian.PutUint64(b[24:], h.generation)
	binary.LittleEndian.PutUint32(b[32:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[36:], checksum.Of(payload))
	seal(b)
	copy(b[block:], payload)
	return b
}

// decodeHeader decodes the head of a table of a device of so many bytes. ErrCorrupt if it is
// none, ErrUnsupported if a newer program wrote it.
func decodeHeader(b []byte, size int64) (h header, err error) {
	if len(b) < sector || !sealed(b, tableMagic) {
		return h, fmt.Errorf("%w: no header of a table", engine.ErrCorrupt)
	}
	if err := checkVersion(b); err != nil {
		return h, err
	}
	h = header{
		unit: int64(binary.LittleEndian.Uint32(b[12:])), units: int64(binary.LittleEndian.Uint64(b[16:])),
		generation: binary.LittleEndian.Uint64(b[24:]),
		length:     int(binary.LittleEndian.Uint32(b[32:])), check: binary.LittleEndian.Uint32(b[36:]),
	}
	switch {
	case h.unit < leastUnit || h.unit > mostUnit || h.unit&(h.unit-1) != 0:
		return h, fmt.Errorf("%w: units of %d bytes", engine.ErrCorrupt, h.unit)
	case h.units < 1 || h.units > mostUnits || h.units > (size-dataStart)/h.unit:
		return h, fmt.Errorf("%w: the table is of %d units of %d bytes, and the device has %d bytes: it was larger when it was formatted", engine.ErrCorrupt, h.units, h.unit, size)
	case h.length > mostPayload || h.generation == 0:
		return h, fmt.Errorf("%w: a table of %d bytes, generation %d", engine.ErrCorrupt, h.length, h.generation)
	}
	return h, nil
}

// encodeFiles encodes entries, which are in the order of names.
func encodeFiles(files []entry) []byte {
	var b []byte
	for _, f := range files {
		b = binary.AppendUvarint(b, uint64(len(f.name)))
		b = append(b, f.name...)
		b = binary.AppendUvarint(b, uint64(f.size))
		b = binary.AppendUvarint(b, uint64(len(f.extents)))
		end := int64(0)
		for _, x := range f.extents {
			b = binary.AppendUvarint(b, uint64(x.at-end))
			b = binary.AppendUvarint(b, uint64(x.unit))
			b = binary.AppendUvarint(b, uint64(x.count))
			end = x.at + x.count
		}
	}
	return b
}

// decodeFiles decodes the payload of a table whose header is h. What it returns is sound:
// no unit belongs to two files, and none is outside of the device.
func decodeFiles(h header, payload []byte) (files []entry, used bitmap, err error) {
	if len(payload) != h.length || !checksum.Matches(h.check, checksum.Of(payload)) {
		return nil, nil, fmt.Errorf("%w: the checksum of a table of %d bytes does not match", engine.ErrCorrupt, h.length)
	}
	rest := payload
	bad := func(what string) error {
		return fmt.Errorf("%w: %s, %d bytes into the table", engine.ErrCorrupt, what, len(payload)-len(rest))
	}
	number := func(most int64) (int64, bool) {
		v, n := binary.Uvarint(rest)
		if n <= 0 || v > uint64(most) {
			return 0, false
		}
		rest = rest[n:]
		return int64(v), true
	}
	used = newBitmap(h.units)
	for len(rest) > 0 {
		n, ok := number(mostName)
		if !ok || n > int64(len(rest)) {
			return nil, nil, bad("no name")
		}
		f := entry{name: string(rest[:n])}
		rest = rest[n:]
		if !validName(f.name) || len(files) > 0 && files[len(files)-1].name >= f.name {
			return nil, nil, bad(fmt.Sprintf("%q is no name there", f.name))
		}
		if f.size, ok = number(mostUnits * h.unit); !ok {
			return nil, nil, bad("no size")
		}
		extents, ok := number(h.units)
		if !ok {
			return nil, nil, bad("no number of extents")
		}
		units, at := unitsOf(f.size, h.unit), int64(0)
		for ; extents > 0; extents-- {
			hole, ok1 := number(units)
			unit, ok2 := number(h.units)
			count, ok3 := number(h.units)
			x := extent{at + hole, unit, count}
			if at = x.at + count; !ok1 || !ok2 || !ok3 || count == 0 || at > units || unit+count > h.units {
				return nil, nil, bad(fmt.Sprintf("extent of %q outside of the file or device", f.name))
			}
			if !used.setNew(x.unit, x.count) {
				return nil, nil, bad(fmt.Sprintf("%q has a unit that is taken", f.name))
			}
			f.extents = append(f.extents, x)
		}
		files = append(files, f)
	}
	return files, used, nil
}

// unitsOf returns how many units a file of so many bytes spans.
func unitsOf(size, unit int64) int64 { return (size + unit - 1) / unit }

// validName reports whether name can be that of a file.
func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= mostName && !strings.Contains(name, "/")
}
