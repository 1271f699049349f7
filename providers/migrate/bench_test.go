package migrate_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/lsm"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/local"
	"github.com/orbit-persistence/orbit/providers/memory"
	"github.com/orbit-persistence/orbit/providers/migrate"
)

// records is how many entries the benchmarks are about: of 16 and 100 bytes.
const records = 1_000_000

// loaded returns a provider in memory with the records.
func loaded(b *testing.B) *providers.Provider {
	b.Helper()
	p := provide(b, opened(b)(memory.Open(b.Context(), memory.Config{})), "source")
	value := make([]byte, 100)
	for i := 0; i < records; {
		var writes []driver.Write
		for range 10_000 {
			// Keys are spread, and so are the values' bytes: nothing packs well.
			x := uint64(i) * 0x9e3779b97f4a7c15
			for j := range value {
				value[j] = byte(x >> (j % 8 * 8) * uint64(j+1))
			}
			writes = append(writes, driver.Write{Key: fmt.Appendf(nil, "%016x", x), Value: append([]byte(nil), value...)})
			i++
		}
		if err := p.BulkPut(b.Context(), writes); err != nil {
			b.Fatal(err)
		}
	}
	return p
}

// empty returns a flushed provider of package lsm.
func empty(b *testing.B) *providers.Provider {
	b.Helper()
	dir := b.TempDir()
	e, err := lsm.Open(b.Context(), dir, lsm.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return provide(b, opened(b)(local.Own(b.Context(), e, dir, local.Options{Backend: "lsm_tree", Durability: engine.Flushed})), "target")
}

func perSecond(b *testing.B, entries int) {
	b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkMigrate is memory to lsm_tree, flushed.
func BenchmarkMigrate(b *testing.B) {
	from := loaded(b)
	for _, validated := range []bool{true, false} {
		b.Run(fmt.Sprintf("validated=%v", validated), func(b *testing.B) {
			var used time.Duration
			for b.Loop() {
				b.StopTimer()
				to := empty(b)
				before := processors(b)
				b.StartTimer()
				if r, err := migrate.New().FromProvider(from).ToProvider(to).WithValidation(validated).Execute(b.Context()); err != nil || r.Entries != records {
					b.Fatal(r, err)
				}
				b.StopTimer()
				used += processors(b) - before
				to.Close()
				b.StartTimer()
			}
			b.ReportMetric(records*float64(b.N)/used.Seconds(), "entries/cpu-s")
			perSecond(b, records)
		})
	}
}

// BenchmarkExport and BenchmarkImport go through a file.
func BenchmarkExport(b *testing.B) {
	from := loaded(b)
	for b.Loop() {
		if t, err := migrate.ExportFile(b.Context(), from, filepath.Join(b.TempDir(), "export.json"), true, nil); err != nil || t.Entries != records {
			b.Fatal(t, err)
		}
	}
	perSecond(b, records)
}

// BenchmarkImport includes the checks before and after.
func BenchmarkImport(b *testing.B) {
	name := filepath.Join(b.TempDir(), "export.json")
	if _, err := migrate.ExportFile(b.Context(), loaded(b), name, true, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		to := empty(b)
		b.StartTimer()
		if r, err := migrate.ImportFile(b.Context(), name, to, migrate.ImportOptions{}); err != nil || r.Entries != records {
			b.Fatal(r, err)
		}
		b.StopTimer()
		to.Close()
		b.StartTimer()
	}
	perSecond(b, records)
}
