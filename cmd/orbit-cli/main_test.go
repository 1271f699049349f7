package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/bench/enginebench"
	"github.com/orbit-persistence/orbit/torture"
)

// asCLI makes the test binary be orbit-cli, so that exit codes and output are
// those that a user sees.
const asCLI = "ORBIT_TEST_AS_CLI"

func TestMain(m *testing.M) {
	bench.RunChild(bench.Standard())
	enginebench.RunChild()
	torture.RunChild(torture.Standard())
	if os.Getenv(asCLI) != "" {
		main()
	}
	os.Exit(m.Run())
}

func orbit(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return orbitReading(t, "", args...)
}

// orbitReading is orbit with something on its standard input.
func orbitReading(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCLI+"=1")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestBadCalls: one clear line on standard error, and exit code 2.
func TestBadCalls(t *testing.T) {
	for what, args := range map[string][]string{
		"needs a value":           {"put", "--backend", "lsm", "--dir", "x", "key"},
		"and not both":            {"put", "--backend", "lsm", "--dir", "x", "key", "value", "--file", "f"},
		"not in the encoding":     {"get", "--encoding", "hex", "xyz"},
		"--if-revision":           {"delete", "--if-revision", "new", "key"},
		"--limit -1":              {"list", "--limit=-1"},
		"unknown backend":         {"list", "--backend", "mongo"},
		"--dir needs --backend":   {"list", "--dir", "x"},
		"leave it out":            {"list", "--backend", "lsm", "--config", "f.toml"},
		"s3 does not lie in a":    {"list", "--backend", "s3", "--dir", "x"},
		"--node":                  {"leases", "--node", "one/two/three"},
		"--active and --expired":  {"nodes", "--active", "--expired"},
		"unknown flag --enginez":  {"bench", "--enginez", "memory"},
		`unknown engine "mem"`:    {"bench", "--engines", "mem"},
		`unknown workload "gets"`: {"bench", "--workloads", "gets"},
		"must be one of":          {"bench", "--profile", "slow"},
		"unexpected argument":     {"benchmark"},
		"no number of bytes":      {"bench", "--cache", "much"},
		"--dir":                   {"bench", "--engines", "memory", "--data", "lease", "--dir", "/not/there"},
		"two results":             {"bench-spread", "main.go"},
		"not a result":            {"bench-spread", "main.go", "main_test.go"},
		`unknown engine "tree"`:   {"bench-tree", "--engine", "tree"},
		`unknown section "all"`:   {"bench-tree", "--only", "all"},
		"--largest 10":            {"bench-tree", "--largest", "10"},
		`unknown engine "rock"`:   {"torture", "--engines", "rock"},
		`unknown mode "crashes"`:  {"torture", "--modes", "crashes"},
	} {
		code, stdout, stderr := orbit(t, args...)
		if code != 2 || !strings.Contains(stderr, what) || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("orbit-cli %s: exit code %d, want 2; stderr %q, want one line with %q; stdout %q", strings.Join(args, " "), code, stderr, what, stdout)
		}
	}
}

func TestListAndHelp(t *testing.T) {
	code, stdout, _ := orbit(t, "bench", "--list")
	if code != 0 || !strings.Contains(stdout, "memory") || !strings.Contains(stdout, "get-uniform") || !strings.Contains(stdout, "contents") {
		t.Errorf("bench --list: exit code %d\n%s", code, stdout)
	}
	code, stdout, _ = orbit(t, "bench", "--help")
	if code != 0 || !strings.Contains(stdout, "--durability") {
		t.Errorf("bench --help: exit code %d\n%s", code, stdout)
	}
}

// TestBench runs the bench as a user does, children and all.
func TestBench(t *testing.T) {
	out := t.TempDir()
	code, _, stderr := orbit(t, "bench", "--engines", "memory,bbolt", "--data", "lease", "--records", "2000", "--workloads", "load,get-uniform,put,recovery",
		"--seconds", "0.05", "--rounds", "1", "--clients", "1", "--dir", t.TempDir(), "--out", out, "--html", filepath.Join(out, "page.html"))
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	for _, name := range []string{"bench.json", "table.md", "report.html", "page.html"} {
		if data, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(data) == 0 {
			t.Errorf("%s: %d bytes (%v)", name, len(data), err)
		}
	}
	if plots, _ := filepath.Glob(filepath.Join(out, "*.svg")); len(plots) == 0 {
		t.Error("no plots were written")
	}
	code, stdout, stderr := orbit(t, "bench-spread", filepath.Join(out, "bench.json"), filepath.Join(out, "bench.json"))
	if code != 0 || !strings.Contains(stdout, "0.0 % at most") {
		t.Errorf("bench-spread of a result with itself: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// TestTorture runs a mode with children as a user does.
func TestTorture(t *testing.T) {
	out := t.TempDir()
	code, stdout, stderr := orbit(t, "torture", "--modes", "kill", "--engines", "bbolt", "--work", "6", "--dir", t.TempDir(), "--out", out)
	if code != 0 || !strings.Contains(stdout, "kills in recovery") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if table, err := os.ReadFile(filepath.Join(out, "crash-table.md")); err != nil || !strings.Contains(string(table), "| bbolt |") {
		t.Errorf("the crash table is %q (%v)", table, err)
	}
}

// startCLI starts a command that will be stopped.
func startCLI(t *testing.T, args []string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCLI+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// waitFor waits until a file or directory is there.
func waitFor(path string) error {
	for {
		_, err := os.Stat(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}
