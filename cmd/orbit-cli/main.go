// Command orbit-cli is Orbit's tool for operators and researchers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/bench/enginebench"
	"github.com/orbit-persistence/orbit/bench/logbench"
	"github.com/orbit-persistence/orbit/torture"
	"github.com/orbit-persistence/orbit/torture/target"
	redislog "github.com/redis/go-redis/v9/logging"
)

// commands are the command line; each command's Run gets what it needs bound.
type commands struct {
	Backup      backupCommand       `cmd:"" help:"Back up a provider to a directory or to another provider."`
	Bench       bench.Command       `cmd:"" help:"Measure the engines side by side and write the comparison table."`
	BenchLSM    enginebench.LSM     `cmd:"" name:"bench-lsm" help:"Measure the LSM-tree against its goals, beside Pebble and RocksDB."`
	BenchLog    logbench.Command    `cmd:"" help:"Measure the log: group commit beside Pebble and RocksDB, buffered commits, replay, a mirror."`
	BenchSpread bench.SpreadCommand `cmd:"" help:"Tell how far the ratios between engines moved between runs of the bench."`
	BenchTree   enginebench.Tree    `cmd:"" help:"Measure the copy-on-write B+tree against its goals, beside LMDB, bbolt, Pebble and RocksDB."`
	Config      configCommand       `cmd:"" help:"Check a configuration of the persistence providers."`
	Delete      deleteCommand       `cmd:"" help:"Delete a key of any backend."`
	Export      exportCommand       `cmd:"" help:"Write all that a provider holds to a file."`
	Flash       flashCommand        `cmd:"" help:"Look after the paths of a flash store."`
	Get         getCommand          `cmd:"" help:"Print the value of a key of any backend."`
	Health      healthCommand       `cmd:"" help:"Ask providers how they do, and why."`
	Import      importCommand       `cmd:"" help:"Read what export wrote into a provider."`
	Inspect     inspectCommand      `cmd:"" help:"Print what is in the files of a store, and verify it."`
	Leases      leasesCommand       `cmd:"" help:"Print the leases of addressables in any backend."`
	List        listCommand         `cmd:"" help:"Print entries of any backend, in the order of their keys."`
	Metrics     metricsCommand      `cmd:"" help:"Print what providers tell of their stores."`
	Migrate     migrateCommand      `cmd:"" help:"Copy a provider to another, whatever the two are."`
	Nodes       nodesCommand        `cmd:"" help:"Print the members of the cluster in any backend."`
	Put         putCommand          `cmd:"" help:"Put an entry into any backend."`
	Restore     restoreCommand      `cmd:"" help:"Make a store of a backup, as it was at any point."`
	Serve       serveCommand        `cmd:"" help:"Hold the stores of the seven protocols open, and serve health and metrics over HTTP."`
	Torture     torture.Command     `cmd:"" help:"Crash, kill and corrupt the engines, and prove what survives."`
	Validate    validateCommand     `cmd:"" help:"Read all that a provider holds, and verify it."`
}

func main() {
	engines, targets := bench.Standard(), torture.Standard()
	bench.RunChild(engines) // does not return in a child of the bench; likewise below
	enginebench.RunChild()
	torture.RunChild(targets)
	redislog.Disable() // it would write to standard error what its errors say
	os.Exit(run(os.Args[1:], engines, targets))
}

// run returns the exit code: 2 for a mistake in the call, 1 for a failure, and others
// where a command says so.
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
		if own := (exitError{}); errors.As(err, &own) {
			return own.code
		}
		fmt.Fprintf(os.Stderr, "orbit-cli: %v\n", err)
		if bench.IsUsage(err) || torture.IsUsage(err) {
			return 2
		}
		return 1
	}
	return 0
}
