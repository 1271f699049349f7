package cowbtree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

const (
	magic         = "orbitcow"
	formatVersion = 1

	metaBytes = 128
	slotBytes = blockSectors * sectorBytes
)

// meta is what a meta slot says: all that a store is at a checkpoint.
type meta struct {
	// id is the store's, checkpoint the number of the checkpoint.
	id, checkpoint uint64
	// sequence is that of the last commit in it; the log has what follows.
	sequence uint64
	// begun is the sequence with which the store was made: above it, it has a log.
	begun      uint64
	generation uint64
	root       ref
	level      int
	catalog    extent
	// catalogBytes are in the catalog, with that checksum.
	catalogBytes uint32
	catalogSum   uint32
	// size is the length of the file, in sectors.
	size int64
}

// encode makes the bytes of a meta page.
func (m meta) encode() []byte {
	b := make([]byte, metaBytes)
	copy(b, magic)
	putU32(b, 8, formatVersion)
	putU64(b, 16, m.id)
	putU64(b, 24, m.checkpoint)
	putU64(b, 32, m.sequence)
	putU64(b, 40, m.begun)
	putU64(b, 48, m.generation)
	putU64(b, 56, m.root.id)
	putU64(b, 64, m.root.birth<<8|uint64(m.root.flags))
	putU32(b, 72, m.root.sum)
	putU32(b, 76, uint32(m.level))
	putU64(b, 80, m.catalog.id())
	putU32(b, 88, m.catalogBytes)
	putU32(b, 92, m.catalogSum)
	putU64(b, 96, uint64(m.size))
	putU32(b, 12, checksum.Of(b[:12], b[16:]))
	return b
}

// errNoMeta says that a slot was never written.
var errNoMeta = errors.New("an empty slot")

// errVersion says that a slot is of a format that this build does not know.
type errVersion struct{ error }

func (e errVersion) Unwrap() error { return e.error }

// decodeMeta reads a meta page.
func decodeMeta(b []byte) (meta, error) {
	var m meta
	if len(b) < metaBytes {
		return m, fmt.Errorf("%w: a meta page of %d bytes", engine.ErrCorrupt, len(b))
	}
	b = b[:metaBytes]
	zero := true
	for _, c := range b {
		zero = zero && c == 0
	}
	switch {
	case zero:
		return m, errNoMeta
	case string(b[:8]) != magic:
		return m, fmt.Errorf("%w: it begins with %q, not with %q; this is no file of a copy-on-write B+tree", engine.ErrCorrupt, b[:8], magic)
	case !checksum.Matches(u32(b, 12), checksum.Of(b[:12], b[16:])):
		return m, fmt.Errorf("%w: the checksum of a meta page does not match", engine.ErrCorrupt)
	case u32(b, 8) != formatVersion:
		return m, errVersion{fmt.Errorf("%w: format version %d; this build knows %d: use a newer one", engine.ErrCorrupt, u32(b, 8), formatVersion)}
	}
	word := u64(b, 64)
	m = meta{
		id: u64(b, 16), checkpoint: u64(b, 24), sequence: u64(b, 32), begun: u64(b, 40), generation: u64(b, 48),
		root:  ref{id: u64(b, 56), birth: word >> 8, flags: byte(word), sum: u32(b, 72)},
		level: int(u32(b, 76)), catalog: extentOf(u64(b, 80)), catalogBytes: u32(b, 88), catalogSum: u32(b, 92), size: int64(u64(b, 96)),
	}
	if m.level >= 32 || m.root.isUnwritten() || m.root.id == 0 || int64(m.catalogBytes) > m.catalog.n*sectorBytes || m.size < metaSectors {
		return m, fmt.Errorf("%w: a meta page that says what cannot be", engine.ErrCorrupt)
	}
	return m, nil
}

// readMeta returns the newest meta page of a data file.
func readMeta(f vfs.File) (meta, error) {
	var newest meta
	var found bool
	var problems []error
	for slot := range metaSlots {
		b := vfs.AlignedBuffer(slotBytes, max(f.Alignment().Memory, 1))
		off := int64(slot) * slotBytes
		n, err := f.ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return meta{}, err
		}
		m, err := decodeMeta(b[:n])
		switch {
		case err == errNoMeta:
		case errors.As(err, new(errVersion)):
			return meta{}, vfs.NewError("read meta page", f.Name(), off, err) // whatever the others say
		case err != nil:
			problems = append(problems, vfs.NewError("read meta page", f.Name(), off, err))
		case !found || m.checkpoint > newest.checkpoint:
			newest, found = m, true
		}
	}
	if !found {
		if len(problems) == 0 {
			problems = append(problems, vfs.NewError("read meta page", f.Name(), 0, fmt.Errorf("%w: all slots are empty", engine.ErrCorrupt)))
		}
		return meta{}, errors.Join(problems...)
	}
	return newest, nil
}

// writeMeta writes a meta page into its slot. It is durable after the next flush.
func writeMeta(f vfs.File, m meta) error {
	b := vfs.AlignedBuffer(slotBytes, max(f.Alignment().Memory, 1))
	copy(b, m.encode())
	_, err := f.WriteAt(b, int64(m.checkpoint%metaSlots)*slotBytes, vfs.Plain)
	return err
}

// catalog is what a checkpoint knows beside the tree.
type catalog struct {
	free      []extent
	snapshots []catalogSnapshot
}

// catalogSnapshot is a named snapshot, and the pages that it holds and the newest
// tree has not.
type catalogSnapshot struct {
	name                 string
	sequence, generation uint64
	automatic            bool
	root                 ref
	level                int
	dead                 []dead
}

// encode makes the bytes of a catalog.
func (c catalog) encode() []byte {
	var b []byte
	num := func(n uint64) { b = binary.AppendUvarint(b, n) }
	num(uint64(len(c.free)))
	at := int64(0)
	for _, x := range c.free {
		num(uint64(x.at - at))
		num(uint64(x.n))
		at = x.end()
	}
	num(uint64(len(c.snapshots)))
	for _, s := range c.snapshots {
		num(uint64(len(s.name)))
		b = append(b, s.name...)
		num(s.sequence)
		num(s.generation)
		automatic := uint64(0)
		if s.automatic {
			automatic = 1
		}
		num(automatic)
		num(uint64(s.level))
		num(s.root.id)
		num(s.root.birth)
		num(uint64(s.root.flags))
		num(uint64(s.root.sum))
		num(uint64(len(s.dead)))
		for _, d := range s.dead {
			kind := uint64(0)
			if d.extent {
				kind = 1
			}
			num(d.id<<1 | kind)
			num(d.birth)
		}
	}
	return b
}

// decodeCatalog reads a catalog.
func decodeCatalog(b []byte) (catalog, error) {
	var c catalog
	bad := false
	num := func() uint64 {
		n, w := binary.Uvarint(b)
		if w <= 0 {
			bad = true
			return 0
		}
		b = b[w:]
		return n
	}
	// count is a number of things that take a byte each at least.
	count := func() int {
		n := num()
		if n > uint64(len(b)) {
			bad = true
			return 0
		}
		return int(n)
	}
	at := int64(0)
	for n := count(); n > 0 && !bad; n-- {
		gap, size := num(), num()
		if gap > 1<<42 || size > 1<<42 || size == 0 {
			bad = true
			break
		}
		at += int64(gap)
		c.free = append(c.free, extent{at, int64(size)})
		at += int64(size)
	}
	for n := count(); n > 0 && !bad; n-- {
		var s catalogSnapshot
		size := count()
		if bad {
			break
		}
		s.name, b = string(b[:size]), b[size:]
		s.sequence, s.generation = num(), num()
		s.automatic = num() == 1
		level := num()
		s.root.id, s.root.birth = num(), num()
		s.root.flags, s.root.sum = byte(num()), uint32(num())
		if level >= 32 || s.root.id == 0 || s.root.isUnwritten() {
			bad = true
		}
		s.level = int(level)
		for k := count(); k > 0 && !bad; k-- {
			id := num()
			s.dead = append(s.dead, dead{id: id >> 1, birth: num(), extent: id&1 == 1})
		}
		c.snapshots = append(c.snapshots, s)
	}
	if bad || len(b) > 0 {
		return catalog{}, fmt.Errorf("%w: a catalog that ends too soon or too late", engine.ErrCorrupt)
	}
	return c, nil
}
