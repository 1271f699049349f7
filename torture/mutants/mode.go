package mutants

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/orbit-persistence/orbit/torture/target"
)

// Mode judges all mutants with the modes given, and writes the matrix into out,
// nowhere if that is "". Work counts mutants from the first; 0 is all.
func Mode(modes []string, out string) target.Mode {
	return func(ctx context.Context, r target.Run) (target.Result, error) {
		var x target.Result
		started := time.Now()
		root, err := Root(ctx)
		if err != nil {
			x.LeftOut = append(x.LeftOut, "SKIPPED, NOT VERIFIED HERE: "+err.Error())
			return x, nil
		}
		dir := filepath.Join(r.Directory, "build")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return x, err
		}
		defer os.RemoveAll(dir)
		all := All()
		if r.Work > 0 && r.Work < int64(len(all)) {
			x.LeftOut = append(x.LeftOut, fmt.Sprintf("%d of %d mutants: beyond the work of this run", int64(len(all))-r.Work, len(all)))
			all = all[:r.Work]
		}
		r.Report(0, 0, "building")
		program, err := Build(ctx, root, dir, All())
		if err != nil {
			return x, err
		}
		var ends time.Time
		if r.Budget > 0 {
			ends = started.Add(r.Budget)
		}
		m, err := Run(ctx, Config{
			Program: program, Directory: dir, Seed: r.Seed, Mutants: all, Modes: modes, Ends: ends,
			Progress: func(done, of int, what string) { r.Report(int64(done), int64(of), "mutants: "+what) },
		})
		if err != nil {
			return x, err
		}
		killed, _ := m.Killed()
		x.Add("mutants found", int64(killed))
		for _, v := range m.Sites {
			if len(v.Found) > 0 {
				x.Add("switched-off sites found", 1)
			}
		}
		for _, name := range m.Unjudged {
			x.LeftOut = append(x.LeftOut, name+": no time, or no mode for it, in this run")
		}
		for _, v := range m.Wrong() {
			x.Failures = append(x.Failures, target.Failure{
				What: fmt.Sprintf("mutant %s (%s): %s", v.Name, v.Breaks, v.Wrong), Seed: r.Seed,
				Command: fmt.Sprintf("orbit-cli torture --modes mutants --seed %d", r.Seed),
			})
		}
		if out != "" {
			err = m.Write(out)
		}
		return x, err
	}
}
