//go:build !linux

package vfs

// There is no portable way to map memory.

func reserve(n int, _ bool) ([]byte, error) { return make([]byte, n), nil }

func discard([]byte) {}

func populate([]byte) {}

func release([]byte) error { return nil }
