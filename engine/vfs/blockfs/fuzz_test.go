package blockfs

import (
	"errors"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
)

// FuzzTable: no bytes panic, the checksums being right; what is taken for a table encodes to
// one that decodes to the same.
func FuzzTable(f *testing.F) {
	for _, files := range [][]entry{
		nil,
		{{"index", 100, []extent{{0, 7, 1}}}},
		{{"000001.wal", 1 << 20, []extent{{0, 8, 100}, {200, 0, 7}}}, {"a", 0, nil}},
	} {
		f.Add(encodeFiles(files))
	}
	f.Add([]byte{1, 'a', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{1, 'a', 1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1})
	f.Fuzz(func(t *testing.T, payload []byte) {
		h := header{unit: leastUnit, units: 1000, generation: 1, length: len(payload), check: checksum.Of(payload)}
		files, _, err := decodeFiles(h, payload)
		if err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again := encodeFiles(files)
		h.length, h.check = len(again), checksum.Of(again)
		if _, _, err := decodeFiles(h, again); err != nil {
			t.Fatalf("%+v: %v", files, err)
		}
	})
}

// FuzzHeader: no bytes panic, sealed or not.
func FuzzHeader(f *testing.F) {
	f.Add(header{unit: leastUnit, units: 1000, generation: 1}.encode(nil)[:sector], int64(leastBytes))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		for range 2 {
			h, err := decodeHeader(b, size)
			if err != nil && !errors.Is(err, engine.ErrCorrupt) && !errors.Is(err, engine.ErrUnsupported) {
				t.Fatal(err)
			}
			if err == nil && (h.units < 1 || dataStart+h.units*h.unit > size) {
				t.Fatalf("%+v of a device of %d bytes", h, size)
			}
			if len(b) < sector {
				return
			}
			copy(b, tableMagic)
			seal(b)
		}
	})
}
