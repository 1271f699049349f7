package crash_test

import (
	"context"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/crash"
	"github.com/orbit-persistence/orbit/torture/target"
)

func TestPebbleZZ(t *testing.T) {
	e := target.Engine{Name: "pebble", Foreign: true, OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
		return pebbledb.Open(dir, pebbledb.Options{FS: pebbledb.OnFS(fsys), CacheBytes: 1 << 20, MemTableBytes: 256 << 10})
	}}
	result, err := crash.Mode(context.Background(), target.Run{Engine: e, Seed: 1, Work: 14})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v in %v", result.Counts, result.Elapsed)
	for _, f := range result.Failures {
		t.Errorf("%s\n%s\n%s\n%s", f.What, f.Workload, f.Command, f.Trace)
	}
}
