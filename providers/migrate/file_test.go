package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/memory"
	"github.com/orbit-persistence/orbit/providers/migrate"
	"pgregory.net/rapid"
)

func exported(t testing.TB, p *providers.Provider, name string) (string, migrate.Tally) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	tally, err := migrate.ExportFile(t.Context(), p, path, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return path, tally
}

func TestFileRoundTrip(t *testing.T) {
	for from := range backends {
		for _, name := range []string{"export.json", "export.json.gz", "export.json.zst"} {
			t.Run(from+" "+name, func(t *testing.T) {
				a, b := open(t, from, "a"), open(t, "memory", "b")
				fill(t, a, 500, 1)
				path, tally := exported(t, a, name)
				info, err := migrate.CheckFile(t.Context(), path, nil)
				if err != nil || info.Backend != "memory" && info.Backend != from || info.Digest != tally.Digest || info.Entries != tally.Entries {
					t.Fatal(info, err)
				}
				r, err := migrate.ImportFile(t.Context(), path, b, migrate.ImportOptions{BatchSize: 50})
				if err != nil || !r.Validated || r.Digest != tally.Digest || r.LeasesMigrated != 20 || r.NodesMigrated != 5 || r.Entries != tally.Entries {
					t.Fatalf("%+v, %v", r, err)
				}
				same(t, contentOf(t, b), contentOf(t, a))
				if got, err := migrate.CompareFile(t.Context(), path, b, nil); err != nil || got.Entries != tally.Entries {
					t.Error(got, err)
				}
				if r, err := migrate.ImportFile(t.Context(), path, b, migrate.ImportOptions{}); err != nil || !r.Validated || r.Digest != tally.Digest {
					t.Errorf("all was there: %+v, %v", r, err)
				}
				if err := b.Delete(t.Context(), []byte("record/000011"), providers.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				if _, err := b.Put(t.Context(), []byte("more"), nil, providers.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				if got, err := migrate.CompareFile(t.Context(), path, b, nil); !errors.Is(err, migrate.ErrDifferent) || got.Differences != 2 {
					t.Error(got, err)
				}
				before := contentOf(t, b)
				if _, err := migrate.ImportFile(t.Context(), path, b, migrate.ImportOptions{}); !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), "b is not empty") {
					t.Errorf("imported over what is there: %v", err)
				}
				same(t, contentOf(t, b), before)
				if r, err := migrate.ImportFile(t.Context(), path, b, migrate.ImportOptions{Replace: true}); err != nil || !r.Validated {
					t.Fatal(r, err)
				}
				same(t, contentOf(t, b), contentOf(t, a))
				if _, err := migrate.ExportFile(t.Context(), a, path, false, nil); !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), path) {
					t.Errorf("exported over a file: %v", err)
				}
				if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 1 {
					t.Error(left, err)
				}
			})
		}
	}
}

// TestTheFileIsAsDocumented pins the format: change it, and the version must.
func TestTheFileIsAsDocumented(t *testing.T) {
	now := time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC)
	a := provide(t, opened(t)(memory.Open(t.Context(), memory.Config{Now: func() time.Time { return now }})), "a")
	for _, w := range []driver.Write{
		{Key: []byte("text \"ü\"\n\x01"), Value: []byte("tab\tand \\ <&>")}, {Key: []byte{0, 0xff}, Value: []byte{0x80}},
		{Key: []byte("ends"), TTL: time.Hour + 123456789},
	} {
		if err := a.BulkPut(t.Context(), []driver.Write{w}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := migrate.Export(t.Context(), a, &out, nil); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[0], `{"orbit_export":1,"id":"`) || !strings.Contains(lines[0], `","backend":"memory","created":"`) {
		t.Fatalf("%q", lines)
	}
	for i, want := range []string{
		`{"key64":"AP8=","value64":"gA=="}`,
		`{"key":"ends","value":"","expires":"2026-11-26T05:00:00.123456789Z"}`,
		`{"key":"text \"ü\"\n\u0001","value":"tab\tand \\ <&>"}`,
		`{"orbit_export_end":1,"entries":3,"expiring":1,"leases":0,"nodes":0,"bytes":31,"digest":"`,
	} {
		if !strings.HasPrefix(lines[i+1], want) {
			t.Errorf("line %d is %s, want %s", i+2, lines[i+1], want)
		}
	}
	if !strings.HasSuffix(lines[4], `"}`) || lines[5] != "" {
		t.Errorf("%q", lines[4:])
	}
	// Written by another program, with other spaces and names in another order.
	path := filepath.Join(t.TempDir(), "other.json")
	writeSummed(t, path, lines[0], ` { "value" : "v\u00fc" , "key" : "k" , "expires" : null } `)
	b := open(t, "memory", "b")
	if r, err := migrate.ImportFile(t.Context(), path, b, migrate.ImportOptions{}); err != nil {
		t.Fatal(r, err)
	}
	same(t, contentOf(t, b), content{"k": `"vü" false`})
}

// TestDamagedFiles: whatever part of a file is missing, and whatever byte is changed, it
// is refused before anything is written, and the error names the file.
func TestDamagedFiles(t *testing.T) {
	a := open(t, "memory", "a")
	for i := range 3 {
		if _, err := a.Put(t.Context(), []byte{byte(100 * i), '"', 'k'}, []byte("some value"), providers.PutOptions{TTL: time.Duration(i%2) * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	path, _ := exported(t, a, "export.json")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	b := open(t, "memory", "b")
	refused := func(data []byte, what string, at int) {
		t.Helper()
		if err := os.WriteFile(bad, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := migrate.ImportFile(t.Context(), bad, b, migrate.ImportOptions{})
		if !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), bad) {
			t.Fatalf("%s at %d of %d: %v", what, at, len(data), err)
		}
		if len(contentOf(t, b)) > 0 || migrate.Unfinished(t.Context(), b) != nil {
			t.Fatalf("%s at %d: something was written", what, at)
		}
	}
	for n := range len(whole) {
		refused(whole[:n], "cut", n)
	}
	// A byte of the first line that keeps it what it is changes the sum all the same.
	for n := 0; n < len(whole)-1; n++ {
		changed := bytes.Clone(whole)
		changed[n] ^= 1
		refused(changed, "changed", n)
	}
	refused(append(bytes.Clone(whole), "{}\n"...), "more", len(whole))
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for what, swapped := range map[string][]int{"out of order": {0, 2, 1}, "twice": {0, 1, 1}, "a head within": {0, 1, 0}} {
		var some []string
		for _, i := range swapped {
			some = append(some, strings.TrimSuffix(string(lines[i]), "\n"))
		}
		writeSummed(t, bad, some...)
		data, err := os.ReadFile(bad)
		if err != nil {
			t.Fatal(err)
		}
		refused(data, what, 0)
	}
	refused(bytes.Replace(whole, []byte(`"orbit_export":1`), []byte(`"orbit_export":2`), 1), "another version", 0)
	if _, err := migrate.CheckFile(t.Context(), filepath.Join(t.TempDir(), "not there"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(bad+".gz", whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := migrate.CheckFile(t.Context(), bad+".gz", nil); !errors.Is(err, driver.ErrCorrupt) {
		t.Error(err)
	}
}

// TestImportKilledAtEveryCall is TestKilledAtEveryCall for an import.
func TestImportKilledAtEveryCall(t *testing.T) {
	a := open(t, "memory", "a")
	fill(t, a, 400, 2)
	path, tally := exported(t, a, "export.json")
	steps := 0
	for n := int64(1); n < 40; n += 2 {
		store := opened(t)(memory.Open(t.Context(), memory.Config{}))
		for round := int64(0); ; round++ {
			at := n/(round+1) + 1
			if round > 5 {
				at = 1 << 40
			}
			b := provide(t, sole{drivertest.Kill(unclosed{store}, at, round%2 == 1)}, "b")
			r, err := migrate.ImportFile(t.Context(), path, b, migrate.ImportOptions{BatchSize: 40})
			if err == nil {
				if r.Digest != tally.Digest || !r.Validated {
					t.Fatalf("%+v", r)
				}
				break
			}
			if steps++; !errors.Is(err, drivertest.ErrKilled) {
				t.Fatal(err)
			}
		}
		same(t, contentOf(t, provide(t, sole{&drivertest.Faulty{Store: store}}, "b")), contentOf(t, a))
	}
	if steps < 40 {
		t.Errorf("it died %d times in all", steps)
	}
}

func TestImportOfAnotherFile(t *testing.T) {
	a := open(t, "memory", "a")
	fill(t, a, 400, 2)
	one, _ := exported(t, a, "one.json")
	two, _ := exported(t, a, "two.json")
	store := opened(t)(memory.Open(t.Context(), memory.Config{}))
	b := provide(t, sole{drivertest.Kill(unclosed{store}, 400, false)}, "b")
	if _, err := migrate.ImportFile(t.Context(), one, b, migrate.ImportOptions{BatchSize: 10}); !errors.Is(err, drivertest.ErrKilled) {
		t.Fatal(err)
	}
	b = provide(t, sole{&drivertest.Faulty{Store: store}}, "b")
	if _, err := migrate.ImportFile(t.Context(), two, b, migrate.ImportOptions{}); !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), "half filled") {
		t.Error(err)
	}
	if _, err := migrate.ExportFile(t.Context(), b, filepath.Join(t.TempDir(), "half.json"), false, nil); !errors.Is(err, driver.ErrConflict) {
		t.Error(err)
	}
	if r, err := migrate.ImportFile(t.Context(), two, b, migrate.ImportOptions{Replace: true}); err != nil || r.Resumed {
		t.Error(r, err)
	}
}

// TestExportFails: nothing of a file is left, and what was there stays.
func TestExportFails(t *testing.T) {
	store := &drivertest.Faulty{Store: backends["memory"](t)}
	a := provide(t, committing{sole{store}}, "a")
	fill(t, providers.OpenStore(store.Store, providers.Config{ExpireInterval: -1}), 4000, 2)
	path := filepath.Join(t.TempDir(), "export.json")
	if err := os.WriteFile(path, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	store.After = func(_ context.Context, c drivertest.Call) error {
		if c.Op == "list" {
			return broken
		}
		return nil
	}
	if _, err := migrate.ExportFile(t.Context(), a, path, true, nil); !errors.Is(err, broken) || !strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "what was there" {
		t.Errorf("%q, %v", data, err)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 1 {
		t.Error(left, err)
	}
	if _, err := migrate.ExportFile(t.Context(), a, filepath.Join(path, "x"), true, nil); err == nil {
		t.Error("exported below a file")
	}
}

func TestValidateFindsDamage(t *testing.T) {
	a := open(t, "memory", "a")
	fill(t, a, 100, 1)
	r, err := migrate.Validate(t.Context(), a, nil)
	if err != nil || r.Leases != 20 || r.Nodes != 5 || r.Entries != int64(len(contentOf(t, a))) || r.Damaged != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, key := range []string{"lease/x", "node/y"} {
		if _, err := a.Put(t.Context(), []byte(key), []byte("?"), providers.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if r, err = migrate.Validate(t.Context(), a, nil); !errors.Is(err, driver.ErrCorrupt) || r.Damaged != 2 || len(r.Problems) != 2 || !strings.Contains(r.Problems[0], "lease/x") {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestDigest does not depend on the order, and tells what differs.
func TestDigest(t *testing.T) {
	entries := rapid.MapOf(rapid.StringN(1, 10, 20), rapid.String())
	rapid.Check(t, func(rt *rapid.T) {
		x, y := entries.Draw(rt, "x"), entries.Draw(rt, "y")
		digest := func(m map[string]string, backend string) migrate.Digest {
			p := open(t, backend, "p")
			defer p.Close()
			for key, value := range m {
				if _, err := p.Put(context.Background(), []byte(key), []byte(value), providers.PutOptions{}); err != nil {
					rt.Fatal(err)
				}
			}
			r, err := migrate.Validate(context.Background(), p, nil)
			if err != nil && !errors.Is(err, driver.ErrCorrupt) {
				rt.Fatal(err)
			}
			return r.Digest
		}
		dx, dy := digest(x, "memory"), digest(y, "memory")
		equal := len(x) == len(y)
		for key, value := range x {
			if v, ok := y[key]; !ok || v != value {
				equal = false
			}
		}
		if (dx == dy) != equal || digest(x, "object") != dx {
			rt.Fatalf("%v and %v", dx, dy)
		}
		var back migrate.Digest
		if err := back.UnmarshalText([]byte(dx.String())); err != nil || back != dx {
			rt.Fatal(back, err)
		}
	})
	for _, text := range []string{"", "zz", strings.Repeat("g", 32), strings.Repeat("0", 33)} {
		var d migrate.Digest
		if err := d.UnmarshalText([]byte(text)); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
