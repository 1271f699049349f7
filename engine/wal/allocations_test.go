package wal_test

import (
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// TestAllocations: a record that the kernel is to have at once costs no allocation, but for
// those of a new segment now and then, and of the janitor.
func TestAllocations(t *testing.T) {
	l, err := wal.Open(t.Context(), wal.Options{Sinks: []string{t.TempDir()}}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload := make([]byte, 100)
	const records = 10_000
	all := testing.AllocsPerRun(1, func() {
		for range records {
			if _, err := l.Append(t.Context(), payload, engine.Buffered); err != nil {
				t.Fatal(err)
			}
		}
	})
	if each := all / records; each > 0.1 {
		t.Errorf("%.3f allocations for each record", each)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
