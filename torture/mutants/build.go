package mutants

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// mutated returns the files of the overlay under their paths from the root: each
// file that mutants change, and one more in each of their packages.
func mutated(root string, all []Mutant) (map[string]string, error) {
	files := map[string][]Mutant{}
	for _, m := range all {
		files[m.File] = append(files[m.File], m)
	}
	overlay := map[string]string{}
	for name, of := range files {
		source, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, fmt.Errorf("mutant %s: %w", of[0].Name, err)
		}
		text, err := seed(string(source), of)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		overlay[name] = text
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.PackageClauseOnly)
		if err != nil {
			return nil, err
		}
		overlay[filepath.Join(filepath.Dir(name), "mutant_on.go")] = strings.ReplaceAll(switches, "PACKAGE", file.Name.Name)
	}
	return overlay, nil
}

// switches is the file that each package with mutants gets.
const switches = `package PACKAGE

import (
	"os"
	"slices"
	"strings"
)

var mutantsOn = strings.Split(os.Getenv("ORBIT_MUTANT"), ",")

func mutantOn(name string) bool { return slices.Contains(mutantsOn, name) }

func mutantPick[T any](name string, defect, sound T) T {
	if mutantOn(name) {
		return defect
	}
	return sound
}

var _ = mutantPick[int]
`

// seed replaces the Old of each mutant by its New. The line numbers stay.
func seed(source string, of []Mutant) (string, error) {
	type edit struct {
		at int
		m  Mutant
	}
	var edits []edit
	for _, m := range of {
		if n := strings.Count(source, m.Old); n != 1 {
			return "", fmt.Errorf("mutant %s is stale: its Old stands there %d times, not once:\n%s", m.Name, n, m.Old)
		}
		if strings.Count(m.Old, "\n") != strings.Count(m.New, "\n") {
			return "", fmt.Errorf("mutant %s: Old and New differ in their number of lines", m.Name)
		}
		if !strings.Contains(m.New, "MUTANT") && !strings.Contains(m.New, "PICK(") {
			return "", fmt.Errorf("mutant %s: New does not ask whether it is on", m.Name)
		}
		edits = append(edits, edit{strings.Index(source, m.Old), m})
	}
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		if e.at < at {
			return "", fmt.Errorf("mutant %s changes what another one changes", e.m.Name)
		}
		b.WriteString(source[at:e.at])
		name := strconv.Quote(e.m.Name)
		b.WriteString(strings.NewReplacer("MUTANT", "mutantOn("+name+")", "PICK(", "mutantPick("+name+", ").Replace(e.m.New))
		at = e.at + len(e.m.Old)
	}
	b.WriteString(source[at:])
	return b.String(), nil
}

// Build builds the program with every mutant, and all sites that can be switched
// off, from the module's source at root, and beside it, for the mode Tests, the
// tests of the log, of the engines, and of files on devices. Everything it needs
// lies in dir, an empty directory; it returns the program's path.
func Build(ctx context.Context, root, dir string, all []Mutant) (string, error) {
	files, err := mutated(root, append(slices.Clone(all), siteMutants...))
	if err != nil {
		return "", err
	}
	for name, text := range siteFiles {
		files[name] = text
	}
	files["torture/mutants/program/main.go"] = "package main\n\nimport \"github.com/orbit-persistence/orbit/torture\"\n\nfunc main() { torture.Main() }\n"
	list, err := overlay(root, dir, files)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "mutants")
	for _, args := range [][]string{
		{"build", "-overlay", list, "-o", program, "./torture/mutants/program"},
		{"test", "-c", "-overlay", list, "-o", program + testsSuffix("example"), "./engine/wal"},
		{"test", "-c", "-overlay", list, "-o", program + testsSuffix("cowbtree"), "./engine/cowbtree"},
		{"test", "-c", "-overlay", list, "-o", program + testsSuffix("flash"), "./engine/flash"},
		{"test", "-c", "-overlay", list, "-o", program + testsSuffix("lsm"), "./engine/lsm"},
		{"test", "-c", "-overlay", list, "-o", program + testsSuffix("blockfs"), "./engine/vfs/blockfs"},
		{"test", "-c", "-overlay", list, "-o", program + testsSuffix("vfs"), "./engine/vfs"},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = root
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("build the mutants: %w\n%s", err, out.String())
		}
	}
	return program, nil
}

// Overlay writes the files that mutants change into dir, an empty directory, and
// returns the list of them that the go command takes as -overlay. A program that is
// built with it has the mutants that the environment variable ORBIT_MUTANT names.
func Overlay(root, dir string, all []Mutant) (string, error) {
	files, err := mutated(root, all)
	if err != nil {
		return "", err
	}
	return overlay(root, dir, files)
}

// overlay writes files, under their paths from the root, and the list of them.
func overlay(root, dir string, files map[string]string) (string, error) {
	replace := map[string]string{}
	n := 0
	for name, text := range files {
		n++
		file := filepath.Join(dir, fmt.Sprintf("%d.go", n))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = file
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, data, 0o600)
}
