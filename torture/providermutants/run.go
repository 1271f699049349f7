package providermutants

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/torture/mutants"
)

// perRun bounds one run of a package's tests: what hangs with a mutant is found.
const perRun = 2 * time.Minute

// attempts is how often the tests run before a mutant counts as not found: some show
// only when goroutines meet.
const attempts = 3

// Judge is the provider layer with every mutant in it, ready to be tested.
type Judge struct {
	root, dir string
	built     map[string]string // the test program of each package
}

// Build builds the tests that judge some mutants, with every mutant in them, from the
// module's source at root, into dir, an empty directory.
func Build(ctx context.Context, root, dir string, judged []mutants.Mutant) (*Judge, error) {
	list, err := mutants.Overlay(root, dir, All())
	if err != nil {
		return nil, err
	}
	j := &Judge{root: root, dir: dir, built: map[string]string{}}
	for _, m := range judged {
		for _, pkg := range m.Modes {
			if j.built[pkg] != "" {
				continue
			}
			j.built[pkg] = filepath.Join(dir, path.Base(pkg)+".test")
			cmd := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", list, "-o", j.built[pkg], "./"+pkg)
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
			}
		}
	}
	return j, nil
}

// Packages returns the packages whose tests judge.
func (j *Judge) Packages() []string {
	var all []string
	for pkg := range j.built {
		all = append(all, pkg)
	}
	return all
}

// Run runs the tests of a package with a mutant, none if its name is "", and returns
// what failed, "" if nothing.
func (j *Judge) Run(ctx context.Context, pkg, mutant string) (how string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*perRun)
	defer cancel()
	cmd := exec.CommandContext(ctx, j.built[pkg], "-test.failfast", fmt.Sprintf("-test.timeout=%s", perRun))
	cmd.Dir = filepath.Join(j.root, pkg)
	cmd.Env = append(os.Environ(), "ORBIT_MUTANT="+mutant)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err = cmd.Run(); err == nil {
		return "", nil
	}
	for _, sign := range []string{"--- FAIL: ", "panic: ", "fatal error: "} {
		if _, after, ok := strings.Cut(out.String(), sign); ok {
			line, _, _ := strings.Cut(after, "\n")
			return line, nil
		}
	}
	return "", fmt.Errorf("the tests of %s with %q: %w\n%s", pkg, mutant, err, out.String())
}

// Find returns how a mutant is found, "" if it survives.
func (j *Judge) Find(ctx context.Context, m mutants.Mutant) (string, error) {
	for range attempts {
		for _, pkg := range m.Modes {
			how, err := j.Run(ctx, pkg, m.Name)
			if how != "" || err != nil {
				return how, err
			}
		}
	}
	return "", nil
}
