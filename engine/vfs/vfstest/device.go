package vfstest

import (
	"errors"
	"io"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// FileDevices shows the regular files of FS that are named "device" as block devices, for
// tests that have no others.
type FileDevices struct{ vfs.FS }

const deviceName = "device"

// Stat implements vfs.FS.
func (d FileDevices) Stat(name string) (vfs.Info, error) {
	info, err := d.FS.Stat(name)
	if err == nil && info.Kind == vfs.RegularFile && filepath.Base(name) == deviceName {
		info.Kind, info.Allocated = vfs.BlockDevice, 0
	}
	return info, err
}

// Lock implements vfs.FS. A device is locked by the directory that it is in.
func (d FileDevices) Lock(name string) (io.Closer, error) {
	if filepath.Base(name) == deviceName {
		name = filepath.Dir(name)
	}
	return d.FS.Lock(name)
}

// MakeDevice makes a device of so many bytes in a directory, unless it is there, and durable:
// what a power cut takes away is what is written to it. It returns its name.
func (d FileDevices) MakeDevice(dir string, size int64) (string, error) {
	name := filepath.Join(dir, deviceName)
	if info, err := d.Stat(name); err == nil && info.Size == size {
		return name, nil
	}
	if err := d.MkdirAll(dir); err != nil {
		return name, err
	}
	f, err := d.Open(name, vfs.Create)
	if err != nil {
		return name, err
	}
	return name, errors.Join(f.Truncate(size), f.Sync(), f.Close(), d.SyncDir(dir), d.SyncDir(filepath.Dir(dir)))
}
