package flash

import (
	"errors"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/wal"

	"encoding/binary"
)

// FuzzLeaves: no bytes panic; what is taken for leaves is sound, and can be walked.
func FuzzLeaves(f *testing.F) {
	l := buildLeaf(1, []entry{{[]byte("key 1"), location{1, 2, 3, 4}}, {[]byte("key 2"), location{5, 6, 7, 8}}}, nil, 0)
	f.Add(l.bytes()[leafImage:])
	f.Fuzz(func(t *testing.T, p []byte) {
		leaves, err := decodeLeaves(p)
		if err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		for _, l := range leaves {
			s := l.shape()
			for i := range int(l.n) {
				key := l.appendKey(nil, &s, i)
				if at, found := l.search(key); !found || at != i {
					t.Fatalf("entry %d is found at %d, %v", i, at, found)
				}
			}
		}
	})
}

// FuzzIndex: no bytes panic, the checksums being right.
func FuzzIndex(f *testing.F) {
	f.Add((&summary{nextFamily: 3, families: map[string]engine.FamilyID{"a": 1}, segments: []segmentSummary{{1, 2, 3, 4}}}).encode(),
		buildLeaf(1, []entry{{[]byte("\x00key"), location{1, 2, 3, 4}}}, nil, 0).bytes()[leafImage:])
	f.Fuzz(func(t *testing.T, first, leaves []byte) {
		h := header{store: 1, sequence: 2, commit: 2, entries: 1, paths: 1}
		if _, _, _, err := decodeIndex(sealed(h, first, leaves), true); err != nil && !errors.Is(err, engine.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

// sealed returns a checkpoint of two parts and an end, with the right checksums.
func sealed(h header, first, leaves []byte) []byte {
	data := h.encode()
	for i, p := range [][]byte{first, leaves, nil} {
		data = binary.LittleEndian.AppendUint32(data, uint32(len(p)))
		data = binary.LittleEndian.AppendUint32(data, h.seal(p, i))
		data = append(data, p...)
		if i == 1 && len(p) == 0 {
			break
		}
	}
	return data
}

// TestLeavesOutOfOrder: leaves of which one does not begin behind the other are ErrCorrupt,
// those of the empty key too.
func TestLeavesOutOfOrder(t *testing.T) {
	first := (&summary{nextFamily: 1}).encode()
	for _, keys := range [][2]string{{"", ""}, {"a", ""}, {"a", "a"}, {"b", "a"}} {
		var leaves []byte
		for _, key := range keys {
			leaves = append(leaves, buildLeaf(1, []entry{{[]byte(key), location{1, 2, 3, 4}}}, nil, 0).bytes()[leafImage:]...)
		}
		if _, _, _, err := decodeIndex(sealed(header{store: 1, sequence: 2, commit: 2, entries: 2, paths: 1}, first, leaves), true); !errors.Is(err, engine.ErrCorrupt) {
			t.Errorf("leaves of %q: %v", keys, err)
		}
	}
}

// FuzzRecord: no payload panics when it is replayed, and what is refused is ErrCorrupt.
func FuzzRecord(f *testing.F) {
	var b engine.Batch
	b.Put([]byte("key"), make([]byte, 100))
	b.DeleteIn(7, []byte("other"))
	b.DeleteRange([]byte("a"), []byte("b"))
	f.Add(b.Encoded())
	packed, _, err := new(encoder).encode(&b, LZ4, new(tries))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add(appendMove([]byte{recordOther, recordMoves}, []byte("\x00key"), location{}, []byte("value")))
	f.Add([]byte{recordOther, recordFamily, 1, 'f'})
	f.Add([]byte{recordOther, recordNoFamily, 1})
	f.Add(append([]byte{recordOther, recordPart, 0, 0, 0, 0, 0, 0, 0, 0}, packed[2:]...))
	f.Add([]byte{recordOther, recordLoad, 1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		e := newEngine(Options{Paths: []string{"/data"}, Inline: true, IODepth: 1})
		if err := e.replay(wal.Record{Sequence: 1, Payload: p, Place: wal.Place{Slot: 1, Segment: 1, Offset: 4104}}); err != nil && !errors.Is(err, engine.ErrCorrupt) {
			t.Fatal(err)
		}
		if text, ok := DescribeRecord(p); ok && text == "" {
			t.Fatal("a record is described by nothing")
		}
	})
}

// FuzzUnpack: no bytes panic or take more memory than a value may have.
func FuzzUnpack(f *testing.F) {
	for _, c := range []Compression{LZ4, Zstd} {
		out, _, how, err := pack(nil, make([]byte, 1000), c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(out, uint8(how))
	}
	f.Fuzz(func(t *testing.T, p []byte, how uint8) {
		if size, _ := binary.Uvarint(p); size > 1<<24 {
			return // a large value is none of a test's business
		}
		out, err := appendUnpacked([]byte("before"), p, codec(how))
		if err != nil && !errors.Is(err, engine.ErrCorrupt) || string(out[:6]) != "before" {
			t.Fatalf("%q, %v", out[:6], err)
		}
		_ = checksum.Of(out)
	})
}
