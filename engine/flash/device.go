package flash

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/blockfs"
)

// devices are the block devices among the paths of a store; nil if there can be none.
type devices struct{ files *blockfs.FS }

// onDevices returns fsys with files on those of the paths that are block devices, and what
// has to be closed then. A path that is away may be one too. stat is that of fsys.
func onDevices(fsys vfs.FS, stat func(string) (vfs.Info, error), paths []string) (vfs.FS, devices) {
	for _, p := range paths {
		info, err := stat(p)
		if err == nil && info.Kind == vfs.Directory || len(paths) == 1 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		files := blockfs.New(fsys, paths...)
		return files, devices{files}
	}
	return fsys, devices{}
}

func (d devices) close() error {
	if d.files == nil {
		return nil
	}
	return d.files.Close()
}

// IsDeviceName reports whether a path can be a device's alone: it lies in /dev, where
// directories are in memory. Those of /dev/shm are so on purpose.
func IsDeviceName(path string) bool {
	rest, below := strings.CutPrefix(filepath.Clean(path), "/dev/")
	return below && !strings.HasPrefix(rest, "shm/")
}

// checkDevice refuses to make a directory where a device is missing: it would be in memory.
func checkDevice(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(dir); IsDeviceName(dir) && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no device %s, and a directory there would be gone with the power", engine.ErrInvalid, dir)
	}
	return nil
}
