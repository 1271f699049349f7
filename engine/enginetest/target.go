package enginetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// Target is an engine under test.
type Target struct {
	// Name is used in messages.
	Name string
	// Open opens the engine in dir, which exists, and creates it there if the
	// directory is empty. It is called again on the same directory after Close.
	Open func(dir string) (engine.Engine, error)
	// Operations is the length of the random run against the model; 0 is 100,000,
	// under the race detector 10,000.
	Operations int
	// Seed makes the random cases repeatable; 0 is 1.
	Seed uint64
}

// Case is one check of the suite.
type Case struct {
	// Name is "subject/what", stable, and fit for go test -run.
	Name string
	run  func(*session)
}

// Run runs every case as a subtest, each in a directory of its own. The
// environment variable ORBIT_TEST_OPERATIONS overrides Target.Operations.
func Run(t *testing.T, target Target) {
	t.Helper()
	if text := os.Getenv("ORBIT_TEST_OPERATIONS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("ORBIT_TEST_OPERATIONS is %q; a number of operations", text)
		}
		target.Operations = n
	}
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(t.Context(), target, t.TempDir()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Cases returns all cases, in the order in which they are best read.
func Cases() []Case {
	var all []Case
	for _, group := range [][]Case{
		pointCases, batchCases, iteratorCases, snapshotCases, limitCases, ownershipCases,
		contextCases, lifetimeCases, traitCases, concurrentCases, randomCases,
	} {
		all = append(all, group...)
	}
	return all
}

// Run runs the case in dir, which must exist and be empty. The error says what
// was expected and what was found; it is nil if the engine conforms.
func (c Case) Run(ctx context.Context, target Target, dir string) (err error) {
	if target.Operations == 0 {
		target.Operations = defaultOperations
	}
	if target.Seed == 0 {
		target.Seed = 1
	}
	s := &session{ctx: ctx, target: target, root: dir, dir: filepath.Join(dir, "store")}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			err = fmt.Errorf("%s: %s: %w", target.Name, c.Name, r.err)
		default:
			err = fmt.Errorf("%s: %s: panic: %v\n%s", target.Name, c.Name, r, debug.Stack())
		}
		if closeErr := s.end(); closeErr != nil && err == nil {
			err = fmt.Errorf("%s: %s: %w", target.Name, c.Name, closeErr)
		}
	}()
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return err
	}
	s.open()
	c.run(s)
	return nil
}
