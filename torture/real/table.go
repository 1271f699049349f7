package real

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// Classes counts batches by durability class.
type Classes struct {
	Flushed  int64 `json:"flushed"`
	Buffered int64 `json:"buffered"`
	Memory   int64 `json:"memory"`
}

func (c *Classes) at(d engine.Durability) *int64 {
	switch d {
	case engine.Flushed:
		return &c.Flushed
	case engine.Buffered:
		return &c.Buffered
	}
	return &c.Memory
}

func (c *Classes) add(d engine.Durability, n int64) { *c.at(d) += n }
func (c Classes) of(d engine.Durability) int64      { return *c.at(d) }
func (c Classes) all() int64                        { return c.Flushed + c.Buffered + c.Memory }
func (c *Classes) merge(other Classes) {
	c.Flushed += other.Flushed
	c.Buffered += other.Buffered
	c.Memory += other.Memory
}

// Row is what one engine did in one mode on one file system.
type Row struct {
	Engine     string `json:"engine"`
	Version    string `json:"version"`
	Foreign    bool   `json:"foreign"`
	Mode       string `json:"mode"`
	FileSystem string `json:"file_system"`

	// Rounds counts the kills or power cuts, Recoveries those of them that met the
	// store while it opened.
	Rounds     int64 `json:"rounds"`
	Recoveries int64 `json:"recoveries"`
	// Acked are the batches that were acknowledged, Lost those of them that were
	// gone afterwards.
	Acked Classes `json:"acked"`
	Lost  Classes `json:"lost"`
	// Broken counts the stores that were no prefix of the commit order, Wrong those
	// that showed what was never there, or disagreed with themselves.
	Broken int64 `json:"broken_prefix"`
	Wrong  int64 `json:"wrong"`
	// NotOpened counts the stores that did not open again, Failed those that failed
	// while nothing was wrong.
	NotOpened int64 `json:"not_opened"`
	Failed    int64 `json:"failed"`
	// Seconds are those of all lanes together.
	Seconds float64 `json:"seconds"`
}

// note counts a fault.
func (r *Row) note(err error) {
	switch kind := workload.FaultOf(err); {
	case kind == broken:
		r.Broken++
	case kind == workload.NotOpened:
		r.NotOpened++
	case kind == workload.Lost: // counted in batches
	case kind == workload.Wrong || kind == workload.Ahead || kind == workload.Disagrees:
		r.Wrong++
	default:
		r.Failed++
	}
}

func (r *Row) merge(o Row) {
	if r.Version == "" {
		r.Version = o.Version
	}
	r.Rounds += o.Rounds
	r.Recoveries += o.Recoveries
	r.Acked.merge(o.Acked)
	r.Lost.merge(o.Lost)
	r.Broken += o.Broken
	r.Wrong += o.Wrong
	r.NotOpened += o.NotOpened
	r.Failed += o.Failed
	r.Seconds += o.Seconds
}

// Table is the crash table: what the modes that stop stores found, over all engines
// of a run. It has the modes as methods.
type Table struct {
	out, commit string

	mu      sync.Mutex
	started time.Time
	rows    []Row
}

// NewTable returns an empty table, which is written as crash-table.md and
// crash-table.json into a directory whenever a mode has ended; nowhere if that is
// "". The commit names the source of this program.
func NewTable(out, commit string) *Table {
	return &Table{out: out, commit: commit, started: time.Now().UTC()}
}

// add puts rows into the table and writes it.
func (t *Table) add(rows []Row) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, rows...)
	if t.out == "" {
		return nil
	}
	file := struct {
		Started time.Time `json:"started"`
		Kernel  string    `json:"kernel"`
		Commit  string    `json:"commit"`
		Rows    []Row     `json:"rows"`
	}{t.started, kernel(), t.commit, t.rows}
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(t.out, 0o755),
		os.WriteFile(filepath.Join(t.out, "crash-table.json"), append(data, '\n'), 0o644),
		os.WriteFile(filepath.Join(t.out, "crash-table.md"), []byte(t.markdown()), 0o644))
}

// markdown writes the table for a person. Under mu.
func (t *Table) markdown() string {
	var b strings.Builder
	b.WriteString("# What survives\n\n")
	fmt.Fprintf(&b, "Real processes killed, and real file systems cut off from their device, while %d writers worked; kernel %s, commit %s, %s. ",
		writers, kernel(), t.commit, t.started.Format("2006-01-02"))
	b.WriteString(`Written by ` + "`orbit-cli torture --modes kill,powercut --out DIR`" + `.

A dash is a class that the engine does not have as it was opened. What was
acknowledged as memory may be lost at any stop, as buffered at a power cut: those
figures are in brackets. Nothing else may be lost, and whatever is lost is a suffix
of the commit order. Engines that are not this project's are reported, not judged.

| engine | file system | stopped by | stops | of them in recovery | acknowledged: flushed | buffered | memory | lost: flushed | buffered | memory | broken prefix | wrong data | not opened | failed |
|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`)
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d |", r.Engine, r.FileSystem, r.Mode, r.Rounds, r.Recoveries)
		for _, d := range []engine.Durability{engine.Flushed, engine.Buffered, engine.Memory} {
			b.WriteString(" " + cell(r.Acked.of(d) > 0, r.Acked.of(d), false) + " |")
		}
		for _, d := range []engine.Durability{engine.Flushed, engine.Buffered, engine.Memory} {
			allowed := d == engine.Memory || d == engine.Buffered && r.Mode == NamePowerCut
			b.WriteString(" " + cell(r.Acked.of(d) > 0, r.Lost.of(d), allowed) + " |")
		}
		fmt.Fprintf(&b, " %d | %d | %d | %d |\n", r.Broken, r.Wrong, r.NotOpened, r.Failed)
	}
	return b.String()
}

// cell writes a count: a dash if there is nothing to count, in brackets if it may
// be above nought.
func cell(there bool, n int64, allowed bool) string {
	switch {
	case !there:
		return "-"
	case allowed:
		return fmt.Sprintf("(%d)", n)
	}
	return fmt.Sprint(n)
}

// kernel names the running kernel.
func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
