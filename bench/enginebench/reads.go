package enginebench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/bench/result"
)

// reads measures a store that is all in memory: by the bench's own cells, and in
// bare loops, where LMDB has one without cgo.
func (r *run) reads(ctx context.Context) error {
	if err := r.cells(ctx, "get-uniform", "get-zipf", "multi-get-16", "scan-100"); err != nil {
		return err
	}
	return r.loops(ctx)
}

// cells runs workloads of the bench that only read.
func (r *run) cells(ctx context.Context, workloads ...string) error {
	r.progress.clear() // the bench has a progress of its own
	command := &bench.Command{
		Profile: "quick", Workloads: workloads, Records: r.records, Clients: []int{1},
		Durability: []string{"memory", "buffered", "flushed"}, Data: []string{"uniform"}, Cache: bench.Bytes(memoryConfig(r.records).CacheBytes),
		Dir: r.dir, Seed: r.seed, Rounds: r.Rounds, Seconds: r.loop.Seconds(),
	}
	for _, s := range r.all() {
		command.Engines = append(command.Engines, s.name)
		if s.name == rocksdbRelease {
			command.RocksDBRelease = s.executable
		}
	}
	if !r.contents {
	} else if _, err := bench.ContentsDir(); err != nil {
		r.leaveOut("Contents paths: %v", err)
	} else {
		command.Data = append(command.Data, "contents")
	}
	found, err := command.Measure(ctx, bench.Standard())
	if err != nil {
		return fmt.Errorf("the bench's cells: %w", err)
	}
	r.take(found)
	return nil
}

// take takes the figures over from a result of the bench. A latency there is over
// all rounds together, so that it has one value here.
func (r *run) take(found *result.Result) {
	for _, row := range []struct {
		data, workload, name string
		share                float64 // of an operation
	}{
		{"uniform", "get-uniform", figureGetUniform, 1},
		{"uniform", "get-zipf", figureGetZipf, 1},
		{"uniform", "get-absent", figureGetAbsent, 1},
		{"uniform", "multi-get-16", figureMultiGet, 1},
		{"uniform", "scan-100", figureScan, 100},
		{"contents", "get-uniform", figureContents, 1},
		{"contents", "multi-get-16", figureContents16, 1},
	} {
		for _, s := range r.all() {
			m := found.Find(s.name, row.workload, row.data, "-", 1)
			switch {
			case m == nil:
			case m.Error != "":
				r.leaveOut("%s, %s: %s", row.name, s.name, m.Error)
			default:
				// A goal is for a call. From the intended start, in an open loop, the harness and
				// the machine have a part of a size that differs from neither engine to engine
				// nor from workload to workload.
				r.add(sectionReads, row.name, s.name, "ns", m.ServiceP50Ns/row.share)
				r.add(sectionReads, row.name+figureOpen, s.name, "ns", m.P50Ns/row.share)
			}
		}
	}
	for _, l := range []*result.Limits{found.Run.LimitsBefore, found.Run.LimitsAfter} {
		if l == nil {
			continue
		}
		if ns := l.MissNs[fmt.Sprint(r.records*bench.UniformRecordBytes)]; ns > 0 {
			r.add(sectionReads, figureMiss, Machine, "ns", ns)
		}
	}
	for name, version := range found.Run.Versions {
		if slices.ContainsFunc(r.all(), func(s subject) bool { return s.name == name }) {
			r.Versions[name] = version
		}
	}
	for _, note := range found.Run.Notes {
		if !strings.Contains(note, "is left out") {
			r.note("%s", note)
		}
	}
}

// loops gets the same keys by each engine in a loop without a clock, and by LMDB
// in a loop in C beside it.
func (r *run) loops(ctx context.Context) (err error) {
	all, done, err := r.loaded(ctx, sectionReads, r.all(), r.records)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for round := range r.Rounds {
		// A round of gets beforehand, so that what a process needs is there.
		for _, warm := range []bool{true, false} {
			err := r.turns(ctx, sectionReads, "gets in a loop", all, func(s *store) error {
				ask := getRequest{Gets: r.gets, Seed: r.seed + uint64(round)}
				got, err := s.call(ctx, request{Get: &ask})
				if err != nil || warm {
					return err
				}
				r.add(sectionReads, figureLoopGet, s.name, "ns", got["ns"])
				r.add(sectionReads, figureGetAllocs, s.name, "", got["allocs"])
				if s.name != "lmdb" {
					return nil
				}
				ask.InC = true
				if got, err = s.call(ctx, request{Get: &ask}); err == nil {
					r.add(sectionReads, figureLoopC, s.name, "ns", got["ns"])
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
