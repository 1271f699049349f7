package all_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/providers"
)

var memoryEffects = map[string]func(t *testing.T){
	"max_entries": func(t *testing.T) {
		p, _ := opened(t, "Memory", "max_entries = 2")
		put(t, p, "a", nil)
		put(t, p, "b", nil)
		if _, err := p.Put(t.Context(), []byte("c"), nil, providers.PutOptions{}); !errors.Is(err, providers.ErrNoSpace) || !strings.Contains(err.Error(), "max_entries") {
			t.Errorf("the third of two is put with %v", err)
		}
	},
	"max_bytes": func(t *testing.T) {
		p, _ := opened(t, "Memory", "max_bytes = \"4KiB\"")
		put(t, p, "a", make([]byte, 3000))
		if _, err := p.Put(t.Context(), []byte("b"), make([]byte, 3000), providers.PutOptions{}); !errors.Is(err, providers.ErrNoSpace) || !strings.Contains(err.Error(), "max_bytes") {
			t.Errorf("6000 bytes of 4096 are put with %v", err)
		}
	},
	"when_full": func(t *testing.T) { // max_entries shows what "refuse" does
		p, _ := opened(t, "Memory", "max_entries = 100\nwhen_full = \"evict\"")
		for i := range 300 {
			put(t, p, fmt.Sprint(i), nil)
		}
		if r := p.Metrics().Report; r.Entries != 100 || r.Evictions != 200 {
			t.Errorf("of 300 entries there are %d, and %d were evicted", r.Entries, r.Evictions)
		}
	},
	"disk_backup": func(t *testing.T) {
		dir := t.TempDir()
		for i := range 2 {
			p := openedIn(t, dir, "Memory", "disk_backup = {path = \""+filepath.Join(dir, "backup")+"\"}")
			_, err := p.Get(t.Context(), []byte("key"))
			if i == 0 && !errors.Is(err, providers.ErrNotFound) || i == 1 && err != nil {
				t.Errorf("opened %d times before: %v", i, err)
			}
			put(t, p, "key", nil)
			closed(t, p)
		}
	},
	"disk_backup.path": func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "a copy")
		p, _ := opened(t, "Memory", "disk_backup = {path = \""+file+"\"}")
		closed(t, p)
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	},
	"disk_backup.sync_interval": func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "copy")
		p, _ := opened(t, "Memory", "disk_backup = {path = \""+file+"\", sync_interval = 1}")
		put(t, p, "key", nil)
		awaits(t, "a copy while the provider is open", func() bool { _, err := os.Stat(file); return err == nil })
	},
	"disk_backup.compression": func(t *testing.T) {
		written := map[string][]byte{}
		for _, compression := range []string{"none", "gzip", "lz4", "zstd"} {
			file := filepath.Join(t.TempDir(), "copy")
			options := "disk_backup = {path = \"" + file + "\", compression = \"" + compression + "\"}"
			p, _ := opened(t, "Memory", options)
			fill(t, p, 100, 1000, false)
			closed(t, p)
			p = openedIn(t, "", "Memory", options)
			readAll(t, p, 100)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if packed := len(b) < 50_000; packed != (compression != "none") {
				t.Errorf("%s makes %d bytes of 100,000", compression, len(b))
			}
			for other, theirs := range written {
				if bytes.Equal(b, theirs) {
					t.Errorf("%s makes the same file as %s", compression, other)
				}
			}
			written[compression] = b
		}
	},
}
