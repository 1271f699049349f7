package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	const output = `pkg: example.org/providers/etcd
BenchmarkPut/provider-2   100   2000 ns/op
BenchmarkPut/bare-2       100   1000 ns/op
BenchmarkPut/provider-2   100   4000 ns/op
BenchmarkPut/bare-2       100   3000 ns/op
BenchmarkPut/provider-2   100   1000 ns/op
BenchmarkPut/bare-2       100   1000 ns/op
`
	text, err := table(strings.NewReader(output))
	if want := "| `etcd` | Put | 2 | 1 | 0.75 | 0.50 | 1.00 | 3 |\n"; err != nil || !strings.HasSuffix(text, want) {
		t.Errorf("%s%v", text, err)
	}
	for name, wrong := range map[string]string{
		"nothing": "PASS\n", "half a round": "pkg: p\nBenchmarkGet/bare 1 2 ns/op\n",
	} {
		if text, err := table(strings.NewReader(wrong)); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}
