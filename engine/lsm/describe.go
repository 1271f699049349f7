package lsm

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
)

// DescribeRecord says what a record of the log is that is no batch; ok is false if it is
// none that a store writes. Keys have the number of their family before them.
func DescribeRecord(payload []byte) (text string, ok bool) {
	if len(payload) < 2 || payload[0] != recordNoBatch {
		return "", false
	}
	switch p := payload[2:]; payload[1] {
	case recordIngest:
		version, ed, err := decodeLoad(p)
		if err != nil {
			return "", false
		}
		var entries uint64
		for _, a := range ed.added {
			entries += a.meta.entries
		}
		return fmt.Sprintf("bulk load as version %d: %d entries in %d tables, %s to %s", version, entries, len(ed.added),
			engine.QuoteKey(ed.added[0].meta.lower), engine.QuoteKey(ed.added[len(ed.added)-1].meta.upper)), true
	case recordClear:
		lower, upper, ok := decodeClear(p)
		if !ok {
			return "", false
		}
		return "clear " + engine.QuoteKey(lower) + " to " + engine.QuoteKey(upper), true
	}
	return "", false
}

// decodeLoad reads the record of a bulk load, behind its first two bytes.
func decodeLoad(p []byte) (version uint64, ed *edit, err error) {
	version, w := binary.Uvarint(p)
	if w <= 0 {
		return 0, nil, fmt.Errorf("%w: a bulk load without a version", engine.ErrCorrupt)
	}
	if ed, err = decodeEdit(p[w:], 0); err == nil && len(ed.added) == 0 {
		err = fmt.Errorf("%w: a bulk load without tables", engine.ErrCorrupt)
	}
	return version, ed, err
}

// decodeClear reads the record of a range that is deleted, behind its first two bytes.
func decodeClear(p []byte) (lower, upper []byte, ok bool) {
	lower, rest, ok := cutBytes(p)
	upper, rest, ok2 := cutBytes(rest)
	return lower, upper, ok && ok2 && len(rest) == 0
}

// DescribeEdit says what a record of the manifest changes; ok is false if it is no edit.
func DescribeEdit(payload []byte) (text string, ok bool) {
	e, err := decodeEdit(payload, maxLevels)
	if err != nil || len(payload) == 0 {
		return "", false
	}
	var parts []string
	part := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for _, r := range e.removed {
		part("remove table %d from %s", r.number, engine.QuoteKey(r.lower))
	}
	for _, a := range e.added {
		m := a.meta
		to := fmt.Sprintf("level %d", a.level)
		if a.level == 0 {
			to = fmt.Sprintf("run %d", a.run)
		}
		part("add table %d to %s, %s to %s", m.number, to, engine.QuoteKey(m.lower), engine.QuoteKey(m.upper))
	}
	for _, v := range e.values {
		part("add value file %d of %d bytes", v.number, v.bytes)
	}
	for _, n := range e.noValues {
		part("remove value file %d", n)
	}
	for _, f := range e.families {
		part("family %d is %q", f.id, f.name)
	}
	for _, id := range e.noFamilies {
		part("family %d is dropped", id)
	}
	for _, id := range e.cleared {
		part("family %d is gone", id)
	}
	if e.version != 0 {
		part("version %d, record %d, is in tables", e.version, e.logSequence)
	}
	if e.logBegun {
		part("the log has begun")
	}
	const most = 8
	if n := len(parts); n > most {
		parts = append(parts[:most:most], fmt.Sprintf("%d changes in all", n))
	}
	if e.reset {
		parts = append([]string{"whole"}, parts...)
	}
	return strings.Join(parts, "; "), true
}
