package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/orbit-persistence/orbit/engine"
)

// opKind is what one operation of a workload does.
type opKind uint8

const (
	opGet       opKind = iota // a record that is there
	opGetAbsent               // a key that is not
	opMultiGet                // as many records at once as workload.keys says
	opOverwrite               // put over a record
	opInsert                  // put a fresh key
	opScan                    // seek, and 100 steps
	opScanShort               // seek, and 1 to 100 steps (YCSB E)
	opReadModifyWrite
	opSnapshot // open and close one
)

// distribution is how records are drawn.
type distribution uint8

const (
	byUniform distribution = iota
	byZipf                 // YCSB's scrambled zipfian, 0.99
	byLatest               // YCSB D: zipfian, counted back from the newest insert
)

// share is a part of a workload, in percent.
type share struct {
	kind    opKind
	percent int
}

// workload is a mix of operations.
type workload struct {
	name  string
	about string
	mix   []share
	draw  distribution
	// rate fixes the rate of the open loop, in operations a second, as the lease
	// workloads do; 0 is a share of what the closed loop reached.
	rate int
	// actors is the number of records that a lease workload works on.
	actors int
	// keys is how many keys one call reads, where it reads several. Each counts
	// as an operation, and has its share of the call's time for its latency.
	keys int
}

// perCall is how many operations one call counts as.
func (w workload) perCall() int { return max(w.keys, 1) }

// lacks reports whether an engine lacks what the workload needs.
func (w workload) lacks(t engine.Traits) bool { return w.keys > 0 && !t.MultiGet }

func (w workload) writes() bool {
	for _, s := range w.mix {
		switch s.kind {
		case opOverwrite, opInsert, opReadModifyWrite:
			return true
		}
	}
	return false
}

func (w workload) inserts() bool {
	for _, s := range w.mix {
		if s.kind == opInsert {
			return true
		}
	}
	return false
}

// The workloads, in the order in which they run: those that change nothing
// first, those that add records last. YCSB's are those of its core package
// (Cooper et al., "Benchmarking cloud serving systems with YCSB", SoCC 2010);
// the leases' are the seed's own.
var workloads = []workload{
	{name: "get-uniform", about: "get of a record drawn uniformly", mix: []share{{opGet, 100}}},
	{name: "get-zipf", about: "get of a record drawn by scrambled zipfian 0.99", mix: []share{{opGet, 100}}, draw: byZipf},
	{name: "get-absent", about: "get of a key that is not there, between those that are", mix: []share{{opGetAbsent, 100}}},
	{name: "multi-get-16", about: "get of 16 records at once, drawn uniformly; an operation is one key, its latency a 16th of the call's", mix: []share{{opMultiGet, 100}}, keys: 16},
	{name: "scan-100", about: "seek and 100 steps, key and value touched", mix: []share{{opScan, 100}}},
	{name: "snapshot", about: "open and close a snapshot", mix: []share{{opSnapshot, 100}}},
	{name: "ycsb-c", about: "100 % get, zipfian", mix: []share{{opGet, 100}}, draw: byZipf},
	{name: "overwrite", about: "put over a record drawn uniformly", mix: []share{{opOverwrite, 100}}},
	{name: "mixed-50", about: "half gets, half overwrites, uniform", mix: []share{{opGet, 50}, {opOverwrite, 50}}},
	{name: "ycsb-a", about: "50 % get, 50 % overwrite, zipfian", mix: []share{{opGet, 50}, {opOverwrite, 50}}, draw: byZipf},
	{name: "ycsb-b", about: "95 % get, 5 % overwrite, zipfian", mix: []share{{opGet, 95}, {opOverwrite, 5}}, draw: byZipf},
	{name: "ycsb-f", about: "50 % get, 50 % read-modify-write, zipfian", mix: []share{{opGet, 50}, {opReadModifyWrite, 50}}, draw: byZipf},
	{name: "actor-lease", about: "the seed's: 10,000 actors, 85 % renewals, 10 % gets and new leases, 5 % scans, 1,000/s", mix: []share{{opReadModifyWrite, 85}, {opScan, 5}, {opGet, 5}, {opInsert, 5}}, rate: 1000, actors: 10_000},
	{name: "high-throughput", about: "the seed's: 50,000 actors, 90 % renewals, 8 % gets and new leases, 2 % scans, 10,000/s", mix: []share{{opReadModifyWrite, 90}, {opScan, 2}, {opGet, 4}, {opInsert, 4}}, rate: 10_000, actors: 50_000},
	{name: "query-heavy", about: "the seed's: 5,000 actors, 70 % renewals, 10 % gets and new leases, 20 % scans, 500/s", mix: []share{{opReadModifyWrite, 70}, {opScan, 20}, {opGet, 5}, {opInsert, 5}}, rate: 500, actors: 5000},
	{name: "put", about: "put of a key that is not there, in random order", mix: []share{{opInsert, 100}}},
	{name: "ycsb-d", about: "95 % get of the latest, 5 % insert", mix: []share{{opGet, 95}, {opInsert, 5}}, draw: byLatest},
	{name: "ycsb-e", about: "95 % scan of 1 to 100 entries, 5 % insert, zipfian", mix: []share{{opScanShort, 95}, {opInsert, 5}}, draw: byZipf},
}

// Two workloads are no mix of operations, but phases of a store's life.
const (
	loadWorkload     = "load"
	recoveryWorkload = "recovery"
)

// WorkloadNames returns the names that --workloads takes, in order.
func WorkloadNames() []string {
	names := []string{loadWorkload}
	for _, w := range workloads {
		names = append(names, w.name)
	}
	return append(names, recoveryWorkload)
}

func findWorkload(name string) (workload, bool) {
	for _, w := range workloads {
		if w.name == name {
			return w, true
		}
	}
	return workload{}, false
}

// store is an engine with data in it, and what the workloads must know of it.
type store struct {
	engine.Engine
	data dataset
	// nextFresh is above the number of each fresh key that is in the store.
	nextFresh int
	zipf      *zipfian
	// values are drawn from the data set beforehand, so that making them is no
	// part of an operation.
	values [][]byte
}

const valueRing = 4096

func newStore(e engine.Engine, d dataset) *store {
	s := &store{Engine: e, data: d, zipf: newZipfian(d.size())}
	for i := range valueRing {
		record := int(mix(uint64(i)) % uint64(d.size()))
		s.values = append(s.values, d.value(nil, record, i+1))
	}
	return s
}

// client runs operations, one at a time. It makes the keys of a stretch of
// operations beforehand.
type client struct {
	*store
	workload   workload
	durability engine.Durability
	rng        *rand.Rand
	records    int // those it draws from, of the data set
	// nextInsert is the number of the client's next fresh key, stride the
	// distance to the one after it, so that clients share the fresh keys;
	// inserted counts its own.
	nextInsert, stride, inserted int

	// The prepared operations: what each does, the ends of their keys in keys,
	// and the value it would put. done of them have been carried out.
	kinds []opKind
	keys  []byte
	ends  []int
	puts  [][]byte
	done  int

	// many are all prepared keys of a workload that reads several at once; found
	// is called for each that was read, and missed counts those without a value.
	many   [][]byte
	found  func(i int, value []byte, present bool)
	missed int

	batch engine.Batch
	dst   []byte
	// touched keeps the compiler from dropping what scans read.
	touched int
	// putBytes counts key and value bytes put.
	putBytes int64
}

func newClient(s *store, w workload, d engine.Durability, seed uint64, number, of int) *client {
	records := s.data.size()
	if w.actors > 0 {
		records = min(records, w.actors)
	}
	c := &client{
		store: s, workload: w, durability: d, records: records,
		rng:        rand.New(rand.NewPCG(seed, uint64(number))),
		nextInsert: s.nextFresh + number, stride: of,
		dst: make([]byte, 0, 4096),
	}
	// Each value is copied, as a get copies it.
	c.found = func(_ int, value []byte, present bool) {
		c.dst = append(c.dst[:0], value...)
		if !present {
			c.missed++
		}
	}
	return c
}

// prepare makes the keys of the next n operations. Prepared operations that were
// not carried out give back the keys that they would have inserted.
func (c *client) prepare(n int) {
	c.giveBack()
	c.kinds, c.keys, c.ends, c.puts = c.kinds[:0], c.keys[:0], c.ends[:0], c.puts[:0]
	for range n {
		kind := c.kind()
		switch kind {
		case opInsert:
			c.keys = c.data.fresh(c.keys, c.nextInsert)
			c.nextInsert += c.stride
			c.inserted++
		case opGetAbsent:
			c.keys = c.data.fresh(c.keys, 1<<40+int(c.rng.Uint32()))
		case opMultiGet:
			for range c.workload.keys - 1 {
				c.keys = c.drawKey(c.keys)
				c.ends = append(c.ends, len(c.keys))
			}
			c.keys = c.drawKey(c.keys)
		default:
			c.keys = c.drawKey(c.keys)
		}
		c.kinds = append(c.kinds, kind)
		c.ends = append(c.ends, len(c.keys))
		c.puts = append(c.puts, c.values[c.rng.Uint32()%valueRing])
	}
	if c.workload.keys > 0 {
		c.many = c.many[:0]
		for i := range c.ends {
			c.many = append(c.many, c.key(i))
		}
	}
}

func (c *client) giveBack() {
	for _, kind := range c.kinds[min(c.done, len(c.kinds)):] {
		if kind == opInsert {
			c.nextInsert -= c.stride
			c.inserted--
		}
	}
	c.kinds, c.done = c.kinds[:0], 0
}

func (c *client) kind() opKind {
	if len(c.workload.mix) == 1 {
		return c.workload.mix[0].kind
	}
	p := c.rng.IntN(100)
	for _, s := range c.workload.mix {
		if p -= s.percent; p < 0 {
			return s.kind
		}
	}
	return c.workload.mix[0].kind
}

// drawKey appends the key of a record that is there. A lease workload's actors
// are spread over all records.
func (c *client) drawKey(dst []byte) []byte {
	switch c.workload.draw {
	case byZipf:
		return c.data.key(dst, c.zipf.scrambled(c.rng)%c.records)
	case byLatest:
		// Counted back from the client's newest insert, and then on through the
		// records.
		back := c.zipf.rank(c.rng)
		if back < c.inserted {
			return c.data.fresh(dst, c.nextInsert-c.stride*(back+1))
		}
		return c.data.key(dst, c.data.size()-1-min(back-c.inserted, c.data.size()-1))
	}
	return c.data.key(dst, c.rng.IntN(c.records)*(c.data.size()/c.records))
}

// key returns prepared key i: that of operation i, where each has one.
func (c *client) key(i int) []byte {
	from := 0
	if i > 0 {
		from = c.ends[i-1]
	}
	return c.keys[from:c.ends[i]]
}

// do carries out prepared operation i.
func (c *client) do(ctx context.Context, i int) error {
	c.done = i + 1
	if c.workload.keys > 0 {
		return c.multiGet(i)
	}
	key := c.key(i)
	switch c.kinds[i] {
	case opGet:
		got, err := c.Get(key, c.dst[:0])
		if err != nil {
			return fmt.Errorf("get %s: %w", engine.QuoteKey(key), err)
		}
		c.dst = got
	case opGetAbsent:
		if _, err := c.Get(key, c.dst[:0]); !errors.Is(err, engine.ErrNotFound) {
			return fmt.Errorf("get %s, which is not there: %v", engine.QuoteKey(key), err)
		}
	case opOverwrite, opInsert:
		return c.put(ctx, key, c.puts[i])
	case opScan:
		return c.scan(key, 100)
	case opScanShort:
		return c.scan(key, 1+len(c.puts[i])*31%100)
	case opReadModifyWrite:
		got, err := c.Get(key, c.dst[:0])
		if err != nil {
			return fmt.Errorf("get %s: %w", engine.QuoteKey(key), err)
		}
		c.dst = got
		return c.put(ctx, key, c.puts[i])
	case opSnapshot:
		snap, err := c.Snapshot()
		if err != nil {
			return err
		}
		return snap.Close()
	}
	return nil
}

func (c *client) multiGet(i int) error {
	m, ok := c.Engine.(engine.MultiGetter)
	if !ok {
		return fmt.Errorf("multi-get: %w", engine.ErrUnsupported)
	}
	n := c.workload.keys
	if err := m.MultiGet(c.many[i*n:(i+1)*n], c.found); err != nil {
		return err
	}
	if c.missed > 0 {
		return fmt.Errorf("multi-get of %d records: %d are not there", n, c.missed)
	}
	return nil
}

func (c *client) put(ctx context.Context, key, value []byte) error {
	c.putBytes += int64(len(key) + len(value))
	c.batch.Reset()
	c.batch.Put(key, value)
	return c.Apply(ctx, &c.batch, c.durability)
}

func (c *client) scan(from []byte, steps int) error {
	it, err := c.NewIterator(engine.IterOptions{})
	if err != nil {
		return err
	}
	for ok := it.SeekGE(from); ok && steps > 0; ok = it.Next() {
		value, err := it.Value()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		key := it.Key()
		c.touched += len(key) + len(value)
		if len(key) > 0 {
			c.touched += int(key[len(key)-1])
		}
		if len(value) > 0 {
			c.touched += int(value[0]) + int(value[len(value)-1])
		}
		steps--
	}
	return it.Close()
}
