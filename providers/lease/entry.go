package lease

import (
	"bytes"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// IsLease reports whether an entry of a provider is a lease that somebody holds, whether
// or not it has expired: for whoever goes through all that a provider has. An entry in a
// lease's place that is none is ErrCorrupt.
func IsLease(e providers.Entry) (bool, error) {
	if !bytes.HasPrefix(e.Key, []byte(leasePrefix)) {
		return false, nil
	}
	r, err := decodeRecord(e.Value)
	if err != nil {
		return false, driver.KeyError("decode lease", e.Key, err)
	}
	return !r.released, nil
}
