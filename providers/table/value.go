package table

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Type is the type of a column, and of a value that is not null.
type Type uint8

// The types. Their numbers are stored.
const (
	noType Type = iota
	BoolType
	IntType       // 64 bits, with a sign
	FloatType     // 64 bits, and not NaN
	TextType      // UTF-8
	BytesType     // any bytes
	TimestampType // to the nanosecond, in the years 1 to 9999, shown in UTC
	JSONType      // one JSON value, kept as it is written but for space
)

var typeNames = [...]string{noType: "null", BoolType: "bool", IntType: "int", FloatType: "float", TextType: "text", BytesType: "bytes", TimestampType: "timestamp", JSONType: "json"}

// String returns the name of the type: "bool", "int", "float", "text", "bytes",
// "timestamp", "json"; "null" for the zero Type.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// ParseType returns the type of a name; anything else is ErrInvalid.
func ParseType(name string) (Type, error) {
	for t, n := range typeNames {
		if n == name && t != int(noType) {
			return Type(t), nil
		}
	}
	return noType, fmt.Errorf("%w: no type is called %q; there are %s", ErrInvalid, name, strings.Join(typeNames[1:], ", "))
}

// ordered reports whether values of the type can be compared, and so be in keys.
func (t Type) ordered() bool { return t != JSONType }

// Value is one value of a row. The zero Value is null. Values are compared by Compare;
// == tells whether two are of the same type and equal.
type Value struct {
	t     Type
	nanos uint32 // of a timestamp
	n     uint64 // the bits of all types but those of s; of a timestamp the seconds
	s     string // of text, bytes and JSON
}

// Null returns the value that is none.
func Null() Value { return Value{} }

// Bool returns a truth value.
func Bool(b bool) Value {
	if b {
		return Value{t: BoolType, n: 1}
	}
	return Value{t: BoolType}
}

// Int returns a whole number.
func Int(n int64) Value { return Value{t: IntType, n: uint64(n)} }

// Float returns a number. NaN is refused where it is stored or compared with.
func Float(f float64) Value { return Value{t: FloatType, n: math.Float64bits(f + 0)} } // -0 + 0 is 0

// Text returns a text. What is not UTF-8 is refused where it is stored or compared with.
func Text(s string) Value { return Value{t: TextType, s: s} }

// Bytes returns a copy of b as a value.
func Bytes(b []byte) Value { return Value{t: BytesType, s: string(b)} }

// Timestamp returns a moment. Its time zone is not kept.
func Timestamp(at time.Time) Value {
	return Value{t: TimestampType, n: uint64(at.Unix()), nanos: uint32(at.Nanosecond())}
}

// JSON returns a JSON value given as text. What is not JSON is refused where it is
// stored.
func JSON(text []byte) Value { return Value{t: JSONType, s: string(text)} }

// Type returns the type, the zero Type of null.
func (v Value) Type() Type { return v.t }

// IsNull reports whether the value is none.
func (v Value) IsNull() bool { return v.t == noType }

// Bool returns a truth value; false of any other type.
func (v Value) Bool() bool { return v.t == BoolType && v.n != 0 }

// Int returns a whole number; 0 of any other type.
func (v Value) Int() int64 {
	if v.t != IntType {
		return 0
	}
	return int64(v.n)
}

// Float returns a number; 0 of any other type.
func (v Value) Float() float64 {
	if v.t != FloatType {
		return 0
	}
	return math.Float64frombits(v.n)
}

// Text returns a text; "" of any other type.
func (v Value) Text() string {
	if v.t != TextType {
		return ""
	}
	return v.s
}

// Bytes returns a copy of bytes; nil of any other type.
func (v Value) Bytes() []byte {
	if v.t != BytesType {
		return nil
	}
	return []byte(v.s)
}

// Time returns a moment in UTC; the zero time of any other type.
func (v Value) Time() time.Time {
	if v.t != TimestampType {
		return time.Time{}
	}
	return time.Unix(int64(v.n), int64(v.nanos)).UTC()
}

// JSON returns a copy of the text of a JSON value; nil of any other type.
func (v Value) JSON() json.RawMessage {
	if v.t != JSONType {
		return nil
	}
	return json.RawMessage(v.s)
}

// String shows the value: NULL, a number, a text in quotes.
func (v Value) String() string {
	switch v.t {
	case noType:
		return "NULL"
	case BoolType:
		return strconv.FormatBool(v.n != 0)
	case IntType:
		return strconv.FormatInt(int64(v.n), 10)
	case FloatType:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case TextType:
		return strconv.Quote(v.s)
	case BytesType:
		return fmt.Sprintf("x'%x'", v.s)
	case TimestampType:
		return v.Time().Format(time.RFC3339Nano)
	}
	return v.s
}

// Compare orders values: null comes first, false before true, texts and bytes by their
// bytes. Values of two types are in the order of the types, and JSON values in that of
// their texts; a table compares neither.
func Compare(a, b Value) int {
	if a.t != b.t {
		return cmp.Compare(a.t, b.t)
	}
	switch a.t {
	case BoolType:
		return cmp.Compare(a.n, b.n)
	case IntType:
		return cmp.Compare(int64(a.n), int64(b.n))
	case FloatType:
		return cmp.Compare(math.Float64frombits(a.n), math.Float64frombits(b.n))
	case TimestampType:
		return cmp.Or(cmp.Compare(int64(a.n), int64(b.n)), cmp.Compare(a.nanos, b.nanos))
	}
	return strings.Compare(a.s, b.s)
}
