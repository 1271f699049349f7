package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/orbit-persistence/orbit/bench/process"
	"github.com/orbit-persistence/orbit/engine"
)

// childEnv names the engine that a child is to run.
const childEnv = "ORBIT_BENCH_CHILD"

// command is what the parent asks, one field set.
type command struct {
	Open    *openCommand  `json:"open,omitempty"`
	Load    bool          `json:"load,omitempty"`
	Cell    *cellCommand  `json:"cell,omitempty"`
	Burst   *burstCommand `json:"burst,omitempty"`
	Recover *openCommand  `json:"recover,omitempty"`
	Close   bool          `json:"close,omitempty"`
}

type openCommand struct {
	Dir    string   `json:"dir"`
	Config Config   `json:"config"`
	Data   dataSpec `json:"data"`
}

type cellCommand struct {
	Workload   string            `json:"workload"`
	Durability engine.Durability `json:"durability"`
	Clients    int               `json:"clients"`
	Seconds    float64           `json:"seconds"` // of each loop
	Seed       uint64            `json:"seed"`
}

type burstCommand struct {
	Puts    int     `json:"puts"`
	Seconds float64 `json:"seconds"`
	Seed    uint64  `json:"seed"`
}

// answer is what the child says to it.
type answer struct {
	Error string `json:"error,omitempty"`

	Traits  *engine.Traits `json:"traits,omitempty"`
	Seconds float64        `json:"seconds,omitempty"` // of load, recover
	Method  string         `json:"method,omitempty"`  // of load
	Ops     int64          `json:"ops,omitempty"`
	Rate    float64        `json:"rate,omitempty"`
	CPU     float64        `json:"cpu,omitempty"` // ns per operation
	StallNs int64          `json:"stall_ns,omitempty"`
	// Service and Open are encoded histograms.
	Service  []byte  `json:"service,omitempty"`
	Open     []byte  `json:"open,omitempty"`
	OpenRate float64 `json:"open_rate,omitempty"`

	RSS      uint64 `json:"rss,omitempty"`
	Disk     uint64 `json:"disk,omitempty"`
	PutBytes int64  `json:"put_bytes,omitempty"`
	Written  uint64 `json:"written,omitempty"` // bytes, by this command
}

// RunChild serves the parent and does not return, if this process was started
// as a child of the bench; else it does nothing. A program that calls Main or
// embeds Command calls it first of all.
func RunChild(engines []Engine) {
	name := os.Getenv(childEnv)
	if name == "" {
		return
	}
	c := &child{ctx: context.Background()}
	for _, e := range engines {
		if e.Name == name {
			c.which = e
		}
	}
	process.Serve(func(line []byte) (any, bool) {
		var cmd command
		var a answer
		err := json.Unmarshal(line, &cmd)
		if err == nil {
			a, err = c.serve(cmd)
		}
		if err != nil {
			a.Error = err.Error()
		}
		return a, cmd.Close
	})
}

type child struct {
	ctx    context.Context
	which  Engine
	dir    string
	config Config
	data   dataset
	store  *store
	// baseRSS is what the process held before the engine was opened.
	baseRSS uint64
}

func (c *child) serve(cmd command) (answer, error) {
	switch {
	case cmd.Open != nil:
		return c.open(*cmd.Open)
	case cmd.Recover != nil:
		return c.recover(*cmd.Recover)
	case c.store == nil:
		return answer{}, errors.New("no store is open")
	case cmd.Load:
		return c.load()
	case cmd.Cell != nil:
		return c.cell(*cmd.Cell)
	case cmd.Burst != nil:
		return c.burst(*cmd.Burst)
	case cmd.Close:
		return answer{}, c.store.Close()
	}
	return answer{}, errors.New("empty command")
}

func (c *child) prepare(o openCommand) (err error) {
	if c.which.Open == nil {
		return fmt.Errorf("this build has no engine %q", os.Getenv(childEnv))
	}
	if c.data, err = o.Data.open(); err != nil {
		return err
	}
	c.dir, c.config = o.Dir, o.Config
	// Touch what the workloads will read of the data set, so that it is in the
	// process before the engine is.
	var p []byte
	for i := range c.data.size() {
		p = c.data.key(p[:0], i)
	}
	return nil
}

func (c *child) open(o openCommand) (answer, error) {
	if err := c.prepare(o); err != nil {
		return answer{}, err
	}
	s := newStore(nil, c.data)
	debug.FreeOSMemory()
	c.baseRSS, _ = residentBytes()
	e, err := c.which.Open(o.Dir, o.Config)
	if err != nil {
		return answer{}, fmt.Errorf("open: %w", err)
	}
	s.Engine = e
	c.store = s
	t := e.Traits()
	return answer{Traits: &t}, nil
}

// load stores all records, in key order, as fast as the engine lets a loader.
func (c *child) load() (a answer, err error) {
	traits := c.store.Traits()
	weakest := weakestOf(traits.Durability)
	wrote := c.startWriting()
	cpu := processCPU()
	start := time.Now()
	if x, ok := c.store.Engine.(engine.Ingester); ok {
		a.Method = "ingest"
		err = x.Ingest(c.ctx, func(yield func(key, value []byte) bool) {
			var p []byte
			for i := range c.data.size() {
				p = c.data.key(p[:0], i)
				n := len(p)
				p = c.data.value(p, i, 0)
				if !yield(p[:n:n], p[n:]) {
					return
				}
				a.PutBytes += int64(len(p))
			}
		})
	} else {
		a.Method = "sorted batches of 1,000"
		err = c.loadBatches(weakest, &a)
	}
	if err == nil && traits.Persistent {
		err = c.store.Sync(c.ctx)
	}
	if err != nil {
		return a, fmt.Errorf("load: %w", err)
	}
	a.Seconds = time.Since(start).Seconds()
	a.Ops = int64(c.data.size())
	a.Rate = float64(a.Ops) / a.Seconds
	a.CPU = float64(processCPU()-cpu) / float64(a.Ops)
	c.settle()
	a.Written = wrote()
	c.sizes(&a)
	if err := c.verify(); err != nil {
		return a, err
	}
	return a, c.warm()
}

// warm reads every record once, so that the first workload does not pay for a
// cache that is cold for it alone.
func (c *child) warm() error {
	it, err := c.store.NewIterator(engine.IterOptions{})
	if err != nil {
		return err
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if _, err := it.Value(); err != nil {
			return errors.Join(err, it.Close())
		}
		n++
	}
	if err := it.Close(); err != nil {
		return fmt.Errorf("scan after the load: %w", err)
	}
	if n != c.data.size() {
		return fmt.Errorf("verify: a scan after the load finds %d of %d records", n, c.data.size())
	}
	return nil
}

func (c *child) loadBatches(d engine.Durability, a *answer) error {
	var b engine.Batch
	var key, value []byte
	for i := range c.data.size() {
		key = c.data.key(key[:0], i)
		value = c.data.value(value[:0], i, 0)
		a.PutBytes += int64(len(key) + len(value))
		b.Put(key, value)
		if b.Count() == 1000 || i == c.data.size()-1 {
			if err := c.store.Apply(c.ctx, &b, d); err != nil {
				return err
			}
			b.Reset()
		}
	}
	return nil
}

// verify reads back 1,000 records after the load, so that no figure is of a
// store that lost them.
func (c *child) verify() error {
	var key, value, got []byte
	for n := range 1000 {
		i := int(mix(uint64(n)) % uint64(c.data.size()))
		key, value = c.data.key(key[:0], i), c.data.value(value[:0], i, 0)
		var err error
		if got, err = c.store.Get(key, got[:0]); err != nil {
			return fmt.Errorf("verify: get %s: %w", engine.QuoteKey(key), err)
		}
		if string(got) != string(value) {
			return fmt.Errorf("verify: %s holds other bytes than were put", engine.QuoteKey(key))
		}
	}
	return nil
}

// settle waits until background work has run dry, 20 seconds at most.
func (c *child) settle() {
	for range 200 {
		if c.store.Metrics().CompactionDebtBytes == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *child) cell(cmd cellCommand) (a answer, err error) {
	w, ok := findWorkload(cmd.Workload)
	if !ok {
		return a, fmt.Errorf("unknown workload %q", cmd.Workload)
	}
	if err := c.openFor(w, cmd.Durability); err != nil {
		return a, err
	}
	clients := make([]*client, cmd.Clients)
	for i := range clients {
		clients[i] = newClient(c.store, w, cmd.Durability, cmd.Seed, i, len(clients))
	}
	defer func() {
		for _, cl := range clients {
			cl.giveBack()
			c.store.nextFresh = max(c.store.nextFresh, cl.nextInsert+cl.stride)
		}
	}()
	loop := time.Duration(cmd.Seconds * float64(time.Second))
	wrote := c.startWriting()
	rate := float64(w.rate)
	if w.rate == 0 {
		closed, err := runClosed(c.ctx, clients, loop)
		if err != nil {
			return a, err
		}
		a.Ops, a.Rate, a.CPU, a.StallNs, a.PutBytes = closed.ops, closed.rate, closed.cpuPerOp, closed.stallNs, closed.putBytes
		if a.Service, err = closed.service.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err != nil {
			return a, err
		}
		rate = closed.rate * openShare
	}
	cpu := processCPU()
	open, err := runOpen(c.ctx, clients, rate, loop)
	if err != nil {
		return a, err
	}
	if w.rate != 0 {
		a.Rate = open.rate
		a.CPU = float64(processCPU()-cpu) / float64(open.ops)
	}
	a.Ops += open.ops
	a.OpenRate = open.rate
	a.PutBytes += open.putBytes
	if a.Open, err = open.latency.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err != nil {
		return a, err
	}
	a.Written = wrote()
	c.sizes(&a)
	return a, nil
}

// openFor opens the store anew for another durability, where it has only the one
// that it was opened with.
func (c *child) openFor(w workload, d engine.Durability) error {
	if !w.writes() || c.which.Classes == 0 || c.store.Traits().Durability.Has(d) {
		return nil
	}
	if err := c.store.Close(); err != nil {
		return fmt.Errorf("close, to open for %s: %w", d, err)
	}
	c.config.Durability = d
	e, err := c.which.Open(c.dir, c.config)
	if err != nil {
		return fmt.Errorf("open for %s: %w", d, err)
	}
	c.store.Engine = e
	return nil
}

// burst overwrites records for a recovery to replay, in the class that survives
// the death of the process where there is one.
func (c *child) burst(cmd burstCommand) (answer, error) {
	w, _ := findWorkload("overwrite")
	d := engine.Buffered
	if classes := c.which.classes(c.store.Traits()); !classes.Has(d) {
		d = weakestOf(classes)
	}
	if err := c.openFor(w, d); err != nil {
		return answer{}, err
	}
	cl := newClient(c.store, w, d, cmd.Seed, 0, 1)
	until := time.Now().Add(time.Duration(cmd.Seconds * float64(time.Second)))
	var a answer
	for a.Ops < int64(cmd.Puts) && time.Now().Before(until) {
		cl.prepare(chunk)
		for i := range chunk {
			if err := cl.do(c.ctx, i); err != nil {
				return a, err
			}
		}
		a.Ops += chunk
	}
	return a, nil
}

// recover opens a store whose process was killed, up to the first read.
func (c *child) recover(o openCommand) (a answer, err error) {
	if err := c.prepare(o); err != nil {
		return a, err
	}
	key := c.data.key(nil, c.data.size()/2)
	start := time.Now()
	e, err := c.which.Open(o.Dir, o.Config)
	if err != nil {
		return a, fmt.Errorf("open after a kill: %w", err)
	}
	if _, err := e.Get(key, nil); err != nil {
		return a, errors.Join(fmt.Errorf("first read after a kill: get %s: %w", engine.QuoteKey(key), err), e.Close())
	}
	a.Seconds = time.Since(start).Seconds()
	return a, e.Close()
}

// startWriting returns a function that tells what was written since.
func (c *child) startWriting() func() uint64 {
	before, err := writtenBytes()
	if err != nil {
		return func() uint64 { return 0 }
	}
	return func() uint64 {
		after, err := writtenBytes()
		if err != nil {
			return 0
		}
		return after - before
	}
}

func (c *child) sizes(a *answer) {
	if rss, err := residentBytes(); err == nil && rss > c.baseRSS {
		a.RSS = rss - c.baseRSS
	}
	a.Disk = diskBytes(c.dir)
}

// diskBytes returns the blocks that the files below dir occupy.
func diskBytes(dir string) uint64 {
	var n uint64
	// A file that goes away under the walk occupies nothing.
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += allocated(info)
			}
		}
		return nil
	})
	return n
}

func weakestOf(classes engine.DurabilitySet) engine.Durability {
	for _, d := range engine.Durabilities {
		if classes.Has(d) {
			return d
		}
	}
	return engine.Flushed
}

// classes are those in which the engine can be measured.
func (e Engine) classes(t engine.Traits) engine.DurabilitySet {
	if e.Classes != 0 {
		return e.Classes
	}
	return t.Durability
}
