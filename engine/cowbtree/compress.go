package cowbtree

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/orbit-persistence/orbit/engine"
)

// A page that is packed begins with one of these in place of its kind, three zeros,
// its size, and the length of what it was packed to.
const (
	kindLZ4  = 0x81
	kindZstd = 0x82

	packedHeader = 12
)

var (
	zstdWriter = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
	})
	zstdReader = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPageBytes))
	})
)

// compress packs an image into out, which is made longer if need be. It returns the
// image itself where packing saves no sector.
func (c Compression) compress(out, image []byte) ([]byte, error) {
	if c == NoCompression {
		return image, nil
	}
	out = grow(out, packedHeader+lz4.CompressBlockBound(len(image)))
	clear(out[:packedHeader])
	putU32(out, 4, uint32(len(image)))
	var n int
	switch c {
	case LZ4:
		out[0] = kindLZ4
		var err error
		if n, err = lz4.CompressBlock(image, out[packedHeader:], nil); err != nil {
			return nil, fmt.Errorf("pack a page of %d bytes: %w", len(image), err)
		}
	case Zstd:
		out[0] = kindZstd
		w, err := zstdWriter()
		if err != nil {
			return nil, fmt.Errorf("pack a page: %w", err)
		}
		n = len(w.EncodeAll(image, out[packedHeader:packedHeader]))
	}
	if n == 0 || packedHeader+n > cap(out) || sectors(packedHeader+n) >= sectors(len(image)) {
		return image, nil
	}
	putU32(out, 8, uint32(n))
	return out[:packedHeader+n], nil
}

// unpack returns the image in what is stored, which may be in *out.
func unpack(raw []byte, out *[]byte) ([]byte, error) {
	if len(raw) < headerBytes {
		return nil, fmt.Errorf("%w: a page of %d bytes", engine.ErrCorrupt, len(raw))
	}
	switch raw[0] {
	case kindLZ4, kindZstd:
	default:
		n := int(u32(raw, atSize))
		if n < headerBytes || n > len(raw) {
			return nil, fmt.Errorf("%w: a page of %d bytes in %d", engine.ErrCorrupt, n, len(raw))
		}
		return raw[:n], nil
	}
	size := int(u32(raw, 4))
	if size < headerBytes || size > maxPageBytes {
		return nil, fmt.Errorf("%w: a packed page of %d bytes", engine.ErrCorrupt, size)
	}
	length := int(u32(raw, 8))
	if length > len(raw)-packedHeader {
		return nil, fmt.Errorf("%w: a page packed to %d bytes in %d", engine.ErrCorrupt, length, len(raw))
	}
	packed := raw[packedHeader : packedHeader+length]
	*out = grow(*out, size)
	var n int
	var err error
	if raw[0] == kindLZ4 {
		n, err = lz4.UncompressBlock(packed, *out)
	} else {
		var r *zstd.Decoder
		if r, err = zstdReader(); err == nil {
			var b []byte
			b, err = r.DecodeAll(packed, (*out)[:0])
			n = len(b)
			*out = b
		}
	}
	if err != nil || n != size {
		return nil, fmt.Errorf("%w: a packed page unpacks to %d of its %d bytes: %v", engine.ErrCorrupt, n, size, err)
	}
	return *out, nil
}
