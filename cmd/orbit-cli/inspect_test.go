package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// TestInspect prints a log, and names the damage in it.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	if code, _, stderr := orbit(t, "inspect", dir); code != 1 || !strings.Contains(stderr, "no log in or below "+dir) {
		t.Errorf("an empty directory: exit code %d, %q", code, stderr)
	}
	sink := filepath.Join(dir, "log")
	if err := os.Mkdir(sink, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	l, err := wal.Open(ctx, wal.Options{Sinks: []string{sink}}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		var b engine.Batch
		b.Put(fmt.Appendf(nil, "key %d", i), []byte("value"))
		b.Delete([]byte("other"))
		s, err := l.Append(ctx, b.Encoded(), engine.Flushed)
		if err == nil {
			err = l.Flush(s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := orbit(t, "inspect", "--records", dir)
	for _, want := range []string{"records 1 to 3 in 4 groups", "the log was closed here", `put "key 2" = 5 bytes; delete "other"`} {
		if code != 0 || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, want 0; stderr %q; want %q in\n%s", code, stderr, want, stdout)
		}
	}
	name := filepath.Join(sink, "000001.wal")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[4096+512+70] ^= 1
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = orbit(t, "inspect", dir)
	if code != 1 || !strings.Contains(stderr, "corrupt: record 2, and records up to 3 were flushed") || !strings.Contains(stdout, "records 1 to 1") {
		t.Errorf("a damaged record: exit code %d, want 1; stderr %q, stdout\n%s", code, stderr, stdout)
	}
}
