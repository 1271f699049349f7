package migrate

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/node"
)

// Digest tells contents from others: the sum, modulo 2^128, of the first 16 bytes, as a
// big-endian number, of SHA-256 over each entry's key, with its length before it as a
// uvarint, and its value. It does not depend on the order, so that one entry's part can
// be taken out again. It finds accidents; who forges entries at will can forge a sum.
type Digest struct{ high, low uint64 }

// String returns 32 hexadecimal digits.
func (d Digest) String() string { return fmt.Sprintf("%016x%016x", d.high, d.low) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 32 {
		return fmt.Errorf("%w: a digest of %d digits; it has 32", providers.ErrInvalid, len(text))
	}
	var err error
	for i, half := range []*uint64{&d.high, &d.low} {
		if _, scanErr := fmt.Sscanf(string(text[16*i:16*i+16]), "%016x", half); scanErr != nil {
			err = fmt.Errorf("%w: a digest has hexadecimal digits: %w", providers.ErrInvalid, scanErr)
		}
	}
	return err
}

func (d *Digest) add(x Digest) {
	var carry uint64
	d.low, carry = bits.Add64(d.low, x.low, 0)
	d.high, _ = bits.Add64(d.high, x.high, carry)
}

func (d *Digest) remove(x Digest) {
	var borrow uint64
	d.low, borrow = bits.Sub64(d.low, x.low, 0)
	d.high, _ = bits.Sub64(d.high, x.high, borrow)
}

// Tally is how much there is, and what.
type Tally struct {
	// Entries counts all of them, Expiring those of them that end by themselves.
	Entries  int64 `json:"entries"`
	Expiring int64 `json:"expiring"`
	// Leases and Nodes count those of packages lease and node, expired or not.
	Leases int64 `json:"leases"`
	Nodes  int64 `json:"nodes"`
	// Bytes are those of keys and values.
	Bytes int64 `json:"bytes"`
	// Digest is that of the entries that do not expire: those that do are gone on one
	// side a moment earlier than on the other. They are compared one by one.
	Digest Digest `json:"digest"`

	work []byte
}

func (t *Tally) count(e *providers.Entry, sign int64) {
	t.Entries += sign
	t.Bytes += sign * int64(len(e.Key)+len(e.Value))
	// What is damaged was so in the source, and is neither: Validate tells of it.
	if is, _ := lease.IsLease(*e); is {
		t.Leases += sign
	} else if is, _ := node.IsNode(*e); is {
		t.Nodes += sign
	}
	if !e.ExpiresAt.IsZero() {
		t.Expiring += sign
		return
	}
	t.work = binary.AppendUvarint(t.work[:0], uint64(len(e.Key)))
	t.work = append(append(t.work, e.Key...), e.Value...)
	sum := sha256.Sum256(t.work)
	part := Digest{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
	if sign > 0 {
		t.Digest.add(part)
	} else {
		t.Digest.remove(part)
	}
	if cap(t.work) > 1<<20 {
		t.work = nil
	}
}

// same reports whether two sides have the same entries, those aside that expire.
func (t *Tally) same(u *Tally) bool {
	return t.Entries-t.Expiring == u.Entries-u.Expiring && t.Digest == u.Digest
}

// equal reports whether two tallies say the same.
func (t *Tally) equal(u *Tally) bool {
	return t.same(u) && t.Entries == u.Entries && t.Leases == u.Leases && t.Nodes == u.Nodes && t.Bytes == u.Bytes
}
