package table

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orbit-persistence/orbit/providers"
)

// Schema says what a table is.
type Schema struct {
	// Name begins with a letter or underscore, followed by letters, digits and
	// underscores, 64 in all; so do those of columns and indexes.
	Name    string
	Columns []Column
	// PrimaryKey names the columns whose values tell a row from all others. They are
	// never null, whatever NotNull says.
	PrimaryKey []string
	Indexes    []Index
}

// Column is one column of a table.
type Column struct {
	Name string
	Type Type
	// NotNull refuses rows without a value here.
	NotNull bool
	// Default is what a row gets that is inserted without this column; null is none.
	Default Value
}

// Index is a secondary index. The primary key has one of its own.
type Index struct {
	Name    string
	Columns []string
	// Unique refuses two rows with the same values in all of the columns. Rows with a
	// null in one of them are not the same as any other.
	Unique bool
}

// definition is a schema as it is stored, and what is derived from it. It is not
// changed once it is there.
type definition struct {
	Format     int            `json:"format"`
	ID         uint32         `json:"id"`
	Name       string         `json:"name"`
	Columns    []storedColumn `json:"columns"`
	PrimaryKey []uint32       `json:"primary_key"`
	Indexes    []storedIndex  `json:"indexes"`
	// NextColumn and NextIndex are above every number that was ever given.
	NextColumn uint32 `json:"next_column"`
	NextIndex  uint32 `json:"next_index"`

	revision  providers.Revision
	schemaKey []byte // where it is kept
	names     []string
	position  map[string]int // of a column, by its name
	byNumber  map[uint32]int // likewise
	all       []int          // the positions of all columns
	key       []int          // the positions of the primary key
	keyOrder  []ordering     // the order of the primary key
	inKey     []bool         // which columns are in the primary key
	paths     []*path        // the primary key and then the indexes
}

type storedColumn struct {
	Number  uint32 `json:"number"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	NotNull bool   `json:"not_null,omitempty"`
	// Default is what rows get that are inserted without it, Before what rows have
	// that were written before the column was there.
	Default storedValue `json:"default"`
	Before  storedValue `json:"before"`

	kind Type
}

type storedIndex struct {
	Number  uint32   `json:"number"`
	Name    string   `json:"name"`
	Columns []uint32 `json:"columns"`
	Unique  bool     `json:"unique,omitempty"`
	// Building is set until all rows are in the index: it is written, and not read.
	Building bool `json:"building,omitempty"`
}

// path is a way to rows: by the primary key, or by an index.
type path struct {
	name     string // of the index; "" for the primary key
	prefix   []byte // of its keys
	columns  []int  // positions; of an index, the primary key's are behind its own
	own      int    // how many of columns are the index's own
	unique   bool
	building bool
}

// primary reports whether p is the primary key.
func (p *path) primary() bool { return p.name == "" }

// storedValue is a Value in JSON: the bytes that a row has for it, in base64.
type storedValue struct{ Value }

func (v storedValue) MarshalJSON() ([]byte, error) { return json.Marshal(appendValue(nil, v.Value)) }

func (v *storedValue) UnmarshalJSON(data []byte) error {
	var raw []byte
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	value, rest, err := decodeValue(string(raw))
	if err == nil && rest != "" {
		err = fmt.Errorf("%w: bytes after a value", ErrCorrupt)
	}
	v.Value = value
	return err
}

const (
	schemaFormat = 1
	// The most columns and indexes that a table may have.
	maxColumns, maxIndexes = 1000, 64
)

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

func checkName(what, name string) error {
	if !identifier.MatchString(name) {
		return fmt.Errorf("%w: %s is called %q; a name is a letter or underscore, and then up to 63 letters, digits and underscores", ErrInvalid, what, name)
	}
	return nil
}

// define returns the definition of a new table.
func define(s *Schema, id uint32) (*definition, error) {
	d := &definition{Format: schemaFormat, ID: id, Name: s.Name, NextColumn: 1, NextIndex: 1}
	for _, c := range s.Columns {
		if err := d.addColumn(c); err != nil {
			return nil, err
		}
	}
	for _, name := range s.PrimaryKey {
		i := d.columnIndex(name)
		if i < 0 {
			return nil, fmt.Errorf("the primary key of %s: %w", s.Name, d.unknownColumn(name))
		}
		d.Columns[i].NotNull = true
		d.PrimaryKey = append(d.PrimaryKey, d.Columns[i].Number)
	}
	for _, x := range s.Indexes {
		if err := d.addIndex(x, false); err != nil {
			return nil, err
		}
	}
	return d, d.derive()
}

func (d *definition) columnIndex(name string) int {
	return slices.IndexFunc(d.Columns, func(c storedColumn) bool { return c.Name == name })
}

func (d *definition) addColumn(c Column) error {
	def, err := fit(c.Default, c.Type)
	if err != nil {
		return fmt.Errorf("the default of column %s: %w", c.Name, err)
	}
	d.Columns = append(slices.Clip(d.Columns), storedColumn{Number: d.NextColumn, Name: c.Name, Type: c.Type.String(), NotNull: c.NotNull, Default: storedValue{def}})
	d.NextColumn++
	return nil
}

func (d *definition) addIndex(x Index, building bool) error {
	s := storedIndex{Number: d.NextIndex, Name: x.Name, Unique: x.Unique, Building: building}
	for _, name := range x.Columns {
		i := d.columnIndex(name)
		if i < 0 {
			return fmt.Errorf("index %s: %w", x.Name, d.unknownColumn(name))
		}
		s.Columns = append(s.Columns, d.Columns[i].Number)
	}
	d.Indexes = append(slices.Clip(d.Indexes), s)
	d.NextIndex++
	return nil
}

// derive checks a definition and fills in what follows from it.
func (d *definition) derive() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: table %q: %s", ErrInvalid, d.Name, fmt.Sprintf(format, args...))
	}
	if err := checkName("the table", d.Name); err != nil {
		return err
	}
	if len(d.Columns) == 0 || len(d.Columns) > maxColumns {
		return bad("%d columns; 1 to %d", len(d.Columns), maxColumns)
	}
	if len(d.PrimaryKey) == 0 {
		return bad("no primary key; name the columns that tell a row from all others")
	}
	if len(d.Indexes) > maxIndexes {
		return bad("%d indexes; up to %d", len(d.Indexes), maxIndexes)
	}
	d.schemaKey = schemaKey(d.Name)
	d.names, d.position, d.byNumber, d.inKey = nil, map[string]int{}, map[uint32]int{}, make([]bool, len(d.Columns))
	d.all, d.keyOrder = nil, nil
	for i := range d.Columns {
		c := &d.Columns[i]
		if err := checkName("a column of "+d.Name, c.Name); err != nil {
			return err
		}
		kind, err := ParseType(c.Type)
		if err != nil {
			return fmt.Errorf("column %s of %s: %w", c.Name, d.Name, err)
		}
		c.kind = kind
		for what, v := range map[string]Value{"default": c.Default.Value, "value before": c.Before.Value} {
			if _, err := fit(v, kind); err != nil || !v.IsNull() && v.t != kind {
				return bad("the %s of column %s is no %s", what, c.Name, kind)
			}
		}
		_, twice := d.position[c.Name]
		_, again := d.byNumber[c.Number]
		if twice || again || c.Number == 0 || c.Number >= d.NextColumn {
			return bad("column %s is there twice, or has a number that is not its own", c.Name)
		}
		if i > 0 && d.Columns[i-1].Number > c.Number {
			return bad("columns are not in the order of their numbers")
		}
		d.position[c.Name], d.byNumber[c.Number] = i, i
		d.names = append(d.names, c.Name)
		d.all = append(d.all, i)
	}
	primary, err := d.derivePath("the primary key", "", d.PrimaryKey)
	if err != nil {
		return err
	}
	d.key, primary.unique, primary.prefix = primary.columns, true, rowPrefix(d.ID)
	for _, i := range d.key {
		d.inKey[i] = true
		d.keyOrder = append(d.keyOrder, ordering{column: i})
		if !d.Columns[i].NotNull {
			return bad("column %s is in the primary key and may be null", d.Columns[i].Name)
		}
	}
	d.paths = []*path{primary}
	names, numbers := map[string]bool{}, map[uint32]bool{}
	for _, x := range d.Indexes {
		if err := checkName("an index of "+d.Name, x.Name); err != nil {
			return err
		}
		if names[x.Name] || numbers[x.Number] || x.Number == 0 || x.Number >= d.NextIndex {
			return bad("index %s is there twice, or has a number that is not its own", x.Name)
		}
		names[x.Name], numbers[x.Number] = true, true
		p, err := d.derivePath("index "+x.Name, x.Name, x.Columns)
		if err != nil {
			return err
		}
		p.unique, p.building, p.prefix = x.Unique, x.Building, indexPrefix(d.ID, x.Number)
		p.columns = append(p.columns, d.key...)
		d.paths = append(d.paths, p)
	}
	return nil
}

func (d *definition) derivePath(what, name string, numbers []uint32) (*path, error) {
	p := &path{name: name}
	for _, n := range numbers {
		i, ok := d.byNumber[n]
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: %s of %s has a column that is not there, number %d", ErrInvalid, what, d.Name, n)
		case slices.Contains(p.columns, i):
			return nil, fmt.Errorf("%w: %s of %s has column %s twice", ErrInvalid, what, d.Name, d.Columns[i].Name)
		case !d.Columns[i].kind.ordered():
			return nil, fmt.Errorf("%w: %s of %s has column %s, and values of type %s have no order", ErrInvalid, what, d.Name, d.Columns[i].Name, d.Columns[i].kind)
		}
		p.columns = append(p.columns, i)
	}
	if p.own = len(p.columns); p.own == 0 {
		return nil, fmt.Errorf("%w: %s of %s has no columns", ErrInvalid, what, d.Name)
	}
	return p, nil
}

// schema returns what users see of a definition.
func (d *definition) schema() *Schema {
	s := &Schema{Name: d.Name}
	for _, c := range d.Columns {
		s.Columns = append(s.Columns, Column{Name: c.Name, Type: c.kind, NotNull: c.NotNull, Default: c.Default.Value})
	}
	for _, i := range d.key {
		s.PrimaryKey = append(s.PrimaryKey, d.names[i])
	}
	for i, x := range d.Indexes {
		index := Index{Name: x.Name, Unique: x.Unique}
		for _, c := range d.paths[i+1].columns[:d.paths[i+1].own] {
			index.Columns = append(index.Columns, d.names[c])
		}
		s.Indexes = append(s.Indexes, index)
	}
	return s
}

func (d *definition) encode() ([]byte, error) { return json.Marshal(d) }

// decodeDefinition reads what encode writes; anything else is ErrCorrupt.
func decodeDefinition(data []byte) (*definition, error) {
	d := new(definition)
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(d); err != nil || decoder.More() {
		return nil, fmt.Errorf("%w: a schema of %d bytes: %v", ErrCorrupt, len(data), err)
	}
	if d.Format != schemaFormat {
		return nil, fmt.Errorf("%w: a schema of format %d; this program knows format %d", ErrCorrupt, d.Format, schemaFormat)
	}
	if err := d.derive(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return d, nil
}

// clone returns a definition that may be changed.
func (d *definition) clone() *definition {
	c := *d
	c.Columns, c.Indexes, c.PrimaryKey = slices.Clone(d.Columns), slices.Clone(d.Indexes), slices.Clone(d.PrimaryKey)
	return &c
}

func (d *definition) unknownColumn(name string) error {
	var names []string
	for _, c := range d.Columns {
		names = append(names, c.Name)
	}
	return fmt.Errorf("%w: table %s has no column %q; it has %s", ErrInvalid, d.Name, name, strings.Join(names, ", "))
}

func (d *definition) column(name string) (int, error) {
	if i, ok := d.position[name]; ok {
		return i, nil
	}
	return 0, d.unknownColumn(name)
}

// The seconds of the first moment of the year 1 and of the last of 9999.
var (
	firstSecond = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	lastSecond  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
)

// fit returns v as a column of type t holds it. A whole number is taken as a float
// where that is exact. Null fits all.
func fit(v Value, t Type) (Value, error) {
	if v.t == IntType && t == FloatType {
		const exact = 1 << 53
		if n := int64(v.n); n < -exact || n > exact {
			return v, fmt.Errorf("%w: %d is no float exactly; give a float", ErrInvalid, n)
		}
		return Float(float64(int64(v.n))), nil
	}
	switch {
	case v.IsNull():
		return v, nil
	case v.t != t:
		return v, fmt.Errorf("%w: it is of type %s, and wants %s", ErrInvalid, v.t, t)
	case t == FloatType && math.IsNaN(math.Float64frombits(v.n)):
		return v, fmt.Errorf("%w: NaN has no place in an order; store null", ErrInvalid)
	case t == TextType && !utf8.ValidString(v.s):
		return v, fmt.Errorf("%w: the text is not UTF-8; use a column of type bytes", ErrInvalid)
	case t == TimestampType && (int64(v.n) < firstSecond || int64(v.n) > lastSecond):
		return v, fmt.Errorf("%w: %d seconds since 1970 are not in the years 1 to 9999", ErrInvalid, int64(v.n))
	case t == JSONType:
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(v.s)); err != nil {
			return v, fmt.Errorf("%w: not JSON: %v", ErrInvalid, err)
		}
		v.s = compact.String()
	}
	return v, nil
}
