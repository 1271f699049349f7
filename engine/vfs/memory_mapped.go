//go:build linux && !race

package vfs

import "golang.org/x/sys/unix"

func reserve(n int, huge bool) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err == nil && huge {
		// Advice: what cannot follow it works as well, only slower.
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	}
	return b, err
}

func discard(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }

func populate(b []byte) { _ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) }

func release(b []byte) error { return unix.Munmap(b) }
