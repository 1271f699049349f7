package migrate_test

import (
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/migrate"
)

// BenchmarkContents exports the whole Contents index from an LSM-tree, and imports it into
// another; -benchtime 1x is enough. Beside the rates by the clock it tells those by the
// time of processors, which others on the machine do not change, and what the heap had at
// most.
func BenchmarkContents(b *testing.B) {
	dir, err := bench.ContentsDir()
	if err != nil {
		b.Skip("SKIPPED, NOT VERIFIED HERE: " + err.Error())
	}
	from := empty(b)
	var writes []driver.Write
	var failed error
	rows, err := bench.EachContents(dir, func(path, packages []byte) {
		writes = append(writes, driver.Write{Key: append([]byte(nil), path...), Value: append([]byte(nil), packages...)})
		if len(writes) == 4096 && failed == nil {
			failed = from.BulkPut(b.Context(), writes)
			writes = writes[:0]
		}
	})
	if err == nil && failed == nil {
		failed = from.BulkPut(b.Context(), writes)
	}
	if err != nil || failed != nil {
		b.Fatal(err, failed)
	}
	name := filepath.Join(b.TempDir(), "export.json")
	var digest migrate.Digest
	b.Run("export", func(b *testing.B) {
		measured(b, func(report func(migrate.Progress)) {
			t, err := migrate.ExportFile(b.Context(), from, name, true, report)
			if digest = t.Digest; err != nil || t.Entries != int64(rows) {
				b.Fatal(t, err)
			}
		}, rows)
	})
	b.Run("import", func(b *testing.B) {
		var to *providers.Provider
		measured(b, func(report func(migrate.Progress)) {
			to = empty(b)
			r, err := migrate.ImportFile(b.Context(), name, to, migrate.ImportOptions{Progress: report})
			if err != nil || r.Digest != digest || !r.Validated {
				b.Fatalf("%+v, %v; want %s", r, err, digest)
			}
		}, rows)
	})
}

// measured runs work once for each iteration, and reports its rates and the largest heap.
func measured(b *testing.B, work func(report func(migrate.Progress)), rows int) {
	b.Helper()
	var most uint64
	var stats runtime.MemStats
	report := func(p migrate.Progress) {
		if p.Entries%(1<<18) < 1024 {
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapInuse)
		}
	}
	before := processors(b)
	for b.Loop() {
		work(report)
	}
	b.ReportMetric(float64(rows)*float64(b.N)/(processors(b)-before).Seconds(), "entries/cpu-s")
	b.ReportMetric(float64(most)/(1<<20), "heap-MiB")
	perSecond(b, rows)
}

func processors(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
