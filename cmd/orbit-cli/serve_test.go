package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/orbit-persistence/orbit/providers/protocol"
)

// serving is a server at work.
type serving struct {
	t       *testing.T
	cmd     *exec.Cmd
	out     *bufio.Reader
	errs    strings.Builder
	address string
}

// serve starts orbit-cli serve on a port of its own and waits until all is open.
func serve(t *testing.T, environ []string, args ...string) *serving {
	t.Helper()
	s := &serving{t: t, cmd: exec.Command(os.Args[0], append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)}
	s.cmd.Env = append(append(os.Environ(), asCLI+"=1"), environ...)
	s.cmd.Stderr = &s.errs
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill() // the test has failed
			_ = s.cmd.Wait()
		}
	})
	s.out = bufio.NewReader(out)
	line, err := s.out.ReadString('\n')
	if err != nil {
		_ = s.cmd.Wait() // what it says is on its standard error
		t.Fatalf("serve %q: %v\n%s", args, err, s.errs.String())
	}
	s.address = strings.TrimSpace(line)
	return s
}

// get returns the body of a page that is served.
func (s *serving) get(path string) string {
	s.t.Helper()
	r, err := http.Get(s.address + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s, %v\n%s", path, r.Status, err, body)
	}
	return string(body)
}

// healths returns the state, by the names of those that are served.
func (s *serving) healths() map[string]string {
	s.t.Helper()
	var answer struct {
		State     string
		Providers []providerHealth
	}
	if err := json.Unmarshal([]byte(s.get("/health")), &answer); err != nil || answer.State == "unhealthy" {
		s.t.Fatalf("%+v, %v", answer, err)
	}
	all := map[string]string{}
	for _, p := range answer.Providers {
		all[p.Provider] = p.Backend + " " + p.State
	}
	return all
}

// end sends SIGTERM, upon which it must end cleanly.
func (s *serving) end() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	rest, _ := io.ReadAll(s.out)
	if err := s.cmd.Wait(); err != nil || len(rest) != 0 || s.errs.String() != "" {
		s.t.Fatalf("it ended with %v\n%s%s", err, rest, s.errs.String())
	}
}

func needsRocksDB(t *testing.T) {
	t.Helper()
	if !protocol.Available {
		code, stdout, stderr := orbit(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
		if code != 1 || !strings.Contains(stderr, "-tags rocksdb") || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("without RocksDB: exit code %d, %q, %q", code, stdout, stderr)
		}
		t.Skip("SKIPPED, NOT VERIFIED HERE: built without the tag rocksdb")
	}
}

// TestServe is the life of a server: begun, asked, killed, begun again, told to end. What
// was written is there afterwards.
func TestServe(t *testing.T) {
	needsRocksDB(t)
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "data")
	stores := func(use func(s *protocol.Stores) error) {
		t.Helper()
		s, err := protocol.Open(ctx, dir, protocol.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := use(s); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, nil, "--data-dir", dir)
	healths := s.healths()
	for _, p := range protocol.All() {
		if state := healths["protocol/"+string(p)]; !strings.HasPrefix(state, "rocksdb ") {
			t.Errorf("health of %s: %q", p, state)
		}
		if _, err := os.Stat(filepath.Join(dir, string(p), "rocksdb", "CURRENT")); err != nil {
			t.Error(err)
		}
	}
	if len(healths) != 7 {
		t.Errorf("healths %v", healths)
	}
	metrics := s.get("/metrics")
	for _, line := range []string{`orbit_write_operations_total{backend="rocksdb",provider="protocol/graphrag"} 0`, `orbit_disk_bytes{backend="rocksdb",provider="protocol/redis"}`, "orbit_read_latency_seconds_bucket{", "go_goroutines"} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics lack %s:\n%s", line, metrics)
		}
	}
	// It holds the stores: nobody else opens them.
	code, stdout, stderr := orbit(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", dir)
	if code != 1 || !strings.Contains(stderr, "locked") || strings.Count(stderr, "\n") != 1 || stdout != "" {
		t.Errorf("a second server: exit code %d, %q, %q", code, stdout, stderr)
	}
	// Nor does it take an address that is taken.
	code, _, stderr = orbit(t, "serve", "--listen", strings.TrimPrefix(s.address, "http://"), "--data-dir", t.TempDir())
	if code != 1 || !strings.Contains(stderr, "--listen") {
		t.Errorf("an address that is taken: exit code %d, %q", code, stderr)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait() // it was killed
	stores(func(s *protocol.Stores) error { return s.Redis.Set(ctx, "k", []byte("v"), 0) })
	s = serve(t, nil, "--data-dir", dir)
	s.healths()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	s = serve(t, nil, "--data-dir", dir)
	s.healths()
	s.end()
	stores(func(s *protocol.Stores) error {
		v, err := s.Redis.Get(ctx, "k")
		if string(v.Data) != "v" {
			t.Errorf("there is %q, %v", v.Data, err)
		}
		return err
	})
}

// TestServeAsConfigured: data_dir of [server] is where the stores are, unless a variable or
// the flag says otherwise, and the providers of a file are served too.
func TestServeAsConfigured(t *testing.T) {
	needsRocksDB(t)
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "orbit.toml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	configured := file("[server]\ndata_dir = \"" + filepath.Join(dir, "configured") + "\"\n[providers.records]\ntype = \"LsmTree\"\n")
	for name, call := range map[string]struct{ environ, args []string }{
		"configured": {nil, []string{"--config", configured}},
		"variable":   {[]string{"ORBIT_SERVER_DATA_DIR=" + filepath.Join(dir, "variable")}, nil},
		"flag":       {[]string{"ORBIT_SERVER_DATA_DIR=" + filepath.Join(dir, "not")}, []string{"--data-dir", filepath.Join(dir, "flag")}},
	} {
		s := serve(t, call.environ, call.args...)
		if _, err := os.Stat(filepath.Join(dir, name, "redis", "rocksdb", "CURRENT")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		healths := s.healths()
		if records := healths["records"] != ""; records != (name == "configured") {
			t.Errorf("%s: healths %v", name, healths)
		}
		if name == "configured" && !strings.Contains(s.get("/metrics"), `orbit_write_operations_total{backend="lsm_tree",provider="records"}`) {
			t.Error("the metrics lack those of the provider")
		}
		s.end()
	}
	if _, err := os.Stat(filepath.Join(dir, "not")); err == nil {
		t.Error("the variable went before the flag")
	}
	for what, text := range map[string]string{
		"another data_dir": "[server]\ndata_dir = \"" + dir + "\"\n[providers.redis]\ntype = \"LsmTree\"\n",
		"unknown":          "[server]\ndata_dirs = \"x\"\n",
		`data_dir`:         "[server]\ndata_dir = \"\"\n",
	} {
		code, stdout, stderr := orbit(t, "serve", "--listen", "127.0.0.1:0", "--config", file(text))
		if code != 1 || !strings.Contains(stderr, what) || stdout != "" {
			t.Errorf("%s: exit code %d, %q, %q", text, code, stdout, stderr)
		}
	}
}
