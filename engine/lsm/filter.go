package lsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/bits-and-blooms/bloom/v3"
	"github.com/cespare/xxhash/v2"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
)

// FilterKind is which filter tables have. A table says for itself what it has.
type FilterKind uint8

const (
	// BlockedBloom sets all bits of a key in one line of the cache: Putze, Sanders and
	// Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007.
	BlockedBloom FilterKind = iota
	// ClassicBloom is that of github.com/bits-and-blooms/bloom.
	ClassicBloom
	// NoFilter has none.
	NoFilter
)

// String returns "blocked bloom", "classic bloom" or "none".
func (k FilterKind) String() string {
	switch k {
	case BlockedBloom:
		return "blocked bloom"
	case ClassicBloom:
		return "classic bloom"
	case NoFilter:
		return "none"
	}
	return fmt.Sprintf("FilterKind(%d)", uint8(k))
}

// filter tells of keys that are not there.
type filter interface {
	// mayContain is false only if the key with that hash was not added.
	mayContain(hash uint64) bool
}

// hashOf is the hash of keys that filters and blocks use; it is part of the format.
func hashOf(key []byte) uint64 { return xxhash.Sum64(key) }

const (
	filterLineWords = 8
	filterLineBytes = filterLineWords * 8
)

// blocked is a blocked Bloom filter: lines of 512 bits, and so many bits for each key.
type blocked struct {
	words  []uint64
	probes int
}

// newBlocked makes one for so many keys.
func newBlocked(keys int, bitsPerKey float64) *blocked {
	lines := max(1, int(math.Ceil(float64(keys)*bitsPerKey/512)))
	return &blocked{words: make([]uint64, lines*filterLineWords), probes: probesFor(bitsPerKey)}
}

// probesFor is how many bits of a key are set. In a line fewer than in a filter without
// lines are best.
func probesFor(bitsPerKey float64) int {
	return min(max(int(math.Round(bitsPerKey*0.6)), 1), 14)
}

func (b *blocked) line(hash uint64) int {
	hi, _ := bits.Mul64(hash, uint64(len(b.words)/filterLineWords))
	return int(hi) * filterLineWords
}

// spread makes of a hash, whose high bits choose the line, bits to set in it.
func spread(hash uint64) uint64 { return (hash ^ hash>>32) * 0x9e3779b97f4a7c15 }

// add adds a key. One goroutine adds; others may ask at the same time.
func (b *blocked) add(hash uint64) {
	line := b.words[b.line(hash):][:filterLineWords:filterLineWords]
	x := spread(hash)
	for i := range b.probes {
		if i == 7 {
			x = spread(hash * 0xd6e8feb86659fd93) // the first has no bits left
		}
		bit := x & 511
		x >>= 9
		word := &line[bit>>6]
		if raceEnabled {
			atomic.StoreUint64(word, *word|1<<(bit&63))
		} else {
			// Words are written whole, and what is stored afterwards makes them seen.
			*word |= 1 << (bit & 63)
		}
	}
}

// prefetch asks for the line of a key.
func (b *blocked) prefetch(hash uint64) { prefetch.Line(unsafe.Pointer(&b.words[b.line(hash)])) }

func (b *blocked) has(hash uint64) bool {
	line := b.words[b.line(hash):][:filterLineWords:filterLineWords]
	x := spread(hash)
	for i := range b.probes {
		if i == 7 {
			x = spread(hash * 0xd6e8feb86659fd93) // the first has no bits left
		}
		bit := x & 511
		x >>= 9
		if atomic.LoadUint64(&line[bit>>6])&(1<<(bit&63)) == 0 {
			return false
		}
	}
	return true
}

func (b *blocked) mayContain(hash uint64) bool { return b.has(hash) }

// classic is a Bloom filter of the library.
type classic struct{ *bloom.BloomFilter }

// The library hashes the hash again.
func (c classic) add(hash uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], hash)
	c.Add(b[:])
}

func (c classic) mayContain(hash uint64) bool {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], hash)
	return c.Test(b[:])
}

// encodeBlocked and decodeFilter are the payload of a table's filter block:
//
//	filter = u8 kind
//	         blocked: u8 probes, 6 zeros, u64 words
//	         classic: what the library writes
func (b *blocked) encode() []byte {
	out := make([]byte, 8, 8+len(b.words)*8)
	out[0], out[1] = byte(BlockedBloom), byte(b.probes)
	for _, w := range b.words {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return out
}

func (c classic) encode() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte(byte(ClassicBloom))
	if _, err := c.WriteTo(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// decodeFilter reads a filter; it may keep p.
func decodeFilter(p []byte) (filter, error) {
	if len(p) == 0 {
		return nil, nil
	}
	switch FilterKind(p[0]) {
	case BlockedBloom:
		if len(p) < 8+filterLineBytes || (len(p)-8)%filterLineBytes != 0 || p[1] == 0 || p[1] > 14 {
			break
		}
		b := &blocked{words: make([]uint64, (len(p)-8)/8), probes: int(p[1])}
		for i := range b.words {
			b.words[i] = binary.LittleEndian.Uint64(p[8+8*i:])
		}
		return b, nil
	case ClassicBloom:
		// The library takes the lengths that it reads at their word.
		if len(p) < 25 {
			break
		}
		m, k, n := binary.BigEndian.Uint64(p[1:]), binary.BigEndian.Uint64(p[9:]), binary.BigEndian.Uint64(p[17:])
		if k == 0 || k > 64 || m != n || n == 0 || n > uint64(len(p))*8 || uint64(len(p)-25) != (n+63)/64*8 {
			break
		}
		f := new(bloom.BloomFilter)
		if _, err := f.ReadFrom(bytes.NewReader(p[1:])); err != nil {
			return nil, fmt.Errorf("%w: filter: %v", engine.ErrCorrupt, err)
		}
		return classic{f}, nil
	}
	return nil, fmt.Errorf("%w: a filter of %d bytes, of kind %d", engine.ErrCorrupt, len(p), p[0])
}
