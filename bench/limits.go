package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/orbit-persistence/orbit/bench/result"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

const (
	limitBlock = 4096
	// limitFileBytes is the size of the file for random reads: larger than the
	// caches of most devices' own, small enough to be written in a second or two.
	limitFileBytes = 512 << 20
	limitDepth     = 32
)

// MeasureLimits finds what the machine can do at its best: flushes, reads and
// writes of the device under dir, and dependent reads of memory over working
// sets of the given sizes. What a machine does not allow is left out and said in
// Notes. seconds is the time for each figure.
func MeasureLimits(ctx context.Context, dir string, sets []uint64, seconds float64) (*result.Limits, error) {
	l := &result.Limits{Flushes: map[string]float64{}, Reads32: map[string]float64{}, MissNs: map[string]float64{}}
	each := time.Duration(seconds * float64(time.Second))
	for _, size := range sets {
		l.MissNs[strconv.FormatUint(size, 10)] = missNs(size, each/2)
	}
	fs := vfs.OS()
	name := filepath.Join(dir, "limits")
	if err := writeRecycled(ctx, fs, name, l, each); err != nil {
		return nil, fmt.Errorf("measure the device: %w", err)
	}
	defer fs.Remove(name)
	measureFlushes(ctx, fs, name, l, each)
	measureReads(ctx, fs, name, l, each)
	return l, ctx.Err()
}

// note records what could not be measured.
func note(l *result.Limits, what string, err error) {
	l.Notes = append(l.Notes, fmt.Sprintf("%s: %v", what, err))
}

// missNs returns the time of one read whose address the one before it gave, over
// a set of the given size: a random cycle through its cache lines (Sattolo).
func missNs(size uint64, d time.Duration) float64 {
	const line = 16 // uint32 in a cache line of 64 bytes
	lines := int(min(max(size/64, 64), 1<<26))
	chain := make([]uint32, lines*line)
	order := make([]uint32, lines)
	for i := range order {
		order[i] = uint32(i)
	}
	rng := rand.New(rand.NewPCG(1, uint64(lines)))
	for i := lines - 1; i > 0; i-- {
		j := rng.IntN(i)
		order[i], order[j] = order[j], order[i]
	}
	for i, at := range order {
		chain[int(at)*line] = order[(i+1)%lines]
	}
	order = nil
	var at uint32
	var best float64
	for range 3 {
		const steps = 1 << 16
		start := time.Now()
		n := 0
		for time.Since(start) < d/3 {
			for range steps {
				at = chain[int(at)*line]
			}
			n += steps
		}
		if ns := float64(time.Since(start)) / float64(n); best == 0 || ns < best {
			best = ns
		}
	}
	runtime.KeepAlive(at)
	return best
}

// writeRecycled writes the file from end to end, so that its blocks are written
// ones, and measures the rate of doing so once more.
func writeRecycled(ctx context.Context, fs vfs.FS, name string, l *result.Limits, d time.Duration) (err error) {
	f, err := fs.Open(name, vfs.Create|vfs.Truncate|vfs.Direct)
	if errors.Is(err, engine.ErrUnsupported) {
		note(l, "direct I/O, so device reads and writes", err)
		if f, err = fs.Open(name, vfs.Create|vfs.Truncate); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p := vfs.AlignedBuffer(1<<20, limitBlock)
	for i := range p {
		p[i] = byte(mix(uint64(i)))
	}
	pass := func(until time.Time) (int64, error) {
		for at := int64(0); at < limitFileBytes; at += int64(len(p)) {
			if err := ctx.Err(); err != nil {
				return at, err
			}
			if !until.IsZero() && time.Now().After(until) {
				return at, nil
			}
			if _, err := f.WriteAt(p, at, vfs.Plain); err != nil {
				return at, err
			}
		}
		return limitFileBytes, nil
	}
	if _, err := pass(time.Time{}); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	start := time.Now()
	n, err := pass(start.Add(d))
	if err != nil {
		return err
	}
	if err := f.SyncData(); err != nil {
		return err
	}
	l.WriteBytesPerS = float64(n) / time.Since(start).Seconds()
	return fs.SyncDir(filepath.Dir(name))
}

// measureFlushes times durable overwrites of 4 KiB by each primitive. They walk
// through 16 MiB, as a log does.
func measureFlushes(ctx context.Context, fs vfs.FS, name string, l *result.Limits, d time.Duration) {
	for _, p := range []struct {
		name  string
		open  vfs.OpenFlags
		flags vfs.WriteFlags
		sync  bool
	}{
		{"direct write + fdatasync", vfs.Direct, vfs.Plain, true},
		{"direct write with RWF_DSYNC", vfs.Direct, vfs.DSync, false},
		{"direct write to an O_DSYNC file", vfs.Direct | vfs.SyncWrites, vfs.Plain, false},
		{"buffered write + fdatasync", 0, vfs.Plain, true},
	} {
		f, err := fs.Open(name, p.open)
		if err != nil {
			note(l, p.name, err)
			continue
		}
		block := vfs.AlignedBuffer(limitBlock, limitBlock)
		var took []float64
		until := time.Now().Add(d / 2)
		for i := 0; time.Now().Before(until) && ctx.Err() == nil; i++ {
			block[0] = byte(i)
			start := nanotime()
			_, err = f.WriteAt(block, int64(i)*limitBlock%(16<<20), p.flags)
			if err == nil && p.sync {
				err = f.SyncData()
			}
			if err != nil {
				break
			}
			took = append(took, float64(nanotime()-start))
		}
		if err = errors.Join(err, f.Close()); err != nil {
			note(l, p.name, err)
			continue
		}
		if len(took) == 0 {
			continue
		}
		ns := median(took)
		l.Flushes[p.name] = ns
		if l.FlushNs == 0 || ns < l.FlushNs {
			l.FlushNs, l.FlushPrimitive = ns, p.name
		}
	}
}

// measureReads times direct random reads of 4 KiB: one at a time, and 32 in
// flight by a pool of system calls at GOMAXPROCS 8 and by one io_uring thread.
func measureReads(ctx context.Context, fs vfs.FS, name string, l *result.Limits, d time.Duration) {
	f, err := fs.Open(name, vfs.Direct|vfs.ReadOnly)
	if err != nil {
		note(l, "direct reads", err)
		return
	}
	defer f.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	at := func() int64 { return rng.Int64N(limitFileBytes/limitBlock) * limitBlock }
	p := vfs.AlignedBuffer(limitBlock, limitBlock)
	var took []float64
	for until := time.Now().Add(d); time.Now().Before(until) && ctx.Err() == nil; {
		start := nanotime()
		if _, err := f.ReadAt(p, at()); err != nil {
			note(l, "direct reads", err)
			return
		}
		took = append(took, float64(nanotime()-start))
	}
	if len(took) > 0 {
		l.Read1Ns = median(took)
	}
	before := runtime.GOMAXPROCS(8)
	rate, err := queueRate(ctx, fs, f, vfs.Pool, at, d)
	runtime.GOMAXPROCS(before)
	for method, found := range map[string]func() (float64, error){
		"pool of system calls, GOMAXPROCS 8": func() (float64, error) { return rate, err },
		"io_uring, one thread":               func() (float64, error) { return queueRate(ctx, fs, f, vfs.IOUring, at, d) },
	} {
		rate, err := found()
		if err != nil {
			note(l, "32 reads in flight by "+method, err)
			continue
		}
		l.Reads32[method] = rate
		l.Read32PerS = max(l.Read32PerS, rate)
	}
}

// queueRate returns the reads a second with 32 in flight.
func queueRate(ctx context.Context, fs vfs.FS, f vfs.File, m vfs.Method, at func() int64, d time.Duration) (rate float64, err error) {
	q, err := fs.NewQueue(vfs.QueueOptions{Depth: limitDepth, Method: m})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	next := make([]*vfs.Request, limitDepth)
	for i := range next {
		next[i] = &vfs.Request{File: f, Data: vfs.AlignedBuffer(limitBlock, limitBlock), Offset: at()}
	}
	done := make([]*vfs.Request, limitDepth)
	start := time.Now()
	n := 0
	for time.Since(start) < d && ctx.Err() == nil {
		if taken, err := q.Submit(next...); err != nil || taken < len(next) {
			return 0, errors.Join(err, fmt.Errorf("the queue took %d of %d requests", taken, len(next)))
		}
		count, err := q.Wait(done, 1, 0)
		if err != nil {
			return 0, err
		}
		for _, r := range done[:count] {
			if r.Err != nil {
				return 0, r.Err
			}
			r.Offset = at()
		}
		next = append(next[:0], done[:count]...)
		n += count
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}
