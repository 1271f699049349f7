package local

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// MakeDir makes the directory of a store, and the parents that are missing, and makes
// all of these names durable: engines see to that of their own directory only, and a
// store is lost with a directory far above it.
func MakeDir(fsys vfs.FS, dir string) error {
	dir = filepath.Clean(dir)
	var parents []string // of names that are new, from the lowest up
	for at := dir; ; at = filepath.Dir(at) {
		_, err := fsys.Stat(at)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(at) == at {
			return err
		}
		parents = append(parents, filepath.Dir(at))
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := fsys.SyncDir(parent); err != nil {
			return err
		}
	}
	return nil
}
