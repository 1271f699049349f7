package lsm

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Compression is how blocks and values are packed in files. Each says for itself how it
// was packed, so that the option may change from one opening to the next.
type Compression uint8

const (
	// LZ4 is fast in both directions.
	LZ4 Compression = iota
	// NoCompression stores blocks as they are.
	NoCompression
	// Zstd packs tighter, and costs more of the processor.
	Zstd
	// LZ4ThenZstd packs the last level, where most data lies, with Zstd, and those above
	// with LZ4.
	LZ4ThenZstd

	numCompressions
)

var compressionNames = [numCompressions]string{"lz4", "none", "zstd", "lz4, last level zstd"}

// String returns "lz4", "none", "zstd" or "lz4, last level zstd".
func (c Compression) String() string {
	if c < numCompressions {
		return compressionNames[c]
	}
	return fmt.Sprintf("Compression(%d)", uint8(c))
}

// of returns the codec of a level.
func (c Compression) of(last bool) codec {
	switch {
	case c == NoCompression:
		return codecNone
	case c == Zstd || c == LZ4ThenZstd && last:
		return codecZstd
	}
	return codecLZ4
}

// codec is how a block was packed.
type codec uint8

const (
	codecNone codec = iota
	codecLZ4
	codecZstd

	// storedTail is what stands behind what is stored: the codec, and the check.
	storedTail = 5
	// maxStored bounds what a block unpacks to: more than the largest entry takes, of
	// whose key there may be versions for many snapshots.
	maxStored = 1 << 30
)

var (
	zstdWriter = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	})
	zstdReader = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxStored))
	})
)

// place is where something is stored: a file of a store, and an offset. The checks of
// what is stored depend on it, so that what belongs elsewhere is not taken for it.
type place struct {
	store, file uint64
	offset      int64
}

func (p place) scramble() uint32 {
	x := p.store ^ (p.file*0x9e3779b97f4a7c15 + uint64(p.offset)*0xd6e8feb86659fd93)
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	return uint32(x)
}

// packer packs, with a compressor and a buffer of its own.
type packer struct {
	lz4 lz4.Compressor
	buf []byte
}

// store appends a payload to out as it is stored at a place.
func (p *packer) store(out, payload []byte, c codec, at place) ([]byte, error) {
	packed, c, err := p.pack(payload, c)
	if err != nil {
		return out, err
	}
	out = append(out, packed...)
	out = append(out, byte(c))
	sum := checksum.Update(checksum.Of(packed), out[len(out)-1:])
	return binary.LittleEndian.AppendUint32(out, sum+at.scramble()), nil
}

// pack returns what a payload is packed to: itself, where that saves less than an
// eighth.
func (p *packer) pack(payload []byte, c codec) ([]byte, codec, error) {
	if c == codecNone || len(payload) < 64 {
		return payload, codecNone, nil
	}
	if need := binary.MaxVarintLen64 + lz4.CompressBlockBound(len(payload)); cap(p.buf) < need {
		p.buf = make([]byte, need)
	}
	head := binary.PutUvarint(p.buf[:cap(p.buf)], uint64(len(payload)))
	n := 0
	if c == codecLZ4 {
		var err error
		if n, err = p.lz4.CompressBlock(payload, p.buf[head:cap(p.buf)]); err != nil {
			return nil, c, fmt.Errorf("pack a block of %d bytes: %w", len(payload), err)
		}
	} else {
		w, err := zstdWriter()
		if err != nil {
			return nil, c, fmt.Errorf("pack a block: %w", err)
		}
		out := w.EncodeAll(payload, p.buf[head:head])
		if n = len(out); head+n > cap(p.buf) {
			n = 0
		}
	}
	if n == 0 || head+n > len(payload)-len(payload)/8 {
		return payload, codecNone, nil
	}
	return p.buf[:head+n], c, nil
}

// unstore returns the payload of what is stored at a place. It may be in *buf, which is
// made longer if need be, or in stored itself.
func unstore(stored []byte, at place, buf *[]byte) ([]byte, error) {
	if len(stored) < storedTail {
		return nil, fmt.Errorf("%w: %d bytes stored", engine.ErrCorrupt, len(stored))
	}
	n := len(stored) - storedTail
	sum := checksum.Of(stored[:n+1]) + at.scramble()
	if !checksum.Matches(binary.LittleEndian.Uint32(stored[n+1:]), sum) {
		return nil, fmt.Errorf("%w: the checksum of %d bytes does not match", engine.ErrCorrupt, len(stored))
	}
	packed := stored[:n]
	c := codec(stored[n])
	if c == codecNone {
		return packed, nil
	}
	size, w := binary.Uvarint(packed)
	// Nothing is never packed, and lz4 would write it to a nil pointer.
	if w <= 0 || size == 0 || size > maxStored || size > 1<<16*uint64(len(packed)) || c > codecZstd {
		return nil, fmt.Errorf("%w: %d bytes packed by codec %d to %d", engine.ErrCorrupt, size, c, len(packed))
	}
	if uint64(cap(*buf)) < size {
		*buf = make([]byte, size)
	}
	out := (*buf)[:size]
	var got int
	var err error
	if c == codecLZ4 {
		got, err = lz4.UncompressBlock(packed[w:], out)
	} else {
		var r *zstd.Decoder
		if r, err = zstdReader(); err == nil {
			var b []byte
			b, err = r.DecodeAll(packed[w:], out[:0])
			got = len(b)
			if got == len(out) {
				out = b
			}
		}
	}
	if err != nil || got != len(out) {
		return nil, fmt.Errorf("%w: %d bytes unpack to %d of %d: %v", engine.ErrCorrupt, len(packed), got, size, err)
	}
	return out, nil
}

// readStored reads and unpacks n bytes that are stored in a file. The payload is in
// *raw or *buf.
func readStored(f vfs.File, op string, n int, at place, raw, buf *[]byte) ([]byte, error) {
	if cap(*raw) < n {
		*raw = make([]byte, n)
	}
	b := (*raw)[:n]
	if m, err := f.ReadAt(b, at.offset); err != nil {
		return nil, short(op, f, at.offset+int64(m), err)
	}
	payload, err := unstore(b, at, buf)
	if err != nil {
		return nil, vfs.NewError(op, f.Name(), at.offset, err)
	}
	return payload, nil
}
