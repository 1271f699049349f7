package lsm

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// The manifest is a log of its own, of edits; the newest whole one begins what counts.
// The file CURRENT says from where on the log is to be read: doc.go has both formats.

const (
	currentName  = "CURRENT"
	currentTemp  = "CURRENT.new"
	manifestName = "manifest"
	logName      = "log"
	currentMagic = "orbitlsm"
	currentBytes = 64

	// formatVersion is that of CURRENT, of the manifest and of tables.
	formatVersion = 1
	// rollBytes is how much is logged to the manifest, beyond twice what it says, before
	// it is written anew.
	rollBytes = 1 << 20
)

// What an edit consists of.
const (
	opReset = 1 + iota
	opAdd
	opRemove
	opValueFile
	opNoValueFile
	opFlushed
	opNextFile
	opFamily
	opNoFamily
	opCleared
	opNextFamily
	opLogBegun
)

// encode makes the record of an edit.
func (e *edit) encode() []byte {
	var out []byte
	op := func(kind byte, numbers ...uint64) {
		out = append(out, kind)
		for _, n := range numbers {
			out = binary.AppendUvarint(out, n)
		}
	}
	key := func(k []byte) {
		out = binary.AppendUvarint(out, uint64(len(k)))
		out = append(out, k...)
	}
	if e.reset {
		op(opReset)
	}
	for _, r := range e.removed {
		op(opRemove, r.number)
		key(r.lower)
	}
	for _, a := range e.added {
		m := a.meta
		op(opAdd, uint64(a.level), a.run, m.number, uint64(m.bytes), uint64(m.live), m.entries, m.deletes, m.ranges, m.rawBytes, m.lowest, m.highest, m.add)
		key(m.lower)
		key(m.upper)
		out = binary.AppendUvarint(out, uint64(len(m.refs)))
		for _, u := range m.refs {
			out = binary.AppendUvarint(out, u.file)
			out = binary.AppendUvarint(out, uint64(u.bytes))
		}
	}
	for _, v := range e.values {
		op(opValueFile, v.number, uint64(v.bytes))
	}
	for _, n := range e.noValues {
		op(opNoValueFile, n)
	}
	if e.version != 0 || e.logSequence != 0 {
		op(opFlushed, e.version, e.logSequence)
	}
	if e.nextFile != 0 {
		op(opNextFile, e.nextFile)
	}
	for _, f := range e.families {
		op(opFamily, uint64(f.id))
		key([]byte(f.name))
	}
	for _, id := range e.noFamilies {
		op(opNoFamily, uint64(id))
	}
	for _, id := range e.cleared {
		op(opCleared, uint64(id))
	}
	if e.nextFamily != 0 {
		op(opNextFamily, uint64(e.nextFamily))
	}
	if e.logBegun {
		op(opLogBegun)
	}
	return out
}

// editReader reads the parts of an edit.
type editReader struct {
	p   []byte
	bad bool
}

func (r *editReader) number() uint64 {
	u, w := binary.Uvarint(r.p)
	if w <= 0 {
		r.bad, r.p = true, nil
		return 0
	}
	r.p = r.p[w:]
	return u
}

func (r *editReader) signed() int64 {
	n := r.number()
	if n > 1<<62 {
		r.bad = true
	}
	return int64(n)
}

func (r *editReader) key() []byte {
	n := r.number()
	if n > uint64(len(r.p)) {
		r.bad, r.p = true, nil
		return nil
	}
	k := append([]byte{}, r.p[:n]...)
	r.p = r.p[n:]
	return k
}

func (r *editReader) family() engine.FamilyID {
	n := r.number()
	if n == 0 || n > 1<<32-1 {
		r.bad = true
	}
	return engine.FamilyID(n)
}

// decodeEdit reads what encode wrote.
func decodeEdit(p []byte, levels int) (*edit, error) {
	e := &edit{}
	r := editReader{p: p}
	for len(r.p) > 0 && !r.bad {
		kind := r.p[0]
		r.p = r.p[1:]
		switch kind {
		case opReset:
			e.reset = true
		case opRemove:
			e.removed = append(e.removed, removal{r.number(), r.key()})
		case opAdd:
			m := &tableMeta{}
			level, run := r.number(), r.number()
			m.number, m.bytes, m.live = r.number(), r.signed(), r.signed()
			m.entries, m.deletes, m.ranges, m.rawBytes = r.number(), r.number(), r.number(), r.number()
			m.lowest, m.highest, m.add = r.number(), r.number(), r.number()
			m.lower, m.upper = r.key(), r.key()
			n := r.number()
			if level > uint64(levels) {
				// CURRENT has told how many there are.
				return nil, fmt.Errorf("%w: a table is in level %d of %d", engine.ErrCorrupt, level, levels)
			}
			if n > uint64(len(r.p)) || string(m.lower) >= string(m.upper) || m.highest > maxVersion || m.add > maxVersion || (level == 0) != (run != 0) {
				r.bad = true
				break
			}
			for range n {
				m.refs = append(m.refs, valueUse{r.number(), r.signed()})
			}
			e.added = append(e.added, addition{level: int(level), run: run, meta: m})
		case opValueFile:
			e.values = append(e.values, valueMeta{r.number(), r.signed()})
		case opNoValueFile:
			e.noValues = append(e.noValues, r.number())
		case opFlushed:
			e.version, e.logSequence = r.number(), r.number()
			r.bad = r.bad || e.version > maxVersion
		case opNextFile:
			e.nextFile = r.number()
		case opFamily:
			e.families = append(e.families, family{r.family(), string(r.key())})
		case opNoFamily:
			e.noFamilies = append(e.noFamilies, r.family())
		case opCleared:
			e.cleared = append(e.cleared, r.family())
		case opNextFamily:
			e.nextFamily = r.family()
		case opLogBegun:
			e.logBegun = true
		default:
			r.bad = true
		}
	}
	if r.bad {
		return nil, fmt.Errorf("%w: an edit of %d bytes, before its last %d", engine.ErrCorrupt, len(p), len(r.p))
	}
	return e, nil
}

// current is what the file CURRENT says.
type current struct {
	store uint64
	// after is the record of the manifest that the newest whole edit comes after.
	after uint64
	// levels is how many there are, the top included.
	levels uint32
}

func (c current) encode() []byte {
	b := make([]byte, currentBytes)
	le := binary.LittleEndian
	copy(b, currentMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], c.levels)
	le.PutUint64(b[16:], c.store)
	le.PutUint64(b[24:], c.after)
	le.PutUint32(b[60:], checksum.Of(b[:60]))
	return b
}

func decodeCurrent(b []byte) (c current, err error) {
	le := binary.LittleEndian
	if len(b) != currentBytes || string(b[:8]) != currentMagic || !checksum.Matches(le.Uint32(b[60:]), checksum.Of(b[:60])) {
		return c, fmt.Errorf("%w: the file does not match its checksum; restore it, or the store, from a backup", engine.ErrCorrupt)
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return c, fmt.Errorf("%w: format %d; this program reads format %d", engine.ErrCorrupt, v, formatVersion)
	}
	c = current{store: le.Uint64(b[16:]), after: le.Uint64(b[24:]), levels: le.Uint32(b[12:])}
	if c.levels == 0 || c.levels > maxLevels {
		return c, fmt.Errorf("%w: %d levels", engine.ErrCorrupt, c.levels)
	}
	return c, nil
}

// readCurrent reads the file CURRENT of a directory.
func readCurrent(fsys vfs.FS, dir string) (c current, err error) {
	name := filepath.Join(dir, currentName)
	f, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		return c, err
	}
	b := make([]byte, currentBytes+1)
	n, err := readFull(f, b)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return c, err
	}
	if c, err = decodeCurrent(b[:n]); err != nil {
		return c, vfs.NewError("read", name, 0, err)
	}
	return c, nil
}

// writeCurrent puts another CURRENT in the place of the old one, durably.
func writeCurrent(fsys vfs.FS, dir string, c current) error {
	temp := filepath.Join(dir, currentTemp)
	f, err := fsys.Open(temp, vfs.Create|vfs.Truncate)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(c.encode(), 0, vfs.Plain)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = fsys.Rename(temp, filepath.Join(dir, currentName))
	}
	if err == nil {
		err = fsys.SyncDir(dir)
	}
	return err
}

// manifest writes edits.
type manifest struct {
	log     *wal.Log
	current current
	// logged counts the bytes since the last whole edit, whole those of that one.
	logged, whole int64
}

// manifestOptions returns how the manifest in a directory is opened. Its segments are no
// larger than those of the log.
func (o Options) manifestOptions(dir string) wal.Options {
	segment := int64(rollBytes)
	if o.SegmentBytes > 0 {
		segment = min(segment, o.SegmentBytes)
	}
	return wal.Options{FS: o.FS, Sinks: []string{filepath.Join(dir, manifestName)}, SegmentBytes: segment, Flush: wal.SyncData, Inline: o.Inline}
}

// append makes an edit durable.
func (m *manifest) append(e *edit) (uint64, error) {
	b := e.encode()
	sequence, err := m.log.Append(context.Background(), b, engine.Flushed)
	if err == nil {
		err = m.log.Flush(sequence)
	}
	if err != nil {
		return 0, fmt.Errorf("write the manifest: %w", err)
	}
	m.logged += int64(len(b))
	if e.reset {
		m.logged, m.whole = 0, int64(len(b))
	}
	return sequence, nil
}

// due reports whether it is time to write the manifest anew.
func (m *manifest) due() bool { return m.logged > rollBytes+2*m.whole }

// roll writes the manifest anew, with a whole edit.
func (m *manifest) roll(fsys vfs.FS, dir string, whole *edit) error {
	sequence, err := m.append(whole)
	if err != nil {
		return err
	}
	c := m.current
	c.after = sequence - 1
	if err := writeCurrent(fsys, dir, c); err != nil {
		return err
	}
	m.current = c
	return m.log.Release(c.after)
}
