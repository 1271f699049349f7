// Package target says what the torture harness works on, an engine and how it
// is opened, and what a mode of torture reports.
package target

import (
	"context"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Engine is one engine under torture.
type Engine struct {
	// Name is the engine's short name, as the tools take it.
	Name string
	// Missing says why this build lacks the engine, and how to get it; "" if it
	// does not.
	Missing string
	// Open opens, or makes, a store in a directory of the real disk.
	Open func(dir string) (engine.Engine, error)
	// OpenOn does the same on any file system. It must be deterministic, unless the
	// engine is Foreign: the same calls of the engine make the same calls of the
	// file system. Nil where the engine cannot; it then takes part on the real disk
	// alone.
	OpenOn func(fsys vfs.FS, dir string) (engine.Engine, error)
	// OpenOnPaths opens, or makes, a store whose data is on each of the directories,
	// which are on devices of their own and need not all be there. What else it
	// keeps is below PathsHome, on a device that stays. Nil where an engine has no
	// such paths.
	OpenOnPaths func(fsys vfs.FS, dirs []string) (engine.Engine, error)
	// OpenMirrored does the same on the real disk, with direct I/O, goroutines and all,
	// as the engine is in production, though with so small sizes that a few seconds show
	// everything. With force it goes on without a path that may be newer. Nil where an
	// engine has no such paths.
	OpenMirrored func(dirs []string, force bool) (Mirrored, error)
	// Transparent are prefixes of function names, with their package's path,
	// between the engine and the file system: no I/O site is in them.
	Transparent []string
	// MayExit: an error of the device may end the process. Modes that inject
	// errors run such an engine in a child.
	MayExit bool
	// Foreign engines are not this project's. What they do under faults outside
	// their contract is reported, not judged.
	Foreign bool
}

// Mirrored is an open store that has all its data on each of several paths.
type Mirrored struct {
	engine.Engine
	// Paths tells how each path is, in their order.
	Paths func() []PathState
}

// PathState tells how a path of a store is.
type PathState struct {
	// InSync: all that was acknowledged is there; otherwise Cause says why not.
	InSync bool
	Cause  error
	// Copied is how many bytes it has been given since it was begun to be brought level.
	Copied int64
}

// PathsHome is where a store of OpenOnPaths keeps what is not on its paths.
const PathsHome = "/store"

// Run is what a mode is given.
type Run struct {
	Engine Engine
	// Seed fixes every choice of the run.
	Seed uint64
	// Budget is how long to go on. 0 is a fixed amount of work.
	Budget time.Duration
	// Work is that amount, in units of the mode; 0 is the mode's default.
	Work int64
	// Progress is told how far the run is; of is 0 where the end is not known. It
	// may be nil, and must return soon.
	Progress func(done, of int64, what string)
	// Directory is an empty directory of the real disk, for the run alone.
	Directory string
}

// Report tells Progress, if there is one.
func (r Run) Report(done, of int64, what string) {
	if r.Progress != nil {
		r.Progress(done, of, what)
	}
}

// Mode is a way of torture. Its error means that the harness itself could not
// work; what the engine did wrong is in the result.
type Mode func(ctx context.Context, r Run) (Result, error)

// Result is what a mode found out about an engine.
type Result struct {
	Mode   string `json:"mode"`
	Engine string `json:"engine"`
	// Counts are in the order in which they are printed.
	Counts   []Count   `json:"counts"`
	Failures []Failure `json:"failures,omitempty"`
	// Observed is what a foreign engine did under faults outside its contract.
	Observed []string `json:"observed,omitempty"`
	// LeftOut names what could not be run here, and why.
	LeftOut []string `json:"left_out,omitempty"`
	// Tables say what single counts cannot.
	Tables  []Table       `json:"tables,omitempty"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// Count is a number of a summary: "crash images", "faults injected", "unknown".
type Count struct {
	Name string `json:"name"`
	N    int64  `json:"n"`
}

// Table is printed below the counts: the first column is of words, the others are
// of numbers.
type Table struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
}

// Add adds n to the count of that name, which it appends if it is new.
func (r *Result) Add(name string, n int64) {
	for i := range r.Counts {
		if r.Counts[i].Name == name {
			r.Counts[i].N += n
			return
		}
	}
	r.Counts = append(r.Counts, Count{name, n})
}

// Get returns the count of that name, 0 if there is none.
func (r *Result) Get(name string) int64 {
	for _, c := range r.Counts {
		if c.Name == name {
			return c.N
		}
	}
	return 0
}

// Failure is a promise that was broken.
type Failure struct {
	// What was promised, and what was found instead.
	What string `json:"what"`
	Seed uint64 `json:"seed"`
	// Workload is the shrunk workload as text.
	Workload string `json:"workload,omitempty"`
	// Command replays the failure.
	Command string `json:"command"`
	// Trace is what reached the disk, as text.
	Trace string `json:"trace,omitempty"`
}
