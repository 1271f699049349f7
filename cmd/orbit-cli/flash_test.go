package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/internal/loopfs"
	"github.com/orbit-persistence/orbit/providers/backup"
	"github.com/orbit-persistence/orbit/providers/migrate"
)

// TestFlashCommands tells of a store's paths, mends one, and fills one that was replaced.
func TestFlashCommands(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	ctx := context.Background()
	if code, _, stderr := orbit(t, "flash", "status", one, two); code != 1 {
		t.Errorf("no store: exit code %d, %s", code, stderr)
	}
	e, err := flash.Open(ctx, dir, flash.Options{Paths: []string{one, two}, SegmentBytes: 64 << 10, Compression: flash.NoCompression, PageCache: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		var b engine.Batch
		b.Put(fmt.Appendf(nil, "key %03d", i), []byte(strings.Repeat(fmt.Sprint("value ", i, " "), 20)))
		if err := e.Apply(ctx, &b, engine.Buffered); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := orbit(t, "flash", "status", one, two)
	if code != 0 || strings.Count(stdout, "in sync") != 2 {
		t.Errorf("status: exit code %d, %s%s", code, stdout, stderr)
	}
	code, stdout, stderr = orbit(t, "inspect", one)
	for _, want := range []string{"flash store ", "one of 2 paths", "index: 300 entries", "% of the segment", "sound\n"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("inspect: exit code %d, want %q in\n%s%s", code, want, stdout, stderr)
		}
	}
	files, err := filepath.Glob(filepath.Join(two, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	damaged, damagedFile, damagedData := false, "", []byte(nil)
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(data), "value 77 "); at >= 0 {
			data[at] ^= 1
			damaged, damagedFile, damagedData = true, name, data
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !damaged {
		t.Fatal("the value is in no segment")
	}
	if code, stdout, _ := orbit(t, "inspect", two); code != 1 || !strings.Contains(stdout, `value of key "key 077"`) {
		t.Errorf("inspect of a damaged value: exit code %d\n%s", code, stdout)
	}
	var found struct {
		Sound *bool
		Text  string
		Paths []struct {
			InSync bool `json:"in_sync"`
		}
		Errors []struct{ Problem string }
	}
	tells := func(code int, args ...string) {
		t.Helper()
		found.Sound, found.Text, found.Paths, found.Errors = nil, "", nil, nil
		got, stdout, stderr := orbit(t, append(args, "--json")...)
		if err := json.Unmarshal([]byte(stdout), &found); err != nil || got != code || (code == 0) != (stderr == "") {
			t.Errorf("%q: exit code %d, %v\n%s%s", args, got, err, stdout, stderr)
		}
	}
	if tells(1, "inspect", two); found.Sound == nil || *found.Sound || !strings.Contains(found.Text, `key "key 077"`) || len(found.Errors) != 1 {
		t.Errorf("%+v", found)
	}
	if tells(0, "inspect", one); found.Sound == nil || !*found.Sound || len(found.Errors) != 0 {
		t.Errorf("%+v", found)
	}
	if tells(0, "flash", "status", one, two); len(found.Paths) != 2 || !found.Paths[0].InSync {
		t.Errorf("%+v", found)
	}
	if code, stdout, stderr := orbit(t, "flash", "scrub", one, two, "--json"); code != 0 || stderr != "" || !strings.Contains(stdout, `"values": 600`) || strings.Contains(stdout, `"pieces_mended": 0`) {
		t.Errorf("scrub: exit code %d, %s%s", code, stdout, stderr)
	}
	if tells(0, "inspect", two); !*found.Sound {
		t.Errorf("%+v", found)
	}
	if err := os.WriteFile(damagedFile, damagedData, 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = orbit(t, "flash", "scrub", one, two)
	if code != 0 || !strings.Contains(stdout, "600 values") || strings.Contains(stdout, " 0 pieces mended") {
		t.Errorf("scrub: exit code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := orbit(t, "inspect", two); code != 0 {
		t.Errorf("inspect of what was mended: exit code %d\n%s", code, stdout)
	}
	if err := os.RemoveAll(two); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(two, 0o755); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := orbit(t, "flash", "status", one, two); code != 1 || !strings.Contains(stdout, two+"  out of sync: not found: it is empty") {
		t.Errorf("status of an empty path: exit code %d\n%s", code, stdout)
	}
	if tells(1, "flash", "status", one, two); len(found.Paths) != 2 || found.Paths[1].InSync || len(found.Errors) != 1 {
		t.Errorf("%+v", found)
	}
	if code, _, stderr := orbit(t, "flash", "rebuild", one, two); code != 1 || !strings.Contains(stderr, "by force") {
		t.Errorf("rebuild of a path that counted: exit code %d, %s", code, stderr)
	}
	code, stdout, stderr = orbit(t, "flash", "rebuild", "--force", one, two)
	if code != 0 || strings.Count(stdout, "in sync") != 2 {
		t.Errorf("rebuild: exit code %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := orbit(t, "inspect", two); code != 0 || !strings.Contains(stdout, "index: 300 entries") {
		t.Errorf("inspect of what was rebuilt: exit code %d\n%s", code, stdout)
	}
}

// flashConfig is a configuration with stores on two paths and on one.
func flashConfig(t *testing.T, dir string) (file string, paths []string) {
	t.Helper()
	paths = []string{filepath.Join(dir, "nvme0"), filepath.Join(dir, "nvme1")}
	return configFile(t, fmt.Sprintf(`
[server]
persistence_backend = "mirrored"
[providers.mirrored]
type = "Flash"
paths = [%q, %q]
enable_multipathing = true
path_timeout = "1h"
`, paths[0], paths[1])), paths
}

// TestMirroredFlash: every command that takes a provider takes one on two paths.
func TestMirroredFlash(t *testing.T) {
	dir := t.TempDir()
	file, paths := flashConfig(t, dir)
	on := func(args ...string) []string { return append(args, "--config", file) }
	if stderr := expect(t, 1, "", on("get", "key")...); !strings.Contains(stderr, "there is no store in "+paths[0]+", "+paths[1]) {
		t.Errorf("no store: %s", stderr)
	}
	expect(t, 0, "revision 1\n", on("put", "--create", "key", "value")...)
	expect(t, 0, "value", on("get", "key")...)
	expect(t, 0, "key\tvalue\n", on("list")...)
	expect(t, 0, "mirrored (flash): healthy\n", on("health")...)
	for _, path := range paths {
		if code, stdout, stderr := orbit(t, "inspect", path); code != 0 || !strings.Contains(stdout, "one of 2 paths") {
			t.Errorf("inspect: exit code %d\n%s%s", code, stdout, stderr)
		}
	}
	expect(t, 0, "", on("delete", "key")...)

	// From another backend, and to one.
	cow := cowStore(t, 500, 50)
	into := works[migrate.Result](t, on("migrate", "--from", "cow:"+cow, "--to", "mirrored")...)
	if back := works[migrate.Result](t, on("migrate", "--from", "mirrored", "--to", "lsm:"+filepath.Join(dir, "lsm"))...); into.Entries != 512 || back.Digest != into.Digest {
		t.Errorf("%+v, %+v", into, back)
	}
	single := filepath.Join(dir, "single")
	works[migrate.Result](t, on("migrate", "--from", "mirrored", "--to", "flash:"+single)...)
	works[migrate.Report](t, on("validate", "--backend=mirrored", "--against=flash:"+single)...)
	fails(t, 2, "both in "+paths[1], on("migrate", "--from", "mirrored", "--to", "flash:"+paths[1])...)

	// A backup is a store of one path.
	place, restored := filepath.Join(dir, "place"), filepath.Join(dir, "restored")
	if r := works[backedUp](t, on("backup", "--from", "mirrored", "--to", place)...); r.Base == nil || r.Base.Kind != backup.Checkpoint {
		t.Errorf("%+v", r)
	}
	works[backup.Restored](t, on("restore", "--from", place, "--to", "flash:"+restored)...)
	works[migrate.Report](t, on("validate", "--backend=mirrored", "--against=flash:"+restored)...)
	fails(t, 1, "restore it to a directory of flash, and migrate that", on("restore", "--from", place, "--to", "mirrored")...)

	// One of the two is gone: it may be the newer one. Neither is taken for an empty store.
	if err := os.Rename(paths[0], paths[0]+" away"); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := orbit(t, on("get", "record/00000001")...); code != 1 || !strings.Contains(stderr, paths[0]) || !strings.Contains(stderr, "bring it back") {
		t.Errorf("without a path: exit code %d, %s", code, stderr)
	}
	if err := os.Rename(paths[0]+" away", paths[0]); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := orbit(t, on("get", "record/00000001")...); code != 0 {
		t.Errorf("with both again: exit code %d, %s", code, stderr)
	}

	// --dir is what it says, whatever the environment has of paths.
	t.Setenv("ORBIT_FLASH_PATHS", paths[0]+","+paths[1])
	t.Setenv("ORBIT_FLASH_ENABLE_MULTIPATHING", "true")
	expect(t, 0, "revision 1\n", "put", "--create", "--backend", "flash", "--dir", filepath.Join(dir, "own"), "key", "value")
	if _, err := os.Stat(filepath.Join(dir, "own", "index")); err != nil {
		t.Error(err)
	}
}

// TestForcedRebuildGivesNoRevisionAgain: what an older path is taken for the store instead
// of, nobody meets the revisions of.
func TestForcedRebuildGivesNoRevisionAgain(t *testing.T) {
	file, paths := flashConfig(t, t.TempDir())
	on := func(args ...string) []string { return append(args, "--config", file) }
	expect(t, 0, "revision 1\n", on("put", "--create", "key", "1")...)
	if err := os.CopyFS(paths[1]+" of before", os.DirFS(paths[1])); err != nil {
		t.Fatal(err)
	}
	var lost string // the newest revision that anybody was told
	for range 5 {
		_, lost, _ = orbit(t, on("put", "key", "2")...)
	}
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(paths[0], 0o755), os.Rename(paths[1]+" of before", paths[1])); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := orbit(t, append([]string{"flash", "rebuild", "--force"}, paths...)...); code != 0 {
		t.Fatal(stderr)
	}
	expect(t, 0, "1", on("get", "key")...)
	revision := func(printed string) (n uint64) {
		t.Helper()
		if _, err := fmt.Sscanf(printed, "revision %d\n", &n); err != nil {
			t.Fatalf("%q: %v", printed, err)
		}
		return n
	}
	if _, now, _ := orbit(t, on("put", "key", "3")...); revision(now) <= revision(lost)+1<<20 { // more than a block of them
		t.Errorf("%q after %q", now, lost)
	}
}

// TestFlashCommandsOnDevices: the commands take block devices where they take directories.
func TestFlashCommandsOnDevices(t *testing.T) {
	k := loopfs.Raw(128 << 20)
	if why := k.Missing(); why != "" {
		t.Skip("SKIPPED, NOT VERIFIED HERE: " + why)
	}
	var paths []string
	for range 2 {
		d, err := loopfs.New(t.Context(), t.TempDir(), k)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := d.Close(false); err != nil {
				t.Error(err)
			}
		}()
		paths = append(paths, d.Device())
	}
	ctx := context.Background()
	e, err := flash.Open(ctx, "", flash.Options{Paths: paths, SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var b engine.Batch
	b.Put([]byte("key"), []byte("value"))
	if err := errors.Join(e.Apply(ctx, &b, engine.Flushed), e.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{append([]string{"flash", "status"}, paths...), "in sync"},
		{append([]string{"flash", "scrub"}, paths...), ""},
		{append([]string{"flash", "rebuild"}, paths...), ""},
		{[]string{"inspect", paths[1]}, "one of 2 paths"},
	} {
		if code, stdout, stderr := orbit(t, c.args...); code != 0 || !strings.Contains(stdout, c.want) {
			t.Errorf("%q: exit code %d, %s%s", c.args, code, stdout, stderr)
		}
	}
}
