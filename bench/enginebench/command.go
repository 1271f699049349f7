package enginebench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/bench/result"
)

// Tree measures the copy-on-write B+tree against its goals.
type Tree struct{ Command }

// Run measures until it is done or interrupted, and writes what it has then.
func (t *Tree) Run() error { return t.Command.run(treeSuite) }

// LSM measures the LSM-tree against its goals.
type LSM struct{ Command }

// Run measures until it is done or interrupted, and writes what it has then.
func (l *LSM) Run() error { return l.Command.run(lsmSuite) }

// Command measures a suite and writes the tables and the pictures.
type Command struct {
	Engine         string        `placeholder:"NAME" help:"The engine that the goals are for, if not the one that they were made for."`
	Peers          []string      `placeholder:"NAME,..." help:"Engines beside it, if not the usual."`
	Only           []string      `placeholder:"SECTION,..." help:"Sections to run; all, if not given. An unknown one is answered with their names."`
	Rounds         int           `default:"3" help:"Rounds; each figure is their median."`
	Quick          bool          `help:"Small sizes and short times, to see that everything runs; not for figures."`
	Largest        int           `placeholder:"RECORDS" help:"Leave out sizes above so many records."`
	Budget         time.Duration `default:"2h" help:"Leave out, loudly, what does not fit into this time, and stop what goes on beyond it; 0 for no bound."`
	Seed           uint64        `default:"1" help:"Seed of all that is random."`
	Dir            string        `type:"existingdir" default:"." help:"A directory on the device to measure."`
	RocksDBRelease string        `name:"rocksdb-release" type:"existingfile" placeholder:"FILE" help:"Another build of this program, with a release build of RocksDB, to run beside it as rocksdb-release; the goals are then held against it."`
	Out            string        `type:"path" help:"Directory for the table, the JSON and the pictures; nothing is written without it."`
}

// errInterrupted is the error of a run that a signal ended; what it had measured by
// then is printed and written.
var errInterrupted = errors.New("interrupted: what is printed is not all")

func (c *Command) run(s suite) error {
	c.Engine = cmp.Or(c.Engine, s.engine)
	if c.Peers == nil {
		c.Peers = s.peers
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := c.measure(ctx, s)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	r.Write(&text)
	if _, err := os.Stdout.Write(text.Bytes()); err != nil {
		return err
	}
	if c.Out != "" {
		if err := c.write(r, text.Bytes()); err != nil {
			return err
		}
	}
	if r.Interrupted {
		return errInterrupted
	}
	return nil
}

// write writes the result's files.
func (c *Command) write(r *Result, text []byte) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	files := r.Pictures()
	files[r.Suite+".json"] = append(data, '\n')
	files[r.Suite+".md"] = text
	for name, data := range files {
		if err := result.WriteFile(filepath.Join(c.Out, name), data); err != nil {
			return err
		}
	}
	return nil
}

// measure runs the sections. A bench.UsageError means that the call is at fault,
// and nothing was measured; every other error ended the run. The end of ctx or of the
// budget is none: the result says what is missing from it.
func (c *Command) measure(ctx context.Context, s suite) (*Result, error) {
	r, chosen, err := c.plan(s)
	if err != nil {
		return nil, err
	}
	if err := r.measure(ctx, c.Dir, chosen); err != nil {
		return nil, err
	}
	return &r.Result, nil
}

func (c *Command) plan(of suite) (*run, []section, error) {
	r := &run{suite: of, sizes: of.full, seed: c.Seed, rng: rand.New(rand.NewPCG(c.Seed, 7)), started: time.Now(), budget: c.Budget}
	if c.Quick {
		r.sizes = of.quick
	}
	r.sizes = r.cut(c.Largest)
	if c.Largest < 0 || c.Largest > 0 && c.Largest < 1000 {
		return nil, nil, bench.Usagef("--largest %d: 1,000 at least", c.Largest)
	}
	if c.Rounds < 1 {
		return nil, nil, bench.Usagef("--rounds %d: 1 at least", c.Rounds)
	}
	r.Result = Result{
		Suite: of.name, Title: of.title,
		Commit: bench.Commit, Started: r.started.UTC().Format(time.RFC3339), Rounds: c.Rounds, Quick: c.Quick, Versions: map[string]string{},
		Machine: fmt.Sprintf("%s, %s/%s, %d cores, GOMAXPROCS %d", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.GOMAXPROCS(0)),
	}
	var known bool
	if r.own, known = findSubject(c.Engine); !known {
		return nil, nil, bench.Usagef("unknown engine %q; choose among %s", c.Engine, strings.Join(subjectNames(), ", "))
	}
	if r.own.missing != "" {
		return nil, nil, bench.Usagef("engine %s cannot run: %s", c.Engine, r.own.missing)
	}
	r.Engine = c.Engine
	for _, name := range c.Peers {
		s, known := findSubject(name)
		switch {
		case !known:
			return nil, nil, bench.Usagef("unknown engine %q; choose among %s", name, strings.Join(subjectNames(), ", "))
		case s.missing != "":
			r.leaveOut("%s: %s", name, s.missing)
		case name != c.Engine:
			r.peers = append(r.peers, s)
			r.Peers = append(r.Peers, name)
		}
	}
	if c.RocksDBRelease != "" {
		s, _ := findSubject("rocksdb")
		s.name, s.missing, s.executable, s.childName = rocksdbRelease, "", c.RocksDBRelease, "rocksdb"
		r.peers, r.Peers = append(r.peers, s), append(r.Peers, s.name)
	}
	for _, key := range c.Only {
		if !slices.ContainsFunc(of.sections, func(s section) bool { return s.key == key }) {
			return nil, nil, bench.Usagef("unknown section %q; choose among %s", key, strings.Join(of.keys(), ", "))
		}
	}
	var chosen []section
	for _, s := range of.sections {
		if len(c.Only) == 0 || slices.Contains(c.Only, s.key) {
			chosen = append(chosen, s)
		} else {
			r.leaveOut("%s (%s): not asked for", s.name, s.key)
		}
	}
	return r, chosen, nil
}

const rocksdbRelease = "rocksdb-release"

// rocksdb is the build that the goals are held against.
func (r *run) rocksdb() string {
	if slices.Contains(r.Peers, rocksdbRelease) {
		return rocksdbRelease
	}
	return "rocksdb"
}
