package all_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/lease"
)

// readme is what the README prints: TestReadme holds it to these lines.
func readme(ctx context.Context) error {
	c, err := config.Read("orbit.toml", os.Environ())
	if err != nil {
		return err // every mistake, with its line or variable
	}
	registry, err := all.Open(ctx, c)
	if err != nil {
		return err // which provider, and why; none stays open
	}
	defer registry.Close()
	p, err := registry.Default(providers.Addressable) // or providers.Cluster, or by name: registry.Get("records")
	if err != nil {
		return err
	}
	leases := lease.New(p, lease.Options{})
	_ = leases
	return nil
}

// TestReadme: the lines of the README that open the providers of a file are those of
// readme, which compile and run.
func TestReadme(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```go\nc, err := config.Read(")
	block, _, ok := strings.Cut("c, err := config.Read("+block, "```")
	if !ok || strings.Count(block, "\n") < 8 {
		t.Fatalf("the README opens no file:\n%s", block)
	}
	indented := "\t" + strings.ReplaceAll(strings.TrimSuffix(block, "\n"), "\n", "\n\t") + "\n"
	if !strings.Contains(string(own), indented) {
		t.Errorf("the README shows what is not compiled:\n%s", indented)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("orbit.toml", []byte("type = \"LsmTree\"\ndata_dir = \"data\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readme(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestExamplesOpen: each file of examples/config is opened, in a directory of the
// test's own, if all of its backends are local; of the others every backend that is
// linked is taken as far as the options of its package.
func TestExamplesOpen(t *testing.T) {
	files, err := filepath.Glob("../../examples/config/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, file := range append(files, "../../examples/configured/orbit.toml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			moved := strings.NewReplacer("/var/lib/orbit", dir, "\"orbit_data\"", "\""+dir+"\"", "/nvme", dir+"/nvme").Replace(string(text))
			c, err := config.Parse(filepath.Base(file), []byte(moved), nil)
			if err != nil {
				t.Fatal(err)
			}
			local := true
			for name, b := range c.Providers {
				local = local && slices.Contains([]config.Kind{
					config.KindMemory, config.KindCowBTree, config.KindLsmTree, config.KindRocksDB, config.KindPebble, config.KindFlash,
				}, b.Kind())
				_, err := all.Config(name, b)
				switch linked := slices.Contains(all.Kinds(), b.Kind()); {
				case linked && err != nil:
					// A file with credentials, say, that is not there.
					if !errors.Is(err, os.ErrNotExist) {
						t.Errorf("provider %q: %v", name, err)
					}
				case !linked && !errors.Is(err, providers.ErrUnsupported):
					t.Errorf("provider %q of a backend that is not there: %v", name, err)
				}
			}
			if !local {
				return
			}
			registry, err := all.Open(t.Context(), c)
			if errors.Is(err, providers.ErrUnsupported) {
				t.Skip("SKIPPED, NOT VERIFIED HERE: " + err.Error())
			}
			if err != nil {
				t.Fatal(err)
			}
			defer registry.Close()
			opened++
			for _, name := range registry.Names() {
				p, err := registry.Get(name)
				if err != nil {
					t.Fatal(err)
				}
				put(t, p, "key", []byte("value"))
				if e, err := p.Get(t.Context(), []byte("key")); err != nil || string(e.Value) != "value" {
					t.Errorf("%s has %q, %v", name, e.Value, err)
				}
			}
		})
	}
	if opened < 5 {
		t.Errorf("%d files were opened", opened)
	}
}

// TestConfiguredExample builds and runs examples/configured, and looks at what it has
// left with the providers of its own file.
func TestConfiguredExample(t *testing.T) {
	program := filepath.Join(t.TempDir(), "configured")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = "../../examples/configured"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file, err := filepath.Abs("../../examples/configured/orbit.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range 2 { // the second finds what the first has left
		run := exec.CommandContext(t.Context(), program, file)
		run.Dir = dir
		out, err := run.CombinedOutput()
		if want := "Player:ada is held by default/node-1\nrecords is healthy\n"; err != nil || string(out) != want {
			t.Fatalf("%v: it prints\n%swant\n%s", err, out, want)
		}
	}
	c, err := config.Read(file, []string{"ORBIT_SERVER_DATA_DIR=" + filepath.Join(dir, "orbit_data")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := all.OpenOne(t.Context(), c, c.Defaults.Addressable)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l, err := lease.New(p, lease.Options{}).Get(t.Context(), lease.Reference{Type: "Player", Key: lease.StringKey("ada")})
	if err != nil || l.Token != 2 {
		t.Errorf("the lease of a second acquisition is %v, %v", l, err)
	}
}
