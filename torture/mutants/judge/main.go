// Command judge judges the mutants. The mode of that name builds it from the
// source and runs it: the programs that are shipped hold no mutant.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/orbit-persistence/orbit/torture/internal/remote"
	"github.com/orbit-persistence/orbit/torture/mutants"
	"github.com/orbit-persistence/orbit/torture/target"
)

func main() {
	var r target.Run
	flag.StringVar(&r.Directory, "dir", "", "an empty directory, for what is built")
	flag.Uint64Var(&r.Seed, "seed", 1, "seed of the runs")
	flag.DurationVar(&r.Budget, "budget", 0, "how long to go on")
	flag.Int64Var(&r.Work, "work", 0, "number of mutants")
	modes := flag.String("modes", "", "modes to judge with, joined by commas")
	out := flag.String("out", "", "directory for the matrix")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := remote.Serve(ctx, os.Stdout, mutants.Mode(strings.Split(*modes, ","), *out), r); err != nil {
		fmt.Fprintf(os.Stderr, "judge: %v\n", err)
		os.Exit(1)
	}
}
