package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/internal/loopfs"
)

// runbook is a section of the runbooks, tried in a directory of its own.
type runbook struct {
	*console
	commands []string
}

// newRunbook reads a section. The configuration that it shows, if it does, is orbit.toml.
func newRunbook(t *testing.T, heading string) *runbook {
	t.Helper()
	p := readPage(t, "runbooks.md")
	r := &runbook{newConsole(t), p.blocks(t, "sh", heading)}
	_, section, _ := strings.Cut(p.text, "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if strings.Contains(section, "```toml") {
		if err := os.WriteFile(filepath.Join(r.dir, "orbit.toml"), []byte(p.blocks(t, "toml", heading)[0]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// next runs the next block of commands, which must print some words.
func (r *runbook) next(t *testing.T, prints ...string) {
	t.Helper()
	if len(r.commands) == 0 {
		t.Fatal("the section has no more commands")
	}
	block := r.commands[0]
	r.commands = r.commands[1:]
	out := r.run(t, block)
	for _, words := range prints {
		if !strings.Contains(out, words) {
			t.Errorf("%s\ndoes not print %q:\n%s", block, words, out)
		}
	}
}

func (r *runbook) done(t *testing.T) {
	t.Helper()
	if len(r.commands) != 0 {
		t.Errorf("%d blocks were not run, the first of them\n%s", len(r.commands), r.commands[0])
	}
}

func TestRunbookDiskFull(t *testing.T) {
	kind := loopfs.Kinds[0]
	if why := kind.Missing(); why != "" {
		t.Skip("SKIPPED, NOT VERIFIED HERE: " + why)
	}
	disk, err := loopfs.New(t.Context(), t.TempDir(), kind)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close(false)
	if err := disk.Mount(); err != nil {
		t.Fatal(err)
	}
	r := newRunbook(t, "Disk full")
	if err := os.Symlink(disk.Path(), filepath.Join(r.dir, "disk")); err != nil {
		t.Fatal(err)
	}
	r.run(t, "orbit-cli put --config orbit.toml --create user/42 ada")
	for _, backend := range []string{"pebble", "cow", "flash"} {
		r.run(t, "orbit-cli put --backend="+backend+" --dir=disk/"+backend+" --create k v")
	}
	if err := disk.Fill(0); err != nil {
		t.Fatal(err)
	}
	refused := r.run(t, "! orbit-cli put --config orbit.toml user/43 grace 2>&1")
	if !strings.Contains(refused, "no space left") {
		t.Error(refused)
	}
	r.next(t, "degraded", "disk_usage", "ada")
	r.next(t, "exported")
	for _, backend := range []string{"cow", "flash"} {
		if out := r.run(t, "orbit-cli get --backend="+backend+" --dir=disk/"+backend+" k"); !strings.Contains(out, "v") {
			t.Errorf("%s: %s", backend, out)
		}
	}
	if err := disk.Fill(0); err != nil { // an opening may have tidied up
		t.Fatal(err)
	}
	if out := r.run(t, "! orbit-cli get --backend=pebble --dir=disk/pebble k 2>&1"); !strings.Contains(out, "no space left") {
		t.Error(out)
	}
	if err := disk.Empty(); err != nil {
		t.Fatal(err)
	}
	r.next(t, "revision")
	r.run(t, "orbit-cli get --backend=pebble --dir=disk/pebble k")
	r.done(t)
}

func TestRunbookCorruptFile(t *testing.T) {
	r := newRunbook(t, "Corrupt file")
	r.run(t, "orbit-cli put --backend=lsm --dir=data --create user/42 ada\norbit-cli backup --from lsm:data --to ./backups")
	tables, err := filepath.Glob(filepath.Join(r.dir, "data", "*.table"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	text, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	text[20] ^= 1
	if err := os.WriteFile(tables[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	r.next(t)
	r.next(t, "corrupt", filepath.Base(tables[0]))
	r.next(t, "1 entries")
	if out := r.run(t, "orbit-cli get --backend=lsm --dir=data user/42"); !strings.Contains(out, "ada") {
		t.Error(out)
	}
	r.done(t)
}

func TestRunbookLostPath(t *testing.T) {
	r := newRunbook(t, "Lost path")
	r.run(t, "orbit-cli put --config orbit.toml --create user/42 ada\nrm -r nvme1\n! orbit-cli get --config orbit.toml user/42")
	r.next(t, "in sync")
	r.next(t, "healthy")
	r.next(t)
	if out := r.run(t, "orbit-cli get --config orbit.toml user/42"); !strings.Contains(out, "ada") {
		t.Error(out)
	}
	r.done(t)
}

func TestRunbookFailover(t *testing.T) {
	r := newRunbook(t, "Failover")
	r.run(t, "orbit-cli put --config orbit.toml --create user/42 ada")
	r.next(t, "healthy")
	r.next(t, "ada", "healthy")
	if _, err := os.Stat(filepath.Join(r.dir, "primary")); err != nil {
		t.Error(err)
	}
	r.done(t)
}

func TestRunbookRestore(t *testing.T) {
	r := newRunbook(t, "Restore")
	r.run(t, "orbit-cli put --backend=lsm --dir=data --create user/42 ada\norbit-cli backup --from lsm:data --to ./backups")
	r.next(t, "1 entries")
	r.done(t)
}
