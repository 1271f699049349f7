package table

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/orbit-persistence/orbit/providers"
)

// Change is one change of a table's schema. Rows that are there stay readable: a change
// touches none of them, but that AddIndex enters them into the index.
type Change struct {
	what string
	edit func(ctx context.Context, a *alteration) error
}

// alteration is a definition while it is changed.
type alteration struct {
	d   *definition
	old *definition
	t   *Tx
	// rename is the new name, "" if it stays. dropped are the numbers of indexes.
	rename  string
	dropped []uint32
}

// AddColumn adds a column behind the others. Rows that are there have its default in it,
// and keep it when the default is changed; so NotNull wants a default.
func AddColumn(c Column) Change {
	return Change{"add column " + c.Name, func(_ context.Context, a *alteration) error {
		if a.d.columnIndex(c.Name) >= 0 {
			return fmt.Errorf("%w: there is a column %s", ErrDuplicate, c.Name)
		}
		if c.NotNull && c.Default.IsNull() {
			return fmt.Errorf("%w: rows that are there would be null in it, and it may not be: give a default", ErrInvalid)
		}
		if err := a.d.addColumn(c); err != nil {
			return err
		}
		last := &a.d.Columns[len(a.d.Columns)-1]
		last.Before = last.Default
		return nil
	}}
}

// DropColumn removes a column with what it holds. One of the primary key stays, and one
// of an index until the index is dropped.
func DropColumn(name string) Change {
	return Change{"drop column " + name, func(_ context.Context, a *alteration) error {
		i, err := a.column(name)
		if err != nil {
			return err
		}
		number := a.d.Columns[i].Number
		if slices.Contains(a.d.PrimaryKey, number) {
			return fmt.Errorf("%w: it is in the primary key", ErrInvalid)
		}
		for _, x := range a.d.Indexes {
			if slices.Contains(x.Columns, number) {
				return fmt.Errorf("%w: it is in index %s; drop that first", ErrInvalid, x.Name)
			}
		}
		a.d.Columns = slices.Delete(a.d.Columns, i, i+1)
		return nil
	}}
}

// RenameColumn gives a column another name.
func RenameColumn(from, to string) Change {
	return Change{"rename column " + from, func(_ context.Context, a *alteration) error {
		i, err := a.column(from)
		if err != nil {
			return err
		}
		if a.d.columnIndex(to) >= 0 {
			return fmt.Errorf("%w: there is a column %s", ErrDuplicate, to)
		}
		a.d.Columns[i].Name = to
		return nil
	}}
}

// SetDefault sets what rows get that are inserted without a column; null is none.
func SetDefault(column string, v Value) Change {
	return Change{"set default of " + column, func(_ context.Context, a *alteration) error {
		i, err := a.column(column)
		if err != nil {
			return err
		}
		c := &a.d.Columns[i]
		kind, err := ParseType(c.Type)
		if err == nil {
			c.Default.Value, err = fit(v, kind)
		}
		return err
	}}
}

// SetNotNull says whether a column refuses null. All rows are looked at before it does.
func SetNotNull(column string, refuse bool) Change {
	return Change{"set not null of " + column, func(ctx context.Context, a *alteration) error {
		i, err := a.column(column)
		if err != nil {
			return err
		}
		c := &a.d.Columns[i]
		if !refuse && slices.Contains(a.d.PrimaryKey, c.Number) {
			return fmt.Errorf("%w: it is in the primary key", ErrInvalid)
		}
		if at, ok := a.old.byNumber[c.Number]; refuse && ok {
			found, err := a.t.Select(ctx, Query{Table: a.old.Name, Filter: IsNull(a.old.names[at]), Limit: 1})
			if err != nil {
				return err
			}
			if len(found.Rows) > 0 {
				return fmt.Errorf("%w: a row is null in it", ErrInvalid)
			}
		}
		c.NotNull = refuse
		return nil
	}}
}

// AddIndex makes an index. Writers keep it from the moment that the schema says so, rows
// that were there are entered some hundred at a time, and then it is used. If that is
// broken off, AddIndex of the same index goes on with it. ErrDuplicate if it is to be
// unique and two rows are the same; the index is then gone again.
func AddIndex(x Index) Change {
	return Change{"add index " + x.Name, func(_ context.Context, a *alteration) error {
		if i := a.d.indexNamed(x.Name); i >= 0 {
			half, err := a.d.clone(), error(nil)
			if half.Indexes = half.Indexes[:i]; a.d.Indexes[i].Building {
				err = half.addIndex(x, true)
			}
			if !a.d.Indexes[i].Building || err != nil || half.Indexes[i].Unique != a.d.Indexes[i].Unique || !slices.Equal(half.Indexes[i].Columns, a.d.Indexes[i].Columns) {
				return fmt.Errorf("%w: there is an index %s", ErrDuplicate, x.Name)
			}
			return nil
		}
		return a.d.addIndex(x, true)
	}}
}

// DropIndex removes an index.
func DropIndex(name string) Change {
	return Change{"drop index " + name, func(_ context.Context, a *alteration) error {
		i := a.d.indexNamed(name)
		if i < 0 {
			return fmt.Errorf("%w: there is no index %s", ErrNotFound, name)
		}
		a.dropped = append(a.dropped, a.d.Indexes[i].Number)
		a.d.Indexes = slices.Delete(a.d.Indexes, i, i+1)
		return nil
	}}
}

// RenameTable gives the table another name.
func RenameTable(to string) Change {
	return Change{"rename to " + to, func(_ context.Context, a *alteration) error { a.rename = to; return nil }}
}

func (a *alteration) column(name string) (int, error) {
	if i := a.d.columnIndex(name); i >= 0 {
		return i, nil
	}
	return 0, a.d.unknownColumn(name)
}

func (d *definition) indexNamed(name string) int {
	return slices.IndexFunc(d.Indexes, func(x storedIndex) bool { return x.Name == name })
}

// AlterTable changes the schema of a table: all of the changes at one moment, or none.
// Then it enters rows into new indexes, and removes what dropped ones have left.
func (s *Storage) AlterTable(ctx context.Context, table string, changes ...Change) error {
	name := table
	var id uint32
	var building []string
	var dropped []uint32
	err := s.transact(ctx, providers.TxOptions{}, func(tx *Tx) error {
		old, err := s.definitionIn(ctx, tx.tx, table)
		if err != nil {
			return err
		}
		a := &alteration{d: old.clone(), old: old, t: tx}
		for _, c := range changes {
			if c.edit == nil {
				return fmt.Errorf("%w: an empty change", ErrInvalid)
			}
			if err := c.edit(ctx, a); err != nil {
				return fmt.Errorf("%s: %w", c.what, err)
			}
		}
		name, id, dropped, building = table, old.ID, a.dropped, nil
		for _, x := range a.d.Indexes {
			if x.Building {
				building = append(building, x.Name)
			}
		}
		if a.rename != "" && a.rename != table {
			name = a.rename
			if _, err := tx.tx.Get(ctx, schemaKey(name)); !errors.Is(err, ErrNotFound) {
				if err == nil {
					err = fmt.Errorf("%w: there is a table %s", ErrDuplicate, name)
				}
				return err
			}
			if err := tx.tx.Delete(ctx, schemaKey(table), providers.DeleteOptions{}); err != nil {
				return err
			}
		}
		a.d.Name = name
		if err := a.d.derive(); err != nil {
			return err
		}
		for _, index := range dropped {
			if err := tx.tx.Put(ctx, droppedKey(id, index), nil, providers.PutOptions{}); err != nil {
				return err
			}
		}
		return putDefinition(ctx, tx.tx, a.d)
	})
	if err == nil && name != table {
		s.known.Delete(table)
	}
	for _, index := range dropped {
		if err == nil {
			err = s.purge(ctx, id, index)
		}
	}
	for _, index := range building {
		if err == nil {
			err = s.build(ctx, name, index)
		}
	}
	if err != nil {
		return fmt.Errorf("alter table %s: %w", table, err)
	}
	return nil
}

// buildAtOnce is how many rows one transaction enters into an index at most. Where writers
// are in its way it is fewer, down to one: a row that is always being written has its turn
// then.
const buildAtOnce = 256

// build enters all rows into an index, and then lets it be used.
func (s *Storage) build(ctx context.Context, table, index string) error {
	var from []byte
	for at := buildAtOnce; ; {
		next, err := s.buildSome(ctx, table, index, from, at)
		if errors.Is(err, ErrConflict) && at > 1 {
			at = max(1, at/4)
			continue
		}
		if errors.Is(err, ErrDuplicate) {
			return errors.Join(err, s.AlterTable(ctx, table, DropIndex(index)))
		}
		if err != nil {
			return fmt.Errorf("build index %s: %w; AddIndex goes on with it", index, err)
		}
		if next == nil {
			break
		}
		from, at = next, min(2*at, buildAtOnce)
	}
	return s.transact(ctx, providers.TxOptions{}, func(tx *Tx) error {
		old, err := s.definitionIn(ctx, tx.tx, table)
		if err != nil {
			return err
		}
		d := old.clone()
		i := d.indexNamed(index)
		if i < 0 || !d.Indexes[i].Building {
			return nil // somebody else has dropped or finished it
		}
		d.Indexes[i].Building = false
		return putDefinition(ctx, tx.tx, d)
	})
}

// buildSome enters the next rows behind the key from, and returns the key of the last, nil
// at the end. Rows that are put in the meantime are entered by who puts them, so it is
// enough that those it has read are unchanged. It runs again after a conflict if it is
// about one row alone.
func (s *Storage) buildSome(ctx context.Context, table, index string, from []byte, at int) (next []byte, err error) {
	at = min(at, s.caps.Limits.MaxCommitWrites/2)
	run := s.transact
	if at > 1 {
		run = s.once
	}
	err = run(ctx, providers.TxOptions{}, func(tx *Tx) error {
		next = nil
		d, err := s.definitionIn(ctx, tx.tx, table)
		if err != nil {
			return err
		}
		i := d.indexNamed(index)
		if i < 0 || !d.Indexes[i].Building {
			return nil
		}
		p := d.paths[i+1]
		var keys [][]byte
		for e, err := range s.p.List(ctx, providers.ListOptions{Prefix: d.paths[0].prefix, After: from, Limit: at, KeysOnly: true}) {
			if err != nil {
				return err
			}
			keys = append(keys, slices.Clone(e.Key))
		}
		if len(keys) == at {
			next = keys[at-1]
		}
		if err := tx.tx.Prefetch(ctx, keys); err != nil {
			return err
		}
		st := newStage(tx, d, len(keys))
		for _, key := range keys {
			e, err := tx.tx.Get(ctx, key)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			row := make([]Value, len(d.Columns))
			if err == nil {
				err = tx.decodeRow(d, row, key, e.Value)
			}
			if err == nil {
				err = st.index(ctx, p, row, key)
			}
			if err != nil {
				return err
			}
		}
		return st.apply(ctx)
	})
	return next, err
}

// index enters a row that is there into an index, where its entry may be already.
func (st *stage) index(ctx context.Context, p *path, row []Value, rowKey []byte) error {
	key, value := st.d.keyOf(p, row), st.d.entryValue(p, row, rowKey)
	if st.unique(p, row) {
		e, err := st.t.tx.Get(ctx, key)
		if err == nil && string(e.Value) == string(value) {
			return nil
		}
		if err := st.absent(ctx, p, key, row); err != nil {
			return err
		}
	}
	st.put(key, value)
	return nil
}
