package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/orbit-persistence/orbit/providers"
)

// Verify reads all of a table, and returns ErrCorrupt if a row cannot be read, breaks its
// schema, or lacks its entry in an index, or if an index has an entry without a row. It
// returns the number of rows.
func (s *Storage) Verify(ctx context.Context, table string) (rows int, err error) {
	err = s.transact(ctx, providers.TxOptions{ReadOnly: true}, func(tx *Tx) error {
		d, err := s.definitionIn(ctx, tx.tx, table)
		if err != nil {
			return err
		}
		rows, err = tx.verify(ctx, d)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("verify table %s: %w", table, err)
	}
	return rows, nil
}

func (t *Tx) verify(ctx context.Context, d *definition) (rows int, err error) {
	row := make([]Value, len(d.Columns))
	err = t.pages(ctx, d, d.paths[0].prefix, func(e providers.Entry) error {
		rows++
		if err := t.decodeRow(d, row, e.Key, e.Value); err != nil {
			return err
		}
		for i := range d.Columns {
			if fitted, err := d.check(i, row[i]); err != nil || fitted != row[i] {
				return fmt.Errorf("%w: row %s: column %s: %v", ErrCorrupt, d.keyText(row), d.names[i], err)
			}
		}
		for _, p := range d.paths[1:] {
			if p.building {
				continue
			}
			entry, err := t.tx.Get(ctx, d.keyOf(p, row))
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if err != nil || !bytes.Equal(entry.Value, d.entryValue(p, row, e.Key)) {
				return fmt.Errorf("%w: row %s is not in index %s as it should be", ErrCorrupt, d.keyText(row), p.name)
			}
		}
		return nil
	})
	if err != nil {
		return rows, err
	}
	for _, p := range d.paths[1:] {
		entries := 0
		if err := t.pages(ctx, d, p.prefix, func(providers.Entry) error { entries++; return nil }); err != nil {
			return rows, err
		}
		if entries != rows && !p.building {
			return rows, fmt.Errorf("%w: index %s has %d entries for %d rows", ErrCorrupt, p.name, entries, rows)
		}
	}
	return rows, nil
}

// keyText shows the primary key of a row.
func (d *definition) keyText(row []Value) Row {
	shown := Row{}
	for _, c := range d.key {
		shown[d.names[c]] = row[c]
	}
	return shown
}

// pages visits all entries with a prefix, page by page.
func (t *Tx) pages(ctx context.Context, d *definition, prefix []byte, visit func(e providers.Entry) error) error {
	o := providers.ListOptions{Prefix: prefix, Limit: lastPage}
	for {
		n := 0
		for e, err := range t.list(ctx, d, o) {
			if err == nil {
				n++
				o.After = slices.Clone(e.Key)
				err = visit(e)
			}
			if err != nil {
				return err
			}
		}
		if n < o.Limit {
			return nil
		}
	}
}
