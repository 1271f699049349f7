package report

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/orbit-persistence/orbit/bench/result"
)

// sample makes up a result for the tests. Nothing in it was measured; the
// figures are only of a likely size. It has every kind of cell that a report
// must show: engines that are missing, that failed, that have one durability
// class only, and one of another module.
func sample() *result.Result {
	rng := rand.New(rand.NewPCG(1, 2))
	limits := func(f float64) *result.Limits {
		return &result.Limits{
			FlushNs: 58_200 * f, FlushPrimitive: "O_DIRECT + O_DSYNC",
			Flushes: map[string]float64{"O_DIRECT + O_DSYNC": 58_200 * f, "fdatasync": 71_300 * f, "sync_file_range + fdatasync": 73_900 * f},
			Read1Ns: 83_100 * f, Read32PerS: 241_000 / f,
			Reads32:        map[string]float64{"pread, 32 threads": 198_000 / f, "io_uring": 241_000 / f},
			WriteBytesPerS: 1.31e9 / f,
			MissNs:         map[string]float64{"1048576": 4.3, "67108864": 71.5, "536870912": 94.8 * f},
			Notes:          []string{"SAMPLE DATA: the limits are made up"},
		}
	}
	r := &result.Result{Run: result.RunHeader{
		Format: result.Format, Profile: "sample", Started: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC), Seconds: 512.4,
		Partial: true, Commit: "0123456789abcdef0123456789abcdef01234567",
		Versions: map[string]string{"go": "go1.26.8", "memory": "tidwall/btree v1.8.2", "rocksdb": "RocksDB 7.8.3 (assertions on), grocksdb v1.7.14",
			"pebble": "v2.1.7", "bbolt": "v1.5.0", "badger": "v4.9.6", "lmdb": "0.9.24", "lsm": "orbit lsm 0.1"},
		OS: "Debian GNU/Linux 12", Kernel: "6.1.0-37-amd64", CPU: "Sample CPU @ 2.90GHz", Cores: 2, RAMBytes: 8 << 30, FileSystem: "ext4",
		GOMAXPROCS: 2, GOGC: "100", CacheBytes: 128 << 20, MemoryLimit: result.MemoryLimit{Bytes: 512 << 20, How: "cgroup v2"}, Seed: 42, Rounds: 3,
		Data: []result.DataInfo{
			{Name: "lease", Records: 1_000_000, KeyBytes: 48.2, ValueBytes: 431.7, Source: "made up from the seed", Hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
			{Name: "contents", Records: 1_000_000, KeyBytes: 63.4, ValueBytes: 22.9, Source: "Debian bookworm Contents-amd64", SourceRows: 7_012_345, Hash: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"},
		},
		Settings: map[string]string{
			"memory":  "side index on",
			"lsm":     "memtable 64 MiB, bloom filter 10 bits a key",
			"rocksdb": "block cache 128 MiB, write buffer 64 MiB x 2, background jobs 2, compression none, bloom filter 10 bits a key",
			"pebble":  "cache 128 MiB, memtable 64 MiB, bloom filter 10 bits a key, compression none",
			"bbolt":   "NoFreelistSync, hashmap freelist", "badger": "block cache 128 MiB, value threshold 1 KiB", "lmdb": "MDB_NOTLS, map 16 GiB",
		},
		LimitsBefore: limits(1), LimitsAfter: limits(1.06), HarnessNs: 38.4,
		Notes: []string{"SAMPLE DATA for the report's tests: nothing here was measured.", "RocksDB is Debian's library, whose assertions are on; make bench-full uses a release build."},
	}}
	// Figures of likely size: put without a flush, get, disk factor, write
	// amplification, memory in MiB, speed-up of group commit at 16 and 64 clients.
	engines := []struct {
		name                      string
		put, get, disk, amp, ram  float64
		group16, group64, recover float64
		classes                   []string
	}{
		{"memory", 810, 640, 0, 0, 690, 1.6, 1.7, 0.4e9, []string{"memory"}},
		{"lsm", 1900, 1500, 1.04, 3.1, 190, 9, 31, 0.2e9, []string{"memory", "buffered", "flushed"}},
		{"rocksdb", 4200, 3900, 1.02, 4.9, 260, 6.1, 14, 0.31e9, []string{"buffered", "flushed"}},
		{"pebble", 3100, 2900, 1.05, 4.2, 240, 7.5, 22, 0.24e9, []string{"buffered", "flushed"}},
		{"bbolt", 38000, 2100, 1.9, 21, 610, 1.05, 1.02, 0.004e9, []string{"buffered", "flushed"}},
		{"badger", 5200, 4800, 1.3, 2.6, 410, 5, 12, 0.52e9, []string{"buffered", "flushed"}},
		{"lmdb", 9100, 980, 1.6, 14, 640, 1.0, 0.98, 0.002e9, []string{"buffered", "flushed"}},
		{"acme/kv", 6000, 5000, 1.4, 6, 300, 3, 6, 0.9e9, []string{"buffered", "flushed"}},
	}
	add := func(m result.Measurement, p50, rate, tail float64) {
		m.KeyBytes, m.ValueBytes = 48, 432
		if m.Data == "contents" {
			m.KeyBytes, m.ValueBytes = 63, 23
		}
		jitter := func() float64 { return 0.97 + 0.06*rng.Float64() }
		p50 *= jitter()
		if m.Workload != "load" && m.Workload != "recovery" {
			m.Curve = sampleCurve(p50, tail)
			at := func(q float64) float64 {
				for _, c := range m.Curve {
					if c[0] >= q-1e-9 {
						return c[1]
					}
				}
				return 0
			}
			m.P50Ns, m.P99Ns, m.P999Ns, m.MeanNs = at(0.5), at(0.99), at(0.999), p50*1.2
			m.OpenRate = rate * 0.6
			m.ServiceP50Ns, m.ServiceP99Ns = p50*0.93, at(0.99)*0.8
			m.Ops = 400_000
		}
		for range 3 {
			m.RoundOpsPerS = append(m.RoundOpsPerS, rate*(0.93+0.14*rng.Float64()))
		}
		m.OpsPerS = rate
		m.DeviceFlushNs = 58_200
		r.Measurements = append(r.Measurements, m)
	}
	for _, data := range []string{"lease", "contents"} {
		scale := 1.0
		if data == "contents" {
			scale = 0.72
		}
		for _, e := range engines {
			base := result.Measurement{Engine: e.name, Data: data, Records: 1_000_000, RSSBytes: uint64(e.ram * scale * (1 << 20)),
				DiskBytes: uint64(e.disk * 1e6 * 480 * scale)}
			if data == "contents" {
				base.DiskBytes = uint64(e.disk * 1e6 * 86.3)
			}
			for _, class := range e.classes {
				for _, clients := range []int{1, 16, 64} {
					for _, w := range []string{"put", "overwrite", "mixed-50", "ycsb-a"} {
						if data == "contents" && w == "ycsb-a" {
							continue
						}
						m := base
						m.Workload, m.Durability, m.Clients, m.WriteAmp = w, class, clients, e.amp
						p50 := e.put * scale
						group := []float64{1, 2, 2.2}[log16(clients)]
						m.LimitNs, m.LimitIs = 94.8, "memory miss over 512 MiB"
						if class == "flushed" {
							p50 += 59_000
							group = []float64{1, e.group16, e.group64}[log16(clients)]
							m.LimitNs, m.LimitIs = 58_200, "flush by O_DIRECT + O_DSYNC"
						}
						if w == "mixed-50" {
							p50 = p50/2 + e.get/2
						}
						m.CPUNsPerOp = e.put*1.4 + 300
						if e.name == "bbolt" && class == "flushed" {
							m.StallMs, p50 = 1830, p50*2.2
						}
						if e.name == "acme/kv" && w == "overwrite" {
							r.Measurements = append(r.Measurements, result.Measurement{Engine: e.name, Workload: w, Data: data, Durability: class, Clients: clients,
								Records: m.Records, Error: "acme/kv: overwrite \"lease/7\": child ended: signal: segmentation fault (core dumped)"})
							continue
						}
						add(m, p50*float64(clients)/group, 0.9e9/p50*group, 8)
					}
				}
				m := base
				m.Workload, m.Durability, m.Clients, m.WriteAmp, m.CPUNsPerOp = "load", class, 1, e.amp/2, e.put
				m.Note = "batches of 1,000"
				if e.name == "rocksdb" {
					m.Note = "ingested tables"
				}
				add(m, e.put, 1e9/e.put*2, 4)
				if class != "memory" {
					m = base
					m.Workload, m.Durability, m.Clients, m.P50Ns = "recovery", class, 1, e.recover
					m.RoundOpsPerS = nil
					r.Measurements = append(r.Measurements, m)
				}
			}
			for _, clients := range []int{1, 16} {
				for i, w := range []string{"get-uniform", "get-zipf", "get-absent", "scan-100", "multi-get-16"} {
					if w == "multi-get-16" && (clients > 1 || e.name != "memory" && e.name != "rocksdb" && e.name != "lmdb") {
						continue
					}
					m := base
					m.Workload, m.Durability, m.Clients = w, "-", clients
					m.LimitNs, m.LimitIs = 94.8, "memory miss over 512 MiB"
					p50 := e.get * scale * []float64{1, 0.7, 0.6, 9, 0.3}[i]
					m.CPUNsPerOp = p50 * 1.1
					if e.name == "badger" && w == "scan-100" {
						r.Measurements = append(r.Measurements, result.Measurement{Engine: e.name, Workload: w, Data: data, Durability: "-", Clients: clients,
							Records: m.Records, Error: "badger: scan from \"lease/1\": sample | error <of> a value log that is too long to show: no space left on device"})
						continue
					}
					add(m, p50*float64(clients)/2, 0.95e9/p50*[]float64{1, 1.9}[min(1, clients-1)], 30)
				}
			}
			m := base
			m.Workload, m.Durability, m.Clients = "snapshot", "-", 1
			add(m, 700*scale, 1e6, 5)
		}
	}
	return r
}

func log16(clients int) int {
	switch clients {
	case 1:
		return 0
	case 16:
		return 1
	}
	return 2
}

// sampleCurve rises from the median to tail times itself at 99.9 %.
func sampleCurve(p50, tail float64) [][2]float64 {
	var out [][2]float64
	for i := range 61 {
		n := float64(i) / 12 // nines
		q := 1 - math.Pow(10, -n)
		x := n - 0.3
		f := 1 + 0.16*x
		if x > 0 {
			f = 1 + 0.25*x + (tail-1)/(1+math.Exp(-3.2*(x-2.4)))
		}
		out = append(out, [2]float64{q, p50 * f})
	}
	for _, q := range []float64{0.5, 0.99, 0.999} {
		for i := range out {
			if math.Abs(out[i][0]-q) < 1e-3*(1-q) {
				out[i][0] = q
			}
		}
	}
	return append(out, [2]float64{1, p50 * tail * 3})
}
