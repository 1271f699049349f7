//go:build dragonfly || freebsd || netbsd || openbsd

package vfs

import (
	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
)

func fullSync(fd int) error { return unix.Fsync(fd) }

func dataSync(fd int) error { return unix.Fsync(fd) }

func usage(string) (Usage, error) { return Usage{}, engine.ErrUnsupported }

func deviceSize(int) (int64, error) { return 0, engine.ErrUnsupported }
