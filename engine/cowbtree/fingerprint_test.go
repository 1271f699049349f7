package cowbtree

import (
	"fmt"
	"testing"
)

// TestFingerprintsDiffer: a byte of the hash tells keys apart, short ones too, else a
// get compares the key with every entry of its leaf.
func TestFingerprintsDiffer(t *testing.T) {
	for _, format := range []string{"%04d", "k%05d", "%07d", "%08d", "%09d", "key %d", "a longer key than that %d"} {
		seen := map[byte]int{}
		most := 0
		for i := range 1000 {
			f := fingerprint(fmt.Appendf(nil, format, i*7))
			seen[f]++
			most = max(most, seen[f])
		}
		if len(seen) < 200 || most > 30 {
			t.Errorf("1000 keys like %q have %d fingerprints; %d have the same", fmt.Sprintf(format, 7), len(seen), most)
		}
	}
}
