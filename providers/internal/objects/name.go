package objects

import (
	"fmt"
	"strings"

	"github.com/orbit-persistence/orbit/providers/driver"
)

const (
	// partBytes is the length of a part of a path, but for the last one, before its
	// separator.
	partBytes = 240
	// partEnd ends such a part. A name of exactly partBytes has none, so that an
	// object and a directory never have the same path.
	partEnd = "-/"
	// ownPrefix begins the names that are not of keys. No name of a key has a "P".
	ownPrefix = "P"
	// maxKeyBytes bounds keys where the service would take longer ones.
	maxKeyBytes = 320
)

// naming maps keys to names of objects.
type naming struct{ prefix string }

func newNaming(prefix string) naming {
	if prefix != "" {
		prefix += "/"
	}
	return naming{prefix}
}

// maxKey returns the longest key whose name, whatever its bytes, is within limit.
func (n naming) maxKey(limit int) int {
	for k := maxKeyBytes; k > 0; k-- {
		long := driver.MaxNameBytes(k)
		if len(n.prefix)+long+(long-1)/partBytes*len(partEnd) <= limit {
			return k
		}
	}
	return 0
}

// of returns the name of a key, or what the names of all keys with a prefix begin
// with.
func (n naming) of(key []byte) string {
	plain := driver.EncodeName(make([]byte, 0, driver.MaxNameBytes(len(key))), key)
	var name strings.Builder
	name.Grow(len(n.prefix) + len(plain) + len(plain)/partBytes*len(partEnd))
	name.WriteString(n.prefix)
	for len(plain) > partBytes {
		name.Write(plain[:partBytes])
		name.WriteString(partEnd)
		plain = plain[partBytes:]
	}
	name.Write(plain)
	return name.String()
}

// own returns one of the store's own names.
func (n naming) own(what string) string { return n.prefix + ownPrefix + what }

// key returns the key of a name. ok is false if the name is one of the store's own, or
// of a file that versitygw is still writing; a name that the store has not made is
// ErrCorrupt.
func (n naming) key(name string) (key []byte, ok bool, err error) {
	short, found := strings.CutPrefix(name, n.prefix)
	if !found || short == "" {
		return nil, false, n.strange(name)
	}
	if strings.HasPrefix(short, ownPrefix) || strings.HasPrefix(short, ".") && strings.Contains(short, ".sgwtmp.") {
		return nil, false, nil
	}
	key = make([]byte, 0, len(short))
	for rest := short; ; {
		part := rest
		if len(rest) > partBytes {
			if !strings.HasPrefix(rest[partBytes:], partEnd) || len(rest) == partBytes+len(partEnd) {
				return nil, false, n.strange(name)
			}
			part, rest = rest[:partBytes], rest[partBytes+len(partEnd):]
		} else {
			rest = ""
		}
		// A code may go over the end of a part: it is decoded with the next.
		key = append(key, part...)
		if rest == "" {
			break
		}
	}
	key, err = driver.DecodeName(nil, string(key))
	if err != nil {
		return nil, false, n.strange(name)
	}
	return key, true, nil
}

func (n naming) strange(name string) error {
	return fmt.Errorf("%w: the object %q is no key's; give this store a prefix of its own, under which nobody else writes", driver.ErrCorrupt, name)
}
