package local

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
)

const (
	rowVersion    = 1
	headerVersion = 1
	fenceVersion  = 1

	flagExpires = 1

	plainHeader   = 10
	expiresHeader = 18

	// overheadBytes is the most by which a key of the engine is longer than the
	// user's.
	overheadBytes = 3 + 8
)

var (
	headerKey    = []byte{0, 0, 'h'}
	expiryPrefix = []byte{0, 0, 'x'}
	// firstRow is the lowest key that a row can have.
	firstRow = []byte{0, 1}
)

// rowKey returns the engine's key of a user's key, which is the same slice for
// most keys.
func rowKey(key []byte) []byte {
	if len(key) == 0 || key[0] != 0 {
		return key
	}
	k := make([]byte, 0, len(key)+1)
	k = append(k, 0, 1)
	return append(k, key[1:]...)
}

// userKey appends the user's key of a row to dst.
func userKey(dst, rowKey []byte) []byte {
	if len(rowKey) > 1 && rowKey[0] == 0 {
		dst = append(dst, 0)
		return append(dst, rowKey[2:]...)
	}
	return append(dst, rowKey...)
}

func fenceKey(key []byte) []byte {
	k := make([]byte, 0, len(key)+3)
	k = append(k, 0, 0, 'f')
	return append(k, key...)
}

func expiryKey(at int64, key []byte) []byte {
	k := make([]byte, 0, len(key)+overheadBytes)
	k = append(k, expiryPrefix...)
	k = binary.BigEndian.AppendUint64(k, uint64(at))
	return append(k, key...)
}

// row is a row taken apart. Its value aliases what it was decoded from.
type row struct {
	revision uint64
	// expires is in nanoseconds since 1970; 0 is never.
	expires int64
	value   []byte
}

func appendRow(dst []byte, r row) []byte {
	flags := byte(0)
	if r.expires != 0 {
		flags = flagExpires
	}
	dst = append(dst, rowVersion, flags)
	dst = binary.BigEndian.AppendUint64(dst, r.revision)
	if r.expires != 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(r.expires))
	}
	return append(dst, r.value...)
}

func decodeRow(data []byte) (r row, err error) {
	if len(data) < plainHeader {
		return r, fmt.Errorf("%w: a row of %d bytes", engine.ErrCorrupt, len(data))
	}
	if data[0] != rowVersion || data[1]&^flagExpires != 0 {
		return r, fmt.Errorf("%w: a row of version %d with flags %#x; this program knows version %d", engine.ErrCorrupt, data[0], data[1], rowVersion)
	}
	r.revision = binary.BigEndian.Uint64(data[2:])
	rest := data[plainHeader:]
	if data[1]&flagExpires != 0 {
		if len(data) < expiresHeader {
			return r, fmt.Errorf("%w: a row of %d bytes", engine.ErrCorrupt, len(data))
		}
		r.expires = int64(binary.BigEndian.Uint64(data[plainHeader:]))
		if r.expires <= 0 {
			return r, fmt.Errorf("%w: a row that expires at %d", engine.ErrCorrupt, r.expires)
		}
		rest = data[expiresHeader:]
	}
	if r.revision == 0 {
		return r, fmt.Errorf("%w: a row without a revision", engine.ErrCorrupt)
	}
	r.value = rest[:len(rest):len(rest)]
	return r, nil
}

func (r *row) entry(key []byte) driver.Entry {
	e := driver.Entry{Key: key, Value: r.value, Revision: driver.NumberRevision(r.revision)}
	if r.expires != 0 {
		e.ExpiresAt = time.Unix(0, r.expires).UTC()
	}
	return e
}

// decodeNumber reads a header or a fence.
func decodeNumber(what string, version byte, data []byte) (uint64, error) {
	if len(data) != 9 || data[0] != version {
		return 0, fmt.Errorf("%w: a %s of %d bytes, %x; this program knows version %d", engine.ErrCorrupt, what, len(data), data[:min(len(data), 9)], version)
	}
	return binary.BigEndian.Uint64(data[1:]), nil
}

func encodeNumber(version byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{version}, n)
}
