package report

import (
	"math"
	"strconv"
	"strings"
)

// none stands where there is no figure.
const none = "—"

// sig3 writes v, which is not negative, with three significant digits and no
// exponent. Below 0.01 it gives what three decimals show.
func sig3(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.9995:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case v < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// scaled writes v in the first unit in which it stays below 999.5.
func scaled(v, step float64, units ...string) string {
	if !isFigure(v) {
		return none
	}
	i := 0
	for v >= 999.5 && i < len(units)-1 {
		v /= step
		i++
	}
	return sig3(v) + " " + units[i]
}

// isFigure tells whether v is a number that can be shown.
func isFigure(v float64) bool { return v >= 0 && !math.IsInf(v, 1) }

func duration(ns float64) string { return scaled(ns, 1000, "ns", "µs", "ms", "s") }

// durationOrNone writes a time that may not have been spent at all.
func durationOrNone(ns float64) string {
	if ns == 0 {
		return "none"
	}
	return duration(ns)
}

func rate(perS float64) string { return scaled(perS, 1000, "/s", "k/s", "M/s", "G/s") }

func byteSize(n float64) string {
	if n < 999.5 && n == math.Trunc(n) && n >= 0 {
		return strconv.FormatFloat(n, 'f', 0, 64) + " B"
	}
	return scaled(n, 1024, "B", "KiB", "MiB", "GiB", "TiB")
}

func byteRate(perS float64) string { return scaled(perS, 1024, "B/s", "KiB/s", "MiB/s", "GiB/s") }

// times writes a ratio.
func times(v float64) string {
	switch {
	case !isFigure(v):
		return none
	case v >= 999.5:
		return count(int64(math.Round(v))) + "×"
	}
	return sig3(v) + "×"
}

// count writes n with a comma between groups of three digits.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// plural writes a number of things: "1 client", "16 clients".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(int64(n)) + " " + one + "s"
}
