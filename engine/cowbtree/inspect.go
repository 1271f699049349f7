package cowbtree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Inspect prints what is in the data file of a store, which it does not change: the
// meta slots, the shape of the newest tree, values apart from it, free space, and
// the named snapshots. It reads every page and value of all of them, and verifies
// their checksums, the order and the bounds of the keys, what pages say beside the
// keys to be found faster, and that each sector of the file is one thing's. The log
// is a matter of its own; see wal.Inspect.
//
// The store should be closed: nothing is locked, so that what is written meanwhile
// may look like damage. The memory that this takes is a bit for each sector of the
// file, and, where there are named snapshots, about 100 bytes for each page and value
// apart.
//
// It returns, after printing everything, ErrCorrupt with file and offset for each
// place that is not sound, as far as there are not too many, and ErrNotFound if dir
// has no data file.
func Inspect(ctx context.Context, fsys vfs.FS, dir string, w io.Writer) (err error) {
	name := filepath.Join(dir, dataName)
	switch info, err := fsys.Stat(name); {
	case errors.Is(err, fs.ErrNotExist), err == nil && info.Kind == vfs.Directory:
		return fmt.Errorf("inspect %s: %w: there is no file %s", dir, engine.ErrNotFound, dataName)
	case err != nil:
		return fmt.Errorf("inspect %s: %w", dir, err)
	}
	f, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		return fmt.Errorf("inspect %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p := inspection.NewPrinter(w)
	v := &verifier{ctx: ctx, file: f, damage: damage{name: name}}
	if err := inspectFile(p, v); err != nil {
		return fmt.Errorf("inspect %s: %w", dir, err)
	}
	v.damage.Print(p)
	return errors.Join(p.Err(), v.damage.Err())
}

// inspectFile prints and verifies everything. What it returns is no damage.
func inspectFile(p *inspection.Printer, v *verifier) error {
	bytes, err := v.file.Size()
	if err != nil {
		return err
	}
	found := inspectMeta(p, v, bytes)
	if !found {
		return v.ctx.Err()
	}
	// Nothing lies behind the end of the file, whatever is said.
	v.cover = newCover(min(v.meta.size, bytes/sectorBytes))
	if bytes < v.meta.size*sectorBytes {
		v.damage.at(bytes, "the file ends here, and should have %d bytes; restore the store from a backup", v.meta.size*sectorBytes)
	}
	if !inspectCatalog(v) {
		v.blind = true
	}
	if err := v.run(); err != nil {
		return err
	}
	v.print(p)
	if n := bytes - v.meta.size*sectorBytes; n > 0 {
		p.Printf("behind the end: %d bytes, which are free at the next opening\n", n)
	}
	return nil
}

// inspectMeta prints the meta slots, and takes the newest; false if there is none.
func inspectMeta(p *inspection.Printer, v *verifier, bytes int64) bool {
	var metas [metaSlots]meta
	var errs [metaSlots]error
	newest := -1
	for slot := range metaSlots {
		b := make([]byte, metaBytes)
		off := int64(slot) * slotBytes
		n, err := v.file.ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			errs[slot] = err
			v.damage.Add(err)
			continue
		}
		metas[slot], err = decodeMeta(b[:n])
		errs[slot] = err
		switch {
		case err == errNoMeta:
		case err != nil:
			v.damage.Add(vfs.NewError("inspect", v.damage.name, off, fmt.Errorf("meta slot %d: %w", slot, err)))
		case newest < 0 || metas[slot].checkpoint > metas[newest].checkpoint:
			newest = slot
		}
	}
	if newest < 0 {
		p.Printf("%s: %d bytes, without any sound meta slot\n", v.damage.name, bytes)
		if v.damage.Count() == 0 {
			v.damage.at(0, "all meta slots are empty; restore the store from a backup")
		}
		return false
	}
	v.meta = metas[newest]
	p.Printf("copy-on-write B+tree %016x in %s: %d bytes\n", v.meta.id, v.damage.name, bytes)
	for slot, m := range metas {
		switch err := errs[slot]; {
		case err == errNoMeta:
			p.Printf("slot %d  empty\n", slot)
			continue
		case err != nil:
			p.Printf("slot %d  %v\n", slot, err)
			continue
		}
		mark := ""
		if slot == newest {
			mark = "; the newest"
		}
		p.Printf("slot %d  checkpoint %d of commit %d, generation %d, of a store begun at commit %d; %d bytes%s\n",
			slot, m.checkpoint, m.sequence, m.generation, m.begun, m.size*sectorBytes, mark)
		root := extentOf(m.root.id)
		p.Printf("        root at %d, %d bytes, level %d, born in %d, flags %#x, checksum %08x\n",
			offsetOf(root), root.n*sectorBytes, m.level, m.root.birth, m.root.flags, m.root.sum)
		p.Printf("        catalog at %d, %d of %d bytes, checksum %08x\n", offsetOf(m.catalog), m.catalogBytes, m.catalog.n*sectorBytes, m.catalogSum)
		off := int64(slot) * slotBytes
		if m.checkpoint%metaSlots != uint64(slot) {
			v.damage.at(off, "meta slot %d has checkpoint %d, which belongs into slot %d; restore the store from a backup", slot, m.checkpoint, m.checkpoint%metaSlots)
		}
		if m.id != v.meta.id {
			v.damage.at(off, "meta slot %d is of store %016x; restore the store from a backup", slot, m.id)
		}
	}
	return true
}

// inspectCatalog reads the catalog; false if that cannot be.
func inspectCatalog(v *verifier) bool {
	x, n := v.meta.catalog, int64(v.meta.catalogBytes)
	off := offsetOf(x)
	if x.end() > v.cover.size {
		return false // which will be told when its place is claimed
	}
	b := make([]byte, n)
	if err := v.readAt(b, off); err != nil {
		v.damage.Add(err)
		return false
	}
	if !checksum.Matches(v.meta.catalogSum, checksum.Of(b)) {
		v.damage.at(off, "the checksum of the catalog, %d bytes, does not match; restore the store from a backup", n)
		return false
	}
	c, err := decodeCatalog(b)
	if err != nil {
		v.damage.Add(vfs.NewError("inspect", v.damage.name, off, err))
		return false
	}
	v.catalog = c
	return true
}

// print prints what the verifier counted.
func (v *verifier) print(p *inspection.Printer) {
	t := v.trees[0]
	for level := len(t.levels) - 1; level >= 0; level-- {
		l := t.levels[level]
		p.Printf("level %d: %d pages, %d entries, %d bytes in the file; of the memory that they take they fill %.1f %%\n",
			level, l.pages, l.entries, l.sectors*sectorBytes, 100*float64(l.bytes)/float64(max(l.memory, 1)))
	}
	p.Printf("values apart: %d, %d bytes, in %d\n", t.values, t.valueBytes, t.valueRoom*sectorBytes)
	var free, largest int64
	for _, x := range v.catalog.free {
		free += x.n
		largest = max(largest, x.n)
	}
	p.Printf("free: %d extents, %d bytes, the largest %d\n", len(v.catalog.free), free*sectorBytes, largest*sectorBytes)
	for i, s := range v.catalog.snapshots {
		kind := "snapshot"
		if s.automatic {
			kind = "automatic snapshot"
		}
		t := v.trees[1+i]
		p.Printf("%s %s of commit %d, generation %d: %d pages and %d values are its alone, %d bytes\n",
			kind, engine.QuoteKey([]byte(s.name)), s.sequence, s.generation, t.alonePages, t.aloneValues, t.aloneRoom*sectorBytes)
	}
}
