package vfs

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
)

const (
	openDirect = unix.O_DIRECT
	openDSync  = unix.O_DSYNC

	// exclusiveDevice claims a block device, against mounts and other claims.
	exclusiveDevice = unix.O_EXCL

	// minAlignment is the smallest sector there is.
	minAlignment = 512
)

func fullSync(fd int) error { return unix.Fsync(fd) }

func dataSync(fd int) error { return unix.Fdatasync(fd) }

func pwriteDSync(fd int, p []byte, off int64) (int, error) {
	return unix.Pwritev2(fd, [][]byte{p}, off, unix.RWF_DSYNC)
}

func beginWriteback(fd int, off, n int64) error {
	return unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// preallocate takes the space first, because ext4 leaves a file longer when it
// runs out of space half way. The second call finds all of it there.
func preallocate(fd int, off, n int64) error {
	if err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n); err != nil {
		return err
	}
	return unix.Fallocate(fd, 0, off, n)
}

func punch(fd int, off, n int64) error {
	return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func deviceSize(fd int) (int64, error) {
	var size uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, errno
	}
	return int64(size), nil
}

// cloneContent has three errnos for files that cannot share blocks.
func cloneContent(dst, src int) error {
	err := unix.IoctlFileClone(dst, src)
	switch err {
	case unix.EINVAL, unix.ENOTTY, unix.EXDEV:
		return fmt.Errorf("%w: %w", engine.ErrUnsupported, err)
	}
	return err
}

// directAlignment returns the alignment of a descriptor that has O_DIRECT.
func directAlignment(fd int, device bool) (Alignment, error) {
	var fsStat unix.Statfs_t
	if err := unix.Fstatfs(fd, &fsStat); err != nil {
		return Alignment{}, err
	}
	// These file systems are the page cache. Newer kernels take the flag all the
	// same, and a figure measured there would be called direct.
	if magic := uint32(fsStat.Type); !device && (magic == unix.TMPFS_MAGIC || magic == unix.RAMFS_MAGIC) {
		return Alignment{}, fmt.Errorf("%w: no direct I/O on %s, which lives in the page cache", engine.ErrUnsupported, fileSystemName(magic))
	}
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	if err != nil && !errors.Is(err, unix.ENOSYS) {
		return Alignment{}, err
	}
	if err != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return probeAlignment(fd)
	}
	if st.Dio_mem_align == 0 || st.Dio_offset_align == 0 {
		return Alignment{}, fmt.Errorf("%w: no direct I/O on this file", engine.ErrUnsupported)
	}
	return Alignment{
		Memory: max(minAlignment, int(st.Dio_mem_align)),
		Offset: max(minAlignment, int(st.Dio_offset_align)),
	}, nil
}

// probeAlignment is for kernels before 6.1, and file systems that do not tell: a
// read of one smallest sector, aligned to no more than that, succeeds or does
// not. A file too short to try, since the end comes before the check, gets what
// suits every device.
func probeAlignment(fd int) (Alignment, error) {
	b := AlignedBuffer(2*minAlignment, safeAlignment)[minAlignment:]
	for {
		n, err := unix.Pread(fd, b, minAlignment)
		switch {
		case err == unix.EINTR:
		case err == nil && n == len(b):
			return Alignment{Memory: minAlignment, Offset: minAlignment}, nil
		case err == nil || err == unix.EINVAL || err == unix.EBADF:
			return Alignment{Memory: safeAlignment, Offset: safeAlignment}, nil
		default:
			return Alignment{}, err
		}
	}
}

func usage(name string) (Usage, error) {
	var st unix.Statfs_t
	if err := untilDone(func() error { return unix.Statfs(name, &st) }); err != nil {
		return Usage{}, err
	}
	unit := uint64(st.Bsize)
	if st.Frsize > 0 {
		unit = uint64(st.Frsize)
	}
	return Usage{
		Total:      st.Blocks * unit,
		Free:       st.Bfree * unit,
		Available:  st.Bavail * unit,
		FileSystem: fileSystemName(uint32(st.Type)),
	}, nil
}

// fileSystemName names a magic number of statfs(2). The kernel gives ext2, ext3
// and ext4 the same one; today its ext4 code serves all three.
func fileSystemName(magic uint32) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs"
	case unix.BCACHEFS_SUPER_MAGIC:
		return "bcachefs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.RAMFS_MAGIC:
		return "ramfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "cifs"
	case unix.CEPH_SUPER_MAGIC:
		return "ceph"
	case unix.EXFAT_SUPER_MAGIC:
		return "exfat"
	case unix.MSDOS_SUPER_MAGIC:
		return "vfat"
	case zfsMagic:
		return "zfs"
	}
	return fmt.Sprintf("%#x", magic)
}

// zfsMagic is not in the kernel's tree, nor then in package unix.
const zfsMagic = 0x2fc12fc1
