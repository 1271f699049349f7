package enginebench

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// size answers with data_bytes and log_bytes, the blocks that the files occupy,
// and with rss_bytes and rss_anon_bytes of the process where the system tells.
func (c *child) size() (map[string]float64, error) {
	data, log, err := c.subject.size(c.dir)
	values := map[string]float64{"data_bytes": data, "log_bytes": log}
	for name, field := range map[string]string{"rss_bytes": "VmRSS:", "rss_anon_bytes": "RssAnon:"} {
		if n, ok := statusBytes(field); ok {
			values[name] = n
		}
	}
	return values, err
}

// size returns the blocks that a store's files occupy.
func (s subject) size(dir string) (data, log float64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an engine removes files when it likes
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		logged, err := filepath.Match(s.log, inside)
		if logged {
			log += allocated(info)
		} else {
			data += allocated(info)
		}
		return err
	})
	return data, log, err
}

// allocated returns the space that a file occupies on its device.
func allocated(info fs.FileInfo) float64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return float64(st.Blocks) * 512
	}
	return float64(info.Size())
}

// statusBytes reads a field of /proc/self/status; false where there is none.
func statusBytes(field string) (float64, bool) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	return parseStatus(string(text), field)
}
