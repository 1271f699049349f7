package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/orbit-persistence/orbit/bench/report"
	"github.com/orbit-persistence/orbit/bench/result"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"golang.org/x/term"
)

// Commit names the source that was built; the Makefile sets it.
var Commit = "unknown"

// Command is the command line of the bench, for kong.
type Command struct {
	Profile    string   `enum:"quick,full" default:"quick" help:"quick (minutes: lease and contents data) or full (hours: more sizes, caches, tunings)."`
	Engines    []string `placeholder:"NAME,..." help:"Engines to run; all that this build has, if not given."`
	Workloads  []string `placeholder:"NAME,..." help:"Workloads to run; see --list."`
	Records    int      `placeholder:"N" help:"Records of each data set."`
	Durability []string `default:"memory,buffered,flushed" help:"Classes in which to write: memory, buffered, flushed."`
	Clients    []int    `placeholder:"N,..." help:"Clients at once, for flushed puts and gets; default 1,16,64."`
	Data       []string `placeholder:"NAME,..." help:"Data sets: lease, contents, uniform."`
	Cache      Bytes    `placeholder:"BYTES" help:"Cache of each engine: 268435456, 256MiB."`
	Memory     Bytes    `placeholder:"BYTES" help:"Limit on the memory of each engine's process and its page cache."`
	Dir        string   `placeholder:"DIR" help:"Where the stores are made and removed; a directory on the device to be measured. Default: the system's temporary directory."`
	Seed       uint64   `default:"1" help:"Seed of all that is random."`
	Rounds     int      `placeholder:"N" help:"How often each cell is measured."`
	Seconds    float64  `placeholder:"S" help:"Duration of each loop."`
	JSON       string   `name:"json" placeholder:"FILE" help:"Write the result as JSON."`
	HTML       string   `name:"html" placeholder:"FILE" help:"Write the report as one page."`
	Out        string   `placeholder:"DIR" help:"Write bench.json, table.md, report.html and the plots there."`
	List       bool     `help:"List engines, workloads and data sets, and exit."`

	RocksDBRelease string `name:"rocksdb-release" placeholder:"FILE" help:"Another build of this program, with a release build of RocksDB, to run beside it as rocksdb-release."`
}

// Bytes is a number of bytes, read with or without a unit: 1048576, 1MiB, 1GB.
type Bytes uint64

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	number := strings.TrimRight(s, "KMGTiBkmgtb")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || n < 0 || n > 1<<62 {
		return fmt.Errorf("%q is no number of bytes; write 268435456 or 256MiB", s)
	}
	units := map[string]float64{"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
	unit, ok := units[strings.ToUpper(s[len(number):])]
	if !ok {
		return fmt.Errorf("%q has no unit that is known; write 268435456 or 256MiB", s)
	}
	*b = Bytes(n * unit)
	return nil
}

// Run runs the bench and writes what was asked for. A UsageError means that the
// call or its surroundings are at fault, and nothing was measured.
func (c *Command) Run(ctx context.Context, engines []Engine) error {
	if c.List {
		return c.list(engines)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := c.plan(engines)
	if err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	for _, out := range []string{c.JSON, c.HTML, filepath.Join(c.Out, "bench.json")} {
		if err := writableFor(out); err != nil {
			return err
		}
	}
	err = c.carryOut(ctx, r)
	if writeErr := c.write(r.result); writeErr != nil {
		return errors.Join(err, writeErr)
	}
	if ctx.Err() != nil {
		return errors.New("interrupted; what was measured before is written, and marked as partial")
	}
	return err
}

// Measure runs the bench without writing anything, for what goes on from its
// result. Beside an error that ended the run early, what was measured before is
// returned, marked as partial; beside a UsageError nothing.
func (c *Command) Measure(ctx context.Context, engines []Engine) (*result.Result, error) {
	r, err := c.plan(engines)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.dir)
	return r.result, c.carryOut(ctx, r)
}

// carryOut measures what was planned.
func (c *Command) carryOut(ctx context.Context, r *runner) error {
	r.progress.say("%s on %s, %s; about %s", joinWords(engineNames(r.engines)), r.dir, r.result.Run.FileSystem, r.estimate().Round(10*time.Second))
	err := c.measure(ctx, r)
	r.result.Run.Seconds = time.Since(r.result.Run.Started).Seconds()
	if err != nil {
		if ctx.Err() == nil {
			r.note("the run ended early: %v", err)
		}
		r.result.Run.Partial = true
	}
	r.progress.clear()
	return err
}

// measure runs the sections between two measurements of the machine.
func (c *Command) measure(ctx context.Context, r *runner) (err error) {
	run := &r.result.Run
	limitSeconds := min(0.8, 4*r.sections[0].loops) // for each figure
	var sets []uint64
	for _, s := range r.sections {
		if err := r.prepare(&s); err != nil {
			return err
		}
		d, err := s.data.open()
		if err != nil {
			return err
		}
		sets = append(sets, workingSet(d.info()))
		if run.HarnessNs == 0 {
			if run.HarnessNs, err = harnessNs(d); err != nil {
				return err
			}
		}
	}
	r.progress.begin("the machine's own limits", "before")
	if run.LimitsBefore, err = MeasureLimits(ctx, r.dir, sets, limitSeconds); err != nil {
		return err
	}
	r.progress.say("  limits: flush %.0f µs by %s, read %.0f µs, %s reads/s at depth 32, write %.0f MiB/s, miss %.0f ns",
		run.LimitsBefore.FlushNs/1e3, run.LimitsBefore.FlushPrimitive, run.LimitsBefore.Read1Ns/1e3, count(run.LimitsBefore.Read32PerS),
		run.LimitsBefore.WriteBytesPerS/mib, run.LimitsBefore.MissNs[strconv.FormatUint(sets[len(sets)-1], 10)])
	if err := r.run(ctx); err != nil {
		return err
	}
	r.progress.begin("the machine's own limits", "after")
	run.LimitsAfter, err = MeasureLimits(ctx, r.dir, sets, limitSeconds)
	return err
}

// prepare makes the file that a section's data set is read from.
func (r *runner) prepare(s *section) error {
	if s.data.Kind != "contents" {
		return nil
	}
	if _, err := os.Stat(s.data.File); err == nil {
		return nil
	}
	dir, err := ContentsDir()
	if err != nil {
		return err
	}
	r.progress.begin("reading Debian's Contents index", s.data.Label)
	return prepareContents(dir, s.data)
}

// plan checks the call and lays out the run.
func (c *Command) plan(engines []Engine) (*runner, error) {
	r := &runner{seed: c.Seed, result: &result.Result{Run: result.RunHeader{
		Format: result.Format, Profile: c.Profile, Started: time.Now().UTC(), Commit: Commit, Seed: c.Seed,
		Versions: map[string]string{"go": runtime.Version()}, Settings: map[string]string{},
	}}}
	describeHost(&r.result.Run)
	var err error
	if r.engines, err = c.chooseEngines(engines, r); err != nil {
		return nil, err
	}
	if err := c.chooseSections(r); err != nil {
		return nil, err
	}
	if err := c.chooseDir(r); err != nil {
		return nil, err
	}
	steps := 2
	for _, s := range r.sections {
		steps += len(r.engines) * (1 + s.rounds + len(s.cells)*s.rounds)
	}
	r.progress = newProgress(os.Stderr, steps)
	return r, nil
}

func (c *Command) chooseEngines(engines []Engine, r *runner) ([]Engine, error) {
	if c.RocksDBRelease != "" {
		if _, err := os.Stat(c.RocksDBRelease); err != nil {
			return nil, Usagef("--rocksdb-release: %v", err)
		}
		for _, e := range engines {
			if e.Name == "rocksdb" {
				e.Name, e.ChildName, e.Executable, e.Missing = "rocksdb-release", "rocksdb", c.RocksDBRelease, ""
				engines = append(slices.Clone(engines), e)
				break
			}
		}
	}
	var chosen []Engine
	if len(c.Engines) == 0 {
		for _, e := range engines {
			switch {
			case e.Missing != "":
				r.note("%s is left out: %s", e.Name, e.Missing)
			case e.Tuning == "" || c.Profile == "full":
				chosen = append(chosen, e)
			}
		}
		return chosen, nil
	}
	for _, name := range c.Engines {
		i := slices.IndexFunc(engines, func(e Engine) bool { return e.Name == name })
		if i < 0 {
			return nil, Usagef("unknown engine %q; choose among %s", name, joinWords(engineNames(engines)))
		}
		if engines[i].Missing != "" {
			return nil, Usagef("engine %s cannot run: %s", name, engines[i].Missing)
		}
		if !slices.ContainsFunc(chosen, func(e Engine) bool { return e.Name == name }) {
			chosen = append(chosen, engines[i])
		}
	}
	return chosen, nil
}

func engineNames(engines []Engine) []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.Name)
	}
	return names
}

func (c *Command) chooseSections(r *runner) error {
	quick := c.Profile == "quick"
	var classes []engine.Durability
	for _, d := range engine.Durabilities {
		if slices.Contains(c.Durability, d.String()) {
			classes = append(classes, d)
		}
	}
	for _, name := range c.Durability {
		if _, err := engine.ParseDurability(name); err != nil {
			return Usagef("--durability: %w", err)
		}
	}
	clients := c.Clients
	if len(clients) == 0 {
		clients = []int{1, 16, 64}
	}
	for _, n := range clients {
		if n < 1 || n > 4096 {
			return Usagef("--clients %d: between 1 and 4096", n)
		}
	}
	if c.Records < 0 || c.Records > 0 && c.Records < 1000 {
		return Usagef("--records %d: 1,000 at least", c.Records)
	}
	if c.Seconds < 0 || c.Rounds < 0 || c.Rounds > 1000 {
		return Usagef("--seconds and --rounds must be above nought")
	}
	for _, name := range c.Workloads {
		if !slices.Contains(WorkloadNames(), name) {
			return Usagef("unknown workload %q; choose among %s", name, joinWords(WorkloadNames()))
		}
	}
	for _, name := range c.Data {
		if !slices.Contains(DataNames, name) {
			return Usagef("unknown data set %q; choose among %s", name, joinWords(DataNames))
		}
	}
	type size struct {
		label, kind string
		records     int
		cache       uint64
		onDisk      bool
	}
	sizes := []size{{"lease", "lease", 200_000, 256 * mib, false}, {"contents", "contents", 1_000_000, 256 * mib, false}}
	if !quick {
		const row = 116 // bytes of a uniform record
		sizes = append(sizes,
			size{"uniform", "uniform", 1_000_000, 256 * mib, false},
			size{"uniform-10M", "uniform", 10_000_000, 2 * gib, false},
			size{"uniform-10M-0.5x", "uniform", 10_000_000, 2 * 10_000_000 * row, false},
			size{"uniform-10M-8x", "uniform", 10_000_000, 10_000_000 * row / 8, true},
		)
	}
	if len(c.Data) > 0 {
		var chosen []size
		for _, name := range c.Data {
			i := slices.IndexFunc(sizes, func(s size) bool { return s.label == name })
			if i < 0 {
				chosen = append(chosen, size{name, name, 1_000_000, 256 * mib, false})
			} else {
				chosen = append(chosen, sizes[i])
			}
		}
		sizes = chosen
	}
	loops, rounds := 0.13, 5
	if !quick {
		loops, rounds = 1, 5
	}
	if c.Seconds > 0 {
		loops = c.Seconds
	}
	if c.Rounds > 0 {
		rounds = c.Rounds
	}
	for _, z := range sizes {
		s := section{data: dataSpec{Label: z.label, Kind: z.kind, Records: z.records, Seed: c.Seed}, cache: z.cache, loops: loops, rounds: rounds, onDisk: z.onDisk}
		if c.Records > 0 {
			s.data.Records = c.Records
		}
		if c.Cache > 0 {
			s.cache = uint64(c.Cache)
		}
		// Room for the cache, the data once more for engines that live in memory
		// or in the page cache, and the process itself.
		s.memory = s.cache + uint64(s.data.Records)*1000 + gib
		if z.onDisk {
			s.memory = s.cache + gib/2
		}
		if c.Memory > 0 {
			s.memory = uint64(c.Memory)
		}
		if len(c.Workloads) > 0 {
			s.cells = planCells(c.Workloads, classes, clients)
		} else {
			s.cells = defaultCells(z.kind, quick, classes, clients)
		}
		s.load = len(c.Workloads) == 0 || slices.Contains(c.Workloads, loadWorkload)
		s.recovery = len(c.Workloads) == 0 || slices.Contains(c.Workloads, recoveryWorkload)
		r.sections = append(r.sections, s)
	}
	run := &r.result.Run
	run.CacheBytes, run.Rounds = r.sections[0].cache, rounds
	return nil
}

// chooseDir makes the run's own directory, on a device with room for it.
func (c *Command) chooseDir(r *runner) error {
	parent := c.Dir
	if parent == "" {
		parent = os.TempDir()
	}
	fs := vfs.OS()
	usage, err := fs.DiskUsage(parent)
	if err != nil {
		return Usagef("--dir: %w", err)
	}
	r.result.Run.FileSystem = usage.FileSystem
	var most uint64
	needsContents := false
	for _, s := range r.sections {
		// Each store may hold its records three times over, for a while.
		most = max(most, uint64(s.data.Records)*1500*uint64(len(r.engines)))
		needsContents = needsContents || s.data.Kind == "contents"
	}
	if most += 2 * limitFileBytes; usage.Available < most {
		return Usagef("--dir %s: %d MiB are free, the run may need %d MiB", parent, usage.Available/mib, most/mib)
	}
	if usage.FileSystem == "tmpfs" {
		r.note("%s is a tmpfs: nothing there is flushed, and no device is measured; choose another --dir", parent)
	}
	if needsContents {
		if _, err := ContentsDir(); err != nil {
			return err
		}
	}
	if r.dir, err = os.MkdirTemp(parent, "orbit-bench-"); err != nil {
		return Usagef("--dir: %w", err)
	}
	for i := range r.sections {
		if d := &r.sections[i].data; d.Kind == "contents" {
			d.File = filepath.Join(r.dir, d.Label+".rows")
		}
	}
	return nil
}

// writableFor refuses, before hours are spent, a place where nothing can be
// written.
func writableFor(file string) error {
	if file == "" || file == "bench.json" {
		return nil
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Usagef("cannot write %s: %w", file, err)
	}
	probe, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return Usagef("cannot write %s: %w", file, err)
	}
	probe.Close()
	return os.Remove(probe.Name())
}

// write puts the result where it was asked for, and shows it.
func (c *Command) write(r *result.Result) error {
	var errs []error
	if c.JSON != "" {
		errs = append(errs, r.Write(c.JSON))
	}
	if c.HTML != "" {
		page, err := report.HTML(r)
		if err == nil {
			err = result.WriteFile(c.HTML, page)
		}
		errs = append(errs, err)
	}
	if c.Out != "" {
		errs = append(errs, report.WriteAll(c.Out, r))
	}
	width := 120
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		width = w
	}
	errs = append(errs, report.Terminal(os.Stdout, r, width))
	if c.Out != "" {
		fmt.Printf("\n%s holds bench.json, table.md, report.html and the plots\n", c.Out)
	}
	return errors.Join(errs...)
}

func (c *Command) list(engines []Engine) error {
	fmt.Println("engines:")
	for _, e := range engines {
		about := "ready"
		if e.Missing != "" {
			about = "cannot run: " + e.Missing
		}
		fmt.Printf("  %-18s %s\n", e.Name, about)
	}
	fmt.Println("workloads:")
	fmt.Printf("  %-18s %s\n", loadWorkload, "all records in key order, as fast as the engine's bulk way")
	for _, w := range workloads {
		fmt.Printf("  %-18s %s\n", w.name, w.about)
	}
	fmt.Printf("  %-18s %s\n", recoveryWorkload, "kill -9 behind a burst of puts, then open to the first read")
	fmt.Println("data:")
	for _, d := range [][2]string{
		{"lease", "actor leases as JSON: key 48 B, value about 430 B"},
		{"contents", "Debian's Contents index: path to packages"},
		{"uniform", "16-byte keys, 100-byte values that do not compress"},
	} {
		fmt.Printf("  %-18s %s\n", d[0], d[1])
	}
	return nil
}
