package bench

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/orbit-persistence/orbit/bench/result"
)

// leases are the records of the seed's own table: an actor's lease as JSON
// under a key of 48 bytes, 20 actor types, 5 nodes.
type leases struct{ spec dataSpec }

const (
	actorTypes = 20
	leaseNodes = 5
)

func newLeases(spec dataSpec) *leases { return &leases{spec} }

func (l *leases) size() int { return l.spec.Records }

// key orders records by actor type, then by actor.
func (l *leases) key(dst []byte, i int) []byte {
	return leaseKey(dst, i*actorTypes/max(l.spec.Records, 1), uint64(i))
}

func (l *leases) fresh(dst []byte, n int) []byte {
	h := mix(uint64(n) ^ l.spec.Seed ^ 0x1ea5e)
	// An actor number past all records, scattered among the types and, in its
	// leading digits, among the actors of the type.
	return leaseKey(dst, int(h%actorTypes), uint64(l.spec.Records)+(h>>32%1000)*1_000_000_000+uint64(n))
}

func leaseKey(dst []byte, actorType int, actor uint64) []byte {
	dst = append(dst, "orbit/leases/"...)
	dst = appendActorType(dst, actorType)
	dst = append(dst, "/actor-"...)
	return appendDigits(dst, actor, 15)
}

func appendActorType(dst []byte, n int) []byte {
	return appendDigits(append(dst, "actor-type-"...), uint64(n), 2)
}

// appendDigits writes n in at least width decimal digits.
func appendDigits(dst []byte, n uint64, width int) []byte {
	var p [20]byte
	text := strconv.AppendUint(p[:0], n, 10)
	for range width - len(text) {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

var leaseEpoch = time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC)

// value is the lease as the seed stores it: who, where, until when, and what
// the node says of itself.
func (l *leases) value(dst []byte, i, version int) []byte {
	h := mix(uint64(i) ^ l.spec.Seed)
	expires := leaseEpoch.Add(time.Duration(i%86400)*time.Second + time.Duration(version)*300*time.Second)
	dst = append(dst, `{"reference":{"type":"`...)
	dst = appendActorType(dst, i*actorTypes/max(l.spec.Records, 1))
	dst = append(dst, `","key":{"string":"actor-`...)
	dst = appendDigits(dst, uint64(i), 15)
	dst = append(dst, `"}},"node_id":{"key":"node-`...)
	dst = appendDigits(dst, h%leaseNodes, 2)
	dst = append(dst, `","namespace":"production"},"expires_at":"`...)
	dst = expires.AppendFormat(dst, "2006-01-02T15:04:05.000000000Z")
	dst = append(dst, `","renew_at":"`...)
	dst = expires.Add(-150*time.Second).AppendFormat(dst, "2006-01-02T15:04:05.000000000Z")
	dst = append(dst, `","lease_id":"`...)
	dst = appendHex(dst, mix(h), mix(h+1))
	dst = append(dst, `","fencing_token":`...)
	dst = appendDigits(dst, uint64(version)+1_000_000, 7)
	dst = append(dst, `,"challenge_token":"`...)
	dst = appendHex(dst, mix(h+2+uint64(version)), mix(h+3+uint64(version)))
	return append(dst, `","state":"active","endpoint":{"host":"10.0.3.17","port":50056}}`...)
}

func appendHex(dst []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		dst = hex.AppendEncode(dst, binary.BigEndian.AppendUint64(nil, n))
	}
	return dst
}

func (l *leases) info() result.DataInfo {
	return describe(l, l.spec, "made by the bench: actor leases as JSON, 20 types, 5 nodes, after the seed's own record", 0)
}
