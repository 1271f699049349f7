package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
)

// TestFlashCommands tells of a store's paths, mends one, and fills one that was replaced.
func TestFlashCommands(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	ctx := context.Background()
	if code, _, stderr := orbit(t, "flash", "status", one, two); code != 1 {
		t.Errorf("no store: exit code %d, %s", code, stderr)
	}
	e, err := flash.Open(ctx, dir, flash.Options{Paths: []string{one, two}, SegmentBytes: 64 << 10, Compression: flash.NoCompression, PageCache: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		var b engine.Batch
		b.Put(fmt.Appendf(nil, "key %03d", i), []byte(strings.Repeat(fmt.Sprint("value ", i, " "), 20)))
		if err := e.Apply(ctx, &b, engine.Buffered); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := orbit(t, "flash", "status", one, two)
	if code != 0 || strings.Count(stdout, "in sync") != 2 {
		t.Errorf("status: exit code %d, %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = orbit(t, "inspect", one)
	for _, want := range []string{"flash store ", "one of 2 paths", "index: 300 entries", "% of the segment", "sound\n"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("inspect: exit code %d, want %q in\n%s%s", code, want, stdout, stderr)
		}
	}
	files, err := filepath.Glob(filepath.Join(two, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	damaged := false
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(data), "value 77 "); at >= 0 {
			data[at] ^= 1
			damaged = true
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !damaged {
		t.Fatal("the value is in no segment")
	}
	if code, stdout, _ := orbit(t, "inspect", two); code != 1 || !strings.Contains(stdout, `value of key "key 077"`) {
		t.Errorf("inspect of a damaged value: exit code %d\n%s", code, stdout)
	}
	code, stdout, stderr = orbit(t, "flash", "scrub", one, two)
	if code != 0 || !strings.Contains(stdout, "600 values") || strings.Contains(stdout, " 0 pieces mended") {
		t.Errorf("scrub: exit code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := orbit(t, "inspect", two); code != 0 {
		t.Errorf("inspect of what was mended: exit code %d\n%s", code, stdout)
	}
	if err := os.RemoveAll(two); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(two, 0o755); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := orbit(t, "flash", "status", one, two); code != 1 || !strings.Contains(stdout, two+"  out of sync: not found: it is empty") {
		t.Errorf("status of an empty path: exit code %d\n%s", code, stdout)
	}
	if code, _, stderr := orbit(t, "flash", "rebuild", one, two); code != 1 || !strings.Contains(stderr, "set AllowMissing") {
		t.Errorf("rebuild of a path that counted: exit code %d, %s", code, stderr)
	}
	code, stdout, stderr = orbit(t, "flash", "rebuild", "--force", one, two)
	if code != 0 || strings.Count(stdout, "in sync") != 2 {
		t.Errorf("rebuild: exit code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := orbit(t, "inspect", two); code != 0 || !strings.Contains(stdout, "index: 300 entries") {
		t.Errorf("inspect of what was rebuilt: exit code %d\n%s", code, stdout)
	}
}
