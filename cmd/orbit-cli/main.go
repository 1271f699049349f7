// Command orbit-cli is Orbit's tool for operators and researchers.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/bench/logbench"
	"github.com/orbit-persistence/orbit/bench/treebench"
	"github.com/orbit-persistence/orbit/torture"
	"github.com/orbit-persistence/orbit/torture/target"
)

// commands are the command line; each command's Run gets what it needs bound.
type commands struct {
	Bench       bench.Command       `cmd:"" help:"Measure the engines side by side and write the comparison table."`
	BenchLog    logbench.Command    `cmd:"" help:"Measure the log: group commit beside Pebble and RocksDB, buffered commits, replay, a mirror."`
	BenchTree   treebench.Command   `cmd:"" help:"Measure the copy-on-write B+tree against its goals, beside LMDB, bbolt, Pebble and RocksDB."`
	BenchSpread bench.SpreadCommand `cmd:"" help:"Tell how far the ratios between engines moved between runs of the bench."`
	Config      configCommand       `cmd:"" help:"Check a configuration of the persistence providers."`
	Flash       flashCommand        `cmd:"" help:"Look after the paths of a flash store."`
	Inspect     inspectCommand      `cmd:"" help:"Print what is in the files of a store, and verify it."`
	Torture     torture.Command     `cmd:"" help:"Crash, kill and corrupt the engines, and prove what survives."`
}

func main() {
	engines, targets := bench.Standard(), torture.Standard()
	bench.RunChild(engines) // does not return in a child of the bench; likewise below
	treebench.RunChild()
	torture.RunChild(targets)
	os.Exit(run(os.Args[1:], engines, targets))
}

// run returns the exit code: 2 for a mistake in the call, 1 for a failure.
func run(args []string, engines []bench.Engine, targets []target.Engine) int {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("orbit-cli"),
		kong.Description("Orbit: a persistence system and a workbench for storage engines."),
		kong.BindTo(context.Background(), (*context.Context)(nil)),
		kong.Bind(engines, targets),
	)
	if err != nil {
		fmt.Fprintf(os.Stderr, "orbit-cli: %v\n", err)
		return 1
	}
	call, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "orbit-cli: %v; see orbit-cli --help\n", err)
		return 2
	}
	if err := call.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "orbit-cli: %v\n", err)
		if bench.IsUsage(err) || torture.IsUsage(err) {
			return 2
		}
		return 1
	}
	return 0
}
