package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/providers"
)

// TestHPC: the two paths are directories here.
func TestHPC(t *testing.T) {
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "nvme0"), filepath.Join(dir, "nvme1")}
	d := deploy(t, "hpc", "ORBIT_FLASH_PATHS="+strings.Join(paths, ","))
	registry := d.open(t)
	d.works(t, registry)
	if err := registry.Close(); err != nil {
		t.Fatal(err)
	}
	d.run(t, "orbit-cli flash status "+strings.Join(paths, " "))
	d.shows(t, "orbit-cli flash status")
	// One is not there at a start; and then there is a new device in its place.
	if err := os.RemoveAll(paths[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := d.tryOpen(t); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), paths[1]) {
		t.Errorf("without a path it opens: %v", err)
	}
	if err := os.Mkdir(paths[1], 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.tryOpen(t); err == nil || !strings.Contains(err.Error(), "it is empty, and the others count on it") {
		t.Errorf("with an empty path it opens: %v", err)
	}
	d.run(t, "orbit-cli flash rebuild --force "+strings.Join(paths, " "))
	registry = d.open(t)
	d.stands(t, registry)
	if h := d.provider(t, registry, providers.General).Health(t.Context()); h.State != providers.Healthy {
		t.Errorf("%s %q", h.State, h.Reasons)
	}
}
