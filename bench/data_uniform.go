package bench

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"math/rand/v2"

	"github.com/orbit-persistence/orbit/bench/result"
)

// uniform is the data of most published tables: 16-byte keys and 100-byte
// values that do not compress.
type uniform struct {
	spec dataSpec
	// step is the distance between the first halves of neighbouring keys.
	step uint64
	// noise is random bytes of which each value is a stretch.
	noise []byte
}

const uniformValueBytes = 100

func newUniform(spec dataSpec) *uniform {
	u := &uniform{spec: spec, noise: make([]byte, 1<<20)}
	u.step, _ = bits.Div64(1, 0, uint64(max(spec.Records, 2)))
	seed := [32]byte{}
	binary.LittleEndian.PutUint64(seed[:], spec.Seed)
	// ChaCha8 never fails.
	_, _ = rand.NewChaCha8(seed).Read(u.noise)
	return u
}

func (u *uniform) size() int { return u.spec.Records }

// key places record i anywhere in the i-th of equal slices of the key space, so
// that keys look random and are in order without sorting.
func (u *uniform) key(dst []byte, i int) []byte {
	return u.at(dst, i, mix(uint64(i)^u.spec.Seed))
}

func (u *uniform) fresh(dst []byte, n int) []byte {
	h := mix(uint64(n) ^ u.spec.Seed ^ 0xf8e5)
	slice, _ := bits.Mul64(h, uint64(u.spec.Records))
	// The second half carries n itself: no two fresh keys are alike, and the top
	// bit, which no record has, keeps them from the records.
	dst = binary.BigEndian.AppendUint64(dst, slice*u.step+mix(h)%u.step)
	return binary.BigEndian.AppendUint64(dst, uint64(n)|1<<63)
}

func (u *uniform) at(dst []byte, i int, h uint64) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(i)*u.step+h%u.step)
	return binary.BigEndian.AppendUint64(dst, mix(h)&^(1<<63))
}

func (u *uniform) value(dst []byte, i, version int) []byte {
	at := mix(uint64(i)+uint64(version)<<40) % uint64(len(u.noise)-uniformValueBytes)
	return append(dst, u.noise[at:at+uniformValueBytes]...)
}

func (u *uniform) info() result.DataInfo {
	return describe(u, u.spec, "made by the bench: 16-byte keys, uniform; 100-byte values that do not compress", 0)
}

// describe fills in what all data sets have in common. The hash is over the
// length-prefixed keys and values; beyond a million records, over an even
// million of them.
func describe(d dataset, spec dataSpec, source string, rows int) result.DataInfo {
	h := sha256.New()
	var keys, values int
	step := max(1, d.size()/1_000_000)
	n := 0
	var p []byte
	for i := 0; i < d.size(); i += step {
		p = d.key(p[:0], i)
		k := len(p)
		p = d.value(p, i, 0)
		keys += k
		values += len(p) - k
		n++
		var lengths [8]byte
		binary.LittleEndian.PutUint32(lengths[:], uint32(k))
		binary.LittleEndian.PutUint32(lengths[4:], uint32(len(p)-k))
		h.Write(lengths[:])
		h.Write(p)
	}
	return result.DataInfo{
		Name: spec.Label, Records: d.size(), Source: source, SourceRows: rows, Hash: hex.EncodeToString(h.Sum(nil)),
		KeyBytes: float64(keys) / float64(max(n, 1)), ValueBytes: float64(values) / float64(max(n, 1)),
	}
}
