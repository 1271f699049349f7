//go:build unix

package dirs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Usage returns the bytes that the files directly in dir occupy on the device;
// the holes of sparse files do not count.
func Usage(dir string) (uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var total uint64
	for _, entry := range entries {
		var stat syscall.Stat_t
		switch err := syscall.Stat(filepath.Join(dir, entry.Name()), &stat); {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			return 0, err
		case stat.Mode&syscall.S_IFMT == syscall.S_IFREG:
			total += uint64(stat.Blocks) * 512
		}
	}
	return total, nil
}
