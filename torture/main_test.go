package torture

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModuleOfItsOwn builds and runs examples/engine as a researcher's module:
// outside this one, which it reaches as a dependency.
func TestModuleOfItsOwn(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	mod := read("examples/engine/go.mod")
	if !strings.Contains(mod, "=> ../..") {
		t.Fatalf("examples/engine/go.mod does not replace the module by ../..:\n%s", mod)
	}
	source := read("examples/engine/main.go")
	if n := strings.Count(source[strings.Index(source, ")\n"):], "\n"); n > 50 {
		t.Errorf("putting an engine under the harness takes %d lines; 50 are promised", n)
	}
	for name, text := range map[string]string{
		"main.go": source,
		"go.mod":  strings.Replace(mod, "=> ../..", "=> "+root, 1),
		"go.sum":  read("go.sum"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
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
	program := filepath.Join(dir, "engine")
	run("go", "build", "-o", program, ".")
	wantText(t, run(program, "torture", "--list"), "mine       ready, on the simulated disk too", "pebble")
	wantText(t, run(program, "bench", "--list"), "mine", "pebble")
}
