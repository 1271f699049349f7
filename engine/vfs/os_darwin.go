package vfs

import (
	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
)

// fullSync asks the device to empty its cache, which fsync does not do here.
// There is no falling back to fsync where that is refused: the data would not be
// durable.
func fullSync(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0)
	return err
}

func dataSync(fd int) error { return fullSync(fd) }

func usage(name string) (Usage, error) {
	var st unix.Statfs_t
	if err := untilDone(func() error { return unix.Statfs(name, &st) }); err != nil {
		return Usage{}, err
	}
	unit := uint64(st.Bsize)
	return Usage{
		Total:      st.Blocks * unit,
		Free:       st.Bfree * unit,
		Available:  st.Bavail * unit,
		FileSystem: unix.ByteSliceToString(st.Fstypename[:]),
	}, nil
}

func deviceSize(int) (int64, error) { return 0, engine.ErrUnsupported }
