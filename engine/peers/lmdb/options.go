package lmdb

// Options set up a store. The zero value is ready to use.
type Options struct {
	// MapBytes is the address space reserved for the store, and so the most it can
	// grow to: a commit that needs more is ErrNoSpace. It costs neither memory nor
	// disk. 0 is 64 GiB.
	MapBytes int64
	// NoSync adds the class Buffered. A loss of power can then leave the store
	// corrupt: see the package comment.
	NoSync bool
	// NoReadAhead tells the kernel that reads are at random, which helps where the
	// store is larger than memory.
	NoReadAhead bool
}

// WithDefaults returns o with every zero replaced by what Open takes for it.
func (o Options) WithDefaults() Options {
	if o.MapBytes == 0 {
		o.MapBytes = 64 << 30
	}
	return o
}
