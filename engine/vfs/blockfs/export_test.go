package blockfs

import "encoding/binary"

// LabelOfVersion and HeaderOfVersion return what a program of that version begins with.
func LabelOfVersion(v uint32) []byte { return ofVersion(encodeLabel()[:sector], v) }

func HeaderOfVersion(v uint32) []byte {
	h := header{unit: leastUnit, units: 1, generation: 1}
	return ofVersion(h.encode(nil)[:sector], v)
}

func ofVersion(b []byte, v uint32) []byte {
	binary.LittleEndian.PutUint32(b[8:], v)
	seal(b)
	return b
}
