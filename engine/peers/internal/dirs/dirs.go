// Package dirs holds what the peers' adapters do to directories themselves.
package dirs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
)

// Sync flushes a directory's entries.
func Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Make makes a directory and those above it that are missing, and flushes the
// entries that this adds.
func Make(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var grown []string
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		grown = append(grown, filepath.Dir(d))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range grown {
		if err := Sync(d); err != nil {
			return err
		}
	}
	return nil
}

// MakeEmpty is Make for a directory that is then filled: ErrInvalid if there is
// something in it already.
func MakeEmpty(dir string) error {
	if err := Make(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%w: %s is not empty", engine.ErrInvalid, dir)
	}
	return nil
}

// Clear removes what is in a directory.
func Clear(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return errors.Join(errs...)
}
