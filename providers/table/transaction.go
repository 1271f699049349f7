package table

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/orbit-persistence/orbit/providers"
)

// Row is one row by the names of its columns.
type Row map[string]Value

// Tx is a transaction over tables: serializable, seen by itself alone until Commit, and
// without a trace after Rollback. It belongs to one goroutine at a time, and must be
// ended. A statement that fails has changed nothing, and the transaction goes on.
type Tx struct {
	s  *Storage
	tx *providers.Tx
	// lists tells that ranges may be read as they are; else they have guards.
	lists bool
	// orphan is an index entry whose row was not there. If the commit finds what was
	// read unchanged, the index is broken.
	orphan error
}

// Begin begins a transaction. ctx bounds all of it.
func (s *Storage) Begin(ctx context.Context, o providers.TxOptions) (*Tx, error) {
	tx, err := s.p.Begin(ctx, o)
	if err != nil {
		return nil, err
	}
	return s.over(tx, o.ReadOnly), nil
}

func (s *Storage) over(tx *providers.Tx, readOnly bool) *Tx {
	return &Tx{s: s, tx: tx, lists: s.caps.RangeReads || readOnly && s.caps.Snapshot}
}

// Commit makes what the transaction has done seen at one moment; ErrConflict if what it
// has read was changed by others, and then nothing was done. It has ended then.
func (t *Tx) Commit(ctx context.Context) error {
	if err := t.tx.Commit(ctx); err != nil {
		return err
	}
	return t.orphan
}

// Rollback ends the transaction without a trace. After Commit it does nothing, so that it
// can be deferred.
func (t *Tx) Rollback() { t.tx.Rollback() }

// Transact runs f in a transaction, commits, and runs it again where that is ErrConflict;
// see providers.Provider.Update.
func (s *Storage) Transact(ctx context.Context, f func(tx *Tx) error) error {
	return s.transact(ctx, providers.TxOptions{}, f)
}

func (s *Storage) transact(ctx context.Context, o providers.TxOptions, f func(tx *Tx) error) error {
	var t *Tx
	err := s.p.UpdateWith(ctx, o, func(tx *providers.Tx) error {
		t = s.over(tx, o.ReadOnly)
		return f(t)
	})
	if err == nil {
		err = t.orphan
	}
	return err
}

// once is transact without another run.
func (s *Storage) once(ctx context.Context, o providers.TxOptions, f func(tx *Tx) error) error {
	tx, err := s.Begin(ctx, o)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Insert adds rows. A column that a row does not name has its default. ErrDuplicate if
// one of them is there already, and then none is added.
func (s *Storage) Insert(ctx context.Context, table string, rows ...Row) error {
	return s.transact(ctx, providers.TxOptions{}, func(tx *Tx) error { return tx.Insert(ctx, table, rows...) })
}

// Select returns the rows that a query is about, all of one moment.
func (s *Storage) Select(ctx context.Context, q Query) (*Result, error) {
	if r := s.selectPoint(ctx, &q); r != nil {
		return r, nil
	}
	return s.selectRows(ctx, q)
}

// selectRows is Select by a transaction.
func (s *Storage) selectRows(ctx context.Context, q Query) (r *Result, err error) {
	err = s.transact(ctx, providers.TxOptions{ReadOnly: true}, func(tx *Tx) (err error) { r, err = tx.Select(ctx, q); return err })
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Update sets columns of the rows that pass the filter, and returns how many these are,
// whether they were changed by it or not. To set all rows, say All().
func (s *Storage) Update(ctx context.Context, table string, set Row, f Filter) (n int, err error) {
	err = s.transact(ctx, providers.TxOptions{}, func(tx *Tx) (err error) { n, err = tx.Update(ctx, table, set, f); return err })
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Delete removes the rows that pass the filter, and returns how many they were. To remove
// all rows, say All().
func (s *Storage) Delete(ctx context.Context, table string, f Filter) (n int, err error) {
	err = s.transact(ctx, providers.TxOptions{}, func(tx *Tx) (err error) { n, err = tx.Delete(ctx, table, f); return err })
	if err != nil {
		return 0, err
	}
	return n, nil
}

// list lists keys of a table.
func (t *Tx) list(ctx context.Context, d *definition, o providers.ListOptions) iter.Seq2[providers.Entry, error] {
	if t.lists {
		return t.tx.List(ctx, o)
	}
	return t.tx.ListGuarded(ctx, o, guardKey(d.ID))
}

// Insert is Storage.Insert within the transaction.
func (t *Tx) Insert(ctx context.Context, table string, rows ...Row) error {
	d, err := t.s.definitionIn(ctx, t.tx, table)
	if err != nil {
		return err
	}
	st := newStage(t, d, len(rows)*len(d.paths))
	values := make([]Value, len(rows)*len(d.Columns))
	for i, row := range rows {
		of := values[i*len(d.Columns):][:len(d.Columns):len(d.Columns)]
		if err := d.fill(of, row); err != nil {
			return fmt.Errorf("insert into %s: row %d: %w", table, i, err)
		}
		for _, p := range d.paths {
			st.expect(p, of)
		}
	}
	if err := st.prefetch(ctx); err != nil {
		return err
	}
	for i := range rows {
		if err := st.insert(ctx, values[i*len(d.Columns):][:len(d.Columns)]); err != nil {
			return fmt.Errorf("insert into %s: row %d: %w", table, i, err)
		}
	}
	if err := st.apply(ctx); err != nil {
		return fmt.Errorf("insert into %s: %w", table, err)
	}
	t.s.rowsInserted.Add(uint64(len(rows)))
	return nil
}

// fill makes the values of a new row.
func (d *definition) fill(of []Value, row Row) error {
	named := 0
	for i := range d.Columns {
		c := &d.Columns[i]
		v, given := row[c.Name]
		if !given {
			v = c.Default.Value
		} else {
			named++
		}
		var err error
		if of[i], err = d.check(i, v); err != nil {
			return err
		}
	}
	if named < len(row) {
		for _, name := range slices.Sorted(maps.Keys(row)) {
			if _, err := d.column(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// check returns a value as column i holds it.
func (d *definition) check(i int, v Value) (Value, error) {
	c := &d.Columns[i]
	if v.IsNull() && c.NotNull {
		return v, fmt.Errorf("column %s: %w: it may not be null", c.Name, ErrInvalid)
	}
	v, err := fit(v, c.kind)
	if err != nil {
		return v, fmt.Errorf("column %s: %w", c.Name, err)
	}
	return v, nil
}

// match is a row that a filter has chosen.
type match struct {
	key []byte
	row []Value
}

// matches returns the rows of a table that pass a filter.
func (t *Tx) matches(ctx context.Context, d *definition, f Filter) ([]match, error) {
	if f == nil {
		return nil, fmt.Errorf("%w: no filter; for all rows say All()", ErrInvalid)
	}
	c, err := d.bindFilter(f)
	if err != nil {
		return nil, err
	}
	var found []match
	w := walk{t: t, d: d, c: &c}
	for _, a := range w.distinct(d.planFor(&c, nil)) {
		err := w.over(ctx, &a, nil, 0, func(key []byte, row []Value) bool {
			found = append(found, match{key, row})
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Update is Storage.Update within the transaction.
func (t *Tx) Update(ctx context.Context, table string, set Row, f Filter) (int, error) {
	d, err := t.s.definitionIn(ctx, t.tx, table)
	if err != nil {
		return 0, err
	}
	n, err := t.update(ctx, d, set, f)
	if err != nil {
		return 0, fmt.Errorf("update %s: %w", table, err)
	}
	t.s.rowsUpdated.Add(uint64(n))
	return n, nil
}

func (t *Tx) update(ctx context.Context, d *definition, set Row, f Filter) (int, error) {
	if len(set) == 0 {
		return 0, fmt.Errorf("%w: no column to set", ErrInvalid)
	}
	to := map[int]Value{}
	for name, v := range set {
		i, err := d.column(name)
		if err != nil {
			return 0, err
		}
		if to[i], err = d.check(i, v); err != nil {
			return 0, err
		}
	}
	found, err := t.matches(ctx, d, f)
	if err != nil {
		return 0, err
	}
	st := newStage(t, d, len(found))
	updated := make([][]Value, len(found))
	for k, m := range found {
		updated[k] = slices.Clone(m.row)
		for i, v := range to {
			updated[k][i] = v
		}
		for _, p := range d.paths {
			if d.moves(p, m.row, updated[k]) {
				st.expect(p, updated[k])
			}
		}
	}
	if err := st.prefetch(ctx); err != nil {
		return 0, err
	}
	for k, m := range found {
		if err := st.update(ctx, m, updated[k]); err != nil {
			return 0, err
		}
	}
	return len(found), st.apply(ctx)
}

// moves reports whether the columns of a path differ between two states of a row.
func (d *definition) moves(p *path, from, to []Value) bool {
	return slices.ContainsFunc(p.columns, func(c int) bool { return from[c] != to[c] })
}

// Delete is Storage.Delete within the transaction.
func (t *Tx) Delete(ctx context.Context, table string, f Filter) (int, error) {
	d, err := t.s.definitionIn(ctx, t.tx, table)
	if err != nil {
		return 0, err
	}
	found, err := t.matches(ctx, d, f)
	if err != nil {
		return 0, fmt.Errorf("delete from %s: %w", table, err)
	}
	st := newStage(t, d, len(found)*len(d.paths))
	for _, m := range found {
		for _, p := range d.paths {
			st.remove(d.keyOf(p, m.row))
		}
	}
	if err := st.apply(ctx); err != nil {
		return 0, fmt.Errorf("delete from %s: %w", table, err)
	}
	t.s.rowsDeleted.Add(uint64(len(found)))
	return len(found), nil
}

// stage holds what a statement is going to write, so that one that fails writes nothing.
type stage struct {
	t      *Tx
	d      *definition
	writes []providers.Write
	at     map[string]int // of the last write of a key
	keys   [][]byte       // which are going to be asked for
}

func newStage(t *Tx, d *definition, size int) *stage {
	return &stage{t: t, d: d, writes: make([]providers.Write, 0, size), at: make(map[string]int, size)}
}

func (st *stage) set(w providers.Write) {
	if i, ok := st.at[string(w.Key)]; ok {
		st.writes[i] = w
		return
	}
	st.at[string(w.Key)] = len(st.writes)
	st.writes = append(st.writes, w)
}

func (st *stage) put(key, value []byte) { st.set(providers.Write{Key: key, Value: value}) }
func (st *stage) remove(key []byte)     { st.set(providers.Write{Key: key, Delete: true}) }

// expect notes the key of a row that must not be there, to be read together with others.
func (st *stage) expect(p *path, row []Value) {
	if !st.t.s.caps.Snapshot && st.unique(p, row) {
		st.keys = append(st.keys, st.d.keyOf(p, row))
	}
}

// unique reports whether no other row may have the key of a row.
func (st *stage) unique(p *path, row []Value) bool {
	return p.unique && !anyNull(p.columns[:p.own], row)
}

func (st *stage) prefetch(ctx context.Context) error {
	if len(st.keys) == 0 {
		return nil
	}
	return st.t.tx.Prefetch(ctx, st.keys)
}

// absent returns ErrDuplicate if there is an entry of a path that must not be there.
func (st *stage) absent(ctx context.Context, p *path, key []byte, row []Value) error {
	if i, ok := st.at[string(key)]; ok {
		if st.writes[i].Delete {
			return nil
		}
	} else if _, err := st.t.tx.Get(ctx, key); err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	}
	what := "the primary key"
	if !p.primary() {
		what = "index " + p.name
	}
	var shown Row = Row{}
	for _, c := range p.columns[:p.own] {
		shown[st.d.names[c]] = row[c]
	}
	return fmt.Errorf("%w: %s has %s", ErrDuplicate, what, shown)
}

// String shows the columns and values in the order of the names.
func (r Row) String() string {
	s := ""
	for _, name := range slices.Sorted(maps.Keys(r)) {
		s += ", " + name + " = " + r[name].String()
	}
	return cut("(" + s[min(len(s), 2):] + ")")
}

func (st *stage) insert(ctx context.Context, row []Value) error {
	rowKey := st.d.keyOf(st.d.paths[0], row)
	for _, p := range st.d.paths {
		if err := st.enter(ctx, p, row, rowKey); err != nil {
			return err
		}
	}
	return nil
}

// enter puts the row under a path: the row itself, or an entry of an index.
func (st *stage) enter(ctx context.Context, p *path, row []Value, rowKey []byte) error {
	key := rowKey
	if !p.primary() {
		key = st.d.keyOf(p, row)
	}
	if st.unique(p, row) {
		if err := st.absent(ctx, p, key, row); err != nil {
			return err
		}
	}
	if p.primary() {
		st.put(key, st.d.encodeRow(row))
	} else {
		st.put(key, st.d.entryValue(p, row, rowKey))
	}
	return nil
}

func (st *stage) update(ctx context.Context, m match, row []Value) error {
	d := st.d
	rowKey := m.key
	if d.moves(d.paths[0], m.row, row) {
		rowKey = d.keyOf(d.paths[0], row)
	}
	for _, p := range d.paths {
		switch {
		case p.primary() && slices.Equal(m.row, row):
			return nil // which changes nothing
		case p.primary() && !d.moves(p, m.row, row):
			st.put(rowKey, d.encodeRow(row))
		case d.moves(p, m.row, row):
			old := d.keyOf(p, m.row)
			st.remove(old)
			if err := st.enter(ctx, p, row, rowKey); err != nil {
				return err
			}
		}
	}
	return nil
}

// apply gives the writes to the transaction, after all of them were found to be such as
// the provider takes.
func (st *stage) apply(ctx context.Context) error {
	if len(st.writes) == 0 {
		return nil
	}
	s := st.t.s
	for i := range st.writes {
		w := &st.writes[i]
		if err := s.caps.CheckPut(w.Key, w.Value, providers.PutOptions{}); err != nil {
			return err
		}
	}
	for i := range st.writes {
		w, err := &st.writes[i], error(nil)
		if w.Delete {
			err = st.t.tx.Delete(ctx, w.Key, providers.DeleteOptions{})
		} else {
			err = st.t.tx.Put(ctx, w.Key, w.Value, providers.PutOptions{})
		}
		if err != nil {
			return err
		}
	}
	if s.caps.RangeReads {
		return nil
	}
	return st.t.tx.Put(ctx, guardKey(st.d.ID), nil, providers.PutOptions{})
}
