package lsm

import (
	"bytes"
	"context"
	"errors"
	"sort"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
)

// stream gives all versions of a part of the store, in the order of keys, and of one key
// the newest first. What it gives is good until the next one.
type stream interface {
	// next goes to the next entry; the first one, when it is called first.
	next() bool
	entry() *entry
	err() error
}

// memStream is a memtable.
type memStream struct {
	m      *memtable
	c      trieCursor
	record ref
	e      entry
	// told gets the bytes of keys and values that were met, now and then; it may be nil.
	told   *atomic.Int64
	met    int64
	untold int
}

func newMemStream(m *memtable, told *atomic.Int64) *memStream {
	return &memStream{m: m, c: trieCursor{t: m.trie}, told: told}
}

func (s *memStream) entry() *entry { return &s.e }
func (s *memStream) err() error    { return nil }

func (s *memStream) next() bool {
	if s.record != 0 {
		s.record = s.m.trie.older(s.record)
	}
	if s.record == 0 {
		if s.e.key == nil {
			s.c.first()
		} else {
			s.c.next()
		}
		s.record = s.c.record
	}
	if s.record == 0 {
		return false
	}
	s.e = s.m.entry(s.record)
	s.met += int64(len(s.e.key) + len(s.e.value))
	if s.untold++; s.untold == 256 && s.told != nil {
		s.told.Store(s.met)
		s.untold = 0
	}
	return true
}

// runStream is what tables of a run have in [lower, upper).
type runStream struct {
	tables       []*table
	lower, upper []byte
	c            tableCursor
	table        int
}

func newRunStream(tables []*table, lower, upper []byte, ahead int) *runStream {
	return &runStream{tables: tables, lower: lower, upper: upper, table: -1, c: tableCursor{ahead: ahead}}
}

func (s *runStream) entry() *entry { return &s.c.e }
func (s *runStream) err() error    { return s.c.err }

func (s *runStream) next() bool {
	ok := s.table >= 0 && s.c.next()
	for !ok {
		if s.c.err != nil || s.table+1 >= len(s.tables) {
			return false
		}
		s.table++
		s.c.reset(s.tables[s.table])
		start := s.c.t.lower
		if s.lower != nil && bytes.Compare(s.lower, start) > 0 {
			start = s.lower
		}
		ok = s.c.seekGE(start)
	}
	return s.upper == nil || bytes.Compare(s.c.e.key, s.upper) < 0
}

// contender is a stream in a merge.
type contender struct {
	stream
	head  uint64
	index int
}

func (a *contender) before(b *contender) bool {
	if a.head != b.head {
		return a.head < b.head
	}
	if c := bytes.Compare(a.entry().key, b.entry().key); c != 0 {
		return c < 0
	}
	return a.index < b.index
}

// merge calls each for every entry of the streams, of which the newest come first.
func merge(ctx context.Context, streams []stream, each func(*entry) error) error {
	order := make([]*contender, 0, len(streams))
	place := func(i int) {
		m := order[i]
		for i+1 < len(order) && order[i+1].before(m) {
			order[i] = order[i+1]
			i++
		}
		order[i] = m
	}
	for i, s := range streams {
		if !s.next() {
			if err := s.err(); err != nil {
				return err
			}
			continue
		}
		order = append(order, &contender{s, headOf(s.entry().key), i})
	}
	for i := len(order) - 2; i >= 0; i-- {
		place(i)
	}
	for n := 0; len(order) > 0; n++ {
		if n&1023 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		top := order[0]
		if err := each(top.entry()); err != nil {
			return err
		}
		if top.next() {
			top.head = headOf(top.entry().key)
			place(0)
			continue
		}
		if err := top.err(); err != nil {
			return err
		}
		order = order[1:]
	}
	return nil
}

// job is a merge of parts of the store into tables.
type job struct {
	e       *Engine
	streams []stream
	// ranges are the tombstones of what is merged, within lower and upper.
	ranges       fragments
	lower, upper []byte
	// snapshots are those that there were when it began, or later; ascending.
	snapshots []uint64
	// bottom says that nothing older than what is merged has keys in its range.
	bottom bool
	// older are the runs that may have older versions of what is merged, where bottom
	// does not say that there are none. A tombstone of a key that none of them has is of
	// no use.
	older   []*run
	options tableOptions
	// dirty are the value files of which little is of use: what is left is written anew.
	dirty map[uint64]bool
	// levels is where values are read.
	levels *levels

	values valueWriter
	writer *tableWriter
	start  []byte // the lower bound of the table that is being written
	out    []*tableMeta

	// all are the tombstones of what is merged, those included that are not written.
	all fragments
	// key is the last one, stripe the one that its last version was in.
	key    []byte
	any    bool
	stripe int
	// cover is where in all the last key was.
	cover int
	value []byte
}

// run merges, and returns the tables, which are durable but for their names.
func (j *job) run(ctx context.Context) (tables []*tableMeta, values []valueMeta, err error) {
	j.values = valueWriter{store: &j.e.store, codec: j.options.codec}
	defer func() {
		if err != nil {
			j.abandon()
		}
	}()
	j.start, j.all = j.lower, j.ranges
	if j.bottom {
		j.ranges = j.ranges.above(j.snapshots)
	}
	if err := merge(ctx, j.streams, j.take); err != nil {
		return nil, nil, err
	}
	if err := j.cut(nil); err != nil {
		return nil, nil, err
	}
	if err := j.values.end(); err != nil {
		return nil, nil, err
	}
	return j.out, j.values.done, nil
}

// above leaves out the versions that all snapshots see, and the newest reader.
func (f fragments) above(snapshots []uint64) fragments {
	if len(snapshots) == 0 {
		return nil
	}
	var out fragments
	for _, g := range f {
		n := 0
		for n < len(g.versions) && g.versions[n] > snapshots[0] {
			n++
		}
		if n > 0 {
			out = append(out, fragment{g.lower, g.upper, g.versions[:n]})
		}
	}
	return out
}

func (j *job) abandon() {
	if j.writer != nil {
		j.writer.abandon()
	}
	for _, m := range j.out {
		// What cannot be removed now is when the store is opened again.
		_ = j.e.fs.Remove(fileName(j.e.dir, m.number, tableSuffix))
	}
	j.values.abandon()
}

// take takes the next entry, or leaves it out if nobody will see it. What snapshots see
// lies between them in stripes, and of each stripe the newest version counts.
func (j *job) take(e *entry) error {
	same := j.any && bytes.Equal(j.key, e.key)
	stripe := 0
	if len(j.snapshots) > 0 {
		stripe = sort.Search(len(j.snapshots), func(i int) bool { return j.snapshots[i] >= e.version })
	}
	if same && stripe == j.stripe {
		return nil
	}
	if !same {
		j.key = append(j.key[:0], e.key...)
		j.any = true
	}
	j.stripe = stripe
	if len(j.all) > 0 && j.deleted(e, stripe) {
		return nil
	}
	if j.bottom && stripe == 0 {
		if e.kind == kindDelete {
			return nil
		}
		e.version = 0
	}
	if e.kind == kindDelete && stripe == 0 && j.newest(e.key) {
		return nil
	}
	return j.add(e)
}

// newest reports whether no older run has a key. What cannot be read may have it.
func (j *job) newest(key []byte) bool {
	hash := hashOf(key)
	for _, r := range j.older {
		t := r.find(key)
		if t == nil {
			continue
		}
		if reader, err := t.open(); err != nil || reader.find(key, hash) >= 0 {
			return false
		}
	}
	return true
}

// deleted reports whether a tombstone that is seen by the same readers deletes an entry.
func (j *job) deleted(e *entry, stripe int) bool {
	for j.cover < len(j.all) && bytes.Compare(j.all[j.cover].upper, e.key) <= 0 {
		j.cover++
	}
	if j.cover == len(j.all) || bytes.Compare(e.key, j.all[j.cover].lower) < 0 {
		return false
	}
	versions := j.all[j.cover].versions
	for i := len(versions) - 1; i >= 0; i-- {
		if v := versions[i]; v > e.version {
			return len(j.snapshots) == 0 || sort.Search(len(j.snapshots), func(i int) bool { return j.snapshots[i] >= v }) == stripe
		}
	}
	return false
}

// add writes an entry.
func (j *job) add(e *entry) error {
	out := *e
	switch {
	case e.kind == kindPut && j.e.apart(len(e.value)):
		ref, err := j.values.put(e.value)
		if err != nil {
			return err
		}
		out.kind, out.value = kindApart, ref
	case e.kind == kindApart && len(j.dirty) > 0:
		ref, err := decodeValueRef(e.value)
		if err != nil {
			return err
		}
		if !j.dirty[ref.file] {
			break
		}
		if j.value, err = j.levels.value(e.value, j.value[:0]); errors.Is(err, engine.ErrCorrupt) && j.levels.values[ref.file] != nil {
			// Who reads it is told. Merges must not come to an end for it.
			j.levels.values[ref.file].damaged.Store(true)
			break
		} else if err != nil {
			return err
		}
		j.e.counters.values.Add(uint64(len(j.value)))
		if out.value, err = j.values.put(j.value); err != nil {
			return err
		}
	}
	return j.write(&out)
}

// write writes an entry as it is.
func (j *job) write(e *entry) error {
	if j.writer != nil && j.writer.bytes() >= j.e.options.TableBytes && !bytes.Equal(j.writer.last, e.key) {
		if err := j.cut(e.key); err != nil {
			return err
		}
	}
	if j.writer == nil {
		if err := j.begin(); err != nil {
			return err
		}
	}
	return j.writer.add(e, hashOf(e.key))
}

func (j *job) begin() (err error) {
	number := j.e.newFile()
	j.writer, err = newTableWriter(j.e.fs, fileName(j.e.dir, number, tableSuffix), number, j.options)
	return err
}

// cut ends the table, before an entry with the key next, or at the end for nil.
func (j *job) cut(next []byte) error {
	to := next
	if next == nil {
		to = j.upper
	}
	ranges := j.ranges.within(j.start, to)
	if j.writer == nil {
		if len(ranges) == 0 {
			return nil
		}
		if err := j.begin(); err != nil {
			return err
		}
	}
	w := j.writer
	meta, err := w.finish(ranges)
	if err != nil {
		return err
	}
	j.writer = nil
	j.out = append(j.out, meta)
	j.start = append([]byte{}, next...)
	return nil
}

// bytesOf returns the bytes of tables and of value files.
func bytesOf(tables []*tableMeta, values []valueMeta) (n int64) {
	for _, m := range tables {
		n += m.bytes
	}
	for _, v := range values {
		n += v.bytes
	}
	return n
}
