// Package gobench reads what `go test -bench` prints.
package gobench

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Result is one run of a benchmark.
type Result struct {
	// Package is the last part of its path, Name that of the benchmark without "Benchmark"
	// and how many processors it had.
	Package, Name string
	// Values are what it reports, by unit.
	Values map[string]float64
}

var (
	inPackage = regexp.MustCompile(`^pkg: (\S+)`)
	result    = regexp.MustCompile(`^Benchmark(\S+?)(-\d+)?\s+\d+\s+(.*)`)
)

// Read returns the results in the order in which they were printed, and an error if there
// is none.
func Read(from io.Reader) ([]Result, error) {
	var all []Result
	in := ""
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		if m := inPackage.FindStringSubmatch(lines.Text()); m != nil {
			in = path.Base(m[1])
			continue
		}
		m := result.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		r := Result{Package: in, Name: m[1], Values: map[string]float64{}}
		for words := strings.Fields(m[3]); len(words) > 1; words = words[2:] {
			v, err := strconv.ParseFloat(words[0], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", lines.Text(), err)
			}
			r.Values[words[1]] = v
		}
		all = append(all, r)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no result of a benchmark")
	}
	return all, nil
}

// Median returns the median of some values, which are not none.
func Median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
