package bench

// Uniform is the bench's data set of 16-byte keys and 100-byte values, for
// benches that go beyond this one's workloads. Its methods append to dst.
type Uniform struct{ data *uniform }

// UniformKeyBytes and UniformRecordBytes are the sizes of a key of Uniform, and
// of a key with its value.
const (
	UniformKeyBytes    = 16
	UniformRecordBytes = UniformKeyBytes + uniformValueBytes
)

// NewUniform returns the data set of so many records.
func NewUniform(records int, seed uint64) Uniform {
	return Uniform{newUniform(dataSpec{Label: "uniform", Kind: "uniform", Records: records, Seed: seed})}
}

// Key appends the key of record i, 0 <= i < records, which are in key order.
func (u Uniform) Key(dst []byte, i int) []byte { return u.data.key(dst, i) }

// Fresh appends the n-th key, n >= 0, of those that are not among the records, in
// random order.
func (u Uniform) Fresh(dst []byte, n int) []byte { return u.data.fresh(dst, n) }

// Value appends a value for record i; each version has other bytes.
func (u Uniform) Value(dst []byte, i, version int) []byte { return u.data.value(dst, i, version) }
