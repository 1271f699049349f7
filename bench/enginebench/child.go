package enginebench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/bench/process"
	"github.com/orbit-persistence/orbit/engine"
)

// childEnv names the engine that a child is to run.
const childEnv = "ORBIT_TREE_CHILD"

// request is what the parent asks, one field set.
type request struct {
	Open      *openRequest      `json:"open,omitempty"`
	Load      *loadRequest      `json:"load,omitempty"`
	Count     *struct{}         `json:"count,omitempty"`
	Get       *getRequest       `json:"get,omitempty"`
	Put       *putRequest       `json:"put,omitempty"`
	Overwrite *overwriteRequest `json:"overwrite,omitempty"`
	Snapshot  *snapshotRequest  `json:"snapshot,omitempty"`
	Stream    *streamRequest    `json:"stream,omitempty"`
	Drain     *drainRequest     `json:"drain,omitempty"`
	Beside    *besideRequest    `json:"beside,omitempty"`
	Queue     *queueRequest     `json:"queue,omitempty"`
	Hold      *struct{}         `json:"hold,omitempty"`
	Sync      *struct{}         `json:"sync,omitempty"`
	Size      *struct{}         `json:"size,omitempty"`
	Close     *struct{}         `json:"close,omitempty"`
}

// openRequest opens a store, and closes the one that is open before. Seconds are
// up to the first answered get, of a record or of a key that is not there.
type openRequest struct {
	Dir     string `json:"dir"`
	Records int    `json:"records"` // of the data set, loaded or not
	Seed    uint64 `json:"seed"`
	Config  config `json:"config"`
	// ValueBytes is the size of values, 0 for the data set's own.
	ValueBytes int `json:"value_bytes,omitempty"`
}

// answer is what the child says: figures by name, and the engine's traits to an
// openRequest.
type answer struct {
	Error  string             `json:"error,omitempty"`
	Traits *engine.Traits     `json:"traits,omitempty"`
	Values map[string]float64 `json:"values,omitempty"`
}

// RunChild serves the parent and does not return, if this process was started as
// a child of this bench; else it does nothing. A program that embeds Command calls
// it first of all, beside bench.RunChild.
func RunChild() {
	name := os.Getenv(childEnv)
	if name == "" {
		return
	}
	c := &child{ctx: context.Background()}
	c.subject, _ = findSubject(name)
	process.Serve(func(line []byte) (any, bool) {
		var r request
		var a answer
		err := json.Unmarshal(line, &r)
		if err == nil {
			a, err = c.serve(r)
		}
		if err != nil {
			a.Error = err.Error()
		}
		return a, false
	})
}

// child is an engine's process.
type child struct {
	ctx     context.Context
	subject subject
	dir     string
	data    bench.Uniform
	records int
	// valueBytes is the size of the values that value makes.
	valueBytes int
	store      engine.Engine // nil while none is open
	held       engine.Snapshot
}

func (c *child) serve(r request) (answer, error) {
	var values map[string]float64
	var err error
	switch {
	case r.Open != nil:
		return c.open(*r.Open)
	case c.store == nil:
		err = errors.New("no store is open")
	case r.Load != nil:
		values, err = c.load(*r.Load)
	case r.Count != nil:
		values, err = c.count()
	case r.Get != nil:
		values, err = c.get(*r.Get)
	case r.Put != nil:
		values, err = c.put(*r.Put)
	case r.Overwrite != nil:
		values, err = c.overwrite(*r.Overwrite)
	case r.Snapshot != nil:
		values, err = c.snapshot(*r.Snapshot)
	case r.Stream != nil:
		values, err = c.stream(*r.Stream)
	case r.Drain != nil:
		values, err = c.drain(*r.Drain)
	case r.Beside != nil:
		values, err = c.beside(*r.Beside)
	case r.Queue != nil:
		values, err = c.queue(*r.Queue)
	case r.Hold != nil:
		c.held, err = c.store.Snapshot()
	case r.Sync != nil:
		err = c.store.Sync(c.ctx)
	case r.Size != nil:
		values, err = c.size()
	case r.Close != nil:
		err = c.close()
	default:
		err = errors.New("empty request")
	}
	return answer{Values: values}, err
}

func (c *child) open(r openRequest) (a answer, err error) {
	if c.subject.open == nil {
		return a, fmt.Errorf("this build has no engine %q", os.Getenv(childEnv))
	}
	if err := c.close(); err != nil {
		return a, err
	}
	if c.records != r.Records {
		c.data, c.records = bench.NewUniform(r.Records, r.Seed), r.Records
	}
	c.dir, c.valueBytes = r.Dir, cmp.Or(r.ValueBytes, bench.UniformRecordBytes-bench.UniformKeyBytes)
	key := c.data.Key(nil, r.Records/2)
	start := time.Now()
	e, err := c.subject.open(r.Dir, r.Config)
	if err != nil {
		return a, fmt.Errorf("open: %w", err)
	}
	c.store = e
	if _, err := e.Get(key, nil); err != nil && !errors.Is(err, engine.ErrNotFound) {
		return a, fmt.Errorf("first get: %w", err)
	}
	a.Values = map[string]float64{"seconds": time.Since(start).Seconds()}
	t := e.Traits()
	a.Traits = &t
	return a, nil
}

// value appends a value of record i: stretches of the data set's.
func (c *child) value(dst []byte, i, version int) []byte {
	end := len(dst) + c.valueBytes
	for n := 0; len(dst) < end; n++ {
		dst = c.data.Value(dst, i, version+n<<20)
	}
	return dst[:end]
}

func (c *child) close() error {
	if c.store == nil {
		return nil
	}
	var err error
	if c.held != nil {
		err = c.held.Close()
	}
	err = errors.Join(err, c.store.Close())
	c.store, c.held = nil, nil
	return err
}
