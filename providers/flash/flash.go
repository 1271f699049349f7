// Package flash is the provider over the store for flash devices: direct I/O on one path,
// or the same data on several. Importing it registers the backend "flash".
package flash

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/local"
)

// Backend is the selector.
const Backend = "flash"

func init() {
	driver.Register(Backend, func(ctx context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, Defaults())
		if err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
}

// Config sets up a store; Defaults is where to begin.
type Config struct {
	// DataDir is the only path where Paths names none.
	DataDir string
	// Paths are directories, best on devices of their own, or block devices. A store keeps their number
	// and their order. They are made for a new store; of one that is there, a path that is
	// missing stays so, since its device may not be mounted.
	Paths []string
	// Replicas is how many of several paths hold each value, 2 or more; 0 is all. The
	// others are spare: one of them is brought level when a path is lost.
	Replicas int
	// Durability is what an acknowledged write survives: Flushed unless set.
	Durability engine.Durability
	// IODepth is the most reads at one time on each path; 0 is 32.
	IODepth int
	// BlockBytes is the unit of reads, a power of two; 0 is 4 KiB.
	BlockBytes int
	// CacheBytes is the memory for values; 0 is 256 MiB, negative no cache.
	CacheBytes int64
	// Compression packs values: "none", "lz4" or "zstd"; "" is "lz4".
	Compression string
	// PageCache goes through the page cache where a file system has no direct I/O, which
	// is ErrUnsupported otherwise.
	PageCache bool
	// PathTimeout is how long a read or a commit may be held up by a path that does not
	// answer, where there is another one; 0 is 2 s. The path has seven eighths of it.
	PathTimeout time.Duration
	// RebuildRate bounds what is copied to a path that is brought level, in bytes a
	// second; 0 is 64 MiB, negative no bound.
	RebuildRate int64
	// FS holds the files; nil is the operating system's.
	FS vfs.FS
}

// Defaults returns the defaults.
func Defaults() Config { return Config{DataDir: "./orbit_data", Compression: "lz4"} }

// Open opens the store. ErrLocked if another has one of the paths open. A path that may
// have what the others have not must be there.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	o := flash.Options{
		FS: c.FS, Paths: c.Paths, Replicas: c.Replicas, IODepth: c.IODepth, BlockBytes: c.BlockBytes, CacheBytes: c.CacheBytes,
		PageCache: c.PageCache, Timeout: c.PathTimeout, ResyncRate: c.RebuildRate,
	}
	switch c.Compression {
	case "none":
		o.Compression = flash.NoCompression
	case "lz4", "":
		o.Compression = flash.LZ4
	case "zstd":
		o.Compression = flash.Zstd
	default:
		return nil, fmt.Errorf("%w: unknown compression %q; choose none, lz4 or zstd", driver.ErrInvalid, c.Compression)
	}
	if len(o.Paths) == 0 {
		o.Paths = []string{c.DataDir}
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if err := makePaths(ctx, o.FS, o.Paths); err != nil {
		return nil, err
	}
	e, err := flash.Open(ctx, o.Paths[0], o)
	if err != nil {
		return nil, err
	}
	replicas := o.Replicas
	if replicas == 0 {
		replicas = len(o.Paths)
	}
	return local.Own(ctx, e, o.Paths[0], local.Options{
		Backend: Backend, Durability: c.Durability,
		Disk: func() (float64, error) {
			u, err := e.DiskUsage()
			return u.UsedPercent(), err
		},
		Degraded: func() string { return degraded(e.Paths(), replicas) },
	})
}

// makePaths makes the paths of a store that is not there yet.
func makePaths(ctx context.Context, fsys vfs.FS, paths []string) error {
	missing := false
	for _, dir := range paths {
		if dir == "" {
			return fmt.Errorf("%w: a path is empty; set data_dir or paths", driver.ErrInvalid)
		}
		info, err := fsys.Stat(dir)
		if err == nil && info.Kind != vfs.Directory && info.Kind != vfs.BlockDevice {
			return fmt.Errorf("%w: %s is neither a directory nor a block device; a path is one, or a directory on a file system that has direct I/O", driver.ErrInvalid, dir)
		}
		missing = missing || err != nil
	}
	if !missing {
		return nil
	}
	if _, err := flash.Status(ctx, fsys, paths); !errors.Is(err, engine.ErrNotFound) {
		return nil // there is a store, or something that opening tells more of
	}
	for _, dir := range paths {
		info, err := fsys.Stat(dir)
		if err == nil && info.Kind == vfs.BlockDevice || flash.IsDeviceName(dir) {
			continue // opening says what is wrong with it
		}
		if err := local.MakeDir(fsys, dir); err != nil {
			return err
		}
	}
	return nil
}

// degraded says which paths are out, and how far each is brought level, "" if none is. One
// that is spare is not.
func degraded(paths []flash.PathStatus, replicas int) string {
	inSync := 0
	var out []string
	for _, p := range paths {
		switch {
		case p.InSync:
			inSync++
		case p.Total > 0:
			out = append(out, fmt.Sprintf("%s is brought level, %d of %d bytes are copied", p.Dir, p.Copied, p.Total))
		case !p.Spare:
			out = append(out, fmt.Sprintf("%s is out: %v", p.Dir, p.Cause))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d replicas are in sync: %s", inSync, replicas, strings.Join(out, "; "))
}
