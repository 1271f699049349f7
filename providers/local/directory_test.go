package local_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/providers/local"
)

// TestMakeDirSurvivesPowerCuts: when it has returned, every name on the way is durable,
// whatever is lost of what is not.
func TestMakeDirSurvivesPowerCuts(t *testing.T) {
	disk := simdisk.New(simdisk.Options{Seed: 1})
	if err := local.MakeDir(disk, "/a"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/a/b/c/d", "/a/b/c/d", "/a/b/e", "/"} {
		if err := local.MakeDir(disk, dir); err != nil {
			t.Fatal(err)
		}
		w := disk.Walk()
		for w.Next() {
		}
		image := w.Crash(make([]simdisk.Fate, len(w.Pending())), 1) // all that is pending is lost
		if _, err := image.Stat(dir); err != nil {
			t.Errorf("%s is lost: %v", dir, err)
		}
		if _, err := image.Stat("/a/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what was never made is there: %v", err)
		}
	}
	f, err := disk.Open("/file", vfs.Create)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := local.MakeDir(disk, "/file/below"); err == nil {
		t.Error("a directory is made below a file")
	}
}
