package enginetest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
	"github.com/orbit-persistence/orbit/engine/memory"
)

// smallLimits keep the cases about limits quick.
var smallLimits = engine.Limits{MaxKeyBytes: 512, MaxValueBytes: 128 << 10, MaxBatchBytes: 1 << 20}

// durable is the smallest persistent engine with every trait: the memory
// engine, and a file of all that was done to it, which is done again at open.
// A family is a prefix of four bytes on its keys. It is sound as long as
// nothing crashes, which is all that the suite asks.
type durable struct {
	life lifetime.Lifetime
	dir  string

	mu   sync.Mutex // puts the log in the order of the map; guards all below
	mem  *memory.Engine
	log  *os.File
	ids  map[string]engine.FamilyID // without the default family
	last engine.FamilyID            // the newest ever given
}

// record is one entry of the log: kind, uvarint length, body.
type record struct {
	kind recordKind
	body []byte
}

type recordKind byte

const (
	batchRecord          recordKind = 'b' // an encoded batch, its families already prefixes
	createFamilyRecord   recordKind = 'f' // a name; likewise below
	dropFamilyRecord     recordKind = 'F'
	createSnapshotRecord recordKind = 's'
	dropSnapshotRecord   recordKind = 'S'
)

func logPath(dir string) string  { return filepath.Join(dir, "log") }
func lockPath(dir string) string { return filepath.Join(dir, "LOCK") }

func openDurable(dir string) (*durable, error) {
	lock, err := os.OpenFile(lockPath(dir), os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open %s: %w", dir, engine.ErrLocked)
	}
	if err != nil {
		return nil, err
	}
	if err := lock.Close(); err != nil {
		return nil, err
	}
	d := &durable{dir: dir, mem: memory.Open(), ids: map[string]engine.FamilyID{}}
	records, err := readLog(dir)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if err := d.replay(r); err != nil {
			return nil, err
		}
	}
	d.log, err = os.OpenFile(logPath(dir), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	return d, err
}

func readLog(dir string) ([]record, error) {
	data, err := os.ReadFile(logPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var records []record
	for len(data) > 0 {
		size, w := binary.Uvarint(data[1:])
		body := data[1+w:][:size]
		records = append(records, record{recordKind(data[0]), body})
		data = data[1+w+int(size):]
	}
	return records, err
}

// rewriteLog changes the log of a closed store.
func rewriteLog(dir string, change func([]record) []record) error {
	records, err := readLog(dir)
	if err != nil {
		return err
	}
	var data []byte
	for _, r := range change(records) {
		data = r.append(data)
	}
	return os.WriteFile(logPath(dir), data, 0o600)
}

func (r record) append(to []byte) []byte {
	to = append(to, byte(r.kind))
	to = binary.AppendUvarint(to, uint64(len(r.body)))
	return append(to, r.body...)
}

func (d *durable) replay(r record) error {
	name, ctx := string(r.body), context.Background()
	switch r.kind {
	case batchRecord:
		b, err := engine.DecodeBatch(r.body)
		if err != nil {
			return err
		}
		return d.mem.Apply(ctx, b, engine.Memory)
	case createFamilyRecord:
		d.last++
		d.ids[name] = d.last
	case dropFamilyRecord:
		delete(d.ids, name)
	case createSnapshotRecord:
		return d.mem.CreateSnapshot(ctx, name)
	case dropSnapshotRecord:
		return d.mem.DropSnapshot(ctx, name)
	}
	return nil
}

func (d *durable) write(kind recordKind, body []byte) error {
	_, err := d.log.Write(record{kind, body}.append(nil))
	return err
}

func (d *durable) Traits() engine.Traits {
	t := d.mem.Traits()
	t.Name, t.Version = "durable", "of the suite's own tests"
	t.Durability = engine.DurabilityOf(engine.Durabilities...)
	t.Persistent, t.Checkpoint, t.Compact, t.Families = true, true, true, true
	t.Limits = smallLimits
	return t
}

// within begins a call that must see and change the store alone; leave ends it.
func (d *durable) within(ctx context.Context) error {
	if err := d.life.Enter(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		d.life.Exit()
		return err
	}
	d.mu.Lock()
	return nil
}

func (d *durable) leave() {
	d.mu.Unlock()
	d.life.Exit()
}

func (d *durable) Apply(ctx context.Context, b *engine.Batch, class engine.Durability) error {
	return d.commit(ctx, b, class, func(in *engine.Batch) error { return d.mem.Apply(ctx, in, engine.Memory) })
}

func (d *durable) ApplyIf(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, class engine.Durability) error {
	var in engine.ReadSet
	for _, key := range reads.Keys {
		in.Keys = append(in.Keys, prefixed(0, key))
	}
	for _, r := range reads.Ranges {
		o := prefixedBounds(0, engine.IterOptions{Lower: r.Lower, Upper: r.Upper})
		in.Ranges = append(in.Ranges, engine.Range{Lower: o.Lower, Upper: o.Upper})
	}
	return d.commit(ctx, b, class, func(translated *engine.Batch) error {
		return d.mem.ApplyIf(ctx, at.(*durableSnapshot).snap, in, translated, engine.Memory)
	})
}

func (d *durable) commit(ctx context.Context, b *engine.Batch, class engine.Durability, apply func(*engine.Batch) error) error {
	if err := engine.CheckDurability(d.Traits().Durability, class); err != nil {
		return err
	}
	if err := smallLimits.Check(b); err != nil {
		return err
	}
	if err := d.within(ctx); err != nil {
		return err
	}
	defer d.leave()
	var in engine.Batch
	for op := range b.Ops() {
		if op.Family != 0 && !slices.Contains(slices.Collect(maps.Values(d.ids)), op.Family) {
			return fmt.Errorf("family %d: %w", op.Family, engine.ErrNotFound)
		}
		add(&in, engine.Op{Kind: op.Kind, Key: prefixed(op.Family, op.Key), Value: op.Value}, op.Family)
	}
	if err := apply(&in); err != nil {
		return err
	}
	b.SetSequence(in.Sequence())
	if in.Count() > 0 {
		if err := d.write(batchRecord, in.Encoded()); err != nil {
			return err
		}
	}
	if class == engine.Flushed {
		return d.log.Sync()
	}
	return nil
}

// add adds op, whose key has its family's prefix, to b.
func add(b *engine.Batch, op engine.Op, f engine.FamilyID) {
	switch op.Kind {
	case engine.OpPut:
		b.Put(op.Key, op.Value)
	case engine.OpDelete:
		b.Delete(op.Key)
	case engine.OpDeleteRange:
		b.DeleteRange(op.Key, prefixed(f, op.Value))
	}
}

func prefixed(f engine.FamilyID, key []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(f)), key...)
}

func prefixedBounds(f engine.FamilyID, o engine.IterOptions) engine.IterOptions {
	o.Lower = prefixed(f, o.Lower)
	if o.Upper == nil {
		o.Upper = prefixed(f+1, nil)
	} else {
		o.Upper = prefixed(f, o.Upper)
	}
	return o
}

// durableReader shows one family of the map or of a snapshot of it.
type durableReader struct {
	store  *durable
	from   engine.Reader
	family engine.FamilyID
	live   bool // of the map, and so ended by Close
}

func (r durableReader) Get(key, dst []byte) ([]byte, error) {
	if r.live {
		if err := r.store.life.Enter(); err != nil {
			return dst, err
		}
		defer r.store.life.Exit()
	}
	return r.from.Get(prefixed(r.family, key), dst)
}

func (r durableReader) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if r.live {
		if err := r.store.life.Enter(); err != nil {
			return nil, err
		}
		defer r.store.life.Exit()
	}
	inner, err := r.from.NewIterator(prefixedBounds(r.family, o))
	if err != nil {
		return nil, err
	}
	r.store.life.Hold(lifetime.Iterator)
	return durableIterator{inner, r}, nil
}

type durableIterator struct {
	engine.Iterator
	r durableReader
}

func (i durableIterator) SeekGE(key []byte) bool { return i.Iterator.SeekGE(prefixed(i.r.family, key)) }
func (i durableIterator) SeekLT(key []byte) bool { return i.Iterator.SeekLT(prefixed(i.r.family, key)) }

func (i durableIterator) Key() []byte {
	if key := i.Iterator.Key(); key != nil {
		return key[4:]
	}
	return nil
}

func (i durableIterator) Close() error {
	if err := i.Iterator.Close(); err != nil {
		return err
	}
	return i.r.store.life.Drop(lifetime.Iterator)
}

type durableSnapshot struct {
	durableReader
	snap engine.Snapshot
}

func (s *durableSnapshot) Sequence() uint64 { return s.snap.(engine.SequencedSnapshot).Sequence() }

func (s *durableSnapshot) In(f engine.FamilyID) (engine.Reader, error) {
	return durableReader{store: s.store, from: s.snap, family: f}, nil
}

func (s *durableSnapshot) Close() error {
	if err := s.snap.Close(); err != nil {
		return err
	}
	return s.store.life.Drop(lifetime.Snapshot)
}

func (d *durable) newest() durableReader { return durableReader{store: d, from: d.mem, live: true} }

func (d *durable) Get(key, dst []byte) ([]byte, error) { return d.newest().Get(key, dst) }

func (d *durable) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return d.newest().NewIterator(o)
}

func (d *durable) Snapshot() (engine.Snapshot, error) { return d.hold(d.mem.Snapshot) }

func (d *durable) OpenSnapshot(name string) (engine.Snapshot, error) {
	return d.hold(func() (engine.Snapshot, error) { return d.mem.OpenSnapshot(name) })
}

func (d *durable) hold(snapshot func() (engine.Snapshot, error)) (engine.Snapshot, error) {
	if err := d.life.Enter(); err != nil {
		return nil, err
	}
	defer d.life.Exit()
	snap, err := snapshot()
	if err != nil {
		return nil, err
	}
	d.life.Hold(lifetime.Snapshot)
	return &durableSnapshot{durableReader{store: d, from: snap}, snap}, nil
}

func (d *durable) MultiGet(keys [][]byte, found func(i int, value []byte, present bool)) error {
	if err := d.life.Enter(); err != nil {
		return err
	}
	defer d.life.Exit()
	var in [][]byte
	for _, key := range keys {
		in = append(in, prefixed(0, key))
	}
	return d.mem.MultiGet(in, found)
}

func (d *durable) CreateSnapshot(ctx context.Context, name string) error {
	if err := d.within(ctx); err != nil {
		return err
	}
	defer d.leave()
	if err := d.mem.CreateSnapshot(ctx, name); err != nil {
		return err
	}
	return d.write(createSnapshotRecord, []byte(name))
}

func (d *durable) ListSnapshots() ([]string, error) {
	if err := d.life.Enter(); err != nil {
		return nil, err
	}
	defer d.life.Exit()
	return d.mem.ListSnapshots()
}

func (d *durable) DropSnapshot(ctx context.Context, name string) error {
	if err := d.within(ctx); err != nil {
		return err
	}
	defer d.leave()
	if err := d.mem.DropSnapshot(ctx, name); err != nil {
		return err
	}
	return d.write(dropSnapshotRecord, []byte(name))
}

func (d *durable) In(f engine.FamilyID) (engine.Reader, error) {
	all, err := d.Families()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(slices.Collect(maps.Values(all)), f) {
		return nil, fmt.Errorf("family %d: %w", f, engine.ErrNotFound)
	}
	r := d.newest()
	r.family = f
	return r, nil
}

func (d *durable) CreateFamily(ctx context.Context, name string) (engine.FamilyID, error) {
	if err := d.within(ctx); err != nil {
		return 0, err
	}
	defer d.leave()
	if name == "" {
		return 0, engine.ErrInvalid
	}
	if _, there := d.ids[name]; !there && name != "default" {
		d.last++
		d.ids[name] = d.last
		if err := d.write(createFamilyRecord, []byte(name)); err != nil {
			return 0, err
		}
	}
	return d.ids[name], nil
}

func (d *durable) DropFamily(ctx context.Context, name string) error {
	if err := d.within(ctx); err != nil {
		return err
	}
	defer d.leave()
	if name == "default" {
		return engine.ErrInvalid
	}
	f, there := d.ids[name]
	if !there {
		return fmt.Errorf("family %q: %w", name, engine.ErrNotFound)
	}
	var b engine.Batch
	b.DeleteRange(prefixed(f, nil), prefixed(f+1, nil))
	if err := d.mem.Apply(ctx, &b, engine.Memory); err != nil {
		return err
	}
	delete(d.ids, name)
	return errors.Join(d.write(batchRecord, b.Encoded()), d.write(dropFamilyRecord, []byte(name)))
}

func (d *durable) Families() (map[string]engine.FamilyID, error) {
	if err := d.within(context.Background()); err != nil {
		return nil, err
	}
	defer d.leave()
	all := maps.Clone(d.ids)
	all["default"] = 0
	return all, nil
}

func (d *durable) LastSequence() uint64 { return d.mem.LastSequence() }

func (d *durable) Ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	if err := d.within(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	defer d.leave()
	var b engine.Batch
	err := d.mem.Ingest(ctx, func(yield func([]byte, []byte) bool) {
		for key, value := range entries {
			key = prefixed(0, key)
			b.Put(key, value)
			if !yield(key, value) {
				return
			}
		}
	})
	if err != nil || b.Count() == 0 {
		return err
	}
	return d.write(batchRecord, b.Encoded())
}

func (d *durable) Sync(ctx context.Context) error {
	if err := d.within(ctx); err != nil {
		return err
	}
	defer d.leave()
	return d.log.Sync()
}

func (d *durable) Checkpoint(ctx context.Context, dir string) error {
	if err := d.within(ctx); err != nil {
		return err
	}
	defer d.leave()
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return fmt.Errorf("checkpoint into %s: %w: not empty", dir, engine.ErrInvalid)
	}
	data, err := os.ReadFile(d.log.Name())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(logPath(dir), data, 0o600)
}

func (d *durable) Compact(ctx context.Context, _, _ []byte) error {
	if err := d.within(ctx); err != nil {
		return err
	}
	defer d.leave()
	return nil
}

func (d *durable) Metrics() engine.Metrics {
	if d.life.Enter() != nil {
		return engine.Metrics{}
	}
	defer d.life.Exit()
	m := d.mem.Metrics()
	if info, err := d.log.Stat(); err == nil {
		m.DiskBytes = uint64(info.Size())
	}
	return m
}

func (d *durable) Close() error {
	return d.life.Close(func() error {
		return errors.Join(d.mem.Close(), d.log.Close(), os.RemoveAll(lockPath(d.dir)))
	})
}
