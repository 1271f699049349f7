package enginebench

import (
	"strconv"
	"strings"
)

// parseStatus finds a field in kB, such as "VmRSS:", in the text of
// /proc/self/status, and returns its bytes.
func parseStatus(text, field string) (float64, bool) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, field)
		if !ok {
			continue
		}
		words := strings.Fields(rest)
		if len(words) == 0 {
			return 0, false
		}
		kb, err := strconv.ParseFloat(words[0], 64)
		return kb * 1024, err == nil
	}
	return 0, false
}
