package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/local"
)

// TestTable: what a run of the suite has left stands in the table, and a backend of
// which nothing was seen is told as that.
func TestTable(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(drivertest.RecordVariable, dir)
	t.Run("run", func(t *testing.T) {
		drivertest.Run(t, drivertest.Target{Name: "memory", Operations: 20, Open: func(context.Context, string) (driver.Store, error) {
			return local.New(t.Context(), memory.Open(), local.Options{Backend: "memory", Durability: engine.Memory})
		}})
	})
	records, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 1 || len(records[0].Passed) == 0 || len(records[0].Failed) > 0 {
		t.Fatalf("%+v", records)
	}
	records = append(records, drivertest.Record{Target: "redis over a failing wire", Server: "Redis 0", Emulator: true, Cases: 36, Passed: []string{"a"}, Failed: []string{"b"}, Capabilities: driver.Capabilities{Backend: "redis"}})
	var b strings.Builder
	if err := write(&b, records); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `memory` | ", "serializable, of keys and ranges", "memory: ",
		"| `redis` | Redis 0 (an emulator) |", "redis over a failing wire: 1 of 36 cases, **1 failed** |", "| `gcp` | | | | | | | | nothing yet |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
	if _, err := read(t.TempDir()); err == nil {
		t.Error("an empty directory makes a table")
	}
	if err := os.WriteFile(dir+"/x.json", []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := read(dir); err == nil {
		t.Error("half a record is read")
	}
}
