// Package checksum is the one checksum of all formats of Orbit: CRC32C, the
// Castagnoli polynomial, which processors compute in hardware. It finds every
// burst of up to 32 bits, and every error of up to 5 bits in a block of 4 KiB.
//
// Every verification goes through Matches, so that a build for tests can switch
// off one call site at a time and show that a test notices.
package checksum

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Of returns the checksum of the parts one after the other, as if they were one.
func Of(parts ...[]byte) uint32 {
	var sum uint32
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// Update returns the checksum of what sum covers and p behind it. The checksum
// of nothing is 0.
func Update(sum uint32, p []byte) uint32 { return crc32.Update(sum, castagnoli, p) }

// Matches reports whether the bytes that computed covers are those that stored
// was made of. Every verification of a stored checksum is a call of it.
func Matches(stored, computed uint32) bool { return stored == computed }
