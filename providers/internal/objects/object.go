package objects

import (
	"crypto/rand"
	"fmt"

	"github.com/orbit-persistence/orbit/providers/driver"
)

const (
	kindValue     = 1
	kindTombstone = 2

	headBytes      = 17 // of a value, before its bytes
	tombstoneBytes = 16
)

// encodeValue returns the object of a value: another one each time.
func encodeValue(value []byte) []byte {
	data := make([]byte, headBytes+len(value))
	data[0] = kindValue
	random(data[1:headBytes])
	copy(data[headBytes:], value)
	return data
}

// newTombstone returns an object that stands for none.
func newTombstone() []byte {
	data := make([]byte, tombstoneBytes)
	data[0] = kindTombstone
	random(data[1:])
	return data
}

// random fills p; crypto/rand does not fail.
func random(p []byte) { _, _ = rand.Read(p) }

// decode returns the value of an object; alive is false for a tombstone.
func decode(data []byte) (value []byte, alive bool, err error) {
	switch {
	case len(data) == tombstoneBytes && data[0] == kindTombstone:
		return nil, false, nil
	case len(data) >= headBytes && data[0] == kindValue:
		return data[headBytes:], true, nil
	}
	return nil, false, fmt.Errorf("%w: an object of %d bytes that this store has not written, or a newer version of it", driver.ErrCorrupt, len(data))
}
