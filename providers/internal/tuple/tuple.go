// Package tuple puts strings, numbers and times one after the other into a key, so
// that keys have the order of the lists and no two lists of the same types share a
// key. In a string, a byte 0 is 00 ff, and 00 01 ends it; all else has a fixed length.
package tuple

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/orbit-persistence/orbit/engine"
)

// Append appends one string.
func Append[T string | []byte](dst []byte, s T) []byte {
	for i := 0; i < len(s); i++ {
		if dst = append(dst, s[i]); s[i] == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 1)
}

// Next returns the first string and what follows it. What Append does not write is
// ErrCorrupt.
func Next(key []byte) (s, rest []byte, err error) {
	for i := 0; i+1 < len(key); i++ {
		if key[i] != 0 {
			continue
		}
		switch key[i+1] {
		case 1:
			return bytes.ReplaceAll(key[:i], []byte{0, 0xff}, []byte{0}), key[i+2:], nil
		case 0xff:
			i++
		default:
			return nil, nil, fmt.Errorf("%w: the key %s holds 00 %02x", engine.ErrCorrupt, engine.QuoteKey(key), key[i+1])
		}
	}
	return nil, nil, fmt.Errorf("%w: the key %s is cut", engine.ErrCorrupt, engine.QuoteKey(key))
}

// AppendBool appends a truth value in one byte; false comes first.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// Bool returns the truth value at the head of key and what follows it.
func Bool(key []byte) (b bool, rest []byte, err error) {
	if len(key) == 0 || key[0] > 1 {
		return false, nil, broken(key, "a truth value")
	}
	return key[0] == 1, key[1:], nil
}

// AppendInt appends a whole number in eight bytes, big-endian with the sign turned
// around.
func AppendInt(dst []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(n)^1<<63)
}

// Int returns the whole number at the head of key and what follows it.
func Int(key []byte) (n int64, rest []byte, err error) {
	if len(key) < 8 {
		return 0, nil, broken(key, "a whole number")
	}
	return int64(binary.BigEndian.Uint64(key) ^ 1<<63), key[8:], nil
}

// AppendFloat appends a number in eight bytes: its bits as of IEEE 754, big-endian,
// with the sign turned around where it is not negative and all bits where it is. Both
// zeros are written as the positive one. It must not be NaN, which has no place in an
// order.
func AppendFloat(dst []byte, f float64) []byte {
	bits := math.Float64bits(f)
	switch {
	case f == 0:
		bits = 1 << 63
	case bits>>63 == 1:
		bits = ^bits
	default:
		bits ^= 1 << 63
	}
	return binary.BigEndian.AppendUint64(dst, bits)
}

// Float returns the number at the head of key and what follows it.
func Float(key []byte) (f float64, rest []byte, err error) {
	if len(key) < 8 {
		return 0, nil, broken(key, "a number")
	}
	bits := binary.BigEndian.Uint64(key)
	if bits>>63 == 1 {
		bits ^= 1 << 63
	} else {
		bits = ^bits
	}
	f = math.Float64frombits(bits)
	if math.IsNaN(f) || f == 0 && bits != 0 {
		return 0, nil, broken(key, "a number")
	}
	return f, key[8:], nil
}

// AppendTime appends a time in twelve bytes: the seconds since 1970, as AppendInt
// does, and the nanoseconds within them, big-endian.
func AppendTime(dst []byte, seconds int64, nanos uint32) []byte {
	return binary.BigEndian.AppendUint32(AppendInt(dst, seconds), nanos)
}

// Time returns the time at the head of key and what follows it.
func Time(key []byte) (seconds int64, nanos uint32, rest []byte, err error) {
	if len(key) >= 12 {
		nanos = binary.BigEndian.Uint32(key[8:])
	}
	if len(key) < 12 || nanos >= 1e9 {
		return 0, 0, nil, broken(key, "a time")
	}
	seconds, _, err = Int(key)
	return seconds, nanos, key[12:], err
}

func broken(key []byte, what string) error {
	return fmt.Errorf("%w: the key %s does not go on with %s", engine.ErrCorrupt, engine.QuoteKey(key), what)
}
