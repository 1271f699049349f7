package torture

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/vfstest"
	"github.com/orbit-persistence/orbit/torture/target"
)

// deviceBytes is the size of a device: the modes make disks with directories alone, and
// devices are files there.
const deviceBytes = 64 << 20

func flashOnDevices() target.Engine {
	options := func(fsys vfs.FS) flash.Options {
		return flash.Options{FS: fsys, Inline: true, CacheBytes: -1, SegmentBytes: 16 << 10, CheckpointBytes: 2 << 10}
	}
	return target.Engine{
		Name: "flash-device",
		OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
			d := vfstest.FileDevices{FS: fsys}
			if _, err := d.Stat(filepath.Join(dir, "index")); err == nil { // a checkpoint, which is in a directory
				return flash.Open(context.Background(), dir, options(fsys))
			}
			name, err := d.MakeDevice(dir, deviceBytes)
			if err != nil {
				return nil, err
			}
			return flash.Open(context.Background(), name, options(d))
		},
		OpenOnPaths: func(fsys vfs.FS, dirs []string) (engine.Engine, error) {
			d := vfstest.FileDevices{FS: fsys}
			o := options(d)
			o.Force = true
			for _, dir := range dirs {
				name, err := d.MakeDevice(dir, deviceBytes)
				if err != nil && len(o.Paths) == len(dirs) {
					return nil, err // of a path that is away the engine has to make what it can
				}
				o.Paths = append(o.Paths, name)
			}
			return flash.Open(context.Background(), target.PathsHome, o)
		},
	}
}

// TestFlashOnDevices puts flash on block devices through modes of simulated disks. Of those
// errors is not one: it has devices that are full, which block devices are not.
func TestFlashOnDevices(t *testing.T) {
	for name, work := range map[string]int64{"crash": 4, "paths": 60} {
		for _, m := range modes {
			if m.name != name {
				continue
			}
			t.Run(name, func(t *testing.T) {
				r, err := m.run(t.Context(), target.Run{Engine: flashOnDevices(), Seed: 1, Work: work, Directory: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range r.Failures {
					t.Errorf("%s\n%s", f.What, f.Workload)
				}
				t.Logf("%+v", r.Counts)
			})
		}
	}
}
