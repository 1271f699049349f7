package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/lsm"
	"github.com/orbit-persistence/orbit/engine/rocks"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// TestInspect prints a log, and names the damage in it.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	if code, _, stderr := orbit(t, "inspect", dir); code != 1 || !strings.Contains(stderr, "no store and no log in or below "+dir) {
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

// TestInspectStore prints a store and its log, and names the damage in it.
func TestInspectStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	ctx := context.Background()
	e, err := cowbtree.Open(ctx, dir, cowbtree.Options{SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var b engine.Batch
	for i := range 200 {
		b.Put(fmt.Appendf(nil, "key %03d", i), make([]byte, 100))
	}
	if err := e.Apply(ctx, &b, engine.Flushed); err != nil {
		t.Fatal(err)
	}
	if err := e.CreateSnapshot(ctx, "monday"); err != nil {
		t.Fatal(err)
	}
	if err := e.Ingest(ctx, func(yield func(k, v []byte) bool) { yield([]byte("loaded"), []byte("value")) }); err != nil {
		t.Fatal(err)
	}
	if err := e.CreateSnapshot(ctx, "tuesday"); err != nil {
		t.Fatal(err)
	}
	if err := e.DropSnapshot(ctx, "tuesday"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := orbit(t, "inspect", "--records", filepath.Dir(dir))
	for _, want := range []string{
		"copy-on-write B+tree ", "level 1: 1 pages, ", "201 entries", `snapshot "monday" of commit 2, generation `, "sound\n",
		"records 1 to 6", "the log was closed here",
		`put "key 000" = 100 bytes; put "key 001" = 100 bytes; put "key 002" = 100 bytes; 200 in all`,
		`name snapshot "monday"`, "bulk load", `drop snapshot "tuesday"`,
	} {
		if code != 0 || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, want 0; stderr %q; want %q in\n%s", code, stderr, want, stdout)
		}
	}
	if strings.Contains(stdout, "not a batch") {
		t.Errorf("a record is not described:\n%s", stdout)
	}
	name := filepath.Join(dir, "data")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("loaded"))
	if at < 0 {
		t.Fatal("the key is not in the data file")
	}
	for i := at; i >= 0; i = bytes.Index(data, []byte("loaded")) {
		data[i] ^= 1
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = orbit(t, "inspect", dir)
	for _, out := range []string{stdout, stderr} {
		if code != 1 || !strings.Contains(out, name+" at ") || !strings.Contains(out, "corrupt: the checksum of a page of ") {
			t.Errorf("a damaged page: exit code %d, want 1; stderr %q, stdout\n%s", code, stderr, stdout)
		}
	}
	if !strings.Contains(stdout, "log was closed here") {
		t.Errorf("the log is not printed behind the damage:\n%s", stdout)
	}
}

// TestInspectLSM prints an LSM-tree with its manifest and log, and names the damage in it.
func TestInspectLSM(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	ctx := context.Background()
	e, err := lsm.Open(ctx, dir, lsm.Options{SegmentBytes: 64 << 10, Compression: lsm.NoCompression, CacheBytes: lsm.MinCacheBytes})
	if err != nil {
		t.Fatal(err)
	}
	f, err := e.CreateFamily(ctx, "things")
	if err != nil {
		t.Fatal(err)
	}
	var b engine.Batch
	for i := range 200 {
		b.PutIn(f, fmt.Appendf(nil, "key %03d", i), make([]byte, 100))
	}
	b.Put([]byte("large"), bytes.Repeat([]byte("value"), 1000))
	if err := e.Apply(ctx, &b, engine.Flushed); err != nil {
		t.Fatal(err)
	}
	if err := e.Ingest(ctx, func(yield func(k, v []byte) bool) { yield([]byte("loaded"), []byte("value")) }); err != nil {
		t.Fatal(err)
	}
	if err := e.DropFamily(ctx, "things"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := orbit(t, "inspect", "--records", filepath.Dir(dir))
	for _, want := range []string{
		"LSM-tree ", "201 entries, 0 deletes, 0 range tombstones, ", "value file ", "100.0 % are of use", "family 1  dropped", "\nsound\n",
		`put "key 000" = 100 bytes; put "key 001" = 100 bytes; put "key 002" = 100 bytes; 201 in all`,
		`bulk load as version 2: 1 entries in 1 tables, "\x00loaded" to "\x00loaded\x00"`, `clear "\x01" to "\x02"`,
		`family 1 is "things"`, "family 1 is dropped", "version 3, record 3, is in tables",
	} {
		if code != 0 || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, want 0; stderr %q; want %q in\n%s", code, stderr, want, stdout)
		}
	}
	if strings.Contains(stdout, "not a") {
		t.Errorf("a record is not described:\n%s", stdout)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.values"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[1000] ^= 1
	if err := os.WriteFile(files[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = orbit(t, "inspect", dir)
	for _, out := range []string{stdout, stderr} {
		if want := `value of key "\x00large": inspect ` + files[0] + " at 0: corrupt: the checksum"; code != 1 || !strings.Contains(out, want) {
			t.Errorf("a damaged value: exit code %d, want 1; stderr %q, want %q in\n%s", code, stderr, want, stdout)
		}
	}
	if !strings.Contains(stdout, "log was closed here") {
		t.Errorf("the log is not printed behind the damage:\n%s", stdout)
	}
}

// TestInspectOtherEngines prints the stores of providers that Orbit's own engines do not
// read.
func TestInspectOtherEngines(t *testing.T) {
	for backend, want := range map[string]string{"pebble": "Pebble in ", "rocksdb": "RocksDB in "} {
		t.Run(backend, func(t *testing.T) {
			if backend == "rocksdb" && !rocks.Available {
				t.Skip("SKIPPED, NOT VERIFIED HERE: built without RocksDB")
			}
			dir := t.TempDir()
			if code, _, stderr := orbit(t, "put", "--create", "--backend", backend, "--dir", dir, "key", "value"); code != 0 {
				t.Fatal(stderr)
			}
			code, stdout, stderr := orbit(t, "inspect", dir)
			if code != 0 || !strings.Contains(stdout, want) || !strings.HasSuffix(stdout, "sound\n") {
				t.Errorf("exit code %d, %s\n%s", code, stderr, stdout)
			}
		})
	}
}
