package rocks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// manifestOf returns the name of the manifest of a store of RocksDB, which is the text of
// CURRENT; "" if a directory has none.
func manifestOf(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "CURRENT"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil || !strings.HasPrefix(string(text), "MANIFEST-") {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}
