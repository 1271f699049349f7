package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/internal/loopfs"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/cowbtree"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/migrate"
	"github.com/orbit-persistence/orbit/providers/node"
)

// cowStore makes a closed store with entries, of which 12 are those of leases and nodes.
func cowStore(t *testing.T, entries, valueBytes int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "cow")
	c := cowbtree.Defaults()
	c.DataDir, c.Durability = dir, engine.Buffered
	p, err := providers.Open(t.Context(), providers.Config{Backend: cowbtree.Backend, Options: c})
	if err != nil {
		t.Fatal(err)
	}
	var writes []driver.Write
	for i := range entries {
		value := make([]byte, valueBytes)
		for j := range value {
			value[j] = byte((i*2654435761 + j*40503) >> 7)
		}
		writes = append(writes, driver.Write{Key: fmt.Appendf(nil, "record/%08d", i), Value: value})
	}
	if err := p.BulkPut(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		id := node.ID{Key: fmt.Sprint(i), Namespace: "n"}
		if err := node.New(p, node.Options{}).Store(t.Context(), node.Info{ID: id, Port: 1, Status: node.Active}); err != nil {
			t.Fatal(err)
		}
		l := lease.Lease{Reference: lease.Reference{Type: "player", Key: lease.Int64Key(int64(i))}, Node: id, ExpiresAt: time.Now().Add(time.Hour)}
		if err := lease.New(p, lease.Options{}).Store(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// works runs a command that must succeed with --json, and decodes what it prints.
func works[T any](t *testing.T, args ...string) (result T) {
	t.Helper()
	code, stdout, stderr := orbit(t, append(args, "--json")...)
	if err := json.Unmarshal([]byte(stdout), &result); code != 0 || err != nil || stderr != "" {
		t.Fatalf("orbit-cli %s: exit code %d, %v\n%s%s", strings.Join(args, " "), code, err, stdout, stderr)
	}
	return result
}

// fails runs a command that must fail, with and without --json, and say why.
func fails(t *testing.T, code int, why string, args ...string) {
	t.Helper()
	got, stdout, stderr := orbit(t, args...)
	if got != code || !strings.Contains(stderr, why) || strings.Count(stderr, "\n") != 1 || stdout != "" {
		t.Errorf("orbit-cli %s: exit code %d, want %d; stderr %q, want one line with %q; stdout %q", strings.Join(args, " "), got, code, stderr, why, stdout)
	}
	if code == 2 && strings.HasPrefix(why, "missing") {
		return
	}
	got, stdout, _ = orbit(t, append(args, "--json")...)
	var told struct{ Errors []struct{ Problem string } }
	if err := json.Unmarshal([]byte(stdout), &told); got != code || err != nil || len(told.Errors) != 1 || !strings.Contains(told.Errors[0].Problem, why) {
		t.Errorf("orbit-cli %s --json: exit code %d, %v\n%s", strings.Join(args, " "), got, err, stdout)
	}
}

// TestMigrationProcess is the process of the specification, and what goes with it.
func TestMigrationProcess(t *testing.T) {
	cow := cowStore(t, 3000, 50)
	dir := t.TempDir()
	file, lsm, pebble := filepath.Join(dir, "export.json"), filepath.Join(dir, "lsm"), filepath.Join(dir, "pebble")
	exported := works[migrate.Tally](t, "export", "--backend=cow", "--data-dir="+cow, "--output="+file)
	if exported.Entries != 3012 || exported.Leases != 4 || exported.Nodes != 4 {
		t.Fatalf("%+v", exported)
	}
	imported := works[migrate.Result](t, "import", "--backend=lsm", "--data-dir="+lsm, "--input="+file)
	if imported.Digest != exported.Digest || imported.LeasesMigrated != 4 || imported.NodesMigrated != 4 || !imported.Validated {
		t.Fatalf("%+v", imported)
	}
	if r := works[migrate.Report](t, "validate", "--backend=lsm", "--data-dir="+lsm); r.Digest != exported.Digest {
		t.Fatalf("%+v", r)
	}
	works[migrate.Report](t, "validate", "--backend=lsm", "--data-dir="+lsm, "--input="+file)
	if r := works[migrate.Result](t, "migrate", "--from", "lsm_tree:"+lsm, "--to", "pebble:"+pebble); r.Digest != exported.Digest || r.Entries != 3012 {
		t.Fatalf("%+v", r)
	}
	works[migrate.Report](t, "validate", "--backend=pebble", "--data-dir="+pebble, "--against=cow:"+cow)

	config := configFile(t, "[server]\npersistence_backend = \"old\"\n[providers.old]\ntype = \"CowBTree\"\ndata_dir = \""+cow+"\"\n[providers.new]\ntype = \"Memory\"\ndisk_backup = { path = \""+filepath.Join(dir, "memory")+"\" }\n")
	if r := works[migrate.Result](t, "migrate", "--config", config, "--from", "old", "--to", "new"); r.Digest != exported.Digest {
		t.Fatalf("%+v", r)
	}
	if r := works[migrate.Report](t, "validate", "--backend=memory", "--data-dir="+filepath.Join(dir, "memory")); r.Digest != exported.Digest {
		t.Fatalf("%+v", r)
	}
	packed := filepath.Join(dir, "export.json.zst")
	works[migrate.Tally](t, "export", "--config", config, "--backend", "old", "--output", packed)
	works[migrate.Report](t, "validate", "--config", config, "--backend", "old", "--input", packed)

	code, stdout, stderr := orbit(t, "migrate", "--from", "cow:"+cow, "--to", "lsm:"+filepath.Join(dir, "other"))
	if code != 0 || stderr != "" || !strings.Contains(stdout, "migrated 4 leases and 4 nodes") || !strings.Contains(stdout, "3,012 entries") || !strings.Contains(stdout, "validated: the last of 2 passes found no difference") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = orbit(t, "export", "--backend=cow", "--data-dir="+cow, "--output=-")
	if lines := strings.Count(stdout, "\n"); code != 0 || lines != 3014 {
		t.Errorf("exit code %d, %d lines", code, lines)
	}
	stopped := filepath.Join(dir, "stopped")
	if r := works[migrate.Result](t, "migrate", "--from", "cow:"+cow, "--to", "lsm:"+filepath.Join(dir, "barrier"), "--barrier", "touch "+stopped); r.Barrier == 0 {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(stopped); err != nil {
		t.Error(err)
	}

	fails(t, 1, "export.json: conflict: it is there already", "export", "--backend=cow", "--data-dir="+cow, "--output="+file)
	other := cowStore(t, 10, 10)
	fails(t, 1, "is not empty, and does not hold what the source does", "import", "--backend=cow", "--data-dir="+other, "--input="+file)
	fails(t, 1, "is not empty, and does not hold what the source does", "migrate", "--from", "cow:"+other, "--to", "lsm:"+lsm)
	fails(t, 1, "they differ in", "validate", "--backend=cow", "--data-dir="+other, "--input="+file)
	fails(t, 1, "not found", "export", "--backend=cow", "--data-dir="+filepath.Join(dir, "nowhere"), "--output="+filepath.Join(dir, "x"))
	fails(t, 1, "nowhere", "import", "--backend=lsm", "--data-dir="+filepath.Join(dir, "new"), "--input="+filepath.Join(dir, "nowhere"))
	fails(t, 1, "--barrier \"false\"", "migrate", "--from", "cow:"+cow, "--to", "lsm:"+filepath.Join(dir, "no barrier"), "--barrier", "false")
	fails(t, 1, "half filled from cow_btree:"+cow, "validate", "--backend=lsm", "--data-dir="+filepath.Join(dir, "no barrier"))
	fails(t, 2, "both in "+cow, "migrate", "--from", "cow:"+cow, "--to", "lsm:"+cow)
	fails(t, 2, `unknown backend "lms"`, "migrate", "--from", "lms:"+cow, "--to", "lsm:"+lsm)
	fails(t, 2, "s3 is not local", "export", "--backend=s3", "--data-dir=x", "--output=y")
	fails(t, 2, "missing flags: --backend", "export", "--output=y")
	fails(t, 2, "at least 1", "import", "--backend=lsm", "--data-dir=x", "--input=y", "--batch-size=0")
	fails(t, 2, "choose one", "validate", "--backend=lsm", "--data-dir=x", "--input=y", "--against=z")
	for _, command := range []string{"migrate", "export", "import", "validate"} {
		if code, stdout, _ := orbit(t, command, "--help"); code != 0 || !strings.Contains(stdout, "Examples:") || !strings.Contains(stdout, "Exit codes:") {
			t.Errorf("%s --help: exit code %d\n%s", command, code, stdout)
		}
	}
}

// interrupt starts a command that prints progress, and sends it a signal with the first
// line of that.
func interrupt(t *testing.T, s syscall.Signal, args ...string) (state *os.ProcessState, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append(args, "--progress")...)
	cmd.Env = append(os.Environ(), asCLI+"=1")
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	sent := false
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		// In the first pass, where there is much before it.
		if !sent && strings.HasPrefix(lines.Text(), "copy: ") || strings.HasPrefix(lines.Text(), "export: ") {
			sent = true
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // the state tells
	return cmd.ProcessState, text.String()
}

// TestInterrupted: processes that are killed in the middle, some of them when they go on,
// and such that are told to end.
func TestInterrupted(t *testing.T) {
	cow := cowStore(t, 20_000, 100)
	dir := t.TempDir()
	file := filepath.Join(dir, "export.json")
	want := works[migrate.Tally](t, "export", "--backend=cow", "--data-dir="+cow, "--output="+file)
	for what, args := range map[string][]string{
		"migrate": {"migrate", "--from", "cow:" + cow, "--to", "lsm:" + filepath.Join(dir, "migrated")},
		"import":  {"import", "--backend=lsm", "--data-dir=" + filepath.Join(dir, "imported"), "--input=" + file},
	} {
		slowly := append(args[:len(args):len(args)], "--batch-size=1")
		for range 3 {
			state, stderr := interrupt(t, syscall.SIGKILL, slowly...)
			if status := state.Sys().(syscall.WaitStatus); !status.Signaled() {
				t.Fatalf("%s was not killed: %v\n%s", what, state, stderr)
			}
		}
		state, stderr := interrupt(t, syscall.SIGTERM, slowly...)
		if state.ExitCode() != 1 || !strings.Contains(stderr, `stopped by the signal "terminated"`) || !strings.Contains(stderr, "run the same command again to go on") {
			t.Errorf("%s: %v\n%s", what, state, stderr)
		}
		if r := works[migrate.Result](t, args...); r.Digest != want.Digest || !r.Resumed || !r.Validated {
			t.Errorf("%s: %+v", what, r)
		}
	}
	half := filepath.Join(dir, "half.json")
	state, stderr := interrupt(t, syscall.SIGTERM, "export", "--backend=cow", "--data-dir="+cow, "--output="+half)
	if left, err := filepath.Glob(half + "*"); err != nil || state.ExitCode() == 1 && len(left) > 0 || state.ExitCode() > 1 {
		t.Errorf("%v\n%s\n%v", state, stderr, left)
	}
}

// TestFullDisk: what does not fit fails, says so, and goes on once there is room.
func TestFullDisk(t *testing.T) {
	kind := loopfs.Kinds[0]
	if why := kind.Missing(); why != "" {
		t.Skip("SKIPPED, NOT VERIFIED HERE: a full disk; " + why)
	}
	disk, err := loopfs.New(t.Context(), t.TempDir(), kind)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := disk.Close(false); err != nil {
			t.Error(err)
		}
	}()
	if err := disk.Mount(); err != nil {
		t.Fatal(err)
	}
	root := disk.Path()
	cow := cowStore(t, 8_000, 4000)
	if err := disk.Fill(10 << 20); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(root, "export.json")
	export := []string{"export", "--backend=cow", "--data-dir=" + cow, "--output=" + out}
	copyIt := []string{"migrate", "--from", "cow:" + cow, "--to", "lsm:" + filepath.Join(root, "lsm"), "--batch-size=100"}
	fails(t, 1, "no space left", export...)
	if left, err := filepath.Glob(out + "*"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	code, _, stderr := orbit(t, copyIt...)
	if code != 1 || !strings.Contains(stderr, "no space left") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if err := disk.Empty(); err != nil {
		t.Fatal(err)
	}
	if r := works[migrate.Result](t, copyIt...); !r.Validated || r.Entries != 8012 {
		t.Errorf("%+v", r)
	}
}
