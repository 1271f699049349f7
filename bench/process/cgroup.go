package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memoryGroup bounds the memory of one process and of the page cache that it
// fills, by a cgroup of its own.
type memoryGroup struct {
	dir string
	how string
}

const cgroupRoot = "/sys/fs/cgroup"

// newMemoryGroup makes a group, or returns an error that says why there can be
// none; the bench then goes on without and says so in the result.
func newMemoryGroup(name string, bytes uint64) (*memoryGroup, error) {
	name = fmt.Sprintf("orbit-bench-%d-%s", os.Getpid(), name)
	for _, v := range []struct{ how, parent, file string }{
		{"cgroup v2", cgroupRoot, "memory.max"},
		{"cgroup v1", filepath.Join(cgroupRoot, "memory"), "memory.limit_in_bytes"},
	} {
		if v.how == "cgroup v2" {
			controllers, err := os.ReadFile(filepath.Join(v.parent, "cgroup.subtree_control"))
			if err != nil || !strings.Contains(string(controllers), "memory") {
				continue
			}
		} else if _, err := os.Stat(filepath.Join(v.parent, v.file)); err != nil {
			continue
		}
		g := &memoryGroup{dir: filepath.Join(v.parent, name), how: v.how}
		if err := os.Mkdir(g.dir, 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(g.dir, v.file), strconv.AppendUint(nil, bytes, 10), 0o644); err != nil {
			return nil, errors.Join(err, g.remove())
		}
		return g, nil
	}
	return nil, errors.New("no cgroup with a memory controller can be written")
}

// add moves a process into the group. Memory that it took before stays outside.
func (g *memoryGroup) add(pid int) error {
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0o644)
}

// remove ends the group, whose processes have ended.
func (g *memoryGroup) remove() error { return os.Remove(g.dir) }
