package engine

import "strconv"

// QuoteKey writes a key for an error or a report: quoted, with other bytes
// escaped, and cut to 64 bytes with the rest marked by an ellipsis.
func QuoteKey(key []byte) string {
	const most = 64
	if len(key) > most {
		return strconv.Quote(string(key[:most])) + "…"
	}
	return strconv.Quote(string(key))
}
