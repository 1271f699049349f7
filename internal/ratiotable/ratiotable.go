// Command ratiotable reads what `go test -bench -count=N` prints of the benchmarks of
// remote providers, and prints the throughput of each provider beside that of its plain
// client library, in Markdown; `make bench-remote` does both.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/internal/beside"
	"github.com/orbit-persistence/orbit/internal/gobench"
)

func main() {
	text, err := table(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ratiotable:", err)
		os.Exit(1)
	}
	fmt.Print(text)
}

// rounds are the nanoseconds of a call in each round, of the provider and of the plain client
// library, and the latter over the former.
type rounds struct{ provider, plain, ratios []float64 }

func table(from io.Reader) (string, error) {
	results, err := gobench.Read(from)
	if err != nil {
		return "", err
	}
	type row struct{ provider, call string }
	var order []row
	all := map[row]*rounds{}
	for _, b := range results {
		call, besides := strings.CutSuffix(b.Name, "/"+beside.Name)
		provider, plain := b.Values[beside.Provider], b.Values[beside.Library]
		if !besides || provider == 0 || plain == 0 {
			return "", fmt.Errorf("benchmark %s of %s does not tell of a provider beside its library", b.Name, b.Package)
		}
		k := row{b.Package, call}
		if all[k] == nil {
			all[k], order = new(rounds), append(order, k)
		}
		r := all[k]
		r.provider, r.plain, r.ratios = append(r.provider, provider), append(r.plain, plain), append(r.ratios, plain/provider)
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
		text += fmt.Sprintf("| `%s` | %s | %.0f | %.0f | %.2f | %.2f | %.2f | %d |\n", k.provider, k.call, gobench.Median(r.provider)/1000, gobench.Median(r.plain)/1000,
			gobench.Median(r.ratios), slices.Min(r.ratios), slices.Max(r.ratios), len(r.ratios))
	}
	return text, nil
}
