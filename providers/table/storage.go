package table

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/tuple"
)

// The kinds of error. What is returned wraps one of them, or one of package providers.
var (
	ErrNotFound = providers.ErrNotFound // no such table, column or index
	ErrInvalid  = providers.ErrInvalid  // a schema, row, filter or query that does not fit
	ErrCorrupt  = providers.ErrCorrupt
	ErrConflict = providers.ErrConflict // of a transaction's Commit: begin it again
	// ErrDuplicate: a row with these values in the primary key or in a unique index is
	// there, or a table or index of that name. Nothing was applied.
	ErrDuplicate = errors.New("duplicate")
)

// Storage keeps tables in a provider, beside whatever else is there: all of its keys
// begin with "table/". All of its methods may be called from many goroutines at once, and
// by several processes where the provider is shared.
type Storage struct {
	p     *providers.Provider
	caps  providers.Capabilities
	owned bool

	known sync.Map // name → *definition, as it was last read

	rowsRead, entriesRead, rowsInserted, rowsUpdated, rowsDeleted atomic.Uint64
}

// New returns a storage in an open provider, which stays the caller's.
func New(p *providers.Provider) *Storage { return &Storage{p: p, caps: p.Capabilities()} }

// Provider returns the provider beneath, for its health and metrics.
func (s *Storage) Provider() *providers.Provider { return s.p }

// Close closes the provider if a StorageBackendFactory has opened it; else it does
// nothing.
func (s *Storage) Close() error {
	if !s.owned {
		return nil
	}
	return s.p.Close()
}

// CreateTable makes a table. ErrDuplicate if there is one of that name.
func (s *Storage) CreateTable(ctx context.Context, schema *Schema) error {
	if _, err := define(schema, 1); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	err := s.p.Update(ctx, func(tx *providers.Tx) error {
		if _, err := tx.Get(ctx, schemaKey(schema.Name)); !errors.Is(err, ErrNotFound) {
			if err == nil {
				err = fmt.Errorf("%w: there is a table of that name", ErrDuplicate)
			}
			return err
		}
		id, err := nextTable(ctx, tx)
		if err != nil {
			return err
		}
		d, err := define(schema, id)
		if err != nil {
			return err
		}
		return putDefinition(ctx, tx, d)
	})
	if err != nil {
		return fmt.Errorf("create table %s: %w", schema.Name, err)
	}
	return nil
}

// nextTable returns a number that no table has or had.
func nextTable(ctx context.Context, tx *providers.Tx) (uint32, error) {
	last := uint32(0)
	e, err := tx.Get(ctx, []byte(counterKey))
	switch {
	case err == nil && len(e.Value) != 4:
		return 0, driver.KeyError("count tables", []byte(counterKey), fmt.Errorf("%w: %d bytes", ErrCorrupt, len(e.Value)))
	case err == nil:
		last = binary.BigEndian.Uint32(e.Value)
	case !errors.Is(err, ErrNotFound):
		return 0, err
	}
	if last++; last == 0 {
		return 0, fmt.Errorf("%w: no numbers for tables are left", providers.ErrTooLarge)
	}
	return last, tx.Put(ctx, []byte(counterKey), binary.BigEndian.AppendUint32(nil, last), providers.PutOptions{})
}

func putDefinition(ctx context.Context, tx *providers.Tx, d *definition) error {
	data, err := d.encode()
	if err != nil {
		return err
	}
	return tx.Put(ctx, schemaKey(d.Name), data, providers.PutOptions{})
}

// GetTableSchema returns the schema of a table; ErrNotFound if there is none.
func (s *Storage) GetTableSchema(ctx context.Context, table string) (*Schema, error) {
	e, err := s.p.Get(ctx, schemaKey(table))
	if err != nil {
		return nil, noTable(table, err)
	}
	d, err := s.definition(table, e)
	if err != nil {
		return nil, err
	}
	return d.schema(), nil
}

func noTable(table string, err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("table %q: %w: create it first", table, ErrNotFound)
	}
	return fmt.Errorf("schema of table %q: %w", table, err)
}

// definition returns the definition in an entry, without reading it again if it is the one
// that is known.
func (s *Storage) definition(table string, e providers.Entry) (*definition, error) {
	if known, ok := s.known.Load(table); ok && known.(*definition).revision == e.Revision {
		return known.(*definition), nil
	}
	d, err := decodeDefinition(e.Value)
	if err == nil && d.Name != table {
		err = fmt.Errorf("%w: it is that of table %q", ErrCorrupt, d.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("schema of table %q: %w", table, err)
	}
	d.revision = e.Revision
	s.known.Store(table, d)
	return d, nil
}

// Tables returns the names of the tables, in order.
func (s *Storage) Tables(ctx context.Context) ([]string, error) {
	var names []string
	for e, err := range s.p.List(ctx, providers.ListOptions{Prefix: []byte(schemaPrefix), KeysOnly: true}) {
		if err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		name, rest, err := tuple.Next(e.Key[len(schemaPrefix):])
		if err != nil || len(rest) > 0 {
			return nil, driver.KeyError("list tables", e.Key, ErrCorrupt)
		}
		names = append(names, string(name))
	}
	return names, nil
}

// DropTable removes a table with all that it holds. The table is gone at once, its rows
// are then removed a thousand at a time; what a crash leaves of them, Compact removes.
func (s *Storage) DropTable(ctx context.Context, table string) error {
	var id uint32
	err := s.p.Update(ctx, func(tx *providers.Tx) error {
		d, err := s.definitionIn(ctx, tx, table)
		if err != nil {
			return err
		}
		id = d.ID
		if err := tx.Put(ctx, droppedKey(id, 0), nil, providers.PutOptions{}); err != nil {
			return err
		}
		return tx.Delete(ctx, schemaKey(table), providers.DeleteOptions{})
	})
	if err == nil {
		s.known.Delete(table)
		err = s.purge(ctx, id, 0)
	}
	if err != nil {
		return fmt.Errorf("drop table %s: %w", table, err)
	}
	return nil
}

// definitionIn reads the definition of a table in a transaction, so that no change of the
// schema passes unnoticed.
func (s *Storage) definitionIn(ctx context.Context, tx *providers.Tx, table string) (*definition, error) {
	e, err := tx.Get(ctx, schemaKey(table))
	if err != nil {
		return nil, noTable(table, err)
	}
	return s.definition(table, e)
}

// purgeAtOnce bounds how many keys are read and removed at one time.
const purgeAtOnce = 1000

// purge removes what a dropped table has left, or a dropped index if index is not 0. No
// transaction can write there any more: each has read the schema.
func (s *Storage) purge(ctx context.Context, table, index uint32) error {
	prefixes := [][]byte{indexPrefix(table, index)}
	if index == 0 {
		prefixes = [][]byte{rowPrefix(table), numbered('i', table), guardKey(table)}
	}
	at := min(purgeAtOnce, s.caps.Limits.MaxCommitWrites)
	for _, prefix := range prefixes {
		for {
			var writes []providers.Write
			for e, err := range s.p.List(ctx, providers.ListOptions{Prefix: prefix, KeysOnly: true, Limit: at}) {
				if err != nil {
					return err
				}
				writes = append(writes, providers.Write{Key: slices.Clone(e.Key), Delete: true})
			}
			if len(writes) == 0 {
				break
			}
			if err := s.p.BulkPut(ctx, writes); err != nil {
				return err
			}
		}
	}
	return s.p.Delete(ctx, droppedKey(table, index), providers.DeleteOptions{})
}

// purgeAll removes what dropped tables and indexes have left.
func (s *Storage) purgeAll(ctx context.Context) error {
	var left [][2]uint32
	for e, err := range s.p.List(ctx, providers.ListOptions{Prefix: []byte(droppedPrefix), KeysOnly: true}) {
		if err != nil {
			return err
		}
		rest := e.Key[len(droppedPrefix):]
		if len(rest) != 8 {
			return driver.KeyError("purge", e.Key, ErrCorrupt)
		}
		left = append(left, [2]uint32{binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])})
	}
	for _, l := range left {
		if err := s.purge(ctx, l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// Checkpoint writes an openable, durable copy of the whole provider into dir, which must
// not exist or must be empty. ErrUnsupported where the backend makes none.
func (s *Storage) Checkpoint(ctx context.Context, dir string) error {
	c, ok := s.p.Driver().(driver.Checkpointer)
	if !ok {
		return fmt.Errorf("checkpoint: %w: %s makes none; back it up by its own means", providers.ErrUnsupported, s.caps.Backend)
	}
	return c.Checkpoint(ctx, dir)
}

// Compact removes what dropped tables and indexes have left, and has the backend reclaim
// space where it does so on demand.
func (s *Storage) Compact(ctx context.Context) error {
	if err := s.purgeAll(ctx); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	if c, ok := s.p.Driver().(driver.Compacter); ok {
		return c.Compact(ctx)
	}
	return nil
}

// Metrics are counters since the storage was made, and those of the provider.
type Metrics struct {
	// RowsRead and EntriesRead count the rows and the index entries that queries,
	// updates and deletes looked at, whether they passed the filter or not.
	RowsRead, EntriesRead uint64
	// RowsInserted, RowsUpdated and RowsDeleted count what statements did, also those of
	// transactions that were rolled back or run again.
	RowsInserted, RowsUpdated, RowsDeleted uint64
	Provider                               providers.Metrics
}

// Metrics returns the counters. It is cheap enough to be called every second.
func (s *Storage) Metrics() Metrics {
	return Metrics{
		RowsRead: s.rowsRead.Load(), EntriesRead: s.entriesRead.Load(),
		RowsInserted: s.rowsInserted.Load(), RowsUpdated: s.rowsUpdated.Load(), RowsDeleted: s.rowsDeleted.Load(),
		Provider: s.p.Metrics(),
	}
}
