package cowbtree

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// buildStore makes the data file of a store in dir, with what fill puts into it, as
// of that sequence. It is there, whole and durable, once it has its name.
func buildStore(dir string, o Options, sequence uint64, fill func(*txn) error) (err error) {
	e := newEngine(dir, o)
	temp := filepath.Join(dir, tempName)
	defer func() {
		if err != nil {
			if e := removeIfThere(o.FS, temp); e != nil {
				err = errors.Join(err, e)
			}
		}
	}()
	flags := vfs.Create | vfs.Truncate
	if o.Direct {
		flags |= vfs.Direct
	}
	if e.data, err = o.FS.Open(temp, flags); err != nil {
		return err
	}
	e.align = e.data.Alignment()
	err = e.buildFile(sequence, fill)
	if err := errors.Join(err, e.data.Close()); err != nil {
		return err
	}
	if err := o.FS.Rename(temp, filepath.Join(dir, dataName)); err != nil {
		return err
	}
	return o.FS.SyncDir(dir)
}

// removeIfThere removes a file that may not be there.
func removeIfThere(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// buildFile writes everything into the data file, and flushes it.
func (e *Engine) buildFile(sequence uint64, fill func(*txn) error) error {
	e.space = newSpace(metaSectors)
	e.history.generation = 1
	var err error
	if e.cache, err = newCache(e.options.CacheBytes, e.options.Inline); err != nil {
		return err
	}
	defer e.cache.empty(true)
	e.root.Store(&root{})
	t := e.begin()
	r, err := t.make(kindLeaf, 0, nil)
	if err != nil {
		return err
	}
	t.root = root{ref: r}
	if fill != nil {
		if err := fill(t); err != nil {
			return err
		}
	}
	for _, d := range t.dead {
		e.free(d) // written before it was superseded
	}
	w := e.newWriter()
	top, err := w.tree(t.root.ref, t.root.level)
	if e := w.finish(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	var c catalog
	n := sectors(len(catalog{free: e.space.list()}.encode()) + 64)
	x, err := e.room(n, n)
	if err != nil {
		return err
	}
	c.free = e.space.list()
	b := c.encode()
	buf := vfs.AlignedBuffer(int(x.n)*sectorBytes, max(e.align.Memory, 1))
	copy(buf, b)
	if _, err := e.data.WriteAt(buf, x.at*sectorBytes, vfs.Plain); err != nil {
		return err
	}
	err = writeMeta(e.data, meta{
		id: storeID(e.dir, e.options.Inline), checkpoint: 1, sequence: sequence, begun: sequence, generation: 1,
		root: top, level: t.root.level, catalog: x, catalogBytes: uint32(len(b)), catalogSum: checksum.Of(b), size: e.space.size,
	})
	if err != nil {
		return err
	}
	return e.data.Sync()
}
