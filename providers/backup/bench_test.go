package backup_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/backup"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/lsmtree"
)

// BenchmarkBackup is a store of ORBIT_BACKUP_BYTES, 1 GiB if that is not set, that is
// backed up while one client puts into it, and restored: how much of the rate of puts is
// left during the backup (median of the rounds, each with and without a backup in turn),
// and how the rate of the restore compares with writing a file of that size and flushing
// it, in the same run. -benchtime 1x. It needs five times as much room.
func BenchmarkBackup(b *testing.B) {
	size := int64(1 << 30)
	if text := os.Getenv("ORBIT_BACKUP_BYTES"); text != "" {
		var err error
		if size, err = strconv.ParseInt(text, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	o := lsmtree.Defaults()
	o.DataDir, o.Compression = filepath.Join(dir, "store"), "none"
	p, err := providers.Open(b.Context(), providers.Config{Backend: lsmtree.Backend, Options: o, ExpireInterval: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	const valueBytes = 1000
	records := size / valueBytes
	random := rand.New(rand.NewPCG(1, 1))
	value := func() []byte {
		v := make([]byte, valueBytes)
		for i := 0; i < len(v); i += 8 {
			binary.LittleEndian.PutUint64(v[i:], random.Uint64())
		}
		return v
	}
	key := func(i int64) []byte { return binary.BigEndian.AppendUint64([]byte("k"), uint64(i)) }
	for i := int64(0); i < records; {
		var writes []driver.Write
		for range 2000 {
			writes = append(writes, driver.Write{Key: key(i), Value: value()})
			i++
		}
		if err := p.BulkPut(b.Context(), writes); err != nil {
			b.Fatal(err)
		}
	}
	place := backup.Dir(filepath.Join(dir, "place"))
	back, err := backup.New(p, place, backup.Options{Scratch: filepath.Join(dir, "scratch")})
	if err != nil {
		b.Fatal(err)
	}
	defer back.Close()
	var puts atomic.Int64
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	v := value()
	wg.Go(func() {
		for n := int64(0); ctx.Err() == nil; n++ {
			if _, err := p.Put(b.Context(), key(n*7919%records), v, providers.PutOptions{}); err != nil {
				b.Error(err)
				return
			}
			puts.Add(1)
		}
	})
	var left float64
	for b.Loop() {
		var ratios []float64
		for range 3 {
			start, from := time.Now(), puts.Load()
			base, err := back.Base(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			took := time.Since(start)
			during := float64(puts.Load()-from) / took.Seconds()
			time.Sleep(time.Second)
			start, from = time.Now(), puts.Load()
			time.Sleep(took)
			ratios = append(ratios, during/(float64(puts.Load()-from)/time.Since(start).Seconds()))
			if err := os.RemoveAll(filepath.Join(dir, "place", "base", base.ID)); err != nil {
				b.Fatal(err)
			}
		}
		left = median(ratios)
	}
	stop()
	wg.Wait()
	b.ReportMetric(left, "puts-left")
	if _, err := back.Base(b.Context()); err != nil { // so that no log is to be applied
		b.Fatal(err)
	}
	var restores []float64
	for i := range 3 {
		write := sequential(b, filepath.Join(dir, "file"), size)
		to := filepath.Join(dir, "restored"+strconv.Itoa(i))
		r, err := backup.Restore(b.Context(), place, targetOf(lsmtree.Backend, to), backup.Point{})
		if err != nil {
			b.Fatal(err)
		}
		restores = append(restores, float64(r.Bytes)/r.Took.Seconds()/write)
		b.Logf("restored %d bytes in %s; %.0f bytes/s are written in sequence", r.Bytes, r.Took, write)
		if err := os.RemoveAll(to); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(median(restores), "restore/sequential")
}

func median(x []float64) float64 {
	lo, hi := min(x[0], x[1]), max(x[0], x[1])
	return max(lo, min(hi, x[2]))
}

// sequential returns the bytes in a second at which a file is written and flushed.
func sequential(b *testing.B, name string, size int64) float64 {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = byte(i * 7)
	}
	start := time.Now()
	for n := int64(0); n < size; n += int64(len(chunk)) {
		if _, err := f.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		b.Fatal(err)
	}
	return float64(size) / took.Seconds()
}
