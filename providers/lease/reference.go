package lease

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/tuple"
)

// kind is the type of a key.
type kind byte

const (
	kindNone kind = iota + 1
	kindInt32
	kindInt64
	kindString
)

// Key is the key of an addressable: a string, a 32-bit or 64-bit number, or nothing.
// Keys of different types are never equal, whatever they show. The zero Key is that of
// nothing. It is comparable.
type Key struct {
	kind   kind // 0 is kindNone
	text   string
	number int64
}

// StringKey is a key of text.
func StringKey(s string) Key { return Key{kind: kindString, text: s} }

// Int32Key is a key of a 32-bit number.
func Int32Key(n int32) Key { return Key{kind: kindInt32, number: int64(n)} }

// Int64Key is a key of a 64-bit number.
func Int64Key(n int64) Key { return Key{kind: kindInt64, number: n} }

// NoKey is the key of an addressable of which there is one.
func NoKey() Key { return Key{} }

// String shows the key, as people write it; types are not told apart.
func (k Key) String() string {
	switch k.kind {
	case kindString:
		return k.text
	case kindInt32, kindInt64:
		return strconv.FormatInt(k.number, 10)
	}
	return ""
}

// MarshalJSON tells types apart: "text", {"int32":1}, {"int64":1}, null.
func (k Key) MarshalJSON() ([]byte, error) {
	switch k.kind {
	case kindString:
		return json.Marshal(k.text)
	case kindInt32:
		return fmt.Appendf(nil, `{"int32":%d}`, k.number), nil
	case kindInt64:
		return fmt.Appendf(nil, `{"int64":%d}`, k.number), nil
	}
	return []byte("null"), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (k *Key) UnmarshalJSON(data []byte) error {
	var text string
	var number struct {
		Int32 *int32 `json:"int32"`
		Int64 *int64 `json:"int64"`
	}
	switch {
	case string(data) == "null":
		*k = Key{}
		return nil
	case json.Unmarshal(data, &text) == nil:
		*k = StringKey(text)
		return nil
	case json.Unmarshal(data, &number) == nil && (number.Int32 == nil) != (number.Int64 == nil):
		if number.Int32 != nil {
			*k = Int32Key(*number.Int32)
		} else {
			*k = Int64Key(*number.Int64)
		}
		return nil
	}
	return fmt.Errorf(`%w: a key is a text, {"int32":n}, {"int64":n} or null`, driver.ErrInvalid)
}

// Reference names an addressable: an actor of some type.
type Reference struct {
	Type string `json:"type"`
	Key  Key    `json:"key"`
}

// String returns "type:key".
func (r Reference) String() string { return r.Type + ":" + r.Key.String() }

// appendReference appends the reference in the order of types and keys, so that no two
// are alike.
func appendReference(dst []byte, r Reference) []byte {
	dst = tuple.Append(dst, r.Type)
	switch r.Key.kind {
	case kindString:
		return append(append(dst, byte(kindString)), r.Key.text...)
	case kindInt32, kindInt64:
		dst = append(dst, byte(r.Key.kind))
		return binary.BigEndian.AppendUint64(dst, uint64(r.Key.number)^1<<63)
	}
	return append(dst, byte(kindNone))
}

func decodeReference(p []byte) (r Reference, err error) {
	name, rest, err := tuple.Next(p)
	if err != nil {
		return r, err
	}
	r.Type = string(name)
	bad := fmt.Errorf("%w: %d bytes are no key of an addressable", driver.ErrCorrupt, len(rest))
	if len(rest) == 0 {
		return r, bad
	}
	switch k, rest := kind(rest[0]), rest[1:]; {
	case k == kindString:
		r.Key = StringKey(string(rest))
	case k == kindNone && len(rest) == 0:
	case (k == kindInt32 || k == kindInt64) && len(rest) == 8:
		r.Key = Key{kind: k, number: int64(binary.BigEndian.Uint64(rest) ^ 1<<63)}
		if k == kindInt32 && r.Key.number != int64(int32(r.Key.number)) {
			return r, bad
		}
	default:
		return r, bad
	}
	return r, nil
}
