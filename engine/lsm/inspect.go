package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Inspect prints what is in the directory of a store, which it does not change: what
// CURRENT and the manifest say, families, what of the log is in no table yet, the levels
// with their tables, value files with the share of them that is of use, and files that
// nothing tells of. It reads every block and value of all tables, and verifies their
// checksums, the order of keys and versions, what blocks, indexes and filters say beside
// the keys to be found faster, what the manifest says of each table, and that what is
// newer lies above what is older. Keys are printed with the number of their family before
// them. The segments of log and manifest are a matter of their own; see wal.Inspect.
//
// The store should be closed: nothing is locked, so that what is written meanwhile may
// look like damage. The memory that this takes is what the manifest says, index and
// filter of one table of each run, a block and a value, and two segments of the log.
//
// It returns, after printing everything, ErrCorrupt with file and offset for each place
// that is not sound, as far as there are not too many, and ErrNotFound if dir has no
// store. A file that nothing tells of is no damage: the next opening removes it, if it is
// a table or a value file.
func Inspect(ctx context.Context, fsys vfs.FS, dir string, w io.Writer) error {
	v := newVerifier(ctx, fsys, dir)
	p := inspection.NewPrinter(w)
	err := inspectStore(p, v)
	if err = errors.Join(err, v.close()); err != nil {
		return fmt.Errorf("inspect %s: %w", dir, err)
	}
	v.damage.Print(p)
	return errors.Join(p.Err(), v.damage.Err())
}

// inspectStore prints and verifies everything. What it returns is no damage.
func inspectStore(p *inspection.Printer, v *verifier) error {
	names, err := v.find()
	if err != nil {
		return err
	}
	c, err := readCurrent(v.fs, v.dir)
	if err != nil {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		v.damage.Add(restore(err))
		p.Printf("LSM-tree in %s, without a sound %s\n", v.dir, currentName)
		return nil
	}
	v.e.id = c.store
	p.Printf("LSM-tree %016x in %s: %d levels, the manifest counts from record %d on\n", c.store, v.dir, c.levels, c.after+1)
	if ok, err := v.readManifest(c); !ok {
		return err
	}
	m := &v.manifest
	p.Printf("manifest  %d edits, of which %d are whole; of version %d, record %d of the log; files up to %d\n",
		m.edits, m.whole, v.e.manifestVersion, v.e.manifestSequence, v.e.lastFile.Load())
	v.printFamilies(p)
	if err := v.readLog(); err != nil {
		return err
	}
	p.Printf("log       %d records behind that: %d batches, %d bulk loads, %d cleared ranges; up to version %d\n",
		v.log.records, v.log.batches, len(v.log.loads), v.log.cleared, v.log.version)
	if err := v.run(); err != nil {
		return err
	}
	v.printLevels(p)
	v.printFiles(p, names)
	return v.ctx.Err()
}

func (v *verifier) printFamilies(p *inspection.Printer) {
	for _, name := range slices.SortedFunc(maps.Keys(v.e.families), func(a, b string) int { return int(int64(v.e.families[a]) - int64(v.e.families[b])) }) {
		p.Printf("family %d  %s\n", v.e.families[name], engine.QuoteKey([]byte(name)))
	}
	for _, id := range slices.Sorted(maps.Keys(v.e.clearing)) {
		p.Printf("family %d  dropped; something of it may still be there\n", id)
	}
}

func (v *verifier) printLevels(p *inspection.Printer) {
	pieces := map[uint64]int{}
	for _, s := range v.scans {
		for _, t := range s.run.tables {
			pieces[t.number]++
		}
	}
	for _, s := range v.scans {
		if len(s.run.tables) == 0 {
			continue
		}
		p.Printf("%s: %d tables, %d bytes\n", s.where, len(s.run.tables), s.run.bytes())
		for _, t := range s.run.tables {
			p.Printf("  table %d  %d bytes, %d entries, %d deletes, %d range tombstones, versions %d to %d, %s to %s",
				t.number, t.bytes, t.entries, t.deletes, t.ranges, t.lowest+t.add, t.newest(), engine.QuoteKey(t.lower), engine.QuoteKey(t.upper))
			switch n := pieces[t.number]; {
			case n > 1:
				p.Printf("; one of %d pieces, about %d bytes", n, t.live)
			case !t.whole():
				p.Printf("; a piece of about %d bytes", t.live)
			}
			p.Printf("\n")
		}
	}
	for _, n := range slices.Sorted(maps.Keys(v.levels.values)) {
		bytes, used := v.levels.values[n].bytes, int64(0)
		if c := v.values[n]; c != nil {
			used = c.used
		}
		p.Printf("value file %d  %d bytes, of which %.1f %% are of use\n", n, bytes, 100*float64(used)/float64(max(bytes, 1)))
	}
}

// printFiles names the files that nothing tells of.
func (v *verifier) printFiles(p *inspection.Printer, names []string) {
	known := map[string]bool{vfs.LockName: true, currentName: true, logName: true, manifestName: true, "lost+found": true}
	for _, s := range v.scans {
		for _, t := range s.run.tables {
			known[fileName("", t.number, tableSuffix)] = true
		}
	}
	for n := range v.levels.values {
		known[fileName("", n, valueSuffix)] = true
	}
	for _, name := range names {
		_, ours := fileNumber(name)
		switch {
		case known[name]:
		case name == currentTemp:
			p.Printf("%s: left by a crash, and of no use\n", name)
		case ours && v.log.damaged:
			p.Printf("%s: nothing tells of it, as far as the log can be read\n", name)
		case ours:
			p.Printf("%s: nothing tells of it; the next opening removes it\n", name)
		default:
			p.Printf("%s: not of a store\n", name)
		}
	}
}

// find returns the names in the directory, and ErrNotFound if it has no store.
func (v *verifier) find() ([]string, error) {
	names, err := v.fs.List(v.dir)
	if missing(err) {
		return nil, fmt.Errorf("%w: %w", engine.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	none := fmt.Errorf("%w: there is no file %s of a store", engine.ErrNotFound, currentName)
	name := filepath.Join(v.dir, currentName)
	switch info, err := v.fs.Stat(name); {
	case missing(err):
		for _, name := range names {
			if _, ours := fileNumber(name); ours {
				return nil, fmt.Errorf("%w: %s is there, but no %s; restore that from a backup", engine.ErrCorrupt, name, currentName)
			}
		}
		return nil, none
	case err != nil:
		return nil, err
	case info.Kind == vfs.Directory:
		return nil, none
	}
	// LevelDB and what descends from it have a file of that name too.
	f, err := v.fs.Open(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	theirs := []byte("MANIFEST-")
	b := make([]byte, len(theirs))
	n, err := readFull(f, b)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if bytes.Equal(b[:n], theirs) {
		return nil, none
	}
	return names, nil
}
