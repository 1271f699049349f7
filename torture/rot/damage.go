package rot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

const sectorBytes = 512

// kind is what goes wrong with a sector.
type kind int

const (
	flip kind = iota
	zero
	misdirect
	swap
	stale
	kinds
)

var kindNames = [...]string{flip: "flip", zero: "zero", misdirect: "misdirect", swap: "swap", stale: "stale"}

func (k kind) String() string { return kindNames[k] }

// sector is a place in the store.
type sector struct {
	file string
	// number counts sectors of the file; the last may be shorter than the others.
	number int64
}

// damage is one sector gone wrong.
type damage struct {
	sector
	kind kind
}

// String returns "flip in /store/log, sector 3".
func (d damage) String() string { return fmt.Sprintf("%v in %s, sector %d", d.kind, d.file, d.number) }

// files returns the files below a directory, in order, with their sizes.
func files(d *simdisk.Disk, dir string) (names []string, sizes []int64, err error) {
	entries, err := d.List(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		name := path.Join(dir, entry)
		info, err := d.Stat(name)
		if err != nil {
			return nil, nil, err
		}
		if info.Kind == vfs.RegularFile {
			names, sizes = append(names, name), append(sizes, info.Size)
			continue
		}
		below, lengths, err := files(d, name)
		if err != nil {
			return nil, nil, err
		}
		names, sizes = append(names, below...), append(sizes, lengths...)
	}
	return names, sizes, nil
}

// read returns what is in a sector; less at the end of the file, and nothing
// where there is no such file.
func read(d *simdisk.Disk, s sector) (data []byte, err error) {
	f, err := d.Open(s.file, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data = make([]byte, sectorBytes)
	n, err := f.ReadAt(data, s.number*sectorBytes)
	if err == io.EOF {
		err = nil
	}
	return data[:n], err
}

// write puts data into a sector.
func write(d *simdisk.Disk, s sector, data []byte) (err error) {
	f, err := d.Open(s.file, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.WriteAt(data, s.number*sectorBytes, vfs.Plain)
	return err
}

// do damages a disk. It reports false, and changes nothing, if the sector would
// be as before. all are the sectors of the store, earlier are images from before.
func (g damage) do(d *simdisk.Disk, all []sector, earlier []*simdisk.Disk, seed uint64) (bool, error) {
	random := rand.New(rand.NewPCG(seed, uint64(g.number)<<8|uint64(g.kind)))
	here, err := read(d, g.sector)
	if err != nil || len(here) == 0 {
		return false, err
	}
	next := bytes.Clone(here)
	switch g.kind {
	case flip:
		next[random.IntN(len(next))] ^= 1 << random.IntN(8)
	case zero:
		clear(next)
	case misdirect, swap:
		other := all[random.IntN(len(all))]
		there, err := read(d, other)
		if err != nil {
			return false, err
		}
		n := copy(next, there)
		if g.kind == misdirect || bytes.Equal(next, here) {
			break
		}
		copy(there[:n], here)
		if err := write(d, other, there); err != nil {
			return false, err
		}
	case stale:
		if len(earlier) == 0 {
			return false, nil
		}
		before, err := read(earlier[random.IntN(len(earlier))], g.sector)
		if err != nil {
			return false, ignoreMissing(err)
		}
		copy(next, before)
	}
	if bytes.Equal(next, here) {
		return false, nil
	}
	return true, write(d, g.sector, next)
}

// parseDamage reads what name wrote.
func parseDamage(s string, names []string) (damage, error) {
	var g damage
	var file int
	var word string
	if _, err := fmt.Sscanf(s, "%d-%d-%s", &file, &g.number, &word); err == nil && file >= 0 && file < len(names) {
		for g.kind = flip; g.kind < kinds; g.kind++ {
			if g.kind.String() == word {
				g.file = names[file]
				return g, nil
			}
		}
	}
	return g, fmt.Errorf("%w: damage %q of %d files", engine.ErrInvalid, s, len(names))
}

// name writes a damage for a replay string: "2-7-flip" is in sector 7 of the file
// number 2.
func (g damage) name(names []string) string {
	for i, name := range names {
		if name == g.file {
			return fmt.Sprintf("%d-%d-%v", i, g.number, g.kind)
		}
	}
	return ""
}
