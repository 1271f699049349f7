// Package lease keeps the directory of addressables in any provider: which node holds
// the lease of which actor, and until when.
//
// Store, Update, Get, Remove, the lists, Cleanup and the bulk calls are the plain
// directory: who stores last is right. Acquire, Renew and Release are for holders who
// must be alone; see Acquire.
//
// # What is stored
//
//	"lease/" type key                    the record; see record.go
//	"lease-by-node/" namespace node type key    nothing: the lease is held by the node
//
// Both change in one commit, so that a list by node costs what it shows. A record that
// ever had a fencing token stays when its lease is removed, with its token, which so
// only grows.
//
// # Time
//
// Time is the backend's where it has a clock, else that of Options. A lease that has
// expired is not shown, unless that is asked for, and is removed by Cleanup.
package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/tuple"
	"github.com/orbit-persistence/orbit/providers/node"
)

// DefaultTTL is how long a lease lasts where nothing else is said.
const DefaultTTL = 300 * time.Second

// Lease is the lease of an addressable.
type Lease struct {
	Reference Reference `json:"reference"`
	Node      node.ID   `json:"node"`
	// ExpiresAt is when it ends; the zero time is never.
	ExpiresAt time.Time `json:"expires_at"`
	// RenewAt is when its holder should renew it.
	RenewAt time.Time `json:"renew_at"`
	// Token is the fencing token of the newest acquisition, 0 if there was none. Store
	// and Update leave it as it is.
	Token uint64 `json:"token,omitempty"`
}

// Options set up a directory.
type Options struct {
	// Now is the clock where the backend has none; nil is the system's. Acquire needs
	// it to be monotonic, and nothing else of it.
	Now func() time.Time
	// IncludeExpired shows leases that have expired, too.
	IncludeExpired bool
}

// Directory is the directory of leases in one provider. Its methods may be called from
// many goroutines at once.
type Directory struct {
	p *providers.Provider
	o Options

	hints hints

	mu sync.Mutex // guards seen
	// seen is what Acquire has seen of leases that others hold, where the backend has
	// no clock.
	seen map[Reference]sighting
}

// New returns the directory in p, which stays the caller's.
func New(p *providers.Provider, o Options) *Directory {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Directory{p: p, o: o, seen: map[Reference]sighting{}}
}

const (
	leasePrefix = "lease/"
	indexPrefix = "lease-by-node/"
)

func leaseKey(r Reference) []byte {
	return appendReference(append(make([]byte, 0, 64), leasePrefix...), r)
}

func nodePrefix(n node.ID) []byte { return appendNodePrefix(make([]byte, 0, 64), n) }

func appendNodePrefix(dst []byte, n node.ID) []byte {
	return tuple.Append(tuple.Append(append(dst, indexPrefix...), n.Namespace), n.Key)
}

func (d *Directory) now(ctx context.Context) (time.Time, error) {
	if d.p.Capabilities().Clock {
		return d.p.Now(ctx)
	}
	return d.o.Now(), nil
}

// stored is a record with its revision; the zero revision is of none.
type stored struct {
	record
	revision driver.Revision
}

// held reports whether the index has it.
func (s *stored) held() bool { return !s.revision.IsZero() && !s.released }

func (d *Directory) load(ctx context.Context, r Reference) (stored, error) {
	e, err := d.p.Get(ctx, leaseKey(r))
	if errors.Is(err, driver.ErrNotFound) {
		return stored{}, nil
	}
	if err != nil {
		return stored{}, err
	}
	return parse(e)
}

// loadToSwap is load for a swap that follows: a store that reads many keys at once
// remembers what it has told, and need not read again to compare.
func (d *Directory) loadToSwap(ctx context.Context, r Reference) (stored, error) {
	entries, err := d.p.GetMany(ctx, [][]byte{leaseKey(r)})
	if err != nil || entries[0].Revision.IsZero() {
		return stored{}, err
	}
	return parse(entries[0])
}

func parse(e providers.Entry) (stored, error) {
	r, err := decodeRecord(e.Value)
	if err != nil {
		return stored{}, driver.KeyError("decode lease", e.Key, err)
	}
	return stored{r, e.Revision}, nil
}

// swapping is the memory of one swap.
type swapping struct {
	commit driver.Commit
	reads  [1]driver.Read
	writes [3]driver.Write
	bytes  [256]byte
	memory memory
}

// memory holds keys and values, one behind the other.
type memory []byte

// keep returns what add appends. A piece that grows leaves those before it where they
// were.
func (m *memory) keep(add func(dst []byte) []byte) []byte {
	from := len(*m)
	*m = add(*m)
	return (*m)[from:len(*m):len(*m)]
}

// newSwapping returns what takes a record from one state to another: the writes of the
// index, if that changes, and then the record's.
func newSwapping(r Reference, from *stored, to *record) *swapping {
	s := new(swapping)
	s.memory = s.bytes[:0]
	key := s.memory.keep(func(dst []byte) []byte { return appendReference(append(dst, leasePrefix...), r) })
	s.reads[0] = driver.Read{Key: key, Revision: from.revision}
	w := s.writes[:0]
	indexWrites(from, to, func(n node.ID, remove bool) {
		of := s.memory.keep(func(dst []byte) []byte {
			return append(appendNodePrefix(dst, n), key[len(leasePrefix):]...)
		})
		w = append(w, driver.Write{Key: of, Delete: remove})
	})
	w = append(w, recordWrite(&s.memory, key, to))
	s.commit = driver.Commit{Reads: s.reads[:], Writes: w}
	return s
}

func recordWrite(m *memory, key []byte, to *record) driver.Write {
	if to == nil {
		return driver.Write{Key: key, Delete: true}
	}
	return driver.Write{Key: key, Value: m.keep(func(dst []byte) []byte { return appendRecord(dst, to) })}
}

// indexWrites says of which nodes the index changes.
func indexWrites(from *stored, to *record, change func(n node.ID, remove bool)) {
	now := to != nil && !to.released
	if from.held() && (!now || from.node != to.node) {
		change(from.node, true)
	}
	if now && (!from.held() || from.node != to.node) {
		change(to.node, false)
	}
}

// swap takes a record from one state to another, if it is still in the first;
// ErrConflict if not.
func (d *Directory) swap(ctx context.Context, r Reference, from *stored, to *record) error {
	s := newSwapping(r, from, to)
	w := s.commit.Writes
	if record := &w[len(w)-1]; len(w) == 1 && to != nil {
		revision, err := d.p.Put(ctx, record.Key, record.Value, providers.PutOptions{IfRevision: from.revision, IfAbsent: from.revision.IsZero()})
		if err == nil {
			d.hints.put(r, stored{*to, revision})
		}
		return err
	}
	return d.p.Commit(ctx, &s.commit)
}

// change reads a record, lets f say what becomes of it, and swaps, again and again
// until nobody was in between. f returns false to leave it. A hint goes before the
// first reading: it counts if f acts on it, and the swap then succeeds.
func (d *Directory) change(ctx context.Context, op string, r Reference, f func(from *stored) (to *record, do bool, err error)) error {
	if hint, ok := d.hints.take(r); ok {
		if to, do, err := f(&hint); err == nil && do {
			if err = d.swap(ctx, r, &hint, to); err == nil {
				return nil
			} else if !errors.Is(err, driver.ErrConflict) || errors.Is(err, driver.ErrOutcomeUnknown) {
				return fmt.Errorf("%s lease of %s: %w", op, r, err)
			}
		}
	}
	for {
		from, err := d.loadToSwap(ctx, r)
		if err != nil {
			return fmt.Errorf("%s lease of %s: %w", op, r, err)
		}
		to, do, err := f(&from)
		if err == nil && do {
			err = d.swap(ctx, r, &from, to)
			if errors.Is(err, driver.ErrConflict) && !errors.Is(err, driver.ErrOutcomeUnknown) {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("%s lease of %s: %w", op, r, err)
		}
		return nil
	}
}

func (l *Lease) check() error {
	switch {
	case l.Reference.Type == "":
		return fmt.Errorf("%w: a lease of an addressable without a type", driver.ErrInvalid)
	case l.Node.Key == "":
		return fmt.Errorf("lease of %s: %w: a node without a key", l.Reference, driver.ErrInvalid)
	}
	return nil
}

func (l *Lease) record(token uint64) *record {
	return &record{token: token, expires: l.ExpiresAt, renew: l.RenewAt, node: l.Node}
}

// Store stores a lease, whatever was there.
func (d *Directory) Store(ctx context.Context, l Lease) error {
	if err := l.check(); err != nil {
		return err
	}
	return d.change(ctx, "store", l.Reference, func(from *stored) (*record, bool, error) { return l.record(from.token), true, nil })
}

// Update stores a lease that is there; ErrNotFound if it is not, or has expired.
func (d *Directory) Update(ctx context.Context, l Lease) error {
	if err := l.check(); err != nil {
		return err
	}
	now, err := d.now(ctx)
	if err != nil {
		return err
	}
	return d.change(ctx, "update", l.Reference, func(from *stored) (*record, bool, error) {
		if !d.shown(from, now) {
			return nil, false, driver.ErrNotFound
		}
		return l.record(from.token), true, nil
	})
}

// shown reports whether a record is to be seen.
func (d *Directory) shown(s *stored, now time.Time) bool {
	return s.held() && (d.o.IncludeExpired || s.live(now))
}

// Get returns the lease of an addressable; ErrNotFound if there is none, or it has
// expired.
func (d *Directory) Get(ctx context.Context, r Reference) (Lease, error) {
	s, err := d.load(ctx, r)
	if err != nil {
		return Lease{}, err
	}
	if !s.held() {
		return Lease{}, driver.ErrNotFound
	}
	if !s.expires.IsZero() && !d.o.IncludeExpired {
		now, err := d.now(ctx)
		if err != nil {
			return Lease{}, err
		}
		if !s.live(now) {
			return Lease{}, driver.ErrNotFound
		}
	}
	return s.lease(r), nil
}

// gone returns what is left of a record that is removed: its token, if it has one.
func gone(s *stored) *record {
	if s.token == 0 {
		return nil
	}
	return &record{released: true, token: s.token}
}

// Remove removes a lease, and reports whether there was one.
func (d *Directory) Remove(ctx context.Context, r Reference) (bool, error) {
	was := false
	err := d.change(ctx, "remove", r, func(from *stored) (*record, bool, error) {
		was = from.held()
		return gone(from), was, nil
	})
	return was && err == nil, err
}

// List yields all leases by type and key.
func (d *Directory) List(ctx context.Context) iter.Seq2[Lease, error] {
	return func(yield func(Lease, error) bool) {
		now, err := d.now(ctx)
		if err != nil {
			yield(Lease{}, err)
			return
		}
		for e, err := range d.p.List(ctx, providers.ListOptions{Prefix: []byte(leasePrefix)}) {
			var s stored
			var r Reference
			if err == nil {
				s, err = parse(e)
			}
			if err == nil {
				r, err = decodeReference(e.Key[len(leasePrefix):])
			}
			if err == nil && !d.shown(&s, now) {
				continue
			}
			if !yield(s.lease(r), err) || err != nil {
				return
			}
		}
	}
}

// pageSize is how many leases of a node are read at a time.
const pageSize = 500

// ListNode yields the leases that a node holds, by type and key. It reads those and no
// others.
func (d *Directory) ListNode(ctx context.Context, n node.ID) iter.Seq2[Lease, error] {
	return func(yield func(Lease, error) bool) {
		now, err := d.now(ctx)
		if err != nil {
			yield(Lease{}, err)
			return
		}
		o := providers.ListOptions{Prefix: nodePrefix(n), KeysOnly: true, Limit: pageSize}
		for {
			var refs []Reference
			var keys [][]byte
			for e, err := range d.p.List(ctx, o) {
				var r Reference
				if err == nil {
					r, err = decodeReference(e.Key[len(o.Prefix):])
				}
				if err != nil {
					yield(Lease{}, err)
					return
				}
				refs, keys, o.After = append(refs, r), append(keys, leaseKey(r)), e.Key
			}
			entries, err := d.p.GetMany(ctx, keys)
			if err != nil {
				yield(Lease{}, err)
				return
			}
			for i, e := range entries {
				if e.Revision.IsZero() {
					continue // it was removed in between
				}
				s, err := parse(e)
				if err != nil {
					yield(Lease{}, err)
					return
				}
				if s.node != n || !d.shown(&s, now) {
					continue
				}
				if !yield(s.lease(refs[i]), nil) {
					return
				}
			}
			if len(refs) < pageSize {
				return
			}
		}
	}
}

// CleanupExpired removes the leases that have expired, and returns how many. It looks
// at all leases.
func (d *Directory) CleanupExpired(ctx context.Context) (int, error) {
	now, err := d.now(ctx)
	if err != nil {
		return 0, err
	}
	removed := 0
	for e, err := range d.p.List(ctx, providers.ListOptions{Prefix: []byte(leasePrefix)}) {
		if err != nil {
			return removed, err
		}
		s, err := parse(e)
		if err != nil {
			return removed, err
		}
		if !s.held() || s.live(now) {
			continue
		}
		r, err := decodeReference(e.Key[len(leasePrefix):])
		if err != nil {
			return removed, driver.KeyError("clean up", e.Key, err)
		}
		// One that was renewed in the meantime stays.
		switch err := d.swap(ctx, r, &s, gone(&s)); {
		case err == nil:
			removed++
		case !errors.Is(err, driver.ErrConflict):
			return removed, fmt.Errorf("clean up lease of %s: %w", r, err)
		}
	}
	return removed, nil
}

// bulkSize is how many leases one commit of a bulk has, at most, and remoteBulkSize where
// it goes over a wire: a write of a transaction can be five requests there, which lie one
// behind the other at a slow service, and all must end within the commit's timeout. Redis,
// which makes one request of a commit, takes 0.96 of the leases a second that it takes with
// 333 a commit.
const (
	bulkSize       = 1000
	remoteBulkSize = 32
)

// StoreBulk stores leases as Store does, many in one commit. After an error some may
// have been stored. Of several for one reference the last one counts.
func (d *Directory) StoreBulk(ctx context.Context, leases []Lease) error {
	for i := range leases {
		if err := leases[i].check(); err != nil {
			return err
		}
	}
	var r record
	return d.bulk(ctx, len(leases), func(i int) Reference { return leases[i].Reference }, func(i int, from *stored) (*record, bool) {
		r = *leases[i].record(from.token)
		return &r, true
	})
}

// RemoveBulk removes leases, many in one commit, and returns how many there were.
func (d *Directory) RemoveBulk(ctx context.Context, refs []Reference) (int, error) {
	there := make([]bool, len(refs))
	err := d.bulk(ctx, len(refs), func(i int) Reference { return refs[i] }, func(i int, from *stored) (*record, bool) {
		there[i] = from.held()
		return gone(from), there[i]
	})
	n := 0
	for _, t := range there {
		if t {
			n++
		}
	}
	return n, err
}

// bulk changes many records, in commits of what the provider takes. to says what becomes
// of a record, false to leave it; what it returns is read before it is called again.
func (d *Directory) bulk(ctx context.Context, n int, ref func(i int) Reference, to func(i int, from *stored) (*record, bool)) error {
	caps := d.p.Capabilities()
	size := bulkSize
	if caps.Remote {
		size = remoteBulkSize
	}
	size = max(1, min(size, caps.Limits.MaxCommitWrites/3))
	// In the order of their keys: neighbours are read and written for less.
	b := bulk{d: d, to: to, all: make([]bulkItem, n), nodes: map[node.ID]*bulkIndex{}}
	keys := make([]byte, 0, 32*n)
	for i := range b.all {
		from := len(keys)
		keys = appendReference(append(keys, leasePrefix...), ref(i))
		b.all[i] = bulkItem{keys[from:len(keys):len(keys)], i}
	}
	slices.SortFunc(b.all, func(a, b bulkItem) int {
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		return a.at - b.at
	})
	for from := 0; from < n; {
		// A commit changes each key once: a reference that comes again begins another.
		end := from + 1
		for end < n && end-from < size && !bytes.Equal(b.all[end].key, b.all[end-1].key) {
			end++
		}
		err := b.commit(ctx, b.all[from:end])
		if errors.Is(err, driver.ErrConflict) && !errors.Is(err, driver.ErrOutcomeUnknown) {
			continue
		}
		if err != nil {
			return fmt.Errorf("bulk of leases: %w", err)
		}
		from = end
	}
	return ctx.Err()
}

// bulk is a bulk at work, with memory that each of its commits uses again.
type bulk struct {
	d   *Directory
	to  func(i int, from *stored) (*record, bool)
	all []bulkItem

	keys    [][]byte
	memory  memory // of values, and of keys of the index
	reads   []driver.Read
	records []driver.Write
	nodes   map[node.ID]*bulkIndex
	index   []*bulkIndex // of nodes, in the order of their keys
	writes  []driver.Write
}

// bulkItem is one key of a bulk, with its place in what the caller gave.
type bulkItem struct {
	key []byte
	at  int
}

// bulkIndex is what changes in the index of one node.
type bulkIndex struct {
	prefix []byte
	writes []driver.Write
}

func (b *bulk) commit(ctx context.Context, items []bulkItem) error {
	b.keys, b.memory, b.reads, b.records, b.writes = b.keys[:0], b.memory[:0], b.reads[:0], b.records[:0], b.writes[:0]
	for _, of := range b.index {
		of.writes = of.writes[:0]
	}
	for _, item := range items {
		b.keys = append(b.keys, item.key)
	}
	entries, err := b.d.p.GetMany(ctx, b.keys)
	if err != nil {
		return err
	}
	for j, e := range entries {
		var from stored
		if !e.Revision.IsZero() {
			if from, err = parse(e); err != nil {
				return err
			}
		}
		to, do := b.to(items[j].at, &from)
		if !do {
			continue
		}
		b.reads = append(b.reads, driver.Read{Key: b.keys[j], Revision: from.revision})
		b.records = append(b.records, recordWrite(&b.memory, b.keys[j], to))
		indexWrites(&from, to, func(n node.ID, remove bool) {
			of := b.indexOf(n)
			key := b.memory.keep(func(dst []byte) []byte { return append(append(dst, of.prefix...), b.keys[j][len(leasePrefix):]...) })
			of.writes = append(of.writes, driver.Write{Key: key, Delete: remove})
		})
	}
	// In the order of keys, which is that of references within each node, and has the
	// index before the records: engines write neighbours for less.
	for _, of := range b.index {
		b.writes = append(b.writes, of.writes...)
	}
	b.writes = append(b.writes, b.records...)
	return b.d.p.Commit(ctx, &driver.Commit{Reads: b.reads, Writes: b.writes})
}

// indexOf returns what changes in the index of a node.
func (b *bulk) indexOf(n node.ID) *bulkIndex {
	if of := b.nodes[n]; of != nil {
		return of
	}
	of := &bulkIndex{prefix: nodePrefix(n)}
	b.nodes[n] = of
	i, _ := slices.BinarySearchFunc(b.index, of, func(x, y *bulkIndex) int { return bytes.Compare(x.prefix, y.prefix) })
	b.index = slices.Insert(b.index, i, of)
	return of
}
