package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in bytes.
type Bytes int64

// Sizes.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

var sizeUnits = []struct {
	name  string
	bytes Bytes
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

// String writes the size exactly, in the largest unit that it is whole in: "64MiB".
func (b Bytes) String() string {
	for _, u := range sizeUnits {
		if b != 0 && b%u.bytes == 0 {
			return strconv.FormatInt(int64(b/u.bytes), 10) + u.name
		}
	}
	return "0B"
}

// parseBytes reads "64MiB"; a number alone counts unit. suggestion is set where a
// decimal unit was probably meant as a binary one.
func parseBytes(text string, unit Bytes) (size Bytes, problem, suggestion string) {
	number := strings.TrimRight(text, "KMGTiBkmgtb ")
	suffix := strings.TrimSpace(text[len(number):])
	problem = "must be a size such as 64MiB; the units are B, KiB, MiB, GiB and TiB"
	if suffix != "" {
		unit = 0
		for _, u := range sizeUnits {
			if u.name == suffix {
				unit = u.bytes
			}
			if strings.EqualFold(suffix, u.name) || strings.EqualFold(suffix, strings.Replace(u.name, "i", "", 1)) || strings.EqualFold(suffix, u.name[:1]) && u.bytes > 1 {
				suggestion = number + u.name
			}
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil:
		return 0, problem, ""
	case unit == 0:
		return 0, problem, suggestion
	case n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit):
		return 0, "is more bytes than there are", ""
	}
	return Bytes(n) * unit, "", ""
}

// parseDuration reads "30s" or "1m30s"; a number alone counts seconds, as in the
// specification.
func parseDuration(text string) (time.Duration, string) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return seconds(n)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, "must be a duration: seconds, or a string such as \"30s\", \"1m30s\" or \"250ms\""
	}
	return d, ""
}

func seconds(n int64) (time.Duration, string) {
	if n > math.MaxInt64/int64(time.Second) || n < math.MinInt64/int64(time.Second) {
		return 0, fmt.Sprintf("%d seconds are more than 292 years", n)
	}
	return time.Duration(n) * time.Second, ""
}
