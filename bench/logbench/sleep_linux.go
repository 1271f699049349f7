package logbench

import (
	"time"

	"golang.org/x/sys/unix"
)

// pause waits in the kernel: the timers of an idle Go program are a millisecond
// late, and those of a busy one are not, which would compare the stores by how
// busy they keep the program.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil) // a signal may end it early
}
