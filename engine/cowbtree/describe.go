package cowbtree

import "github.com/orbit-persistence/orbit/engine"

// DescribeRecord says what a record of the log is that is no batch; ok is false if
// it is none that a store writes.
func DescribeRecord(payload []byte) (text string, ok bool) {
	if len(payload) < 2 || payload[0] != recordNoBatch {
		return "", false
	}
	name := payload[2:]
	switch kind := payload[1]; {
	case kind == recordIngest && len(name) == 0:
		return "bulk load", true
	case kind == recordIngested && len(name) == 0:
		return "bulk load done", true
	case len(name) == 0:
	case kind == recordName:
		return "name snapshot " + engine.QuoteKey(name), true
	case kind == recordAutoName:
		return "name automatic snapshot " + engine.QuoteKey(name), true
	case kind == recordUnname:
		return "drop snapshot " + engine.QuoteKey(name), true
	}
	return "", false
}
