package protocol

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/orbit-persistence/orbit/engine"
)

// RowStore is the store of postgresql, mysql and cql: tables with schemas, rows by their
// ids, and what else a catalog has.
type RowStore struct{ *Store }

// Catalog is a column family of named things beside tables and rows.
type Catalog string

// The catalogs.
const (
	Indexes    Catalog = "indexes"
	Views      Catalog = "views"
	SchemaDefs Catalog = "schema_defs"
	Extensions Catalog = "extensions"
	Settings   Catalog = "settings"
)

// Row is a row with its id.
type Row struct {
	ID     string
	Values Object
}

// PutSchema makes a table, or changes its schema, which is JSON of the caller's making.
// Rows stay.
func (s *RowStore) PutSchema(ctx context.Context, table string, schema json.RawMessage) error {
	key, err := keyOf("schema", table)
	if err == nil && !json.Valid(schema) {
		err = fmt.Errorf("%w: the schema is not JSON", engine.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("schema of table %q: %w", table, err)
	}
	release, err := s.locks.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	b := s.batch()
	b.put(schemasFamily, key, schema)
	return b.write(ctx)
}

// Schema returns the schema of a table; ErrNotFound if there is none.
func (s *RowStore) Schema(ctx context.Context, table string) (json.RawMessage, error) {
	key, err := keyOf("schema", table)
	if err != nil {
		return nil, err
	}
	return s.get(ctx, schemasFamily, key)
}

// Tables returns the names of the tables, in order.
func (s *RowStore) Tables(ctx context.Context) ([]string, error) {
	return s.names(ctx, schemasFamily, "schema:")
}

// names returns what the keys with a prefix have behind it.
func (s *Store) names(ctx context.Context, of, prefix string) ([]string, error) {
	var names []string
	for e, err := range s.list(ctx, of, prefix, "") {
		if err != nil {
			return nil, err
		}
		names = append(names, e.key[len(prefix):])
	}
	return names, nil
}

// DropTable removes a table with its rows, at one moment; ErrNotFound if there is none.
func (s *RowStore) DropTable(ctx context.Context, table string) error {
	key, err := keyOf("schema", table)
	if err != nil {
		return err
	}
	rows, err := prefixOf("row", table)
	if err != nil {
		return err
	}
	release, err := s.locks.holdAll(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.get(ctx, schemasFamily, key); err != nil {
		return fmt.Errorf("drop table %q: %w", table, err)
	}
	b := s.batch()
	b.remove(schemasFamily, key)
	b.removePrefix(rowsFamily, rows)
	return b.writeDelete(ctx)
}

// PutRows puts rows into a table, at one moment. Rows with their ids are replaced.
// ErrNotFound if there is no such table.
func (s *RowStore) PutRows(ctx context.Context, table string, rows ...Row) error {
	schema, err := keyOf("schema", table)
	if err != nil {
		return err
	}
	release, err := s.locks.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.get(ctx, schemasFamily, schema); err != nil {
		return fmt.Errorf("put rows into table %q: %w", table, err)
	}
	b := s.batch()
	for _, r := range rows {
		key, err := keyOf("row", table, r.ID)
		if err != nil {
			return err
		}
		data, err := encodeJSON(r.Values)
		if err != nil {
			return fmt.Errorf("row %q of table %q: %w", r.ID, table, err)
		}
		b.put(rowsFamily, key, data)
	}
	return b.write(ctx)
}

// Row returns a row; ErrNotFound if it is not there.
func (s *RowStore) Row(ctx context.Context, table, id string) (Object, error) {
	key, err := keyOf("row", table, id)
	if err != nil {
		return nil, err
	}
	var values Object
	if err := s.getJSON(ctx, rowsFamily, key, &values); err != nil {
		return nil, err
	}
	return values, nil
}

// Rows yields the rows of a table whose ids come after one, "" for all, in the order of
// the ids. It ends after the first error.
func (s *RowStore) Rows(ctx context.Context, table, after string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		prefix, err := prefixOf("row", table)
		if err != nil {
			yield(Row{}, err)
			return
		}
		from := ""
		if after != "" {
			from = prefix + after
		}
		for e, err := range s.list(ctx, rowsFamily, prefix, from) {
			var r Row
			if err == nil {
				r.ID = e.key[len(prefix):]
				err = decodeJSON(e.key, e.value, &r.Values)
			}
			if err != nil {
				yield(Row{}, err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// DeleteRows removes rows of a table, at one moment; those that are not there are no
// error.
func (s *RowStore) DeleteRows(ctx context.Context, table string, ids ...string) error {
	b := s.batch()
	for _, id := range ids {
		key, err := keyOf("row", table, id)
		if err != nil {
			return err
		}
		b.remove(rowsFamily, key)
	}
	release, err := s.locks.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	return b.writeDelete(ctx)
}

// inCatalog returns ErrInvalid for what is no catalog or no name.
func (s *RowStore) inCatalog(c Catalog, name string) error {
	switch c {
	case Indexes, Views, SchemaDefs, Extensions, Settings:
	default:
		return fmt.Errorf("%w: there is no catalog %q; there are indexes, views, schema_defs, extensions and settings", engine.ErrInvalid, c)
	}
	if name == "" {
		return fmt.Errorf("%w: a name in %s has at least one letter", engine.ErrInvalid, c)
	}
	return nil
}

// Put sets a named thing of a catalog, JSON of the caller's making.
func (s *RowStore) Put(ctx context.Context, c Catalog, name string, value json.RawMessage) error {
	if err := s.inCatalog(c, name); err != nil {
		return err
	}
	if !json.Valid(value) {
		return fmt.Errorf("%s %q: %w: it is not JSON", c, name, engine.ErrInvalid)
	}
	b := s.batch()
	b.put(string(c), name, value)
	return b.write(ctx)
}

// Get returns a named thing of a catalog; ErrNotFound if it is not there.
func (s *RowStore) Get(ctx context.Context, c Catalog, name string) (json.RawMessage, error) {
	if err := s.inCatalog(c, name); err != nil {
		return nil, err
	}
	return s.get(ctx, string(c), name)
}

// Names returns the names of a catalog, in order.
func (s *RowStore) Names(ctx context.Context, c Catalog) ([]string, error) {
	if err := s.inCatalog(c, "x"); err != nil {
		return nil, err
	}
	return s.names(ctx, string(c), "")
}

// Delete removes a named thing of a catalog; one that is not there is no error.
func (s *RowStore) Delete(ctx context.Context, c Catalog, name string) error {
	if err := s.inCatalog(c, name); err != nil {
		return err
	}
	b := s.batch()
	b.remove(string(c), name)
	return b.writeDelete(ctx)
}
