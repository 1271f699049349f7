//go:build !linux

package loopfs

import (
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

var errNotLinux = fmt.Errorf("loop devices: %w: they are Linux's", engine.ErrUnsupported)

func missing() string { return "it needs Linux, for loop devices and the shutdown call" }

// Disk is a file system on a loop device. There is none on this system.
type Disk struct{}

// New returns ErrUnsupported.
func New(context.Context, string, Kind) (*Disk, error) { return nil, errNotLinux }

// Sweep does nothing.
func Sweep() (int, error) { return 0, nil }

// Path returns the mount point.
func (*Disk) Path() string { return "" }

// Device returns the name of the loop device.
func (*Disk) Device() string { return "" }

// Image returns the name of the file that holds the disk.
func (*Disk) Image() string { return "" }

// Format returns ErrUnsupported.
func (*Disk) Format(context.Context) error { return errNotLinux }

// Mount returns ErrUnsupported.
func (*Disk) Mount() error { return errNotLinux }

// Unmount returns ErrUnsupported.
func (*Disk) Unmount() error { return errNotLinux }

// Cut returns ErrUnsupported.
func (*Disk) Cut() error { return errNotLinux }

// Freeze returns ErrUnsupported.
func (*Disk) Freeze() error { return errNotLinux }

// Thaw returns ErrUnsupported.
func (*Disk) Thaw() error { return errNotLinux }

// Truncate returns ErrUnsupported.
func (*Disk) Truncate(int64) error { return errNotLinux }

// Fill returns ErrUnsupported.
func (*Disk) Fill(int64) error { return errNotLinux }

// Empty returns ErrUnsupported.
func (*Disk) Empty() error { return errNotLinux }

// Extents returns ErrUnsupported.
func (*Disk) Extents(string) ([]int64, error) { return nil, errNotLinux }

// Close returns ErrUnsupported.
func (*Disk) Close(bool) error { return errNotLinux }
