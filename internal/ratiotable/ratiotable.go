// Command ratiotable reads what `go test -bench -count=N` prints of the benchmarks of
// remote providers, and prints the throughput of each provider beside that of its plain
// client library, in Markdown; `make bench-remote` does both.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"

	"github.com/orbit-persistence/orbit/internal/beside"
)

func main() {
	text, err := table(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ratiotable:", err)
		os.Exit(1)
	}
	fmt.Print(text)
}

var (
	inPackage = regexp.MustCompile(`^pkg: (\S+)`)
	result    = regexp.MustCompile(`^Benchmark(Put|Get)/beside\S*\s+\d+\s+([0-9.]+) ` + beside.Library + `\s+([0-9.]+) ` + beside.Provider)
)

// rounds are the nanoseconds of a call in each round, of the provider and of the library, and
// the latter over the former.
type rounds struct{ provider, library, ratios []float64 }

func table(from io.Reader) (string, error) {
	type row struct{ provider, call string }
	var order []row
	all := map[row]*rounds{}
	var provider string
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		if m := inPackage.FindStringSubmatch(lines.Text()); m != nil {
			provider = path.Base(m[1])
			continue
		}
		m := result.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		library, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return "", fmt.Errorf("%q: %w", lines.Text(), err)
		}
		provided, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return "", fmt.Errorf("%q: %w", lines.Text(), err)
		}
		k := row{provider, m[1]}
		if all[k] == nil {
			all[k], order = new(rounds), append(order, k)
		}
		all[k].provider = append(all[k].provider, provided)
		all[k].library = append(all[k].library, library)
		all[k].ratios = append(all[k].ratios, library/provided)
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	if len(order) == 0 {
		return "", fmt.Errorf("there is no result of a benchmark")
	}
	text := `# Remote providers beside their client libraries

One client puts and gets single keys, one after the other, by the provider with all that
stands before it, and by the plain client library on the same server. The two take turns of
32 calls; a ratio is the library's time over the provider's, in the same round, and each round
has a server of its own. The goal is 0.8. Repeat it by ` + "`make bench-remote`" + ` on a machine that does nothing else.

| provider | call | provider, µs, median | library, µs, median | ratio, median | least | largest | rounds |
|---|---|--:|--:|--:|--:|--:|--:|
`
	for _, k := range order {
		r := all[k]
		text += fmt.Sprintf("| `%s` | %s | %.0f | %.0f | %.2f | %.2f | %.2f | %d |\n", k.provider, k.call, median(r.provider)/1000, median(r.library)/1000,
			median(r.ratios), slices.Min(r.ratios), slices.Max(r.ratios), len(r.ratios))
	}
	return text, nil
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
