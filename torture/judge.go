package torture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/orbit-persistence/orbit/torture/internal/remote"
	"github.com/orbit-persistence/orbit/torture/target"
)

// judgeMutants is the mode of the mutants, which are held against the other modes.
// They are no part of this program: what judges them is built from the source and
// run beside it. The matrix goes into out, nowhere if that is "".
func judgeMutants(modes []string, out string) target.Mode {
	return func(ctx context.Context, r target.Run) (x target.Result, err error) {
		root, err := sourceRoot(ctx)
		if err != nil {
			x.LeftOut = append(x.LeftOut, "SKIPPED, NOT VERIFIED HERE: "+err.Error())
			return x, nil
		}
		if out != "" {
			if out, err = filepath.Abs(out); err != nil {
				return x, err
			}
		}
		dir := filepath.Join(r.Directory, "build")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return x, err
		}
		defer os.RemoveAll(dir)
		r.Report(0, 0, "building")
		judge := filepath.Join(dir, "judge")
		build := exec.CommandContext(ctx, "go", "build", "-o", judge, "./torture/mutants/judge")
		build.Dir = root
		if text, err := build.CombinedOutput(); err != nil {
			return x, fmt.Errorf("build what judges the mutants: %w\n%s", err, text)
		}
		cmd := exec.CommandContext(ctx, judge, "-dir", dir, "-modes", strings.Join(modes, ","), "-out", out,
			"-seed", strconv.FormatUint(r.Seed, 10), "-budget", r.Budget.String(), "-work", strconv.FormatInt(r.Work, 10))
		cmd.Dir = root
		return remote.Run(cmd, r.Report)
	}
}

// sourceRoot returns the directory of the module's source, which the tools of Go
// find from the working directory.
func sourceRoot(ctx context.Context) (string, error) {
	const module = "github.com/orbit-persistence/orbit"
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		return "", fmt.Errorf("the source of %s is not found from here, and the mutants cannot be built: %w", module, err)
	}
	return dir, nil
}
