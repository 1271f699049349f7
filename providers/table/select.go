package table

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math"
	"slices"

	"github.com/orbit-persistence/orbit/providers"
)

// Query says what to select. The zero values of all but Table are all columns of all
// rows, in the order of the primary key.
type Query struct {
	Table string
	// Columns are those of the result, in this order; nil is all.
	Columns []string
	// Filter chooses rows; nil is all.
	Filter Filter
	// Order is by these columns, null first; rows that are equal in all of them are in
	// the order of the primary key.
	Order []Order
	// Limit is the largest number of rows; 0 is no limit.
	Limit int
	// Offset is how many rows are left out at the beginning. They are read all the same:
	// After is the way to go through many pages.
	Offset int
	// After is Next of the result of the page before, of a query with the same table and
	// order.
	After string
}

// Order is one column of an order.
type Order struct {
	Column string
	// Desc is from the greatest to the least.
	Desc bool
}

// Result is what a query selects. It is the caller's.
type Result struct {
	Columns []string
	// Rows have a value for each of Columns.
	Rows [][]Value
	// Next is for Query.After, to go on behind the last row. It is "" where fewer rows
	// than Limit were left.
	Next string
	// RowsRead and EntriesRead count the rows and the index entries that were looked at.
	RowsRead, EntriesRead int
}

// All yields the rows by the names of their columns.
func (r *Result) All() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for _, values := range r.Rows {
			row := make(Row, len(values))
			for i, name := range r.Columns {
				row[name] = values[i]
			}
			if !yield(row) {
				return
			}
		}
	}
}

// selection is a query bound to a table.
type selection struct {
	d         *definition
	query     *Query
	columns   []int
	filter    condition
	order     []ordering // total: the primary key is the end
	ascending bool       // all of the order
	after     []Value

	// Where choosePlan has been asked:
	plan   plan
	native bool // the plan yields the order
}

type ordering struct {
	column int
	desc   bool
}

// bind returns the selection of a query, without a plan.
func (d *definition) bind(q *Query) (s selection, err error) {
	s.d, s.query = d, q
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	if q.Limit < 0 || q.Offset < 0 || q.Offset > math.MaxInt-q.Limit {
		return s, bad("a limit of %d, an offset of %d", q.Limit, q.Offset)
	}
	if q.Columns == nil {
		s.columns = d.all
	} else if len(q.Columns) == 0 {
		return s, bad("no columns; nil is all of them")
	}
	for _, name := range q.Columns {
		i, err := d.column(name)
		if err != nil {
			return s, err
		}
		s.columns = append(s.columns, i)
	}
	if s.filter, err = d.bindFilter(q.Filter); err != nil {
		return s, err
	}
	if s.order, s.ascending, err = d.bindOrder(q.Order); err != nil {
		return s, err
	}
	if q.After != "" {
		if s.after, err = s.decodeCursor(q.After); err != nil {
			return s, err
		}
	}
	return s, nil
}

// bindOrder returns a query's order with the primary key behind it, and whether all of it
// is ascending.
func (d *definition) bindOrder(by []Order) (order []ordering, ascending bool, err error) {
	if len(by) == 0 {
		return d.keyOrder, true, nil
	}
	ascending = true
	add := func(o ordering) {
		if !slices.ContainsFunc(order, func(before ordering) bool { return before.column == o.column }) {
			order = append(order, o)
			ascending = ascending && !o.desc
		}
	}
	for _, o := range by {
		i, err := d.column(o.Column)
		if err != nil {
			return nil, false, fmt.Errorf("order: %w", err)
		}
		if kind := d.Columns[i].kind; !kind.ordered() {
			return nil, false, fmt.Errorf("%w: order: column %s is of type %s, whose values have no order", ErrInvalid, o.Column, kind)
		}
		add(ordering{i, o.Desc})
	}
	for _, o := range d.keyOrder {
		add(o)
	}
	return order, ascending, nil
}

// choosePlan says how the rows are found.
func (s *selection) choosePlan() {
	order := make([]int, len(s.order))
	for i, o := range s.order {
		order[i] = o.column
	}
	wanted := order
	if s.query.Limit == 0 || !s.ascending {
		wanted = nil // all of the rows are read in any case
	}
	s.plan = s.d.planFor(&s.filter, wanted)
	s.native = s.ascending && len(s.plan.accesses) == 1 && s.plan.accesses[0].ordered(order)
}

// compare compares a row with the values of the columns of the order.
func (s *selection) compare(row, values []Value) int {
	for i, o := range s.order {
		if c := Compare(row[o.column], values[i]); c != 0 {
			if o.desc {
				return -c
			}
			return c
		}
	}
	return 0
}

// orderOf returns a row's values of the columns of the order.
func (s *selection) orderOf(row []Value) []Value {
	values := make([]Value, len(s.order))
	for i, o := range s.order {
		values[i] = row[o.column]
	}
	return values
}

// Select is Storage.Select within the transaction.
func (t *Tx) Select(ctx context.Context, q Query) (*Result, error) {
	d, err := t.s.definitionIn(ctx, t.tx, q.Table)
	if err != nil {
		return nil, err
	}
	s, err := d.bind(&q)
	if err != nil {
		return nil, fmt.Errorf("select from %s: %w", q.Table, err)
	}
	s.choosePlan()
	w := walk{t: t, d: d, c: &s.filter}
	rows, err := s.rows(ctx, &w)
	if err != nil {
		return nil, fmt.Errorf("select from %s: %w", q.Table, err)
	}
	return s.result(rows, &w), nil
}

// Explain returns how the rows of a query are found, in words.
func (s *Storage) Explain(ctx context.Context, q Query) (string, error) {
	e, err := s.p.Get(ctx, schemaKey(q.Table))
	if err != nil {
		return "", noTable(q.Table, err)
	}
	d, err := s.definition(q.Table, e)
	if err != nil {
		return "", err
	}
	b, err := d.bind(&q)
	if err != nil {
		return "", fmt.Errorf("select from %s: %w", q.Table, err)
	}
	b.choosePlan()
	return d.describe(&b.plan, !b.native), nil
}

// rows returns the rows of the query, whole.
func (s *selection) rows(ctx context.Context, w *walk) ([][]Value, error) {
	q := s.query
	most := 0 // rows that can be part of the result
	if q.Limit > 0 {
		most = q.Offset + q.Limit
	}
	var rows [][]Value
	sort := func() {
		slices.SortFunc(rows, func(a, b []Value) int { return s.compareRows(a, b) })
	}
	for _, a := range w.distinct(s.plan) {
		var from []byte
		want := 0
		if s.native {
			from, want = s.start(&a), most
		}
		err := w.over(ctx, &a, from, want, func(_ []byte, row []Value) bool {
			if s.after != nil && s.compare(row, s.after) <= 0 {
				return true
			}
			rows = append(rows, row)
			if s.native {
				return most == 0 || len(rows) < most
			}
			// Only the first of all are kept, whatever the number that pass.
			if most > 0 && len(rows)/2 >= most && len(rows)-2*most >= 1024 {
				sort()
				clear(rows[most:])
				rows = rows[:most]
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	if !s.native {
		sort()
	}
	if most > 0 && len(rows) > most {
		rows = rows[:most]
	}
	return rows[min(q.Offset, len(rows)):], nil
}

func (s *selection) compareRows(a, b []Value) int {
	for _, o := range s.order {
		if c := Compare(a[o.column], b[o.column]); c != 0 {
			if o.desc {
				return -c
			}
			return c
		}
	}
	return 0
}

// start returns the key after which a page in the order of the keys begins, nil for the
// first page.
func (s *selection) start(a *access) []byte {
	if s.after == nil {
		return nil
	}
	row := make([]Value, len(s.d.Columns))
	for i, v := range a.values {
		row[a.path.columns[i]] = v
	}
	for i, o := range s.order {
		row[o.column] = s.after[i]
	}
	return s.d.keyOf(a.path, row)
}

func (s *selection) result(rows [][]Value, w *walk) *Result {
	r := &Result{RowsRead: w.rows, EntriesRead: w.entries}
	r.Columns = make([]string, len(s.columns))
	for i, c := range s.columns {
		r.Columns[i] = s.d.names[c]
	}
	if q := s.query; q.Limit > 0 && len(rows) == q.Limit {
		r.Next = s.encodeCursor(rows[len(rows)-1])
	}
	r.Rows = rows
	if s.query.Columns != nil {
		r.Rows = make([][]Value, len(rows))
		values := make([]Value, len(rows)*len(s.columns))
		for i, row := range rows {
			of := values[i*len(s.columns):][:len(s.columns):len(s.columns)]
			for k, c := range s.columns {
				of[k] = row[c]
			}
			r.Rows[i] = of
		}
	}
	return r
}

// selectPoint serves a query for one row by its primary key, with one call of the
// provider. It returns nil where the query is another one, or something is not as it
// should be: then Select finds out what.
func (s *Storage) selectPoint(ctx context.Context, q *Query) *Result {
	known, ok := s.known.Load(q.Table)
	if !ok {
		return nil
	}
	d := known.(*definition)
	b, err := d.bind(q)
	if err != nil || q.After != "" || q.Offset > 0 {
		return nil
	}
	key := d.pointKey(&b.filter)
	if key == nil {
		return nil
	}
	entries, err := s.p.GetMany(ctx, [][]byte{d.schemaKey, key})
	if err != nil || entries[0].Revision != d.revision {
		return nil
	}
	var w walk
	var rows [][]Value
	if e := entries[1]; !e.Revision.IsZero() {
		row := make([]Value, len(d.Columns))
		if err := d.decodeRow(row, key, e.Value); err != nil {
			return nil
		}
		if b.filter.of(row) == yes {
			rows = [][]Value{row}
		}
		w.rows = 1
		s.rowsRead.Add(1)
	}
	return b.result(rows, &w)
}

// A cursor is the position behind a row: base64 without padding, of
//
//	u8 1, u32 table, u64 FNV-1a of the order, the row's values of the columns of the order
const cursorVersion = 1

func (s *selection) orderHash() uint64 {
	h := fnv.New64a()
	for _, o := range s.order {
		_ = binary.Write(h, binary.BigEndian, s.d.Columns[o.column].Number) // a hash takes all
		_ = binary.Write(h, binary.BigEndian, o.desc)
	}
	return h.Sum64()
}

func (s *selection) encodeCursor(row []Value) string {
	data := binary.BigEndian.AppendUint32([]byte{cursorVersion}, s.d.ID)
	data = binary.BigEndian.AppendUint64(data, s.orderHash())
	for _, v := range s.orderOf(row) {
		data = appendValue(data, v)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func (s *selection) decodeCursor(text string) ([]Value, error) {
	bad := fmt.Errorf("%w: After is not Next of a query of the same table and order", ErrInvalid)
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(data) < 13 || data[0] != cursorVersion ||
		binary.BigEndian.Uint32(data[1:]) != s.d.ID || binary.BigEndian.Uint64(data[5:]) != s.orderHash() {
		return nil, bad
	}
	values := make([]Value, len(s.order))
	rest := string(data[13:])
	for i, o := range s.order {
		if values[i], rest, err = decodeValue(rest); err != nil || !values[i].IsNull() && values[i].t != s.d.Columns[o.column].kind {
			return nil, bad
		}
	}
	if rest != "" {
		return nil, bad
	}
	return values, nil
}

// walk looks at rows, and lets those through that pass a condition.
type walk struct {
	t *Tx
	d *definition
	c *condition

	rows, entries int
	seen          map[string]bool // the rows that came up, where they may come up twice
}

// distinct returns the accesses of a plan, after which no row comes up twice.
func (w *walk) distinct(p plan) []access {
	if len(p.accesses) > 1 {
		w.seen = map[string]bool{}
	}
	return p.accesses
}

// The sizes of the pages of a list: the first is what is likely to do.
const firstPage, lastPage = 32, 1024

// over visits the rows of an access behind the key from, in the order of the path's keys,
// until visit returns false. want is how many are going to be visited, 0 if it is not
// known.
func (w *walk) over(ctx context.Context, a *access, from []byte, want int, visit func(key []byte, row []Value) bool) error {
	defer func(rows, entries int) {
		w.t.s.rowsRead.Add(uint64(w.rows - rows))
		w.t.s.entriesRead.Add(uint64(w.entries - entries))
	}(w.rows, w.entries)
	page := firstPage
	if want > 0 {
		page = min(want, lastPage)
	}
	for i := 0; i < len(a.spans); {
		if a.spans[i].exact {
			n := i + 1
			for n < len(a.spans) && a.spans[n].exact && n-i < lastPage {
				n++
			}
			more, err := w.exact(ctx, a, a.spans[i:n], from, visit)
			if err != nil || !more {
				return err
			}
			i = n
			continue
		}
		more, err := w.span(ctx, a, &a.spans[i], from, &page, visit)
		if err != nil || !more {
			return err
		}
		i++
	}
	return nil
}

// exact visits the rows of exact spans.
func (w *walk) exact(ctx context.Context, a *access, spans []span, from []byte, visit func(key []byte, row []Value) bool) (more bool, err error) {
	var keys [][]byte
	for i := range spans {
		if key := spans[i].key(); from == nil || bytes.Compare(key, from) > 0 {
			keys = append(keys, key)
		}
	}
	if a.path.primary() {
		return w.fetch(ctx, keys, true, visit)
	}
	if err := w.t.tx.Prefetch(ctx, keys); err != nil {
		return false, err
	}
	var entries []providers.Entry
	for _, key := range keys {
		e, err := w.t.tx.Get(ctx, key)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		e.Key = key
		entries = append(entries, e)
	}
	return w.follow(ctx, a.path, entries, visit)
}

// span visits the rows of a span, page by page.
func (w *walk) span(ctx context.Context, a *access, s *span, from []byte, page *int, visit func(key []byte, row []Value) bool) (more bool, err error) {
	o := providers.ListOptions{Prefix: s.prefix}
	if len(s.lower) > len(s.prefix) {
		o.After = s.lower // which no key is equal to
	}
	if bytes.Compare(from, s.lower) > 0 {
		o.After = from
	}
	for {
		o.Limit = *page
		var entries []providers.Entry
		ended := false
		n := 0
		for e, err := range w.t.list(ctx, w.d, o) {
			if err != nil {
				return false, err
			}
			n++
			if ended = bytes.Compare(e.Key, s.upper) >= 0; ended {
				break
			}
			entries = append(entries, e)
		}
		if a.path.primary() {
			for i := range entries {
				if more, err := w.row(entries[i].Key, entries[i].Value, visit); err != nil || !more {
					return false, err
				}
			}
		} else if more, err := w.follow(ctx, a.path, entries, visit); err != nil || !more {
			return false, err
		}
		if ended || n < o.Limit {
			return true, nil
		}
		o.After = entries[len(entries)-1].Key
		*page = min(4**page, lastPage)
	}
}

// follow visits the rows that entries of an index are about.
func (w *walk) follow(ctx context.Context, p *path, entries []providers.Entry, visit func(key []byte, row []Value) bool) (more bool, err error) {
	keys := make([][]byte, len(entries))
	for i, e := range entries {
		if keys[i], err = w.d.rowKeyOf(p, e.Key, e.Value); err != nil {
			return false, err
		}
	}
	w.entries += len(entries)
	return w.fetch(ctx, keys, false, visit)
}

// fetch visits the rows of keys. missing tells that they need not be there.
func (w *walk) fetch(ctx context.Context, keys [][]byte, missing bool, visit func(key []byte, row []Value) bool) (more bool, err error) {
	if err := w.t.tx.Prefetch(ctx, keys); err != nil {
		return false, err
	}
	for _, key := range keys {
		e, err := w.t.tx.Get(ctx, key)
		switch {
		case errors.Is(err, ErrNotFound) && missing:
			continue
		case errors.Is(err, ErrNotFound):
			// Where a list is not of one moment, the row may have gone with its entry; then
			// the commit fails.
			w.t.orphan = fmt.Errorf("%w: an index of table %s has an entry for a row that is not there", ErrCorrupt, w.d.Name)
			if w.t.s.caps.Snapshot {
				return false, w.t.orphan
			}
			continue
		case err != nil:
			return false, err
		}
		if more, err := w.row(key, e.Value, visit); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// row visits one row, if it passes and was not visited before.
func (w *walk) row(key, value []byte, visit func(key []byte, row []Value) bool) (more bool, err error) {
	if w.seen != nil {
		if w.seen[string(key)] {
			return true, nil
		}
		w.seen[string(key)] = true
	}
	w.rows++
	row := make([]Value, len(w.d.Columns))
	if err := w.t.decodeRow(w.d, row, key, value); err != nil {
		return false, err
	}
	if w.c.of(row) != yes {
		return true, nil
	}
	return visit(key, row), nil
}

// decodeRow reads a row. One that is newer than the schema is a conflict, unless both are
// of one moment.
func (t *Tx) decodeRow(d *definition, row []Value, key, value []byte) error {
	err := d.decodeRow(row, key, value)
	if errors.Is(err, errStale) && t.s.caps.Snapshot {
		return fmt.Errorf("%w: a row of table %s has a column that no schema had", ErrCorrupt, d.Name)
	}
	return err
}
