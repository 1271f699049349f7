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

// TestRunbooks runs the commands of the runbooks as they are printed, each page in an empty
// directory, from the top to the bottom.
func TestRunbooks(t *testing.T) {
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "orbit-cli"), fmt.Appendf(nil, "#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asCLI, self), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"migrate.md", "backup.md"} {
		t.Run(page, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../../docs", page))
			if err != nil {
				t.Fatal(err)
			}
			blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
			if len(blocks) < 5 {
				t.Fatalf("%d blocks of commands", len(blocks))
			}
			dir := t.TempDir()
			for _, block := range blocks {
				cmd := exec.Command("/bin/sh", "-eu", "-c", block[1])
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s\n%v\n%s", strings.TrimSpace(block[1]), err, out)
				}
			}
		})
	}
}
