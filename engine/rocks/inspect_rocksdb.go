//go:build rocksdb

package rocks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linxGnu/grocksdb"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
)

// Inspect prints what RocksDB tells of the store in dir: its families, their levels, and how
// many entries there are in each; and reads all of it, whose checksums RocksDB verifies. It
// opens the store for reading, and changes nothing. The store should be closed: nothing is
// locked.
//
// It returns ErrNotFound if dir has no store of RocksDB, and, after printing, ErrCorrupt
// for the first damage in each family: RocksDB does not go on behind one.
func Inspect(ctx context.Context, dir string, w io.Writer) error {
	return inspection.Run(dir, w, func(p *inspection.Printer, damage *inspection.Damage) error {
		return inspect(ctx, dir, p, damage)
	})
}

func inspect(ctx context.Context, dir string, p *inspection.Printer, damage *inspection.Damage) (err error) {
	manifest, err := manifestOf(dir)
	if err != nil {
		return err
	}
	if manifest == "" {
		return fmt.Errorf("%w: no store of RocksDB", engine.ErrNotFound)
	}
	if _, err := os.Stat(filepath.Join(dir, manifest)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: CURRENT names %s, which is missing; restore the store from a backup", engine.ErrCorrupt, manifest)
	} else if err != nil {
		return err
	}
	settings := newSettings(Options{}.WithDefaults())
	defer settings.destroy()
	// RocksDB writes a file of what it does, else in dir.
	logs, err := os.MkdirTemp("", "orbit-inspect-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(logs)) }()
	settings.options.SetDbLogDir(logs)
	settings.options.SetCreateIfMissing(false)
	settings.options.SetCreateIfMissingColumnFamilies(false)
	names, err := familyNames(dir, settings.options)
	if err != nil {
		return err
	}
	options := slices.Repeat([]*grocksdb.Options{settings.options}, len(names))
	db, handles, err := grocksdb.OpenDbForReadOnlyColumnFamilies(settings.options, dir, names, options, false)
	if err != nil {
		return translate(err)
	}
	defer db.Close()
	defer func() {
		for _, h := range handles {
			h.Destroy()
		}
	}()
	p.Printf("RocksDB in %s, %d families\n", dir, len(names))
	for i, h := range handles {
		entries, bytes, err := readAll(ctx, db, h)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.Printf("family %s: %d entries, %d bytes of keys and values\n%s\n", names[i], entries, bytes,
			strings.TrimRight(db.GetPropertyCF("rocksdb.levelstats", h), "\n"))
		if err != nil {
			damage.Add(fmt.Errorf("family %s: %w", names[i], err))
		}
	}
	return nil
}

// readAll reads every entry of a family.
func readAll(ctx context.Context, db *grocksdb.DB, family *grocksdb.ColumnFamilyHandle) (entries int, bytes int64, err error) {
	o := grocksdb.NewDefaultReadOptions()
	defer o.Destroy()
	o.SetFillCache(false)
	it := db.NewIteratorCF(o, family)
	defer it.Close()
	for it.SeekToFirst(); it.Valid() && ctx.Err() == nil; it.Next() {
		key, value := it.Key(), it.Value()
		entries, bytes = entries+1, bytes+int64(key.Size()+value.Size())
	}
	return entries, bytes, translate(it.Err())
}
