package pebbledb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
)

// Inspect prints what Pebble tells of the store in dir: its levels, and how many entries
// there are in all; and has it verify the order within and between the levels, and the
// checksum of every block. It opens the store for reading, and changes nothing but that the
// lock file is made where there is none. ctx is looked at before the verification of the
// levels and at each entry.
//
// It returns ErrNotFound if dir has no store of Pebble, ErrLocked if it is open, and, after
// printing, ErrCorrupt for the first damage that was met: Pebble does not go on behind one.
func Inspect(ctx context.Context, dir string, w io.Writer) error {
	markers, err := filepath.Glob(filepath.Join(glob.Replace(dir), "marker.manifest.*"))
	if err != nil || len(markers) == 0 {
		return fmt.Errorf("inspect %s: %w: no store of Pebble", dir, errors.Join(engine.ErrNotFound, err))
	}
	return inspection.Run(dir, w, func(p *inspection.Printer, _ *inspection.Damage) error { return inspect(ctx, dir, p) })
}

// glob makes a name a pattern for itself alone.
var glob = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func inspect(ctx context.Context, dir string, p *inspection.Printer) (err error) {
	defer func() {
		// Pebble panics on some damaged files.
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", engine.ErrCorrupt, r, debug.Stack())
		}
	}()
	dir, lock, err := lockDirectory(dir, vfs.Default)
	if err != nil {
		return err
	}
	o := Options{}
	o.setDefaults()
	options := o.pebbleOptions()
	options.ReadOnly, options.ErrorIfNotExists, options.Lock = true, true, lock
	options.Logger = logger{fence: newFence(o.FS, dir)}
	db, err := pebble.Open(dir, options)
	if err != nil {
		return errors.Join(translate(err), lock.Close())
	}
	defer func() { err = errors.Join(err, translate(db.Close()), lock.Close()) }()
	p.Printf("Pebble in %s, format %d\n%s\n", dir, db.FormatMajorVersion(), strings.TrimRight(db.Metrics().String(), "\n"))
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := db.CheckLevels(nil); err != nil {
		return translate(err)
	}
	it, err := db.NewIter(nil)
	if err != nil {
		return translate(err)
	}
	entries, bytes := 0, int64(0)
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(translate(err), it.Close())
		}
		entries, bytes = entries+1, bytes+int64(len(it.Key())+len(value))
		if err := ctx.Err(); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	if err := it.Close(); err != nil {
		return translate(err)
	}
	p.Printf("%d entries, %d bytes of keys and values\n", entries, bytes)
	return nil
}
