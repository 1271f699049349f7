package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// verifier reads all that the manifest of a store tells of, and the log behind it, and
// finds out whether it is whole. It goes through all runs side by side, in the order of
// keys, so that what they say of one key can be compared.
type verifier struct {
	ctx    context.Context
	fs     vfs.FS
	dir    string
	damage damage
	// e is the engine as far as the manifest makes it: it is never opened.
	e        *Engine
	levels   *levels
	manifest struct{ edits, whole int }
	log      logFacts

	scans []*runScan // newest first
	// met are the tables whose files were verified, or could not be.
	met map[uint64]*table
	// strangers are families that keys have, and nothing tells of.
	strangers map[engine.FamilyID]bool
	values    map[uint64]*valueCheck
	raw, buf  []byte
}

// logFacts are what the log has that is in no table yet, unless it is of a bulk load.
type logFacts struct {
	records, batches, cleared int
	version                   uint64 // of the last record
	loads                     []*run // oldest first
	damaged                   bool
}

// valueCheck is a value file. It stays open while there are not too many.
type valueCheck struct {
	file vfs.File
	lost bool
	// used is how much of it entries within the bounds of tables refer to.
	used int64
}

// maxOpenValues bounds how many value files are open at a time.
const maxOpenValues = 100

func newVerifier(ctx context.Context, fsys vfs.FS, dir string) *verifier {
	e := &Engine{families: map[string]engine.FamilyID{}, known: map[engine.FamilyID]bool{}, clearing: map[engine.FamilyID]bool{}}
	e.fs, e.dir = fsys, dir
	return &verifier{
		ctx: ctx, fs: fsys, dir: dir, e: e,
		met: map[uint64]*table{}, strangers: map[engine.FamilyID]bool{}, values: map[uint64]*valueCheck{},
	}
}

// close closes what is open.
func (v *verifier) close() error {
	var errs []error
	for _, s := range v.scans {
		if s.r != nil {
			errs = append(errs, s.r.file.Close())
		}
	}
	return errors.Join(append(errs, v.closeValues())...)
}

func (v *verifier) closeValues() error {
	var errs []error
	for _, c := range v.values {
		if c.file != nil {
			errs = append(errs, c.file.Close())
			c.file = nil
		}
	}
	return errors.Join(errs...)
}

// damage is what was found to be wrong.
type damage struct{ inspection.Damage }

// at adds what is wrong at an offset of a file.
func (d *damage) at(name string, off int64, format string, args ...any) {
	d.Add(vfs.NewError("inspect", name, off, fmt.Errorf("%w: %s; restore the file, or the store from a backup", engine.ErrCorrupt, fmt.Sprintf(format, args...))))
}

// restore makes ErrCorrupt of errors for which a store, as its own files tell of it, has
// no other reason.
func restore(err error) error {
	if missing(err) || errors.Is(err, engine.ErrInvalid) {
		return fmt.Errorf("%w: %w; restore the store from a backup", engine.ErrCorrupt, err)
	}
	return err
}

// readManifest makes of the edits in the manifest what they say; ok is false if they
// cannot be read. The error is ctx's.
func (v *verifier) readManifest(c current) (ok bool, err error) {
	v.levels = emptyLevels(int(c.levels))
	name := filepath.Join(v.dir, manifestName)
	_, err = wal.Read(v.ctx, v.fs, name, c.after, func(r wal.Record) error {
		ed, err := decodeEdit(r.Payload, len(v.levels.below))
		if err == nil && v.manifest.edits == 0 && c.after > 0 && !ed.reset {
			err = fmt.Errorf("%w: %s says that it is whole, and it is not", engine.ErrCorrupt, currentName)
		}
		if err == nil {
			v.levels, err = v.e.applyRecovered(v.levels, ed)
		}
		if err != nil {
			return fmt.Errorf("record %d of the manifest: %w", r.Sequence, err)
		}
		v.manifest.edits++
		if ed.reset {
			v.manifest.whole++
		}
		return nil
	})
	if err == nil && v.manifest.edits == 0 && c.after > 0 {
		err = fmt.Errorf("%w: %s: the manifest ends before record %d, from which on it counts", engine.ErrCorrupt, name, c.after+1)
	}
	if err != nil {
		if err := v.ctx.Err(); err != nil {
			return false, err
		}
		v.damage.Add(restore(err))
		return false, nil
	}
	for _, t := range v.levels.all {
		if t.number > v.e.lastFile.Load() {
			v.damage.Add(fmt.Errorf("%w: %s has table %d, and says that files go up to %d; restore the store from a backup", engine.ErrCorrupt, name, t.number, v.e.lastFile.Load()))
		}
	}
	return true, nil
}

// readLog reads what of the log is in no table, and keeps bulk loads. The error is
// ctx's.
func (v *verifier) readLog() error {
	l := &v.log
	l.version = v.e.manifestVersion
	logs := filepath.Join(v.dir, logName)
	var err error
	if v.e.logBegun {
		err = checkLog(v.fs, logs)
	}
	if err == nil {
		_, err = wal.Read(v.ctx, v.fs, logs, v.e.manifestSequence, func(r wal.Record) error {
			if err := v.takeRecord(r); err != nil {
				return fmt.Errorf("record %d of the log: %w", r.Sequence, err)
			}
			l.records++
			return nil
		})
	}
	if err != nil {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		l.damaged = true
		v.damage.Add(restore(err))
	}
	return nil
}

func (v *verifier) takeRecord(r wal.Record) error {
	l := &v.log
	if len(r.Payload) == 0 || r.Payload[0] != recordNoBatch {
		b, err := engine.DecodeBatch(r.Payload)
		if err != nil {
			return err
		}
		l.batches++
		l.version = lastVersion(b, l.version)
		return nil
	}
	switch p := r.Payload[1:]; {
	case len(p) > 0 && p[0] == recordClear:
		if _, _, ok := decodeClear(p[1:]); !ok {
			return fmt.Errorf("%w: a range of %d bytes", engine.ErrCorrupt, len(p))
		}
		l.cleared++
		l.version++
		return nil
	case len(p) > 0 && p[0] == recordIngest:
		version, ed, err := decodeLoad(p[1:])
		if err != nil {
			return err
		}
		if version != l.version+1 {
			return fmt.Errorf("%w: a bulk load as version %d behind %d", engine.ErrCorrupt, version, l.version)
		}
		// A load is a run as the levels have it.
		alone, err := emptyLevels(1).apply(&v.e.store, ed)
		if err != nil {
			return err
		}
		l.version = version
		l.loads = append(l.loads, alone.top...)
		return nil
	}
	return fmt.Errorf("%w: it is of no kind that this program knows; a newer version may have written it", engine.ErrCorrupt)
}

// lastVersion returns the last version of a batch behind one: see Engine.addBatch.
func lastVersion(b *engine.Batch, before uint64) uint64 {
	version, changed := before+1, false
	for op := range b.Ops() {
		if op.Kind != engine.OpDeleteRange {
			changed = true
		} else if string(op.Key) < string(op.Value) && changed {
			version++
			changed = false
		}
	}
	return version
}

// run verifies all tables. What it returns is ctx's error; all else is damage.
func (v *verifier) run() error {
	add := func(r *run, newest uint64, where string) {
		s := &runScan{v: v, run: r, where: where, table: -1}
		v.scans = append(v.scans, s)
		for _, t := range r.tables {
			if t.newest() > newest {
				v.damage.at(t.file(v.dir), 0, "%s has it with versions up to %d, and there are none above %d", where, t.newest(), newest)
			}
		}
	}
	for _, r := range slices.Backward(v.log.loads) {
		add(r, r.id, fmt.Sprintf("run %d of the log", r.id))
	}
	for _, r := range v.levels.top {
		add(r, min(r.id, v.e.manifestVersion), fmt.Sprintf("run %d", r.id))
	}
	for i, r := range v.levels.below {
		add(r, v.e.manifestVersion, fmt.Sprintf("level %d", i+1))
	}
	for _, s := range v.scans {
		s.next()
	}
	var key []byte
	for {
		var first *runScan
		for _, s := range v.scans {
			if s.standing && (first == nil || bytes.Compare(s.key, first.key) < 0) {
				first = s
			}
		}
		if first == nil || v.ctx.Err() != nil {
			break
		}
		key = append(key[:0], first.key...)
		v.checkFamily(first, key)
		v.checkKey(key)
	}
	v.checkValueFiles()
	return v.ctx.Err()
}

// checkFamily verifies that something tells of the family of a key.
func (v *verifier) checkFamily(s *runScan, key []byte) {
	f, _, ok := cutPrefix(key)
	switch {
	case !ok:
		v.damage.at(s.t.file(v.dir), s.offset(), "key %s does not begin with the number of a family", engine.QuoteKey(key))
	case f != 0 && !v.e.known[f] && !v.e.clearing[f] && !v.strangers[f]:
		v.strangers[f] = true
		v.damage.at(s.t.file(v.dir), s.offset(), "key %s is of family %d, of which nothing tells", engine.QuoteKey(key), f)
	}
}

// checkKey verifies that what each run says of a key is newer than what those below it
// say, and moves all runs behind the key.
func (v *verifier) checkKey(key []byte) {
	var newer *runScan
	least := uint64(latest)
	for _, s := range v.scans {
		lowest, highest := s.cover(key)
		name, off := s.place()
		for s.standing && bytes.Equal(s.key, key) {
			lowest, highest = min(lowest, s.version), max(highest, s.version)
			name, off = s.place()
			v.use(s)
			s.next()
		}
		if lowest > highest {
			continue // nothing is there
		}
		if newer != nil && highest >= least {
			v.damage.at(name, off, "key %s: version %d is in %s, which lies below version %d in %s", engine.QuoteKey(key), highest, s.where, least, newer.where)
		}
		if lowest < least {
			least, newer = lowest, s
		}
	}
}

// use counts the value that the entry refers to on which a run stands.
func (v *verifier) use(s *runScan) {
	if s.kind != kindApart {
		return
	}
	if ref, err := decodeValueRef(s.value); err == nil && v.values[ref.file] != nil {
		v.values[ref.file].used += int64(ref.stored)
	}
}

// value verifies the value that an entry of a table refers to.
func (v *verifier) value(key []byte, ref valueRef) {
	meta := v.levels.values[ref.file]
	c := v.values[ref.file]
	if c == nil {
		c = &valueCheck{}
		v.values[ref.file] = c
		if meta == nil {
			c.lost = true
			v.damage.Add(fmt.Errorf("%w: the value of key %s is in value file %d, of which the manifest does not tell; restore the store from a backup", engine.ErrCorrupt, engine.QuoteKey(key), ref.file))
		}
	}
	if !c.lost && c.file == nil {
		v.openValues(c, meta)
	}
	if c.lost {
		return
	}
	at := place{store: v.e.id, file: ref.file, offset: int64(ref.offset)}
	p, err := readStored(c.file, "inspect", int(ref.stored), at, &v.raw, &v.buf)
	switch {
	case err != nil:
		v.damage.Add(fmt.Errorf("value of key %s: %w; restore the file, or the store from a backup", engine.QuoteKey(key), err))
	case uint64(len(p)) != ref.length:
		v.damage.at(c.file.Name(), at.offset, "the value of key %s has %d bytes, and should have %d", engine.QuoteKey(key), len(p), ref.length)
	}
}

// openValues opens a value file, and tells once if that cannot be.
func (v *verifier) openValues(c *valueCheck, meta *valueFile) {
	open := 0
	for _, other := range v.values {
		if other.file != nil {
			open++
		}
	}
	if open >= maxOpenValues {
		if err := v.closeValues(); err != nil {
			v.damage.Add(err)
		}
	}
	name := fileName(v.dir, meta.number, valueSuffix)
	f, err := v.fs.Open(name, vfs.ReadOnly)
	if err != nil {
		c.lost = true
		v.damage.Add(restore(err))
		return
	}
	c.file = f
}

// checkValueFiles verifies that value files are there, as long as they should be.
func (v *verifier) checkValueFiles() {
	for _, n := range slices.Sorted(maps.Keys(v.levels.values)) {
		meta, c := v.levels.values[n], v.values[n]
		name := fileName(v.dir, n, valueSuffix)
		switch info, err := v.fs.Stat(name); {
		case err != nil:
			if c == nil || !c.lost {
				v.damage.Add(restore(err))
			}
		case info.Size != meta.bytes:
			v.damage.at(name, min(info.Size, meta.bytes), "the file has %d bytes, and should have %d", info.Size, meta.bytes)
		}
		if c != nil && c.used > meta.bytes {
			v.damage.at(name, -1, "entries refer to %d bytes of it, and it has %d", c.used, meta.bytes)
		}
	}
}

func (t *table) file(dir string) string { return fileName(dir, t.number, tableSuffix) }

// whole reports whether a table is no piece of one.
func (t *table) whole() bool { return t.live == t.bytes }

// runScan goes through the entries of a run within the bounds of its tables, and verifies
// each file that it comes to as a whole, unless another has before.
type runScan struct {
	v     *verifier
	run   *run
	where string // what it is called

	table int
	t     *table
	r     *tableReader
	// fresh says that nobody has verified the file yet.
	fresh bool
	facts tableFacts
	block int
	b     block
	i     int
	// standing says that it stands on an entry: this one.
	standing   bool
	key, value []byte
	version    uint64
	kind       entryKind
	// stones are the tombstones of the tables that were opened, from about the key on.
	stones   fragments
	raw, buf []byte
}

// tableFacts are what a file was found to hold.
type tableFacts struct {
	entries, deletes, rawBytes uint64
	lowest, highest            uint64
	refs                       map[uint64]int64
	// first and last are keys, version is that of the last entry.
	first, last []byte
	version     uint64
	// blind says that not all could be read; unfiltered that the filter lacks a key.
	blind, unfiltered bool
}

// next goes to the next entry.
func (s *runScan) next() {
	s.standing = false
	for s.v.ctx.Err() == nil {
		switch {
		case s.r == nil:
			if s.table+1 == len(s.run.tables) {
				return
			}
			s.table++
			s.openTable(s.run.tables[s.table])
		case s.b != nil && s.i+1 < s.b.count():
			s.i++
			if s.stand() {
				return
			}
		case s.block+1 < s.r.blocks():
			s.block++
			s.readBlock()
		default:
			s.closeTable()
		}
	}
}

// stand takes the entry at i, and says whether it is within the bounds.
func (s *runScan) stand() bool {
	n := s.b.count()
	suffix, value, version, kind := s.b.record(s.b.slot(n, s.i))
	s.key = append(append(s.key[:0], s.b.prefix(n)...), suffix...)
	s.value, s.version, s.kind = value, version+s.t.add, kind
	s.standing = bytes.Compare(s.key, s.t.lower) >= 0 && bytes.Compare(s.key, s.t.upper) < 0
	return s.standing
}

// place returns the file and the offset of the block that it stands in.
func (s *runScan) place() (string, int64) {
	if s.t == nil {
		return s.v.dir, -1
	}
	return s.t.file(s.v.dir), s.offset()
}

func (s *runScan) offset() int64 {
	if s.r == nil || s.block < 0 {
		return 0
	}
	return int64(s.r.offsets[s.block])
}

// cover returns the lowest and the highest version at which tombstones of the run delete
// a key; lowest is above highest if none does. Keys ascend from one call to the next.
func (s *runScan) cover(key []byte) (lowest, highest uint64) {
	for len(s.stones) > 0 && bytes.Compare(s.stones[0].upper, key) <= 0 {
		s.stones = s.stones[1:]
	}
	if len(s.stones) == 0 || bytes.Compare(key, s.stones[0].lower) < 0 {
		return latest, 0
	}
	versions := s.stones[0].versions
	return versions[len(versions)-1], versions[0]
}

func (s *runScan) openTable(t *table) {
	v := s.v
	old := v.met[t.number]
	s.t, s.fresh, s.facts, s.block, s.b = t, old == nil, tableFacts{lowest: maxVersion}, -1, nil
	if s.fresh {
		v.met[t.number] = t
	} else if !sameFile(&old.tableMeta, &t.tableMeta) {
		v.damage.at(t.file(v.dir), -1, "the manifest says one thing of the piece from %s, and another of that from %s", engine.QuoteKey(old.lower), engine.QuoteKey(t.lower))
	}
	r, err := openTable(v.fs, t.file(v.dir), place{store: v.e.id, file: t.number}, t.bytes)
	if err != nil {
		if s.fresh {
			v.damage.Add(fmt.Errorf("table of keys from %s to %s: %w", engine.QuoteKey(t.lower), engine.QuoteKey(t.upper), err))
		}
		return
	}
	s.r = r
	s.stones = append(s.stones, r.ranges.within(t.lower, t.upper)...)
}

// sameFile reports whether what the manifest says of two pieces is so of one file.
func sameFile(a, b *tableMeta) bool {
	return a.bytes == b.bytes && a.entries == b.entries && a.deletes == b.deletes && a.ranges == b.ranges && a.rawBytes == b.rawBytes &&
		a.lowest == b.lowest && a.highest == b.highest && a.add == b.add && slices.Equal(a.refs, b.refs)
}

func (s *runScan) closeTable() {
	if s.fresh {
		s.checkTable()
	}
	if err := s.r.file.Close(); err != nil {
		s.v.damage.Add(err)
	}
	s.r, s.b = nil, nil
}

// readBlock reads a block, and verifies it if nobody has before.
func (s *runScan) readBlock() {
	x := &s.r.index
	s.b, s.i = nil, -1
	if !s.fresh && (bytes.Compare(x.key(s.block), s.t.upper) >= 0 || s.block+1 < x.count() && bytes.Compare(x.key(s.block+1), s.t.lower) <= 0) {
		return
	}
	b, err := s.r.readBlock(s.block, &s.raw, &s.buf)
	if err != nil {
		if s.fresh {
			s.v.damage.Add(err)
		}
		s.facts.blind = true
		return
	}
	s.b = b
	if s.fresh {
		s.checkBlock()
	}
}

// checkBlock verifies what a block holds, and counts it. It tells of the first thing
// that is wrong, and of all values.
func (s *runScan) checkBlock() {
	b, f, x := s.b, &s.facts, &s.r.index
	wrong := false
	bad := func(format string, args ...any) {
		if !wrong {
			wrong = true
			s.v.damage.at(s.r.file.Name(), s.offset(), "block %d: "+format, append([]any{s.block}, args...)...)
		}
	}
	n := b.count()
	prefix := b.prefix(n)
	lowest, several := uint64(maxVersion), false
	var key []byte
	for i := range n {
		suffix, value, version, kind := b.record(b.slot(n, i))
		key = append(append(key[:0], prefix...), suffix...)
		hash := hashOf(key)
		same := f.entries > 0 && bytes.Equal(key, f.last)
		switch {
		case same && i == 0:
			bad("some versions of key %s are in the block before", engine.QuoteKey(key))
		case same && version >= f.version:
			bad("key %s has version %d, and then %d", engine.QuoteKey(key), f.version, version)
		case !same && f.entries > 0 && bytes.Compare(f.last, key) > 0:
			bad("key %s, and then %s", engine.QuoteKey(f.last), engine.QuoteKey(key))
		}
		if bytes.Compare(key, x.key(s.block)) < 0 {
			bad("key %s is below %s, which the index has for the block", engine.QuoteKey(key), engine.QuoteKey(x.key(s.block)))
		}
		if s.block+1 < x.count() && bytes.Compare(key, x.key(s.block+1)) >= 0 {
			bad("key %s is not below %s, which the index has for the block behind it", engine.QuoteKey(key), engine.QuoteKey(x.key(s.block+1)))
		}
		if b[blockHead+i] != byte(hash>>56) {
			bad("fingerprint %d is not that of key %s", i, engine.QuoteKey(key))
		}
		if s.r.filter != nil && !f.unfiltered && !s.r.filter.mayContain(hash) {
			f.unfiltered = true
			s.v.damage.at(s.r.file.Name(), s.offset(), "the filter does not know key %s", engine.QuoteKey(key))
		}
		if s.t.whole() && (bytes.Compare(key, s.t.lower) < 0 || bytes.Compare(key, s.t.upper) >= 0) {
			bad("key %s is not within %s to %s, which the manifest has for the table", engine.QuoteKey(key), engine.QuoteKey(s.t.lower), engine.QuoteKey(s.t.upper))
		}
		if version > maxVersion-s.t.add {
			bad("key %s has version %d, and is %d higher", engine.QuoteKey(key), version, s.t.add)
		}
		switch kind {
		case kindDelete:
			f.deletes++
			if len(value) > 0 {
				bad("key %s is deleted, and has a value of %d bytes", engine.QuoteKey(key), len(value))
			}
		case kindApart:
			if ref, err := decodeValueRef(value); err != nil {
				bad("key %s: %v", engine.QuoteKey(key), err)
			} else {
				if f.refs == nil {
					f.refs = map[uint64]int64{}
				}
				f.refs[ref.file] += int64(ref.stored)
				s.v.value(key, ref)
			}
		}
		several = several || same
		lowest = min(lowest, version)
		f.lowest, f.highest = min(f.lowest, version), max(f.highest, version)
		f.rawBytes += uint64(len(key) + len(value))
		if f.entries == 0 {
			f.first = bytes.Clone(key)
		}
		f.entries++
		f.last, f.version = append(f.last[:0], key...), version
	}
	if b.lowest() != lowest {
		bad("it says that its lowest version is %d, and that is %d", b.lowest(), lowest)
	}
	if b.several() != several {
		bad("it says %t of whether some key has several versions, and that is %t", b.several(), several)
	}
}

// checkTable compares what a file was found to hold with what the manifest says of it.
func (s *runScan) checkTable() {
	f, t := &s.facts, s.t
	if f.blind {
		return
	}
	bad := func(format string, args ...any) {
		s.v.damage.at(t.file(s.v.dir), -1, format, args...)
	}
	var lower, upper []byte
	if f.entries > 0 {
		lower, upper = f.first, append(f.last, 0)
	}
	if ranges := s.r.ranges; len(ranges) > 0 {
		lower = lowest(lower, ranges[0].lower, f.entries > 0)
		upper = highest(upper, ranges[len(ranges)-1].upper, f.entries > 0)
		for _, g := range ranges {
			f.lowest, f.highest = min(f.lowest, g.versions[len(g.versions)-1]), max(f.highest, g.versions[0])
		}
	}
	for _, c := range []struct {
		what        string
		said, found uint64
	}{
		{"entries", t.entries, f.entries},
		{"deletes", t.deletes, f.deletes},
		{"range tombstones", t.ranges, uint64(len(s.r.ranges))},
		{"bytes of keys and values", t.rawBytes, f.rawBytes},
	} {
		if c.said != c.found {
			bad("the manifest says that it has %d %s, and it has %d", c.said, c.what, c.found)
		}
	}
	if s.r.entries != f.entries {
		bad("the footer says that it has %d entries, and it has %d", s.r.entries, f.entries)
	}
	if t.lowest != f.lowest || t.highest != f.highest {
		bad("the manifest says that it has versions %d to %d, and they are %d to %d", t.lowest, t.highest, f.lowest, f.highest)
	}
	if t.whole() && (!bytes.Equal(lower, t.lower) || !bytes.Equal(upper, t.upper)) {
		bad("the manifest has it from %s to %s, and it goes from %s to %s", engine.QuoteKey(t.lower), engine.QuoteKey(t.upper), engine.QuoteKey(lower), engine.QuoteKey(upper))
	}
	var refs []valueUse
	for file, n := range f.refs {
		refs = append(refs, valueUse{file, n})
	}
	sortUses(refs)
	if !slices.Equal(refs, t.refs) {
		bad("the manifest says that it refers to values by %v, and it does by %v", t.refs, refs)
	}
}
