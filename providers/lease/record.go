package lease

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/node"
)

// A record is
//
//	u8 version 1, u8 flags, u64 token, i64 expires, i64 renew, i64 TTL,
//	uvarint length, namespace, uvarint length, node
//
// with big-endian numbers, and times in nanoseconds since 1970, or the least number
// for the zero time. Flag 1 says that nobody holds it: it is kept for its token.
const (
	recordVersion = 1
	flagReleased  = 1
	recordHead    = 2 + 4*8
)

// record is what is stored of a reference.
type record struct {
	released       bool
	token          uint64
	expires, renew time.Time
	ttl            time.Duration
	node           node.ID
}

const zeroTime = -1 << 63

func appendTime(dst []byte, t time.Time) []byte {
	n := int64(zeroTime)
	if !t.IsZero() {
		n = t.UnixNano()
	}
	return binary.BigEndian.AppendUint64(dst, uint64(n))
}

func decodeTime(p []byte) time.Time {
	n := int64(binary.BigEndian.Uint64(p))
	if n == zeroTime {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func appendRecord(dst []byte, r *record) []byte {
	flags := byte(0)
	if r.released {
		flags = flagReleased
	}
	dst = append(dst, recordVersion, flags)
	dst = binary.BigEndian.AppendUint64(dst, r.token)
	dst = appendTime(appendTime(dst, r.expires), r.renew)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.ttl))
	for _, s := range []string{r.node.Namespace, r.node.Key} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

func decodeRecord(p []byte) (r record, err error) {
	if len(p) < recordHead || p[0] != recordVersion || p[1]&^flagReleased != 0 {
		return r, fmt.Errorf("%w: a lease of %d bytes, %x; this program knows version %d", driver.ErrCorrupt, len(p), p[:min(2, len(p))], recordVersion)
	}
	r.released = p[1]&flagReleased != 0
	r.token = binary.BigEndian.Uint64(p[2:])
	r.expires, r.renew = decodeTime(p[10:]), decodeTime(p[18:])
	r.ttl = time.Duration(binary.BigEndian.Uint64(p[26:]))
	text := string(p[recordHead:]) // the two names share it
	var names [2]string
	for i := range names {
		n, w := binary.Uvarint(p[len(p)-len(text):])
		if w <= 0 || n > uint64(len(text)-w) {
			return r, fmt.Errorf("%w: a lease whose node is cut", driver.ErrCorrupt)
		}
		names[i], text = text[w:w+int(n)], text[w+int(n):]
	}
	if len(text) > 0 {
		return r, fmt.Errorf("%w: a lease, and %d bytes after it", driver.ErrCorrupt, len(text))
	}
	r.node = node.ID{Namespace: names[0], Key: names[1]}
	return r, nil
}

func (r *record) lease(ref Reference) Lease {
	return Lease{Reference: ref, Node: r.node, ExpiresAt: r.expires, RenewAt: r.renew, Token: r.token}
}

// live reports whether somebody holds it at a time.
func (r *record) live(now time.Time) bool {
	return !r.released && (r.expires.IsZero() || r.expires.After(now))
}
