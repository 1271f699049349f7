package mutants

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/torture/target"
)

// Mode judges all mutants with the modes given, from the module's source in the
// working directory, and writes the matrix into out, nowhere if that is "". Work
// counts mutants from the first; 0 is all.
func Mode(modes []string, out string) target.Mode {
	return func(ctx context.Context, r target.Run) (target.Result, error) {
		var x target.Result
		started := time.Now()
		root, err := os.Getwd()
		if err != nil {
			return x, err
		}
		all := All()
		if r.Work > 0 && r.Work < int64(len(all)) {
			x.LeftOut = append(x.LeftOut, fmt.Sprintf("%d of %d mutants: beyond the work of this run", int64(len(all))-r.Work, len(all)))
			all = all[:r.Work]
		}
		r.Report(0, 0, "building")
		program, err := Build(ctx, root, r.Directory, All())
		if err != nil {
			return x, err
		}
		var ends time.Time
		if r.Budget > 0 {
			ends = started.Add(r.Budget)
		}
		m, err := Run(ctx, Config{
			Program: program, Directory: r.Directory, Seed: r.Seed, Mutants: all, Modes: append([]string{Tests}, modes...), Ends: ends,
			Progress: func(done, of int, what string) { r.Report(int64(done), int64(of), "mutants: "+what) },
		})
		if err != nil {
			return x, err
		}
		m.summarize(&x)
		if out != "" {
			err = m.Write(out)
		}
		return x, err
	}
}
