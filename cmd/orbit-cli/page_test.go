package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// page is a page of the documentation.
type page struct{ name, text string }

func readPage(t *testing.T, name string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return page{name, string(text)}
}

// blocks returns what the page shows in a language, below a heading if one is given.
func (p page) blocks(t *testing.T, language, heading string) []string {
	t.Helper()
	text := p.text
	if heading != "" {
		_, after, ok := strings.Cut(text, "\n## "+heading+"\n")
		if !ok {
			t.Fatalf("%s has no heading %q", p.name, heading)
		}
		text, _, _ = strings.Cut(after, "\n## ")
	}
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^ *```"+language+"\n(.*?)^ *```$").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	if len(all) == 0 {
		t.Fatalf("%s shows no %s below %q", p.name, language, heading)
	}
	return all
}

// console runs commands as they are printed, with orbit-cli being this program.
type console struct {
	dir string
	env []string
}

// newConsole returns a console in an empty directory, with these variables beside the
// test's own.
func newConsole(t *testing.T, env ...string) *console {
	t.Helper()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "orbit-cli"), fmt.Appendf(nil, "#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asCLI, self), 0o755); err != nil {
		t.Fatal(err)
	}
	path := "PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH")
	return &console{dir: t.TempDir(), env: append(append(os.Environ(), env...), path)}
}

// run runs the commands of a block, and returns what they print.
func (s *console) run(t *testing.T, block string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-eu", "-c", block)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", strings.TrimSpace(block), err, out)
	}
	return string(out)
}
