package vfstest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Contents returns the files of a directory of the operating system, a line each with name,
// length and SHA-256, so that a test can tell that nothing has changed.
func Contents(t testing.TB, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%s %d %x\n", f.Name(), len(data), sha256.Sum256(data))
	}
	return text
}
