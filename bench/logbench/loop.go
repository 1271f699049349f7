package logbench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// sample is what one closed loop showed.
type sample struct {
	perSecond       float64
	p50, p99        time.Duration
	commitsPerFlush float64 // 0 if nobody knows
}

// closedLoop lets writers commit, each after its commit before and a pause, for d.
func closedLoop(ctx context.Context, s store, writers int, class engine.Durability, think, d time.Duration) (sample, error) {
	before := s.flushes()
	var wg sync.WaitGroup
	all := make([][]time.Duration, writers)
	errs := make([]error, writers)
	start := time.Now()
	ends := start.Add(d)
	for w := range writers {
		wg.Go(func() {
			pause, end, err := newPause()
			if err != nil {
				errs[w] = err
				return
			}
			defer func() { errs[w] = errors.Join(errs[w], end()) }()
			for ctx.Err() == nil {
				begin := time.Now()
				if begin.After(ends) {
					return
				}
				if errs[w] = s.commit(w, class); errs[w] != nil {
					return
				}
				all[w] = append(all[w], time.Since(begin))
				if think > 0 {
					if errs[w] = pause(think); errs[w] != nil {
						return
					}
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return sample{}, err
	}
	times := slices.Concat(all...)
	slices.Sort(times)
	x := sample{perSecond: float64(len(times)) / took.Seconds(), p50: times[len(times)/2], p99: times[len(times)*99/100]}
	if n := s.flushes() - before; n > 0 {
		x.commitsPerFlush = float64(len(times)) / float64(n)
	}
	return x, nil
}

// bare returns the ns of one commit of a class that waits for nothing, with so
// many writers that do nothing else.
func bare(s store, writers, commits int, class engine.Durability) (float64, error) {
	var wg sync.WaitGroup
	errs := make([]error, writers)
	start := time.Now()
	for w := range writers {
		wg.Go(func() {
			for range commits / writers {
				if errs[w] = s.commit(w, class); errs[w] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(time.Since(start)) / float64(commits/writers*writers), errors.Join(errs...)
}

// FlushRate is R: how many overwrites of 4 KiB the device under dir makes durable
// in a second, one after the other, by the better of a direct write and a flush of
// the page cache.
func FlushRate(dir string) (rate float64, err error) {
	const blocks, block, rounds = 256, 4096, 300
	name := filepath.Join(dir, "rate")
	f, err := vfs.OS().Open(name, vfs.Create)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(name)) }()
	buf := vfs.AlignedBuffer(blocks*block, block)
	if _, err := f.WriteAt(buf, 0, vfs.Plain); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	direct, err := vfs.OS().Open(name, vfs.Direct)
	if errors.Is(err, engine.ErrUnsupported) {
		direct = nil
	} else if err != nil {
		return 0, err
	} else {
		defer func() { err = errors.Join(err, direct.Close()) }()
	}
	// In turns, so that both meet the same moods of the device.
	var took [2]time.Duration
	for i := range rounds {
		off := int64(i%blocks) * block
		begin := time.Now()
		if direct != nil {
			if _, err := direct.WriteAt(buf[:block], off, vfs.DSync); err != nil {
				return 0, err
			}
		}
		middle := time.Now()
		if _, err := f.WriteAt(buf[:block], off, vfs.Plain); err != nil {
			return 0, err
		}
		if err := f.SyncData(); err != nil {
			return 0, err
		}
		took[0] += middle.Sub(begin)
		took[1] += time.Since(middle)
	}
	best := took[1]
	if direct != nil {
		best = min(best, took[0])
	}
	return rounds / best.Seconds(), nil
}

// readRate is the rate, in bytes a second, at which the device reads a file from
// its beginning to its end, past the page cache.
func readRate(name string) (rate float64, err error) {
	f, err := vfs.OS().Open(name, vfs.Direct|vfs.ReadOnly)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	buf := vfs.AlignedBuffer(1<<20, 4096)
	start := time.Now()
	for off := int64(0); off < size; off += int64(len(buf)) {
		n := min(int64(len(buf)), size-off)
		if _, err := f.ReadAt(buf[:n], off); err != nil {
			return 0, err
		}
	}
	return float64(size) / time.Since(start).Seconds(), nil
}
