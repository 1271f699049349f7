package vfs_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/vfstest"
)

func TestConformance(t *testing.T) { vfstest.Run(t, vfs.OS(), t.TempDir()) }

// TestConformanceOnTmpfs runs where there is neither direct I/O nor a disk.
func TestConformanceOnTmpfs(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "vfs-test-")
	if err != nil {
		t.Skip("SKIPPED, NOT VERIFIED HERE: no tmpfs: ", err)
	}
	defer os.RemoveAll(dir)
	if u, err := vfs.OS().DiskUsage(dir); err != nil || u.FileSystem != "tmpfs" {
		t.Skipf("SKIPPED, NOT VERIFIED HERE: no tmpfs: %+v, %v", u, err)
	}
	vfstest.Run(t, vfs.OS(), dir)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
