package intent

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

const (
	kindPlain  = 1
	kindIntent = 2

	flagDeleted = 1
	flagFence   = 2

	recordVersion = 1

	// overheadBytes is by how much the object of a value is longer, at most, apart
	// from what an intent keeps of the value before.
	overheadBytes = 128
)

// id names a transaction; ids are ordered by age.
type id [16]byte

func newID(now time.Time) (t id) {
	binary.BigEndian.PutUint64(t[:], uint64(now.UnixNano()))
	random(t[8:])
	return t
}

// random fills p; crypto/rand does not fail.
func random(p []byte) { _, _ = rand.Read(p) }

func (t id) older(than id) bool { return bytes.Compare(t[:], than[:]) < 0 }

var recordPrefix = []byte{0, 0, 't'}

func (t id) key() []byte { return append(bytes.Clone(recordPrefix), t[:]...) }

// objectKey returns the base's key of a user's key.
func objectKey(key []byte) []byte {
	if len(key) == 0 || key[0] != 0 {
		return key
	}
	return append([]byte{0, 1}, key[1:]...)
}

// userKey returns the user's key of an object.
func userKey(key []byte) []byte {
	if len(key) > 1 && key[0] == 0 {
		return append([]byte{0}, key[2:]...)
	}
	return key
}

// value is what an object holds: a user's bytes, or that there are none.
type value struct {
	version [16]byte
	fence   uint64
	deleted bool
	data    []byte
}

func newValue(w *driver.Write, fence uint64) *value {
	v := &value{fence: max(fence, w.Fence), deleted: w.Delete}
	if !w.Delete {
		v.data = w.Value
	}
	random(v.version[:])
	return v
}

func (v *value) revision() driver.Revision {
	return driver.TagRevision(hex.EncodeToString(v.version[:]))
}

// alive reports whether users see it. v may be nil: no object.
func (v *value) alive() bool { return v != nil && !v.deleted }

// needed reports whether there must be an object for it.
func (v *value) needed() bool { return v != nil && (!v.deleted || v.fence != 0) }

func appendValue(dst []byte, v *value) []byte {
	flags := byte(0)
	if v.deleted {
		flags |= flagDeleted
	}
	if v.fence != 0 {
		flags |= flagFence
	}
	dst = append(dst, flags)
	dst = append(dst, v.version[:]...)
	if v.fence != 0 {
		dst = binary.BigEndian.AppendUint64(dst, v.fence)
	}
	return append(dst, v.data...)
}

func decodeValue(p []byte) (*value, error) {
	v := new(value)
	if len(p) < 17 || p[0]&^(flagDeleted|flagFence) != 0 {
		return nil, fmt.Errorf("%w: a value of %d bytes", driver.ErrCorrupt, len(p))
	}
	flags := p[0]
	copy(v.version[:], p[1:])
	p = p[17:]
	if flags&flagFence != 0 {
		if len(p) < 8 {
			return nil, fmt.Errorf("%w: a value without its fence", driver.ErrCorrupt)
		}
		v.fence = binary.BigEndian.Uint64(p)
		p = p[8:]
	}
	v.deleted = flags&flagDeleted != 0
	if v.deleted && len(p) > 0 || flags&flagFence != 0 && v.fence == 0 {
		return nil, fmt.Errorf("%w: a value of flags %d", driver.ErrCorrupt, flags)
	}
	v.data = p[:len(p):len(p)]
	return v, nil
}

// object is an object taken apart: a plain value, or an intent.
type object struct {
	// plain is the value; nil where there is an intent, or no object at all.
	plain  *value
	intent *pending
	// at is the base's revision; zero if there is no object.
	at driver.Revision
}

// pending is an intent.
type pending struct {
	tx            id
	timeout       time.Duration
	before, after *value // nil if there is no object
}

func encodePlain(v *value) []byte { return appendValue([]byte{kindPlain}, v) }

func encodeIntent(p *pending) []byte {
	dst := append([]byte{kindIntent}, p.tx[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.timeout))
	var before []byte
	if p.before != nil {
		before = appendValue(nil, p.before)
	}
	dst = append(dst, flag(p.before != nil))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(before)))
	dst = append(dst, before...)
	dst = append(dst, flag(p.after != nil))
	if p.after != nil {
		dst = appendValue(dst, p.after)
	}
	return dst
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func decodeObject(p []byte) (plain *value, in *pending, err error) {
	if len(p) == 0 {
		return nil, nil, fmt.Errorf("%w: an empty object; it was written by something else", driver.ErrCorrupt)
	}
	switch p[0] {
	case kindPlain:
		plain, err = decodeValue(p[1:])
		return plain, nil, err
	case kindIntent:
		in, err = decodeIntent(p[1:])
		return nil, in, err
	}
	return nil, nil, fmt.Errorf("%w: an object of kind %d; it was written by something else, or by a newer version", driver.ErrCorrupt, p[0])
}

func decodeIntent(p []byte) (*pending, error) {
	in := new(pending)
	if len(p) < 16+8+1+4 {
		return nil, fmt.Errorf("%w: an intent of %d bytes", driver.ErrCorrupt, len(p))
	}
	copy(in.tx[:], p)
	in.timeout = time.Duration(binary.BigEndian.Uint64(p[16:]))
	was, n := p[24], binary.BigEndian.Uint32(p[25:])
	p = p[29:]
	if was > 1 || uint64(n) >= uint64(len(p)) || was == 0 && n != 0 || in.timeout <= 0 {
		return nil, fmt.Errorf("%w: an intent of timeout %d, that was %d, of %d bytes", driver.ErrCorrupt, in.timeout, was, n)
	}
	var err error
	if was == 1 {
		if in.before, err = decodeValue(p[:n]); err != nil {
			return nil, err
		}
	}
	is := p[n]
	p = p[n+1:]
	switch {
	case is == 1:
		in.after, err = decodeValue(p)
	case is != 0 || len(p) > 0:
		err = fmt.Errorf("%w: an intent that will be %d", driver.ErrCorrupt, is)
	}
	return in, err
}

// status is the state of a transaction.
type status uint8

const (
	missing status = iota // there is no record
	pendingStatus
	committed
	aborted
)

// record is the record of a transaction.
type record struct {
	status  status
	timeout time.Duration
	keys    [][]byte
	at      driver.Revision
}

func encodeRecord(r *record) []byte {
	dst := []byte{recordVersion, byte(r.status)}
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.timeout))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.keys)))
	for _, k := range r.keys {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(k)))
		dst = append(dst, k...)
	}
	return dst
}

func decodeRecord(p []byte) (*record, error) {
	if len(p) < 14 || p[0] != recordVersion || p[1] < byte(pendingStatus) || p[1] > byte(aborted) {
		return nil, fmt.Errorf("%w: a transaction's record of %d bytes, %x", driver.ErrCorrupt, len(p), p[:min(len(p), 14)])
	}
	r := &record{status: status(p[1]), timeout: time.Duration(binary.BigEndian.Uint64(p[2:]))}
	n := binary.BigEndian.Uint32(p[10:])
	p = p[14:]
	for range n {
		if len(p) < 4 || uint64(binary.BigEndian.Uint32(p)) > uint64(len(p)-4) {
			return nil, fmt.Errorf("%w: a transaction's record, cut", driver.ErrCorrupt)
		}
		size := binary.BigEndian.Uint32(p)
		r.keys = append(r.keys, p[4:4+size:4+size])
		p = p[4+size:]
	}
	if len(p) > 0 {
		return nil, fmt.Errorf("%w: a transaction's record, and %d bytes after it", driver.ErrCorrupt, len(p))
	}
	return r, nil
}
