package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

const manifestVersion = 1

// Kind is what a base is made of.
type Kind string

const (
	// Checkpoint is the files of a store.
	Checkpoint Kind = "checkpoint"
	// Export is one file, as package migrate writes it.
	Export Kind = "export"
)

// exportName is the file of an Export.
const exportName = "export.json.zst"

// Manifest says what a base is. It is written when all of it is there.
type Manifest struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Backend string `json:"backend"`
	Kind    Kind   `json:"kind"`
	// Log is the identity of the log, in hexadecimal, "" where none is archived. The base
	// is of a state behind record After, or later, and not behind UpTo.
	Log   string `json:"log,omitempty"`
	After uint64 `json:"after,omitempty"`
	UpTo  uint64 `json:"up_to,omitempty"`
	// Begun and Ended bound the time of the state.
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended"`
	Bytes int64     `json:"bytes"`
	// Directories are those of the store, above files or empty.
	Directories []string `json:"directories,omitempty"`
	Files       []File   `json:"files"`
}

// File is one file of a base.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func basePrefix(id string) string { return "base/" + id + "/" }

func manifestName(id string) string { return basePrefix(id) + "manifest.json" }

// log returns the identity of the log, nil where none is archived.
func (m *Manifest) log() (*uint64, error) {
	if m.Log == "" {
		return nil, nil
	}
	var log uint64
	if _, err := fmt.Sscanf(m.Log, "%016x", &log); err != nil || fmt.Sprintf("%016x", log) != m.Log {
		return nil, fmt.Errorf("%w: base %s is of log %q", driver.ErrCorrupt, m.ID, m.Log)
	}
	return &log, nil
}

// Bases returns the finished bases in a place, oldest first.
func Bases(ctx context.Context, place Place) ([]Manifest, error) {
	names, err := place.List(ctx, "base/")
	if err != nil {
		return nil, err
	}
	var all []Manifest
	for _, name := range names {
		id, ok := strings.CutSuffix(strings.TrimPrefix(name, "base/"), "/manifest.json")
		if !ok || strings.Contains(id, "/") {
			continue
		}
		m, err := readManifest(ctx, place, id)
		if errors.Is(err, driver.ErrNotFound) {
			continue // it was just removed
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func readManifest(ctx context.Context, place Place, id string) (m Manifest, err error) {
	in, err := place.Open(ctx, manifestName(id))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	data, err := io.ReadAll(in)
	if err != nil {
		return m, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("%s in %s: %w: %w", manifestName(id), place, driver.ErrCorrupt, err)
	}
	if m.Version != manifestVersion || m.ID != id {
		return m, fmt.Errorf("%s in %s: %w: version %d of base %s; this program knows version %d", manifestName(id), place, driver.ErrCorrupt, m.Version, m.ID, manifestVersion)
	}
	if m.Kind != Checkpoint && m.Kind != Export || len(m.Files) == 0 {
		return m, fmt.Errorf("%s in %s: %w: a base of kind %q with %d files", manifestName(id), place, driver.ErrCorrupt, m.Kind, len(m.Files))
	}
	return m, nil
}

func writeManifest(ctx context.Context, place Place, m *Manifest) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	o, err := place.Create(ctx, manifestName(m.ID))
	if err != nil {
		return err
	}
	defer o.Abort()
	if _, err := o.Write(append(data, '\n')); err != nil {
		return err
	}
	return o.Commit()
}
