package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// sealHead makes the checksum of a header right, so that fuzzing gets behind it.
func sealHead(head []byte, at int) {
	binary.LittleEndian.PutUint32(head[at+headerBytes-4:], checksum.Of(head[at:at+headerBytes-4]))
}

// FuzzDecodeHead: a head is refused or as it was written, whatever its fields say.
func FuzzDecodeHead(f *testing.F) {
	for _, h := range []header{
		{unit: leastUnit, id: 1, generation: 1, number: 1, first: 1, method: Direct},
		{unit: headBytes, id: math.MaxUint64, generation: math.MaxUint64, number: math.MaxUint64, first: math.MaxUint64, durable: math.MaxUint64},
		{unit: 0}, {unit: 1 << 31}, {unit: 513, number: 7},
	} {
		head := make([]byte, headBytes)
		h.encode(head)
		f.Add(head, false)
		f.Add(head[:headerBytes], true)
		f.Add(head[:headerBytes-1], false)
	}
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		head := bytes.Clone(data)
		for _, at := range []int{0, copyOffset} {
			if seal && len(head) >= at+headerBytes {
				sealHead(head, at)
			}
		}
		h, ok, err := decodeHead(head, 1)
		switch {
		case err != nil && !errors.Is(err, engine.ErrCorrupt) && !errors.Is(err, engine.ErrUnsupported):
			t.Fatal(err)
		case err != nil || !ok:
			return
		}
		again := make([]byte, headBytes)
		h.encode(again)
		if got, ok, err := decodeHead(again, 1); got != h || !ok || err != nil {
			t.Fatalf("%+v is read again as %+v, %v, %v", h, got, ok, err)
		}
	})
}

// FuzzDecodeMark: likewise for marks.
func FuzzDecodeMark(f *testing.F) {
	for _, m := range []mark{{}, {id: 1, seed: 2, offset: headBytes, sequence: 3, durable: 2, closed: true}, {offset: math.MaxInt64, sequence: math.MaxUint64, durable: math.MaxUint64}} {
		b := make([]byte, markBytes)
		m.encode(b)
		f.Add(b, false)
		f.Add(b[:markBytes-1], false)
		b = bytes.Clone(b)
		b[30] ^= 1
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		b := bytes.Clone(data)
		if seal && len(b) >= markBytes {
			binary.LittleEndian.PutUint32(b, checksum.Of(b[recordHeader:markBytes]))
		}
		m, ok := decodeMark(b)
		if !ok {
			return
		}
		again := make([]byte, markBytes)
		m.encode(again)
		if !bytes.Equal(again, b[:markBytes]) {
			t.Fatalf("%+v is written again as % x, and was % x", m, again, b[:markBytes])
		}
	})
}

// content is a source of bytes that are all there.
func content(data []byte) *source {
	src := newSource("content", data)
	src.filled = len(data)
	return src
}

// FuzzScanner parses arbitrary bytes behind a whole group. What was written is
// replayed unless it was hit, and nothing else is.
func FuzzScanner(f *testing.F) {
	const unit = leastUnit
	h := header{unit: unit, id: 1, generation: 1, number: 1, first: 10, salt: 5}
	segment := make([]byte, headBytes, headBytes+unit)
	h.encode(segment)
	m := mark{id: h.id, seed: h.seed(), offset: headBytes, sequence: h.first, durable: 9}
	segment = append(segment, make([]byte, markBytes)...)
	m.encode(segment[headBytes:])
	want := [][]byte{[]byte("one"), nil, bytes.Repeat([]byte{7}, 100)}
	for i, p := range want {
		segment = appendRecord(segment, p, checksum.Of(p), h.seed(), int64(len(segment)), h.first+uint64(i))
	}
	whole := len(segment)
	f.Add([]byte{}, uint16(0))
	f.Add([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, uint16(whole)) // the longest record there can be
	f.Add([]byte{1, 0, 0, 0, 0xfd, 0xff, 0xff, 0xff}, uint16(headBytes+markBytes))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0}, uint16(whole))
	f.Add(segment[headBytes:headBytes+markBytes], uint16(whole))
	f.Add(segment[headBytes:], uint16(headBytes+unit))
	f.Fuzz(func(t *testing.T, garbage []byte, at uint16) {
		data := append(bytes.Clone(segment), make([]byte, 2*unit)...)
		if int(at) < len(data) {
			copy(data[at:], garbage)
		}
		hit := !bytes.Equal(data[headBytes:whole], segment[headBytes:])
		scan := newScanner(h, 0)
		n := 0
		err := scan.run(content(data), 0, func(r Record) error {
			if n >= len(want) || r.Sequence != h.first+uint64(n) || !bytes.Equal(r.Payload, want[n]) {
				t.Fatalf("record %d is %q", r.Sequence, r.Payload)
			}
			n++
			return nil
		})
		if err != nil || !hit && n != len(want) || scan.off > len(data) || scan.sequence != h.first+uint64(n) {
			t.Fatalf("%d records, %v; the scanner is %+v", n, err, scan)
		}
		if _, err := claims(content(data), 0, scan.off); err != nil {
			t.Fatal(err)
		}
	})
}

// TestAbsurdHeads opens logs whose only head is whole and cannot be true.
func TestAbsurdHeads(t *testing.T) {
	for _, h := range []header{
		{unit: leastUnit, number: math.MaxUint64, first: 1},
		{unit: leastUnit, number: 1, first: 0},
		{unit: leastUnit, number: 1, first: math.MaxUint64, previous: 1},
		{unit: leastUnit, number: 1, first: 1, durable: math.MaxUint64},
		{unit: headBytes, number: 1, previous: 1, first: 2, generation: math.MaxUint64},
		{unit: 3, number: 1, first: 1},
	} {
		d := diskWith(t, "/log")
		f, err := d.Open("/log/000001.wal", vfs.Create)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 4*headBytes)
		h.encode(head[:headBytes])
		if _, err := f.WriteAt(head, 0, vfs.Plain); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := Open(context.Background(), Options{FS: d, Sinks: []string{"/log"}, Inline: true}, 0, func(Record) error {
			t.Errorf("%+v: a record", h)
			return nil
		})
		if err == nil {
			err = l.Close()
		}
		if err != nil && !errors.Is(err, engine.ErrCorrupt) {
			t.Errorf("%+v: %v", h, err)
		}
	}
}
