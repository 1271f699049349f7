package objectstest

import (
	"fmt"
	"os"
	"testing"
)

// lasting is a TB that ends with the last test of the package, not with its own.
type lasting struct{ testing.TB }

// cleanups are those of lasting ones; tests run one by one.
var cleanups []func()

// Lasting returns a TB for what is dear to start, as a server that all tests of a
// package share. Main ends it.
func Lasting(t testing.TB) testing.TB { return lasting{t} }

func (l lasting) Cleanup(f func()) { cleanups = append(cleanups, f) }

func (l lasting) TempDir() string {
	dir, err := os.MkdirTemp("", "orbit-test")
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// After its test it cannot fail it any more.
func (l lasting) Failed() bool               { return false }
func (l lasting) Logf(s string, args ...any) { fmt.Fprintf(os.Stderr, s+"\n", args...) }
func (l lasting) Errorf(s string, args ...any) {
	l.Logf(s, args...)
	panic("what all tests share has failed")
}

// runner is a testing.M that ends what lasts.
type runner struct{ m *testing.M }

// Run implements goleak.TestingM.
func (r runner) Run() int {
	code := r.m.Run()
	for i := len(cleanups) - 1; i >= 0; i-- {
		cleanups[i]()
	}
	return code
}
