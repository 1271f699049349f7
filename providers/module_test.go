package providers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModuleOfItsOwn builds and runs examples/providers as a user's module: outside
// this one, which it reaches as a dependency. It links the providers that it imports
// and no others.
func TestModuleOfItsOwn(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"examples/providers/main.go": "main.go", "examples/providers/go.mod": "go.mod", "go.sum": "go.sum"} {
		data, err := os.ReadFile(filepath.Join(root, from))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(data), "=> ../..", "=> "+root, 1)
		if err := os.WriteFile(filepath.Join(dir, to), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	program := filepath.Join(dir, "program")
	run("go", "build", "-o", program, ".")
	want := "Player:ada is held by default/node-1\nPlayer:grace is held by default/node-1\n"
	if got := run(program, filepath.Join(dir, "data")); got != want {
		t.Errorf("it prints\n%swant\n%s", got, want)
	}
	if deps := run("go", "list", "-deps", "."); strings.Contains(deps, "cockroachdb/pebble") || !strings.Contains(deps, "engine/cowbtree") {
		t.Error("it links a provider that it does not import, or not the one that it does")
	}
}
