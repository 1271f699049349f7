//go:build !race

// Nothing here is concurrent that is not in the conformance of directories.

package flash_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/vfstest"
)

// hasIndex reports whether a directory is a checkpoint, which is a store of one directory.
func hasIndex(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "index"))
	return err == nil
}

func TestConformanceOnDevice(t *testing.T) {
	enginetest.Run(t, enginetest.Target{
		Name:       "flash",
		Operations: 4_000,
		Open: func(dir string) (engine.Engine, error) {
			o := small
			if hasIndex(dir) {
				return flash.Open(context.Background(), dir, o)
			}
			files := vfstest.FileDevices{FS: vfs.OS()}
			device, err := files.MakeDevice(dir, 4<<30)
			if err != nil {
				return nil, err
			}
			o.FS = files
			return flash.Open(context.Background(), device, o)
		},
	})
}
