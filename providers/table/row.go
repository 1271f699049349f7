package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/orbit-persistence/orbit/providers/internal/tuple"
)

// The keys of a storage; doc.go lists them. A table or an index is a number in them,
// which is never given again.
const (
	keyPrefix     = "table/"
	schemaPrefix  = keyPrefix + "s"
	counterKey    = keyPrefix + "n"
	droppedPrefix = keyPrefix + "d"

	rowFormat = 1
	// keyEnd ends the key of a row and of an index entry, so that none begins another,
	// and none is what an encoded bound alone is.
	keyEnd = 1

	nullTag, valueTag = 1, 2
)

func schemaKey(name string) []byte { return tuple.Append([]byte(schemaPrefix), name) }

func numbered(kind byte, numbers ...uint32) []byte {
	key := append(make([]byte, 0, 64), keyPrefix...)
	key = append(key, kind)
	for _, n := range numbers {
		key = binary.BigEndian.AppendUint32(key, n)
	}
	return key
}

func rowPrefix(table uint32) []byte          { return numbered('r', table) }
func indexPrefix(table, index uint32) []byte { return numbered('i', table, index) }
func guardKey(table uint32) []byte           { return numbered('g', table) }
func droppedKey(table, index uint32) []byte  { return numbered('d', table, index) }

// appendKeyValue appends a value as a key has it, so that keys are in the order of the
// values.
func appendKeyValue(dst []byte, v Value) []byte {
	switch v.t {
	case BoolType:
		return tuple.AppendBool(dst, v.n != 0)
	case IntType:
		return tuple.AppendInt(dst, int64(v.n))
	case FloatType:
		return tuple.AppendFloat(dst, math.Float64frombits(v.n))
	case TimestampType:
		return tuple.AppendTime(dst, int64(v.n), v.nanos)
	}
	return tuple.Append(dst, v.s)
}

// decodeKeyValue returns the value of type t at the head of a key and what follows it.
func decodeKeyValue(key []byte, t Type) (v Value, rest []byte, err error) {
	switch t {
	case BoolType:
		b, rest, err := tuple.Bool(key)
		return Bool(b), rest, err
	case IntType:
		n, rest, err := tuple.Int(key)
		return Int(n), rest, err
	case FloatType:
		f, rest, err := tuple.Float(key)
		return Float(f), rest, err
	case TimestampType:
		seconds, nanos, rest, err := tuple.Time(key)
		return Value{t: t, n: uint64(seconds), nanos: nanos}, rest, err
	}
	s, rest, err := tuple.Next(key)
	return Value{t: t, s: string(s)}, rest, err
}

// appendIndexValue is appendKeyValue for a column of an index, which may be null.
func appendIndexValue(dst []byte, v Value) []byte {
	if v.IsNull() {
		return append(dst, nullTag)
	}
	return appendKeyValue(append(dst, valueTag), v)
}

// appendPathValue appends the value of the i-th column of a path to a key.
func (p *path) appendPathValue(dst []byte, i int, v Value) []byte {
	if p.primary() || i >= p.own {
		return appendKeyValue(dst, v)
	}
	return appendIndexValue(dst, v)
}

// keyOf returns the key of a row under a path.
func (d *definition) keyOf(p *path, row []Value) []byte {
	key := append(make([]byte, 0, 64), p.prefix...)
	for i, c := range p.columns {
		if i == p.own && p.unique && !anyNull(p.columns[:p.own], row) {
			break // what is to be unique is the key of the entry
		}
		key = p.appendPathValue(key, i, row[c])
	}
	return append(key, keyEnd)
}

func anyNull(columns []int, row []Value) bool {
	for _, c := range columns {
		if row[c].IsNull() {
			return true
		}
	}
	return false
}

// rowKeyOf returns the key of the row that an index entry is about.
func (d *definition) rowKeyOf(p *path, key, value []byte) ([]byte, error) {
	row := append(make([]byte, 0, 64), d.paths[0].prefix...)
	if len(value) > 0 { // an entry that is unique has the primary key as its value
		return append(row, value...), nil
	}
	rest := key[len(p.prefix):]
	for _, c := range p.columns[:p.own] {
		if len(rest) == 0 || rest[0] != nullTag && rest[0] != valueTag {
			return nil, fmt.Errorf("%w: an entry of index %s of %s does not go on with a value", ErrCorrupt, p.name, d.Name)
		}
		null := rest[0] == nullTag
		if rest = rest[1:]; null {
			continue
		}
		var err error
		if _, rest, err = decodeKeyValue(rest, d.Columns[c].kind); err != nil {
			return nil, err
		}
	}
	return append(row, rest...), nil
}

// entryValue returns the value of an entry of index p: the primary key as the row's key
// has it, where the entry's key does not end with it.
func (d *definition) entryValue(p *path, row []Value, rowKey []byte) []byte {
	if p.unique && !anyNull(p.columns[:p.own], row) {
		return rowKey[len(d.paths[0].prefix):]
	}
	return nil
}

// appendValue appends a value as a row has it.
func appendValue(dst []byte, v Value) []byte {
	switch v.t {
	case noType:
		return append(dst, byte(noType))
	case BoolType:
		return append(dst, byte(v.t), byte(v.n))
	case IntType:
		return binary.AppendVarint(append(dst, byte(v.t)), int64(v.n))
	case FloatType:
		return binary.BigEndian.AppendUint64(append(dst, byte(v.t)), v.n)
	case TimestampType:
		return binary.BigEndian.AppendUint32(binary.AppendVarint(append(dst, byte(v.t)), int64(v.n)), v.nanos)
	}
	dst = binary.AppendUvarint(append(dst, byte(v.t)), uint64(len(v.s)))
	return append(dst, v.s...)
}

// decodeValue returns the value at the head of data, whose memory it shares, and what
// follows it. What appendValue does not write is ErrCorrupt.
func decodeValue(data string) (v Value, rest string, err error) {
	if data == "" {
		return v, "", errValue
	}
	v.t, rest = Type(data[0]), data[1:]
	switch v.t {
	case noType:
		return v, rest, nil
	case BoolType:
		if rest == "" || rest[0] > 1 {
			return v, "", errValue
		}
		v.n = uint64(rest[0])
		return v, rest[1:], nil
	case FloatType:
		if len(rest) < 8 {
			return v, "", errValue
		}
		v.n = binary.BigEndian.Uint64([]byte(rest[:8]))
		if f := math.Float64frombits(v.n); math.IsNaN(f) || f == 0 && v.n != 0 {
			return v, "", errValue
		}
		return v, rest[8:], nil
	case IntType, TimestampType:
		u, n := uvarint(rest)
		if n == 0 {
			return v, "", errValue
		}
		v.n, rest = u>>1^-(u&1), rest[n:] // zigzag, as binary.Varint has it
		if v.t == IntType {
			return v, rest, nil
		}
		if len(rest) < 4 {
			return v, "", errValue
		}
		if v.nanos = binary.BigEndian.Uint32([]byte(rest[:4])); v.nanos >= 1e9 {
			return v, "", errValue
		}
		return v, rest[4:], nil
	case TextType, BytesType, JSONType:
		size, n := uvarint(rest)
		if n == 0 || size > uint64(len(rest)-n) {
			return v, "", errValue
		}
		v.s = rest[n : n+int(size)]
		return v, rest[n+int(size):], nil
	}
	return v, "", errValue
}

var errValue = fmt.Errorf("%w: a value is cut, or of an unknown type", ErrCorrupt)

// uvarint is binary.Uvarint of a string, for the shortest form of a number alone; others
// have no length.
func uvarint(s string) (u uint64, n int) {
	for i := 0; i < len(s) && i < binary.MaxVarintLen64; i++ {
		b := s[i]
		if b < 0x80 {
			if i > 0 && b == 0 || i == 9 && b > 1 {
				return 0, 0
			}
			return u | uint64(b)<<(7*i), i + 1
		}
		u |= uint64(b&0x7f) << (7 * i)
	}
	return 0, 0
}

// encodeRow returns the value of a row: its columns but those of the primary key.
func (d *definition) encodeRow(row []Value) []byte {
	size := 1
	for i := range row {
		size += 12 + len(row[i].s)
	}
	data := append(make([]byte, 0, size), rowFormat)
	for i := range d.Columns {
		if !d.inKey[i] {
			data = binary.AppendUvarint(data, uint64(d.Columns[i].Number))
			data = appendValue(data, row[i])
		}
	}
	return data
}

// errStale says that a row has a column that the definition does not know yet.
var errStale = fmt.Errorf("%w: the schema is older than a row", ErrConflict)

// decodeRow reads the row of a key and its value into row, which has a place for each
// column.
func (d *definition) decodeRow(row []Value, key, value []byte) error {
	if err := d.decodeRowKey(row, key); err != nil {
		return err
	}
	if len(value) == 0 || value[0] != rowFormat {
		return fmt.Errorf("%w: a row of %s has no version that this program knows, which is %d", ErrCorrupt, d.Name, rowFormat)
	}
	at, last := 0, uint64(0) // columns before at are done, and so are numbers up to last
	absent := func(before int) {
		for ; at < before; at++ {
			if !d.inKey[at] {
				row[at] = d.Columns[at].Before.Value
			}
		}
	}
	for data := string(value[1:]); data != ""; {
		number, n := uvarint(data)
		if n == 0 || number <= last || number > math.MaxUint32 {
			return fmt.Errorf("%w: the columns of a row of %s are not in order", ErrCorrupt, d.Name)
		}
		if number >= uint64(d.NextColumn) {
			return errStale
		}
		last = number
		v, rest, err := decodeValue(data[n:])
		if err != nil {
			return fmt.Errorf("column %d of a row of %s: %w", number, d.Name, err)
		}
		data = rest
		// Columns are in the order of their numbers, in the definition and in the row.
		i := at
		for i < len(d.Columns) && uint64(d.Columns[i].Number) < number {
			i++
		}
		if absent(i); i == len(d.Columns) || uint64(d.Columns[i].Number) != number {
			continue // the column was dropped
		}
		if d.inKey[i] || !v.IsNull() && v.t != d.Columns[i].kind {
			return fmt.Errorf("%w: column %s of a row of %s is of type %s", ErrCorrupt, d.names[i], d.Name, v.t)
		}
		row[i] = v
		at++
	}
	absent(len(d.Columns))
	return nil
}

func (d *definition) decodeRowKey(row []Value, key []byte) (err error) {
	tail, ok := bytes.CutPrefix(key, d.paths[0].prefix)
	if !ok {
		return fmt.Errorf("%w: the key of a row of %s does not begin as it should", ErrCorrupt, d.Name)
	}
	for _, c := range d.key {
		if row[c], tail, err = decodeKeyValue(tail, d.Columns[c].kind); err != nil {
			return fmt.Errorf("a row of %s: %w", d.Name, err)
		}
	}
	if len(tail) != 1 || tail[0] != keyEnd {
		return fmt.Errorf("%w: the key of a row of %s does not end as it should", ErrCorrupt, d.Name)
	}
	return nil
}
