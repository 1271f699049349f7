package enginebench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// cowbtree's smallest cache; smaller data has a cache of more than a tenth.
const leastCacheBytes = 1 * mib

// paged measures a store of ten times its cache, past the page cache, of the
// engines that can read so. Each round is a new process on the same files.
func (r *run) paged(ctx context.Context) (err error) {
	logical := int64(r.sizes.paged) * bench.UniformRecordBytes
	c := config{CacheBytes: max(logical/10, leastCacheBytes), Class: engine.Buffered, Direct: true}
	if c.CacheBytes > logical/10 {
		r.note("Ten times the cache: the cache is %d MiB, the least there is, over %.1f MiB of data.", c.CacheBytes/mib, float64(logical)/mib)
	}
	var direct []subject
	for _, s := range r.all() {
		if s.direct {
			direct = append(direct, s)
		}
	}
	all, done, err := r.stores(direct, r.sizes.paged, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for round := range r.Rounds {
		err := r.turns(ctx, sectionPaged, fmt.Sprintf("%s records", thousands(r.sizes.paged)), all, func(s *store) error {
			if round == 0 {
				if _, err := s.open(ctx, c); err != nil {
					return err
				}
				if err := s.load(ctx); err != nil {
					return err
				}
				if err := s.close(ctx); err != nil {
					return err
				}
			}
			return r.pagedRound(ctx, s, c, r.seed+uint64(round))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) pagedRound(ctx context.Context, s *store, c config, seed uint64) error {
	if _, err := s.open(ctx, c); err != nil {
		return err
	}
	// The cache is full before anything counts.
	if _, err := s.call(ctx, request{Get: &getRequest{Gets: r.gets / 2, Seed: seed + 1000}}); err != nil {
		return err
	}
	got, err := s.call(ctx, request{Get: &getRequest{Gets: r.gets / 5, Seed: seed, Each: true}})
	if err != nil {
		return err
	}
	r.add(sectionPaged, figurePagedGet, s.name, "ns", got["ns"])
	if leaf, counted := got["leaf_reads"]; counted {
		r.add(sectionPaged, figureLeafReads, s.name, "", leaf)
		r.add(sectionPaged, "pages read per get, all", s.name, "", got["page_reads"])
	}
	size, err := s.call(ctx, request{Size: &struct{}{}})
	if err != nil {
		return err
	}
	if anon, told := size["rss_anon_bytes"]; told {
		r.add(sectionPaged, figureRSSAnon, s.name, "MiB", (anon-1.1*float64(c.CacheBytes))/mib)
		r.add(sectionPaged, "anonymous memory (RssAnon)", s.name, "MiB", anon/mib)
		r.add(sectionPaged, "resident memory (VmRSS)", s.name, "MiB", size["rss_bytes"]/mib)
		r.add(sectionPaged, "cache", s.name, "MiB", float64(c.CacheBytes)/mib)
	} else {
		r.leaveOut("resident memory: this system has no /proc/self/status")
	}
	// The device reads the same file, while the engine stands still.
	if s.name == r.own.name {
		ns, err := randomRead(ctx, s.dir, seed)
		if err != nil {
			return fmt.Errorf("random reads of the device: %w", err)
		}
		r.add(sectionPaged, figureDeviceRead, Machine, "ns", ns)
	}
	return s.close(ctx)
}

// deviceReads are how many reads the device's median is of.
const deviceReads = 5000

// randomRead returns the median ns of direct reads of 4 KiB, one at a time, at
// random places of the largest file below dir.
func randomRead(ctx context.Context, dir string, seed uint64) (ns float64, err error) {
	const block = 4096
	var name string
	var most int64
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > most {
			name, most = path, info.Size()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	if most < block {
		return 0, fmt.Errorf("no file of %d bytes below %s", block, dir)
	}
	f, err := vfs.OS().Open(name, vfs.Direct|vfs.ReadOnly)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p := vfs.AlignedBuffer(block, block)
	rng := rand.New(rand.NewPCG(seed, 4))
	h := newHistogram()
	for range deviceReads {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		at := rng.Int64N(most/block) * block
		start := time.Now()
		if _, err := f.ReadAt(p, at); err != nil {
			return 0, err
		}
		if err := h.RecordValue(int64(time.Since(start))); err != nil {
			return 0, err
		}
	}
	return median50(h), nil
}
