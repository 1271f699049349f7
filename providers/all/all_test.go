package all_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// read reads a configuration in TOML, whose local providers lie below the test's
// directory unless it says otherwise.
func read(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("test.toml", []byte(text), []string{"ORBIT_SERVER_DATA_DIR=" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryProviderIsOpenUnderItsName(t *testing.T) {
	c := read(t, `
[server]
persistence_backend = "records"
[defaults]
addressable = "leases"
cluster = "cow_btree"
[providers.records]
type = "LsmTree"
[providers.leases]
type = "Memory"
[providers.cow_btree]
type = "CowBTree"
[providers.aside]
type = "Pebble"
`)
	registry, err := all.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	if got, want := registry.Names(), []string{"aside", "cow_btree", "leases", "records"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, and not %q", got, want)
	}
	for use, want := range map[providers.Use]struct{ name, backend string }{
		providers.General:     {"records", "lsm_tree"},
		providers.Addressable: {"leases", "memory"},
		providers.Cluster:     {"cow_btree", "cow_btree"},
	} {
		p, err := registry.Default(use)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name() != want.name || p.Capabilities().Backend != want.backend {
			t.Errorf("%s is by %q of %s, and not by %q of %s", use, p.Name(), p.Capabilities().Backend, want.name, want.backend)
		}
	}
	for _, name := range registry.Names() {
		p, err := registry.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Put(t.Context(), []byte("key"), []byte(name), providers.PutOptions{}); err != nil {
			t.Error(err)
		}
		if e, err := p.Get(t.Context(), []byte("key")); err != nil || string(e.Value) != name {
			t.Errorf("%s has %q, %v", name, e.Value, err)
		}
	}
}

func TestEveryBackendIsLinked(t *testing.T) {
	for _, s := range config.Spellings() {
		if linked, registered := slices.Contains(all.Kinds(), s.Kind), slices.Contains(driver.Registered(), string(s.Kind)); !registered || !linked {
			t.Errorf("%s: mapping %v, driver %v", s.Kind, linked, registered)
		}
	}
}

// other is a backend that no package has.
type other struct{ config.Memory }

func (other) Kind() config.Kind { return "other" }

func TestABackendThatIsNotThereIsRefused(t *testing.T) {
	_, err := all.Config("fast", other{config.Default[config.Memory]()})
	if !errors.Is(err, providers.ErrUnsupported) || !strings.Contains(err.Error(), `provider "fast"`) || !strings.Contains(err.Error(), "other is not part of this program") {
		t.Errorf("it is taken with %v", err)
	}
}

func TestWhatIsOpenIsClosedWhenAnotherFails(t *testing.T) {
	c := read(t, `
[server]
persistence_backend = "a"
[providers.a]
type = "Pebble"
[providers.b]
type = "CowBTree"
[providers.c]
type = "LsmTree"
`)
	b := c.Providers["b"].(config.CowBTree)
	held, err := all.OpenOne(t.Context(), c, "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all.Open(t.Context(), c); !errors.Is(err, providers.ErrLocked) || !strings.Contains(err.Error(), `provider "b"`) || !strings.Contains(err.Error(), b.DataDir) {
		t.Errorf("with one of three held by another it opens with %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	registry, err := all.Open(t.Context(), c) // "a" was closed again
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Close(); err != nil {
		t.Error(err)
	}
}

func TestOneIsOpenedAlone(t *testing.T) {
	c := read(t, `
[server]
persistence_backend = "a"
[providers.a]
type = "Memory"
[providers.b]
type = "CowBTree"
`)
	for selection, want := range map[string]string{"": "a", "a": "a", "b": "b", "CowBTree": "b", "cow": "b"} {
		p, err := all.OpenOne(t.Context(), c, selection)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name() != want {
			t.Errorf("%q opens %q", selection, p.Name())
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := all.OpenOne(t.Context(), c, "bb"); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("what is not there opens with %v", err)
	}
}

func TestConfigRefusesWhatIsNotValid(t *testing.T) {
	tree := config.Default[config.CowBTree]()
	tree.MaxKeysPerNode = 1
	for name, b := range map[string]config.Backend{"nothing": nil, "a mistake": tree, "a pointer": new(config.Default[config.CowBTree]())} {
		if _, err := all.Config("name", b); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), `"name"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAdjust(t *testing.T) {
	c := read(t, "[providers.a]\ntype = \"Memory\"\n")
	var seen []string
	registry, err := all.Open(t.Context(), c, func(c *providers.Config) { seen = append(seen, c.Name+" "+c.Backend) })
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	if !slices.Equal(seen, []string{"a memory"}) {
		t.Errorf("adjusted %q", seen)
	}
}

// TestTwoAtOnce: a directory has one owner, and the refusal names it.
func TestTwoAtOnce(t *testing.T) {
	for _, typ := range []string{"CowBTree", "LsmTree", "Pebble", "RocksDB", "Flash", "Memory"} {
		t.Run(typ, func(t *testing.T) {
			place := filepath.Join(t.TempDir(), "place")
			text := "type = \"" + typ + "\"\ndata_dir = \"" + place + "\"\n"
			if typ == "Memory" {
				text = "type = \"Memory\"\ndisk_backup = {path = \"" + place + "\"}\n"
			}
			c := read(t, text)
			first, err := all.OpenOne(t.Context(), c, "")
			if errors.Is(err, providers.ErrUnsupported) {
				t.Skip("SKIPPED, NOT VERIFIED HERE: " + err.Error())
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := all.OpenOne(t.Context(), c, ""); !errors.Is(err, providers.ErrLocked) || !strings.Contains(err.Error(), place) {
				t.Errorf("a second owner opens with %v", err)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			second, err := all.OpenOne(t.Context(), c, "")
			if err != nil {
				t.Fatalf("after the first has closed: %v", err)
			}
			if err := second.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
