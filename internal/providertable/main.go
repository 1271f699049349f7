// Command providertable prints the table of providers, in Markdown, from what runs of
// the conformance suite have left in a directory; `make provider-table` does both.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: providertable DIR")
		os.Exit(2)
	}
	records, err := read(os.Args[1])
	if err == nil {
		err = write(os.Stdout, records)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "providertable:", err)
		os.Exit(1)
	}
}

func read(dir string) ([]drivertest.Record, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no record in %s; run the conformance tests with %s=%s", dir, drivertest.RecordVariable, dir)
	}
	var records []drivertest.Record
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var r drivertest.Record
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		records = append(records, r)
	}
	return records, nil
}

// write prints a row for each backend that a configuration can name, whether or not
// anything was seen of it.
func write(w io.Writer, records []drivertest.Record) error {
	var b strings.Builder
	b.WriteString("| selector | behind it | an acknowledged write survives | transactions | TTL | watch | several processes | largest value | proved by |\n|---|---|---|---|---|---|---|--:|---|\n")
	for _, backend := range config.Spellings() {
		kind := backend.Kind
		var own []drivertest.Record
		for _, r := range records {
			if r.Capabilities.Backend == string(kind) {
				own = append(own, r)
			}
		}
		if len(own) == 0 {
			fmt.Fprintf(&b, "| `%s` | | | | | | | | nothing yet |\n", kind)
			continue
		}
		slices.SortStableFunc(own, func(a, b drivertest.Record) int {
			return cmp.Or(cmp.Compare(len(b.Passed)+len(b.Failed), len(a.Passed)+len(a.Failed)), strings.Compare(a.Target, b.Target))
		})
		c := own[0].Capabilities
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s | %s | %s |\n", kind, behind(own), survives(own), transactions(own), mark(c.TTL), mark(c.Watch), mark(c.Shared), size(c.Limits.MaxValueBytes), proof(own))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// behind names what the store is made of, or talks to.
func behind(own []drivertest.Record) string {
	var names []string
	for _, r := range own {
		name := cmp.Or(r.Server, r.Capabilities.Version)
		if r.Emulator {
			name += " (an emulator)"
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, "; ")
}

// survives tells the best of the durabilities that were run: a local store has one for
// each class it is opened with.
func survives(own []drivertest.Record) string {
	var all []driver.Durability
	for _, r := range own {
		if d := r.Capabilities.Durability; !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	var names []string
	for _, d := range all {
		names = append(names, map[driver.Durability]string{
			driver.InMemory: "nothing", driver.SurvivesProcess: "the process", driver.SurvivesPower: "a loss of power", driver.InService: "as the service says",
		}[d])
	}
	return strings.Join(names, ", or ")
}

// transactions tells what the store has itself, and else what package intent makes above it.
func transactions(own []drivertest.Record) string {
	for i, r := range own {
		text := "serializable, of keys"
		if r.Capabilities.RangeReads {
			text += " and ranges"
		}
		switch {
		case r.Capabilities.Commit && i > 0 && !own[0].Capabilities.Commit:
			return text + ", by the shared implementation"
		case r.Capabilities.Commit:
			return text
		}
	}
	return "none"
}

func mark(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// proof counts the cases of each target.
func proof(own []drivertest.Record) string {
	type sum struct{ passed, ran, cases, runs int }
	var names []string
	sums := map[string]*sum{}
	for _, r := range own {
		s := sums[r.Target]
		if s == nil {
			s = new(sum)
			sums[r.Target], names = s, append(names, r.Target)
		}
		s.passed += len(r.Passed)
		s.ran += len(r.Passed) + len(r.Failed)
		s.cases += r.Cases
		s.runs++
	}
	var all []string
	for _, name := range names {
		s := sums[name]
		text := fmt.Sprintf("%s: %d of %d cases", name, s.passed, s.cases)
		if s.runs > 1 {
			text += fmt.Sprintf(" in %d set-ups", s.runs)
		}
		if s.passed < s.ran {
			text += fmt.Sprintf(", **%d failed**", s.ran-s.passed)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}
