package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/orbit-persistence/orbit/bench/result"
)

// SVGs draws the plots: latency curves and throughput of each workload, flushed
// puts against the device's flush rate, memory and disk. The keys are names of
// files, each of which stands alone and ends in .svg.
func SVGs(r *result.Result) map[string][]byte {
	v := newView(r)
	css := style(v.engines)
	out := map[string][]byte{}
	for _, plots := range [][]*plot{v.curvePlots(), v.throughputPlots(), v.flushedPlots(), v.footprintPlots()} {
		for _, p := range plots {
			out[p.file+".svg"] = p.standalone(css)
		}
	}
	return out
}

// svgKinds begin the names of the files of SVGs.
var svgKinds = []string{"latency-", "throughput-", "flushed-put-", "footprint-"}

// WriteAll writes bench.json, table.md, report.html and the plots to dir, which
// it creates if need be. Each file is replaced whole or not at all, the result
// itself first. Plots of an earlier report in dir that this one does not have
// are removed. Errors are those of the file system.
func WriteAll(dir string, r *result.Result) error {
	if err := r.Write(filepath.Join(dir, "bench.json")); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	page, err := HTML(r)
	if err != nil {
		return err
	}
	files := SVGs(r)
	if err := removeStale(dir, files); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	files["table.md"] = Markdown(r)
	files["report.html"] = page
	for name, data := range files {
		if err := result.WriteFile(filepath.Join(dir, name), data); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

// removeStale removes the plots in dir that are not among files.
func removeStale(dir string, files map[string][]byte) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if _, current := files[name]; current || !e.Type().IsRegular() || !strings.HasSuffix(name, ".svg") {
			continue
		}
		for _, kind := range svgKinds {
			if !strings.HasPrefix(name, kind) {
				continue
			}
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			break
		}
	}
	return nil
}
