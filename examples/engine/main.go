// Command engine puts an engine of another module under Orbit's bench and
// torture harness, beside all of Orbit's own:
//
//	go run . torture --engines mine
//	go run . bench --engines mine,pebble
//
// The engine here is Orbit's example engine; put yours in its place.
package main

import (
	"context"
	"os"
	"slices"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture"
	"github.com/orbit-persistence/orbit/torture/example"
	"github.com/orbit-persistence/orbit/torture/target"
)

var tortured = target.Engine{
	Name:   "mine",
	Open:   func(dir string) (engine.Engine, error) { return open(dir, example.Options{}) },
	OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) { return open(dir, small(fsys)) },
}

var measured = bench.Engine{
	Name:     "mine",
	Open:     func(dir string, _ bench.Config) (engine.Engine, error) { return open(dir, example.Options{}) },
	Settings: func(bench.Config) string { return "the defaults" },
}

func open(dir string, o example.Options) (engine.Engine, error) {
	return example.Open(context.Background(), dir, o)
}

// small makes a few operations go through everything that the engine does.
func small(fsys vfs.FS) example.Options {
	return example.Options{FS: fsys, Inline: true, SegmentBytes: 16 << 10, CheckpointBytes: 2 << 10}
}

func main() {
	bench.RunChild(append(bench.Standard(), measured)) // does not return in a child of the bench
	if len(os.Args) > 1 && os.Args[1] == "bench" {
		os.Args = slices.Delete(os.Args, 1, 2)
		bench.Main(measured)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "torture" {
		os.Args = slices.Delete(os.Args, 1, 2)
	}
	torture.Main(tortured)
}
