package flash

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/orbit-persistence/orbit/engine"
)

// Compression is how values are packed. Each says for itself how it was packed, so that
// the option may change from one opening to the next.
type Compression uint8

const (
	// LZ4 is fast in both directions.
	LZ4 Compression = iota
	// NoCompression stores values as they are.
	NoCompression
	// Zstd packs tighter, and costs more of the processor.
	Zstd

	numCompressions
)

var compressionNames = [numCompressions]string{"lz4", "none", "zstd"}

// String returns "lz4", "none" or "zstd".
func (c Compression) String() string {
	if c < numCompressions {
		return compressionNames[c]
	}
	return fmt.Sprintf("Compression(%d)", uint8(c))
}

// codec is how a value was packed: as it is, or as a uvarint of its length and an LZ4
// block or a Zstandard frame.
type codec uint8

const (
	codecNone codec = iota
	codecLZ4
	codecZstd
	numCodecs

	// leastPacked is the length from which on packing is tried.
	leastPacked = 64
)

var (
	zstdWriter = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	})
	zstdReader = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(2*engine.MaxValueBytes))
	})
	compressors = sync.Pool{New: func() any { return new(lz4.Compressor) }}
)

// pack returns what a value is packed to, in memory, or, where packing saves less than an
// eighth, the value itself; and the memory, which may have grown.
func pack(memory, value []byte, c Compression) (packed, _ []byte, how codec, err error) {
	if c == NoCompression || len(value) < leastPacked {
		return value, memory, codecNone, nil
	}
	out := binary.AppendUvarint(memory[:0], uint64(len(value)))
	how = codecLZ4
	if c == LZ4 {
		head, most := len(out), lz4.CompressBlockBound(len(value))
		out = slices.Grow(out, most)[:head+most]
		z := compressors.Get().(*lz4.Compressor)
		n, err := z.CompressBlock(value, out[head:])
		compressors.Put(z)
		if err != nil {
			return nil, out, how, fmt.Errorf("pack a value of %d bytes: %w", len(value), err)
		}
		if n > 0 { // else it cannot be packed
			out = out[:head+n]
		}
	} else {
		how = codecZstd
		w, err := zstdWriter()
		if err != nil {
			return nil, out, how, fmt.Errorf("pack a value: %w", err)
		}
		out = w.EncodeAll(value, out)
	}
	if len(out) > len(value)-len(value)/8 {
		return value, out, codecNone, nil
	}
	return out, out, how, nil
}

// tries tells whether packing a batch is worth a try: to find that a value of 16 KiB does
// not pack is a sixth of its commit. Once mostFailed values in a row have not packed, only one
// batch of triesApart is tried, and within a batch one value of as many, until a value packs.
type tries struct {
	failed, batches atomic.Uint32
}

const (
	mostFailed = 16
	triesApart = 8
)

func (t *tries) worth() bool {
	return t.failed.Load() < mostFailed || t.batches.Add(1)%triesApart == 0
}

// note tells how a value was packed that was worth a try.
func (t *tries) note(how codec) {
	switch failed := t.failed.Load(); {
	case how == codecNone && failed < mostFailed:
		t.failed.Add(1)
	case how != codecNone && failed > 0:
		t.failed.Store(0)
	}
}

// appendUnpacked appends the value that was packed.
func appendUnpacked(out, packed []byte, c codec) ([]byte, error) {
	if c == codecNone {
		return append(out, packed...), nil
	}
	size, w := binary.Uvarint(packed)
	if w <= 0 || size == 0 || size > engine.MaxValueBytes || c >= numCodecs {
		return out, fmt.Errorf("%w: %d bytes packed by codec %d to %d", engine.ErrCorrupt, size, c, len(packed))
	}
	before, from := out, len(out)
	var err error
	if c == codecLZ4 {
		out = slices.Grow(out, int(size))[:from+int(size)]
		var n int
		n, err = lz4.UncompressBlock(packed[w:], out[from:])
		out = out[:from+max(n, 0)]
	} else {
		var r *zstd.Decoder
		if r, err = zstdReader(); err == nil {
			out, err = r.DecodeAll(packed[w:], out)
		}
	}
	if err != nil || len(out)-from != int(size) {
		return before, fmt.Errorf("%w: %d bytes do not unpack to %d: %v", engine.ErrCorrupt, len(packed), size, err)
	}
	return out, nil
}
