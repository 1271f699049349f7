package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/providers/config"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orbit.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConfigCheck: what is printed, where, and the exit codes, as a user sees them.
func TestConfigCheck(t *testing.T) {
	good := configFile(t, "[providers.redis]\ntype = \"Redis\"\nurl = \"redis://app:hunter2@cache:6379\"\n")
	t.Setenv("ORBIT_REDIS_POOL_SIZE", "5")
	code, stdout, stderr := orbit(t, "config", "check", good)
	if code != 0 || stderr != "" || strings.Contains(stdout, "hunter2") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, line := range []string{
		`persistence_backend = "redis" # default`, `url = "redis://cache:6379" # ` + good + `:3:1`, `password = "[hidden]" # ` + good + `:3:1`,
		`pool_size = 5 # ORBIT_REDIS_POOL_SIZE`, `prefix = "orbit" # default`,
	} {
		if !strings.Contains(strings.Join(strings.Fields(stdout), " "), line) {
			t.Errorf("no line %s in\n%s", line, stdout)
		}
	}
	code, stdout, _ = orbit(t, "config", "check", "--json", "--no-environment", good)
	var read struct {
		Providers map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(stdout), &read); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, stdout)
	}
	if p := read.Providers["redis"]; p["type"] != "Redis" || p["pool_size"] != 10.0 || p["password"] != config.Hidden {
		t.Errorf("%v", p)
	}

	bad := configFile(t, "[providers.lsm]\ntype = \"LsmTree\"\nmemtable_mb = 1\nmax_levels = 99\n")
	code, stdout, stderr = orbit(t, "config", "check", bad, "--no-environment")
	want := bad + `:3:1: providers.lsm.memtable_mb: unknown option of lsm_tree; did you mean "memtable_size_mb"?
` + bad + `:4:1: providers.lsm.max_levels: must be from 2 to 16, not 99
orbit-cli: ` + bad + ` has mistakes
`
	if code != 1 || stdout != "" || stderr != want {
		t.Errorf("exit code %d\n%s%s\nwant\n%s", code, stdout, stderr, want)
	}
	code, stdout, _ = orbit(t, "config", "check", "--json", "--no-environment", bad)
	var told struct{ Errors []config.Error }
	if err := json.Unmarshal([]byte(stdout), &told); err != nil || code != 1 || len(told.Errors) != 2 || told.Errors[0].Line != 3 || told.Errors[0].Suggestion != "memtable_size_mb" {
		t.Errorf("exit code %d, %v\n%s", code, err, stdout)
	}

	if code, _, stderr := orbit(t, "config", "check", "/not/there.toml"); code != 1 || !strings.Contains(stderr, "/not/there.toml") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if code, _, stderr := orbit(t, "config", "check", "--jason", good); code != 2 || !strings.Contains(stderr, "--jason") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	// A file is named as it was given, so that an editor finds it.
	if code, stdout, _ := orbit(t, "config", "check", "--no-environment", "../../examples/config/etcd.toml"); code != 0 || !strings.Contains(stdout, "# ../../examples/config/etcd.toml:3:1\n") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if code, stdout, _ := orbit(t, "config", "check", "--help"); code != 0 || !strings.Contains(stdout, "Exit codes") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if code, stdout, stderr := orbit(t, "config", "check", "--no-environment"); code != 0 || !strings.Contains(stdout, "[providers.lsm_tree]") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}
