package real

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/target"
)

// NameKill is the mode's name.
const NameKill = "kill"

const (
	killRounds = 40
	killLanes  = 2
)

// Kill is a target.Mode: it kills the process of a store with SIGKILL while writers
// work on it, or while it opens. Work counts kills; 0 is 40.
func (t *Table) Kill(ctx context.Context, r target.Run) (target.Result, error) {
	m := newRun(NameKill, r)
	for i := range killLanes {
		p, err := newFolder(filepath.Join(r.Directory, "store"+strconv.Itoa(i)), r.Engine.Foreign)
		if err != nil {
			return m.result, err
		}
		if err := m.add(p, killed); err != nil {
			return m.result, err
		}
	}
	if r.Work == 0 {
		r.Work = killRounds
	}
	result, err := m.work(ctx, r.Work)
	return result, errors.Join(err, t.add(m.rows))
}

// folder is a place on the host's own file system.
type folder struct {
	path, kind string
	// made: the directory of a store is there before the store is.
	made bool
}

func newFolder(path string, made bool) (*folder, error) {
	u, err := vfs.OS().DiskUsage(filepath.Dir(path))
	return &folder{path, u.FileSystem, made}, err
}

func (f *folder) fileSystem() string { return f.kind }
func (f *folder) directory() string  { return f.path }

func (f *folder) fresh(context.Context) error {
	if err := os.RemoveAll(f.path); err != nil || !f.made {
		return err
	}
	return os.Mkdir(f.path, 0o700)
}

func (f *folder) stop(p *process) error {
	p.kill()
	return nil
}

func (f *folder) close(keep bool) (string, error) {
	if keep {
		return f.path, nil
	}
	return "", os.RemoveAll(f.path)
}
