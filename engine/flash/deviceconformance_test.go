//go:build !race

// Nothing here is concurrent that is not in the conformance of directories.

package flash_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// fileDevices shows regular files that are named "device" as block devices.
type fileDevices struct{ vfs.FS }

func (d fileDevices) Stat(name string) (vfs.Info, error) {
	info, err := d.FS.Stat(name)
	if err == nil && info.Kind == vfs.RegularFile && filepath.Base(name) == "device" {
		info.Kind, info.Allocated = vfs.BlockDevice, 0
	}
	return info, err
}

func (d fileDevices) Lock(name string) (io.Closer, error) {
	if filepath.Base(name) == "device" {
		name = filepath.Dir(name)
	}
	return d.FS.Lock(name)
}

// makeFileDevice makes a device of so many bytes in a directory, unless it is there.
func makeFileDevice(dir string, size int64) (string, error) {
	name := filepath.Join(dir, "device")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	return name, errors.Join(f.Truncate(size), f.Close())
}

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
			device, err := makeFileDevice(dir, 4<<30)
			if err != nil {
				return nil, err
			}
			o.FS = fileDevices{vfs.OS()}
			return flash.Open(context.Background(), device, o)
		},
	})
}
