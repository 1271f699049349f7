//go:build !unix

package dirs

import (
	"errors"
	"io/fs"
	"os"
)

// Usage returns the length of the files directly in dir, in bytes.
func Usage(dir string) (uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var total uint64
	for _, entry := range entries {
		switch info, err := entry.Info(); {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			return 0, err
		case info.Mode().IsRegular():
			total += uint64(info.Size())
		}
	}
	return total, nil
}
