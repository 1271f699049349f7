package servers

import (
	"os"
	"syscall"
	"testing"
)

// memoryDir is a file system in memory, as Linux has one.
const memoryDir = "/dev/shm"

// dataDir returns an empty directory for what a server stores, removed after the test: in
// memory where there is room, as a server that is killed loses nothing of that, and else
// its every flush would wait for the disk. A benchmark's server stores on disk.
func dataDir(t testing.TB) string {
	t.Helper()
	const room = 4 << 30
	var s syscall.Statfs_t
	if _, measures := t.(*testing.B); measures || syscall.Statfs(memoryDir, &s) != nil || s.Bavail*uint64(s.Bsize) < room {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memoryDir, "orbit-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
