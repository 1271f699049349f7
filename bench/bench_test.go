package bench

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// The benchmarks below run the cases of `orbit-cli bench` under `go test`:
//
//	go test -tags rocksdb,lmdb -bench . -count 6 ./bench | tee new.txt
//	benchstat -col /engine new.txt
//
// ORBIT_BENCH_RECORDS (100,000), ORBIT_BENCH_DATA (uniform, or lease,
// contents) and ORBIT_BENCH_ENGINES (all) choose what they run on.

func BenchmarkGet(b *testing.B)        { benchmarkWorkload(b, "get-uniform") }
func BenchmarkGetZipf(b *testing.B)    { benchmarkWorkload(b, "get-zipf") }
func BenchmarkGetAbsent(b *testing.B)  { benchmarkWorkload(b, "get-absent") }
func BenchmarkMultiGet16(b *testing.B) { benchmarkWorkload(b, "multi-get-16") }
func BenchmarkScan100(b *testing.B)    { benchmarkWorkload(b, "scan-100") }
func BenchmarkSnapshot(b *testing.B)   { benchmarkWorkload(b, "snapshot") }
func BenchmarkPut(b *testing.B)        { benchmarkWorkload(b, "put") }
func BenchmarkOverwrite(b *testing.B)  { benchmarkWorkload(b, "overwrite") }
func BenchmarkMixed50(b *testing.B)    { benchmarkWorkload(b, "mixed-50") }

func BenchmarkYCSB(b *testing.B) {
	for _, letter := range []string{"a", "b", "c", "d", "e", "f"} {
		b.Run("workload="+letter, func(b *testing.B) { benchmarkWorkload(b, "ycsb-"+letter) })
	}
}

func BenchmarkLease(b *testing.B) {
	for _, name := range leaseWorkloads {
		b.Run("workload="+name, func(b *testing.B) { benchmarkWorkload(b, name) })
	}
}

func BenchmarkLoad(b *testing.B) {
	eachEngine(b, func(b *testing.B, e Engine, d dataset) {
		for b.Loop() {
			b.StopTimer()
			c := openStore(b, e, d)
			b.StartTimer()
			if _, err := c.load(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := c.store.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*d.size()), "ns/record")
	})
}

// BenchmarkRecovery opens a store that was closed behind a burst of puts. That a
// process was killed there, which `orbit-cli bench` measures, cannot be had
// within one process.
func BenchmarkRecovery(b *testing.B) {
	eachEngine(b, func(b *testing.B, e Engine, d dataset) {
		c := openStore(b, e, d)
		store := c.store.Engine
		if !store.Traits().Persistent {
			if err := store.Close(); err != nil {
				b.Fatal(err)
			}
			b.Skip("SKIPPED: nothing of this engine outlives its process")
		}
		if _, err := c.load(); err != nil {
			b.Fatal(err)
		}
		if _, err := c.burst(burstCommand{Puts: 10_000, Seconds: 10}); err != nil {
			b.Fatal(err)
		}
		if err := c.store.Close(); err != nil {
			b.Fatal(err)
		}
		key := d.key(nil, 0)
		for b.Loop() {
			store, err := e.Open(c.dir, c.config)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := store.Get(key, nil); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := store.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// eachEngine runs a benchmark for each engine that this build has.
func eachEngine(b *testing.B, run func(*testing.B, Engine, dataset)) {
	records, err := strconv.Atoi(envOr("ORBIT_BENCH_RECORDS", "100000"))
	if err != nil || records < 1000 {
		b.Fatalf("ORBIT_BENCH_RECORDS is %q; a number from 1000 up", os.Getenv("ORBIT_BENCH_RECORDS"))
	}
	kind := envOr("ORBIT_BENCH_DATA", "uniform")
	spec := dataSpec{Label: kind, Kind: kind, Records: records, Seed: 1, File: b.TempDir() + "/rows"}
	if kind == "contents" {
		dir, err := ContentsDir()
		if err != nil {
			b.Skipf("SKIPPED: %v", err)
		}
		if err := prepareContents(dir, spec); err != nil {
			b.Fatal(err)
		}
	}
	d, err := spec.open()
	if err != nil {
		b.Fatal(err)
	}
	chosen := os.Getenv("ORBIT_BENCH_ENGINES")
	for _, e := range Standard() {
		if e.Missing != "" || e.Tuning != "" || chosen != "" && !strings.Contains(","+chosen+",", ","+e.Name+",") {
			continue
		}
		b.Run("engine="+e.Name, func(b *testing.B) { run(b, e, d) })
	}
}

// openStore opens an empty store as a child of the bench does.
func openStore(b *testing.B, e Engine, d dataset) *child {
	c := &child{ctx: b.Context(), which: e, dir: b.TempDir(), data: d}
	c.config = Config{CacheBytes: 256 * mib, Durability: weakestOf(e.Classes)}
	opened, err := e.Open(c.dir, c.config)
	if err != nil {
		b.Fatal(err)
	}
	c.store = newStore(opened, d)
	return c
}

func benchmarkWorkload(b *testing.B, name string) {
	w, ok := findWorkload(name)
	if !ok {
		b.Fatalf("no workload %q", name)
	}
	eachEngine(b, func(b *testing.B, e Engine, d dataset) {
		c := openStore(b, e, d)
		s := c.store
		b.Cleanup(func() {
			if err := s.Close(); err != nil {
				b.Error(err)
			}
		})
		if w.lacks(s.Traits()) {
			b.Skip("SKIPPED: the engine has no MultiGet")
		}
		if _, err := c.load(); err != nil {
			b.Fatal(err)
		}
		classes := []engine.Durability{engine.Memory}
		if w.writes() {
			classes = nil
			for _, class := range engine.Durabilities {
				if e.classes(s.Traits()).Has(class) {
					classes = append(classes, class)
				}
			}
		}
		for _, class := range classes {
			label := "none"
			if w.writes() {
				label = class.String()
			}
			b.Run("durability="+label, func(b *testing.B) {
				if err := c.openFor(w, class); err != nil {
					b.Fatal(err)
				}
				cl := newClient(s, w, class, 1, 0, 1)
				defer func() {
					cl.giveBack()
					s.nextFresh = cl.nextInsert
				}()
				const stretch = 1024
				b.ReportAllocs()
				at := stretch
				for b.Loop() {
					if at == stretch {
						b.StopTimer()
						cl.prepare(stretch)
						at = 0
						b.StartTimer()
					}
					if err := cl.do(b.Context(), at); err != nil {
						b.Fatal(err)
					}
					at++
				}
				if n := w.perCall(); n > 1 {
					b.ReportMetric(float64(b.Elapsed())/float64(b.N*n), "ns/key")
				}
			})
		}
	})
}

func envOr(name, value string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return value
}

// BenchmarkHarness is what an operation costs that does nothing.
func BenchmarkHarness(b *testing.B) {
	for _, kind := range []string{"uniform", "lease"} {
		b.Run("data="+kind, func(b *testing.B) {
			d, err := dataSpec{Label: kind, Kind: kind, Records: 100_000, Seed: 1}.open()
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				ns, err := harnessNs(d)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(ns, "ns/operation")
			}
		})
	}
}
