//go:build unix

package bench

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/orbit-persistence/orbit/bench/result"
	"golang.org/x/sys/unix"
)

// describeHost fills in what the machine says of itself. What it does not say
// stays empty.
func describeHost(h *result.RunHeader) {
	h.OS = runtime.GOOS + "/" + runtime.GOARCH
	h.Cores = runtime.NumCPU()
	h.GOMAXPROCS = runtime.GOMAXPROCS(0)
	if h.GOGC = os.Getenv("GOGC"); h.GOGC == "" {
		h.GOGC = "100"
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	h.CPU = firstField("/proc/cpuinfo", "model name")
	if kb, err := strconv.ParseUint(strings.TrimSuffix(firstField("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		h.RAMBytes = kb << 10
	}
	if out, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); h.CPU == "" && err == nil {
		h.CPU = strings.TrimSpace(string(out))
	}
}

// firstField returns what stands behind "name:" in a file of such lines.
func firstField(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
