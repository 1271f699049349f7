// Package result is what a run of the bench found, as it stands in bench.json.
package result

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Format is the version of the result file. Fields are added, not changed.
const Format = 1

// Result is what one run of the bench found: the file bench.json.
type Result struct {
	Run          RunHeader     `json:"run"`
	Measurements []Measurement `json:"measurements"`
}

// RunHeader says under which conditions the measurements were made.
type RunHeader struct {
	Format  int       `json:"format"`
	Profile string    `json:"profile"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	// Partial is set when the run was cut short; what is there is valid.
	Partial bool   `json:"partial,omitempty"`
	Commit  string `json:"commit"`
	// Versions has the Go toolchain and each engine's implementation, by name.
	Versions   map[string]string `json:"versions"`
	OS         string            `json:"os"`
	Kernel     string            `json:"kernel"`
	CPU        string            `json:"cpu"`
	Cores      int               `json:"cores"`
	RAMBytes   uint64            `json:"ram_bytes"`
	FileSystem string            `json:"file_system"`
	GOMAXPROCS int               `json:"gomaxprocs"`
	GOGC       string            `json:"gogc"`
	// CacheBytes is the cache given to each engine that takes one, MemoryLimit
	// the limit on each engine's process and its page cache.
	CacheBytes  uint64      `json:"cache_bytes"`
	MemoryLimit MemoryLimit `json:"memory_limit"`
	Seed        uint64      `json:"seed"`
	Rounds      int         `json:"rounds"`
	Data        []DataInfo  `json:"data"`
	// Settings are the options with which each engine was opened, by name.
	Settings map[string]string `json:"settings"`
	// LimitsBefore and LimitsAfter are the machine's own, measured around the run.
	LimitsBefore *Limits `json:"limits_before,omitempty"`
	LimitsAfter  *Limits `json:"limits_after,omitempty"`
	// HarnessNs is the cost of an operation that does nothing: making the key,
	// drawing the next record, reading the clock. It is part of every figure.
	HarnessNs float64 `json:"harness_ns"`
	// Notes are said under the table: what was left out, and why.
	Notes []string `json:"notes,omitempty"`
}

// MemoryLimit is how the memory of each engine's process was bounded.
type MemoryLimit struct {
	Bytes uint64 `json:"bytes"`
	// How is "cgroup v1", "cgroup v2", or "none: " and the reason.
	How string `json:"how"`
}

// DataInfo describes a data set.
type DataInfo struct {
	Name       string  `json:"name"`
	Records    int     `json:"records"`
	KeyBytes   float64 `json:"key_bytes"`   // mean
	ValueBytes float64 `json:"value_bytes"` // mean
	// Source says where the rows come from, SourceRows how many there were,
	// Hash is the SHA-256 of the rows used, in order.
	Source     string `json:"source"`
	SourceRows int    `json:"source_rows,omitempty"`
	Hash       string `json:"hash"`
}

// Limits are what the machine itself can do, measured in the same run.
type Limits struct {
	// FlushNs is the median time of one durable 4 KiB overwrite in a recycled
	// file, by the best primitive, which FlushPrimitive names. R, the flush rate
	// of the goals, is 1e9/FlushNs.
	FlushNs        float64 `json:"flush_ns"`
	FlushPrimitive string  `json:"flush_primitive"`
	// Flushes has the median of each primitive tried.
	Flushes map[string]float64 `json:"flushes_ns"`
	// Read1Ns is the median of a direct random 4 KiB read at depth 1; Read32PerS
	// the rate at depth 32, by the faster of the ways in Reads32.
	Read1Ns    float64            `json:"read_1_ns"`
	Read32PerS float64            `json:"read_32_per_s"`
	Reads32    map[string]float64 `json:"reads_32_per_s"`
	// WriteBytesPerS is the rate of sequential direct writes of 1 MiB.
	WriteBytesPerS float64 `json:"write_bytes_per_s"`
	// MissNs is one dependent read of memory over the working set, by the size
	// of the set in bytes (as text).
	MissNs map[string]float64 `json:"miss_ns"`
	// Notes say what could not be measured here, and why.
	Notes []string `json:"notes,omitempty"`
}

// Measurement is one cell: an engine under a workload in one durability class
// with a number of clients.
type Measurement struct {
	Engine   string `json:"engine"`
	Workload string `json:"workload"`
	Data     string `json:"data"`
	// Durability is "memory", "buffered" or "flushed"; "-" where nothing is written.
	Durability string `json:"durability"`
	Clients    int    `json:"clients"`
	Records    int    `json:"records"`
	KeyBytes   int    `json:"key_bytes"`
	ValueBytes int    `json:"value_bytes"`
	// CacheBytes is the cache that the engine was given.
	CacheBytes uint64 `json:"cache_bytes"`
	// Ops is the number of operations measured, both loops together.
	Ops int64 `json:"ops"`

	// Latency from the intended start, open loop, at OpenRate operations a
	// second, a fixed share of the closed loop's rate. 0 where there was none.
	MeanNs   float64 `json:"mean_ns"`
	P50Ns    float64 `json:"p50_ns"`
	P99Ns    float64 `json:"p99_ns"`
	P999Ns   float64 `json:"p999_ns"`
	OpenRate float64 `json:"open_rate,omitempty"`
	// Curve is the latency at ascending quantiles: pairs of quantile (0 to 1)
	// and nanoseconds.
	Curve [][2]float64 `json:"curve,omitempty"`

	// OpsPerS is the rate of the closed loop: the median of the rounds, which
	// are in RoundOpsPerS.
	OpsPerS      float64   `json:"ops_per_s"`
	RoundOpsPerS []float64 `json:"round_ops_per_s,omitempty"`
	// ServiceP50Ns and ServiceP99Ns are the time of one call in the closed loop.
	ServiceP50Ns float64 `json:"service_p50_ns,omitempty"`
	ServiceP99Ns float64 `json:"service_p99_ns,omitempty"`
	// CPUNsPerOp is the CPU of the whole process, background work included.
	CPUNsPerOp float64 `json:"cpu_ns_per_op"`
	// RSSBytes is the process's resident memory after the cell, without the
	// data set that it reads; DiskBytes what its directory occupies.
	RSSBytes  uint64 `json:"rss_bytes"`
	DiskBytes uint64 `json:"disk_bytes"`
	// WriteAmp is bytes written to the device per byte of keys and values put.
	WriteAmp float64 `json:"write_amp"`
	// StallMs is the time in calls that took over 10 ms, closed loop.
	StallMs float64 `json:"stall_ms"`
	// DeviceFlushNs is Limits.FlushNs before the run. LimitNs is the limit of
	// memory or device that this cell is held against, LimitIs its name.
	DeviceFlushNs float64 `json:"device_flush_ns"`
	LimitNs       float64 `json:"limit_ns"`
	LimitIs       string  `json:"limit_is,omitempty"`

	// Note says how a load was done, or what a recovery had before it.
	Note string `json:"note,omitempty"`
	// Error says why the cell has no figures; all of them are then 0.
	Error string `json:"error,omitempty"`
}

// Write writes the result as JSON, whole or not at all.
func (r *Result) Write(path string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(data, '\n'))
}

// Read reads what Write wrote.
func Read(path string) (*Result, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: not a result of the bench: %w", path, err)
	}
	if r.Run.Format != Format {
		return nil, fmt.Errorf("%s: result format %d; this version reads %d", path, r.Run.Format, Format)
	}
	return &r, nil
}

// Find returns the cell with these names, nil if there is none.
func (r *Result) Find(engine, workload, data, durability string, clients int) *Measurement {
	for i := range r.Measurements {
		m := &r.Measurements[i]
		if m.Engine == engine && m.Workload == workload && m.Data == data && m.Durability == durability && m.Clients == clients {
			return m
		}
	}
	return nil
}

// WriteFile replaces path in one step, so that an interrupted run leaves the
// file of before or the whole new one.
func WriteFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".partial"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
