package bench

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
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

// preciseSleep makes sleeps of the calling thread end when they should, instead
// of up to 50 µs later, and returns the sleep.
func preciseSleep() func(time.Duration) {
	// A refusal leaves the default slack, which the spin after it covers.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	return func(d time.Duration) {
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil) // interrupted sleeps are taken up again by the caller's loop
	}
}

// residentBytes returns the resident memory of this process.
func residentBytes() (uint64, error) {
	return procField("/proc/self/status", "VmRSS:", 1024)
}

// writtenBytes returns what this process has sent to storage, the page cache's
// later writes of its pages included.
func writtenBytes() (uint64, error) {
	return procField("/proc/self/io", "write_bytes:", 1)
}

func procField(file, name string, unit uint64) (uint64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name); ok {
			n, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return n * unit, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}
