package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	const output = `pkg: example.org/providers/etcd
BenchmarkPut/beside-2   100   1000 library-ns/op   2000 provider-ns/op
BenchmarkPut/beside-2   100   3000 library-ns/op   4000 provider-ns/op
BenchmarkPut/beside-2   100   1000.0 library-ns/op   1000.0 provider-ns/op
`
	text, err := table(strings.NewReader(output))
	if want := "| `etcd` | Put | 2 | 1 | 0.75 | 0.50 | 1.00 | 3 |\n"; err != nil || !strings.HasSuffix(text, want) {
		t.Errorf("%s%v", text, err)
	}
	for name, wrong := range map[string]string{
		"nothing": "PASS\n", "half a round": "pkg: p\nBenchmarkGet/beside 1 2 library-ns/op\n",
	} {
		if text, err := table(strings.NewReader(wrong)); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}
