package bench

import (
	"fmt"
	"slices"

	"github.com/orbit-persistence/orbit/bench/result"
)

// dataset is a table of records that a workload reads and writes. Its methods
// append to dst and may be called from many goroutines.
type dataset interface {
	// info describes it. Hash covers the keys and values of the Len records.
	info() result.DataInfo
	// size is the number of records that are loaded.
	size() int
	// key appends the key of record i, 0 <= i < size, which are in key order.
	key(dst []byte, i int) []byte
	// fresh appends the n-th key that is not among the records, n >= 0. The
	// order is random.
	fresh(dst []byte, n int) []byte
	// value appends a value fit for record i. Other versions of the record have
	// the same size and other bytes.
	value(dst []byte, i, version int) []byte
}

// DataNames are the data sets that --data takes.
var DataNames = []string{"lease", "contents", "uniform"}

// dataSpec names a data set so that each child makes it for itself.
type dataSpec struct {
	// Label is the name in the result; Kind is one of DataNames.
	Label   string `json:"label"`
	Kind    string `json:"kind"`
	Records int    `json:"records"`
	Seed    uint64 `json:"seed"`
	// File holds the prepared rows of "contents".
	File string `json:"file,omitempty"`
}

func (d dataSpec) open() (dataset, error) {
	switch d.Kind {
	case "lease":
		return newLeases(d), nil
	case "uniform":
		return newUniform(d), nil
	case "contents":
		return openContents(d)
	}
	return nil, Usagef("unknown data set %q; choose among %s", d.Kind, quoteList(DataNames))
}

// mix scatters x: the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast
// splittable pseudorandom number generators", OOPSLA 2014), a bijection.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func quoteList(names []string) string {
	names = slices.Clone(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%q", name)
	}
	return joinWords(names)
}

// joinWords writes "a, b and c".
func joinWords(words []string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return words[0]
	}
	text := words[0]
	for _, w := range words[1 : len(words)-1] {
		text += ", " + w
	}
	return text + " and " + words[len(words)-1]
}
