package table

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// sample is a table with every type in it.
func sample(t testing.TB) *definition {
	t.Helper()
	d, err := define(&Schema{Name: "s", PrimaryKey: []string{"t", "i"}, Columns: []Column{
		{Name: "b", Type: BoolType}, {Name: "i", Type: IntType}, {Name: "f", Type: FloatType, Default: Float(1)}, {Name: "t", Type: TextType},
		{Name: "y", Type: BytesType}, {Name: "s", Type: TimestampType}, {Name: "j", Type: JSONType},
	}, Indexes: []Index{{Name: "x", Columns: []string{"f", "y"}}, {Name: "u", Columns: []string{"s", "b"}, Unique: true}}}, 7)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func sampleRow() []Value {
	return []Value{Bool(true), Int(-3), Float(2.5), Text("a\x00"), Bytes([]byte{0, 255}), {t: TimestampType, n: 1, nanos: 2}, JSON([]byte("[1]"))}
}

// TestFormatIsPinned: what stands in stores is what doc.go says, byte for byte.
func TestFormatIsPinned(t *testing.T) {
	d, row := sample(t), sampleRow()
	key := "table/r\x00\x00\x00\x07a\x00\xff\x00\x01\x7f\xff\xff\xff\xff\xff\xff\xfd\x01"
	if got := d.keyOf(d.paths[0], row); string(got) != key {
		t.Errorf("key %q", got)
	}
	if got := d.encodeRow(row); string(got) != "\x01"+"\x01\x01\x01"+"\x03\x03\x40\x04\x00\x00\x00\x00\x00\x00"+"\x05\x05\x02\x00\xff"+"\x06\x06\x02\x00\x00\x00\x02"+"\x07\x07\x03[1]" {
		t.Errorf("row %q", got)
	}
	index := "table/i\x00\x00\x00\x07\x00\x00\x00\x01\x02\xc0\x04\x00\x00\x00\x00\x00\x00\x02\x00\xff\xff\x00\x01" + key[11:]
	if got := d.keyOf(d.paths[1], row); string(got) != index {
		t.Errorf("entry %q", got)
	}
	unique := "table/i\x00\x00\x00\x07\x00\x00\x00\x02\x02\x80\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02\x02\x01\x01"
	if got := d.keyOf(d.paths[2], row); string(got) != unique || string(d.entryValue(d.paths[2], row, []byte(key))) != key[11:] {
		t.Errorf("unique entry %q", got)
	}
	row[0] = Null()
	if got := d.keyOf(d.paths[2], row); string(got) != unique[:len(unique)-3]+"\x01"+key[11:] || d.entryValue(d.paths[2], row, []byte(key)) != nil {
		t.Errorf("unique entry with a null %q", got)
	}
	for what, got := range map[string][]byte{"table/ss\x00\x01": schemaKey("s"), "table/g\x00\x00\x00\x07": guardKey(7), "table/d\x00\x00\x00\x07\x00\x00\x00\x02": droppedKey(7, 2)} {
		if string(got) != what {
			t.Errorf("%q, not %q", got, what)
		}
	}
	data, err := d.encode()
	if err != nil || !strings.HasPrefix(string(data), `{"format":1,"id":7,"name":"s","columns":[{"number":1,"name":"b","type":"bool","default":"AA==","before":"AA=="},{"number":2,"name":"i","type":"int","not_null":true,`) {
		t.Errorf("schema %s, %v", data, err)
	}
}

func FuzzDecodeValue(f *testing.F) {
	for _, v := range append(sampleRow(), Null()) {
		f.Add(string(appendValue(nil, v)))
	}
	f.Add("\x02\x80\x00")
	f.Add("\x03\x80\x00\x00\x00\x00\x00\x00\x00")
	f.Add("\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Fuzz(func(t *testing.T, data string) {
		v, rest, err := decodeValue(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again := string(appendValue(nil, v)) + rest; again != data {
			t.Fatalf("%q is %s, which is %q", data, v, again)
		}
	})
}

func FuzzDecodeRow(f *testing.F) {
	d := sample(f)
	f.Add(d.keyOf(d.paths[0], sampleRow()), d.encodeRow(sampleRow()))
	f.Add(d.keyOf(d.paths[0], sampleRow()), []byte{rowFormat})
	f.Add([]byte("table/r\x00\x00\x00\x07"), []byte{rowFormat, 1, 0, 1, 0})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		row := make([]Value, len(d.Columns))
		if err := d.decodeRow(row, key, value); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, errStale) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(d.keyOf(d.paths[0], row), key) {
			t.Fatalf("%q is the key of %v", key, row)
		}
		again := make([]Value, len(row))
		if err := d.decodeRow(again, key, d.encodeRow(row)); err != nil {
			t.Fatal(err)
		}
		for i := range row {
			if row[i] != again[i] {
				t.Fatalf("%v becomes %v", row, again)
			}
		}
	})
}

// FuzzEntry: the row that an index entry is about is one whose entry it is.
func FuzzEntry(f *testing.F) {
	d := sample(f)
	for _, p := range d.paths[1:] {
		key := d.keyOf(d.paths[0], sampleRow())
		f.Add(d.keyOf(p, sampleRow()), d.entryValue(p, sampleRow(), key))
	}
	f.Add([]byte("table/i\x00\x00\x00\x07\x00\x00\x00\x02\x01\x01\x01"), []byte(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		for _, p := range d.paths[1:] {
			if !bytes.HasPrefix(key, p.prefix) {
				continue
			}
			row, err := d.rowKeyOf(p, key, value)
			if err != nil && !errors.Is(err, ErrCorrupt) || err == nil && !bytes.HasPrefix(row, d.paths[0].prefix) {
				t.Fatalf("%q, %v", row, err)
			}
		}
	})
}

func FuzzDecodeSchema(f *testing.F) {
	data, err := sample(f).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":1,"columns":[{"number":1,"name":"a","type":"int","default":"AA==","before":null}]}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := decodeDefinition(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if _, err := define(d.schema(), d.ID); err != nil {
			t.Fatalf("%s is read, and refused when it is made: %v", data, err)
		}
		again, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeDefinition(again); err != nil {
			t.Fatalf("%s is read, and written as %s, which is not: %v", data, again, err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	d := sample(f)
	s, err := d.bind(&Query{Table: "s", Order: []Order{{Column: "f", Desc: true}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.encodeCursor(sampleRow()))
	f.Add("")
	f.Add("AQAAAAc")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := s.decodeCursor(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		row := make([]Value, len(d.Columns))
		for i, o := range s.order {
			row[o.column] = values[i]
		}
		if again := s.encodeCursor(row); strings.TrimRight(again, "\r\n") != strings.NewReplacer("\r", "", "\n", "").Replace(text) {
			// The last letter may have bits that are not used.
			if len(again) != len(strings.NewReplacer("\r", "", "\n", "").Replace(text)) {
				t.Fatalf("%q becomes %q", text, again)
			}
		}
	})
}

// FuzzLike compares with package regexp.
func FuzzLike(f *testing.F) {
	f.Add("a%b_", "axxbé")
	f.Add(`\%\_\\`, `%_\`)
	f.Add("%%a%", "")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if !utf8.ValidString(s) || len(pattern) > 100 || len(s) > 100 {
			return
		}
		compiled, err := compileLike(pattern)
		if err != nil {
			return
		}
		expression := "(?s)^"
		for _, r := range compiled {
			switch r {
			case anyLetters:
				expression += ".*"
			case oneLetter:
				expression += "."
			default:
				expression += regexp.QuoteMeta(string(r))
			}
		}
		want := regexp.MustCompile(expression + "$").MatchString(s)
		if got := matchLike(compiled, s); got != want {
			t.Fatalf("%q LIKE %q is %t", s, pattern, got)
		}
		if prefix, whole := likePrefix(compiled); want && (!strings.HasPrefix(s, prefix) || whole && s != prefix) {
			t.Fatalf("%q LIKE %q, and the prefix is %q", s, pattern, prefix)
		}
	})
}

// TestSpansHoldTheirKeys: the key of a row is in the spans of a plan if the filter lets the
// row through.
func TestSpansHoldTheirKeys(t *testing.T) {
	d := sample(t)
	value := func(kind Type) *rapid.Generator[Value] {
		return rapid.Custom(func(t *rapid.T) Value {
			switch kind {
			case BoolType:
				return Bool(rapid.Bool().Draw(t, "bool"))
			case IntType:
				return Int(rapid.Int64Range(-2, 2).Draw(t, "int"))
			case FloatType:
				return Float(float64(rapid.IntRange(-2, 2).Draw(t, "float")))
			case TimestampType:
				return Value{t: kind, n: uint64(rapid.IntRange(0, 2).Draw(t, "s")), nanos: uint32(rapid.IntRange(0, 1).Draw(t, "ns"))}
			case TextType:
				return Text(rapid.StringOfN(rapid.SampledFrom([]rune("a\x00\x01%_ÿ")), 0, 3, -1).Draw(t, "text"))
			}
			return Bytes(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 254, 255}), 0, 3).Draw(t, "bytes"))
		})
	}
	ordered := []int{0, 1, 2, 3, 4, 5}
	var filter func(t *rapid.T, depth int) Filter
	filter = func(t *rapid.T, depth int) Filter {
		if depth > 0 && rapid.Bool().Draw(t, "inner") {
			parts := make([]Filter, rapid.IntRange(0, 3).Draw(t, "parts"))
			for i := range parts {
				parts[i] = filter(t, depth-1)
			}
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				return And(parts...)
			case 1:
				return Or(parts...)
			}
			return Not(And(parts...))
		}
		c := rapid.SampledFrom(ordered).Draw(t, "column")
		name, v := d.names[c], value(d.Columns[c].kind)
		if d.Columns[c].kind == TextType && rapid.Bool().Draw(t, "like") {
			return Like(name, v.Draw(t, "pattern").s+"%")
		}
		if rapid.IntRange(0, 4).Draw(t, "in") == 0 {
			return In(name, rapid.SliceOfN(v, 0, 4).Draw(t, "values")...)
		}
		if !d.Columns[c].NotNull && rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			return IsNull(name)
		}
		return comparison{name, rapid.SampledFrom([]operator{eq, ne, lt, le, gt, ge}).Draw(t, "op"), []Value{v.Draw(t, "value")}}
	}
	rapid.Check(t, func(t *rapid.T) {
		f := filter(t, 2)
		row := make([]Value, len(d.Columns))
		for _, c := range ordered {
			if d.Columns[c].NotNull || rapid.IntRange(0, 3).Draw(t, "is null") > 0 {
				row[c] = value(d.Columns[c].kind).Draw(t, "cell")
			}
		}
		c, err := d.bindFilter(f)
		if err != nil {
			t.Fatal(err)
		}
		p := d.planFor(&c, nil)
		found := 0
		for _, a := range p.accesses {
			key := d.keyOf(a.path, row)
			var last []byte
			for _, s := range a.spans {
				if bytes.Compare(s.lower, s.upper) >= 0 || bytes.Compare(s.lower, last) < 0 {
					t.Fatalf("%s: spans are not in order", f)
				}
				last = s.upper
				in := bytes.Compare(key, s.lower) >= 0 && bytes.Compare(key, s.upper) < 0
				if in && !bytes.HasPrefix(key, s.prefix) {
					t.Fatalf("%s: the key %q of %v is in a span, and has not its prefix", f, key, row)
				}
				if in && s.exact && !bytes.Equal(key, s.key()) {
					t.Fatalf("%s: the key %q of %v is not that of the span", f, key, row)
				}
				if bytes.Equal(key, s.lower) {
					t.Fatalf("%s: a bound is a key", f)
				}
				if in {
					found++
				}
			}
		}
		if c.of(row) == yes && found == 0 {
			t.Fatalf("%s: the row %v is in no span", f, row)
		}
	})
}
