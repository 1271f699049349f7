//go:build unix && !linux

package bench

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// processCPU returns the CPU time of this process, all threads.
func processCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func preciseSleep() func(time.Duration) { return time.Sleep }

// residentBytes returns the highest resident memory of this process; what it is
// now cannot be read without /proc.
func residentBytes() (uint64, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return uint64(u.Maxrss), err
}

func writtenBytes() (uint64, error) { return 0, errors.ErrUnsupported }
