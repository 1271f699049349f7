package logbench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newPause returns a sleep, and what ends it. The timers of an idle Go program are
// up to a millisecond late and those of a busy one are not, which would compare
// the stores by how busy they keep the program; a thread that sleeps in the kernel
// keeps others from running. A timer of the kernel that the network poller waits
// for does neither.
func newPause() (pause func(time.Duration) error, end func() error, err error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("timerfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	var expirations [8]byte
	pause = func(d time.Duration) error {
		t := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
		if err := unix.TimerfdSettime(fd, 0, &t, nil); err != nil {
			return os.NewSyscallError("timerfd_settime", err)
		}
		_, err := f.Read(expirations[:])
		return err
	}
	return pause, f.Close, nil
}
