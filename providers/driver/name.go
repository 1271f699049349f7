package driver

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// The names that EncodeName writes have one code for each byte, in the order of
// the bytes:
//
//	0x00-0x2d  '-' and two hexadecimal digits
//	0x2e-0x2f  '.' and two hexadecimal digits
//	0-9        themselves
//	0x3a-0x5e  'A' and two hexadecimal digits
//	0x5f-0x60  '_' and two hexadecimal digits
//	a-y        themselves
//	0x7a-0xff  'z' and two hexadecimal digits
//
// Codes do not begin with one another, so that the order of names is that of
// keys, and the name of a prefix is a prefix of the name. They have no letter but
// those that object stores, Kubernetes and file systems all take; no name is "."
// or "..", and none has a slash.

// MaxNameBytes returns the longest name of a key of n bytes.
func MaxNameBytes(n int) int { return 3 * n }

// EncodeName appends the name of key to dst. It keeps order and prefixes: names
// compare as keys do, and the name of a key's prefix is a prefix of its name.
func EncodeName(dst, key []byte) []byte {
	for _, b := range key {
		lead := nameLead(b)
		if lead == 0 {
			dst = append(dst, b)
			continue
		}
		const digits = "0123456789abcdef"
		dst = append(dst, lead, digits[b>>4], digits[b&15])
	}
	return dst
}

// nameLead returns the byte with which the code of b begins, 0 if b is its own.
func nameLead(b byte) byte {
	switch {
	case b < '.':
		return '-'
	case b < '0':
		return '.'
	case b <= '9':
		return 0
	case b < '_':
		return 'A'
	case b < 'a':
		return '_'
	case b < 'z':
		return 0
	}
	return 'z'
}

// DecodeName appends the key of a name to dst. What EncodeName does not write is
// ErrCorrupt.
func DecodeName(dst []byte, name string) ([]byte, error) {
	for i := 0; i < len(name); i++ {
		b := name[i]
		switch {
		case b >= '0' && b <= '9' || b >= 'a' && b < 'z':
			dst = append(dst, b)
			continue
		case b == '-' || b == '.' || b == 'A' || b == '_' || b == 'z':
			if i+2 < len(name) {
				high, low := hexDigit(name[i+1]), hexDigit(name[i+2])
				if high >= 0 && low >= 0 && nameLead(byte(high<<4|low)) == b {
					dst = append(dst, byte(high<<4|low))
					i += 2
					continue
				}
			}
		}
		return dst, fmt.Errorf("%w: %s at offset %d is not the name of a key", engine.ErrCorrupt, engine.QuoteKey([]byte(name)), i)
	}
	return dst, nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
