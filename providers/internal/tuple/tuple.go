// Package tuple puts byte strings one after the other into a key, so that keys have
// the order of the strings and no two lists of strings share a key: a byte 0 within a
// string is 00 ff, and 00 01 ends a string.
package tuple

import (
	"bytes"
	"fmt"

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
