package rocks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// isStore reports whether a directory looks like one of RocksDB: CURRENT there is text that
// names the manifest.
func isStore(dir string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, "CURRENT"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return strings.HasPrefix(string(text), "MANIFEST-"), err
}
