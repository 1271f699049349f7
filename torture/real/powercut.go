package real

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/orbit-persistence/orbit/internal/loopfs"
	"github.com/orbit-persistence/orbit/torture/target"
)

// NamePowerCut is the mode's name.
const NamePowerCut = "powercut"

const (
	powerCuts     = 60
	powerCutLanes = 4
)

// PowerCut is a target.Mode: it cuts the power of the file system under a store
// while writers work on it, or while it opens. Work counts cuts; 0 is 60. Where
// there is no root, no loop device or no mkfs, it says so in LeftOut.
func (t *Table) PowerCut(ctx context.Context, r target.Run) (target.Result, error) {
	m := newRun(NamePowerCut, r)
	kinds, err := m.usable()
	if err != nil || len(kinds) == 0 {
		return m.result, err
	}
	for i := range powerCutLanes {
		d, err := newDisk(ctx, r.Directory, kinds[i%len(kinds)], r.Engine.Foreign)
		if err == nil {
			err = m.add(d, cut)
		}
		if err != nil {
			for _, l := range m.lanes {
				_, endErr := l.end(false)
				err = errors.Join(err, endErr)
			}
			return m.result, err
		}
	}
	if r.Work == 0 {
		r.Work = powerCuts
	}
	result, err := m.work(ctx, r.Work)
	return result, errors.Join(err, t.add(m.rows))
}

// usable returns the file systems that can be had here. What cannot is left out.
func (m *run) usable() ([]loopfs.Kind, error) {
	var kinds []loopfs.Kind
	for _, k := range loopfs.Kinds {
		if why := k.Missing(); why != "" {
			m.result.LeftOut = append(m.result.LeftOut, fmt.Sprintf("%s: %s", k.Name, why))
			continue
		}
		kinds = append(kinds, k)
	}
	if len(kinds) == 0 {
		return nil, nil
	}
	_, err := loopfs.Sweep()
	return kinds, err
}

// disk is a place on a file system whose power can be cut.
type disk struct {
	*loopfs.Disk
	kind loopfs.Kind
	// made: the directory of a store is there before the store is.
	made bool
}

func newDisk(ctx context.Context, dir string, k loopfs.Kind, made bool) (*disk, error) {
	d, err := loopfs.New(ctx, dir, k)
	return &disk{d, k, made}, err
}

func (d *disk) fileSystem() string { return d.kind.Name }
func (d *disk) directory() string  { return filepath.Join(d.Path(), "store") }

func (d *disk) fresh(ctx context.Context) error {
	if err := d.Unmount(); err != nil {
		return err
	}
	if err := d.Format(ctx); err != nil {
		return err
	}
	if err := d.Mount(); err != nil || !d.made {
		return err
	}
	if err := os.Mkdir(d.directory(), 0o700); err != nil {
		return err
	}
	parent, err := os.Open(d.Path())
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

func (d *disk) stop(p *process) error {
	err := d.Cut()
	p.kill()
	if err != nil {
		return err
	}
	if err := d.Unmount(); err != nil {
		return err
	}
	return d.Mount()
}

func (d *disk) close(keep bool) (string, error) {
	if keep {
		return d.Image(), d.Close(true)
	}
	return "", d.Close(false)
}
