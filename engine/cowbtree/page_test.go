package cowbtree

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// pageKeys are ways to make keys, by what they look like.
var pageKeys = map[string]func(r *rand.Rand) []byte{
	"short":  func(r *rand.Rand) []byte { return fmt.Appendf(nil, "%x", r.IntN(5000)) },
	"prefix": func(r *rand.Rand) []byte { return fmt.Appendf(nil, "all begin with this/%05d", r.IntN(90_000)) },
	// Heads are equal, and suffixes begin with zeros, or are nothing but them.
	"zeros": func(r *rand.Rand) []byte { return append(make([]byte, r.IntN(20)), byte(r.IntN(2))) },
	"heads": func(r *rand.Rand) []byte {
		return fmt.Appendf(nil, "%c%c%s", 'a'+r.IntN(2), 'a'+r.IntN(2), randomBytes(r, r.IntN(9), 2))
	},
	"bytes": func(r *rand.Rand) []byte { return randomBytes(r, r.IntN(12), 256) },
	"long": func(r *rand.Rand) []byte {
		return append(bytes.Repeat([]byte{'x'}, r.IntN(3)*1500), randomBytes(r, r.IntN(700), 3)...)
	},
	"largest": func(r *rand.Rand) []byte {
		return append(bytes.Repeat([]byte{'y'}, engine.MaxKeyBytes-5-r.IntN(2)), randomBytes(r, r.IntN(5), 4)...)
	},
}

func randomBytes(r *rand.Rand, n, of int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.IntN(of))
	}
	return b
}

// pageModel is what a page should hold, in order.
type pageModel struct {
	kind    byte
	entries []entry
}

func (m *pageModel) search(key []byte) (int, bool) {
	list := m.entries
	from := 0
	if m.kind == kindInner && len(list) > 0 {
		list, from = list[1:], 1
	}
	i, found := slices.BinarySearchFunc(list, key, func(e entry, key []byte) int { return bytes.Compare(e.key, key) })
	return i + from, found
}

func (m *pageModel) insert(i int, e entry) { m.entries = slices.Insert(m.entries, i, e) }

// mustHold compares a page with the model, in all ways to look at it.
func (m *pageModel) mustHold(t *testing.T, what string, b []byte, keys func() []byte) {
	t.Helper()
	image := b[:u32(b, atSize)]
	if err := checkPage(image); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if _, err := checkContent(image, nil, nil); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if n := pageCount(b); n != len(m.entries) {
		t.Fatalf("%s: %d entries, want %d", what, n, len(m.entries))
	}
	var scratch []byte
	for i, want := range m.entries {
		var got entry
		got, scratch = entryAt(b, i, scratch[:0])
		if m.kind == kindInner && i == 0 {
			want.key = nil
		}
		if !bytes.Equal(got.key, want.key) || !bytes.Equal(got.value, want.value) || got.extent != want.extent || got.child != want.child {
			t.Fatalf("%s: entry %d of %d is %.40q, want %.40q", what, i, len(m.entries), got.key, want.key)
		}
	}
	for i := range 30 {
		key := keys()
		if n := len(m.entries); i%2 == 0 && n > 0 {
			key = m.entries[i*7919%n].key
		}
		at, found := m.search(key)
		if m.kind == kindInner {
			if !found {
				at--
			}
			if got, ok := childFor(b, key); !ok || got != at {
				t.Fatalf("%s: the child of %.40q is %d, %v, want %d", what, key, got, ok, at)
			}
			continue
		}
		if got, exact, ok := lowerBound(b, key); !ok || got != at || exact != found {
			t.Fatalf("%s: the place of %.40q is %d, %v, %v, want %d, %v", what, key, got, exact, ok, at, found)
		}
		value, extent, there, ok := findInLeaf(b, key, fingerprint(key))
		if !ok || there != found || found && (!bytes.Equal(value, m.entries[at].value) || extent != m.entries[at].extent) {
			t.Fatalf("%s: %.40q is found: %v, %v, want %v", what, key, there, ok, found)
		}
	}
}

// randomEntry makes an entry of that kind.
func randomEntry(r *rand.Rand, kind byte, key []byte) entry {
	e := entry{key: key}
	switch {
	case kind == kindInner:
		e.child = ref{id: r.Uint64(), birth: r.Uint64N(1 << 56), flags: byte(r.IntN(2)), sum: r.Uint32(), hint: r.Uint32()}
	case r.IntN(10) == 0:
		e.extent, e.value = true, extentRef{id: r.Uint64(), bytes: r.Uint32(), sum: r.Uint32(), birth: r.Uint64()}.appendTo(nil)
	default:
		e.value = randomBytes(r, r.IntN(r.IntN(200)+1), 256)
	}
	return e
}

// TestPages changes pages of every size and kind, and compares them with a model.
func TestPages(t *testing.T) {
	for name, make := range pageKeys {
		for _, kind := range []byte{kindLeaf, kindInner} {
			t.Run(fmt.Sprintf("%s/%d", name, kind), func(t *testing.T) {
				t.Parallel()
				for size := minPageBytes; size <= maxPageBytes; size *= 4 {
					r := rand.New(rand.NewPCG(uint64(size), uint64(kind)))
					rounds, steps := 2, 100
					if name == "largest" {
						rounds, steps = 1, 15
					}
					if raceEnabled { // one goroutine, and each step looks at all of the page
						rounds = 1
					}
					for range rounds {
						changePage(t, r, kind, size, steps, func() []byte { return make(r) })
					}
				}
			})
		}
	}
}

// fill makes a page of size bytes, of as many entries as fit, up to some number, and
// the model of it.
func fill(r *rand.Rand, kind byte, size, most int, keys func() []byte) ([]byte, *pageModel) {
	m := &pageModel{kind: kind}
	level := 0
	if kind == kindInner {
		level = 3
		m.entries = []entry{randomEntry(r, kind, nil)}
	}
	for range r.IntN(most) {
		key := keys()
		i, found := m.search(key)
		if found {
			continue
		}
		m.insert(i, randomEntry(r, kind, key))
		if builtBytes(kind, m.entries, shiftFor(size)) > size {
			m.entries = slices.Delete(m.entries, i, i+1)
			break
		}
	}
	b := randomBytes(r, size, 256)
	build(b, kind, level, m.entries)
	return b, m
}

func changePage(t *testing.T, r *rand.Rand, kind byte, size, steps int, keys func() []byte) {
	t.Helper()
	b, m := fill(r, kind, size, 200, keys)
	m.mustHold(t, "built", b, keys)
	changed, full := 0, 0
	for step := range steps {
		what := fmt.Sprintf("%d bytes, step %d", size, step)
		key := keys()
		i, found := m.search(key)
		before := bytes.Clone(b)
		switch op := r.IntN(10); {
		case op < 6 && kind == kindLeaf:
			e := randomEntry(r, kind, key)
			if !hasRoom(b, i, found, key, len(e.value), e.extent, 1<<16-1) {
				full++
				if !bytes.Equal(b, before) {
					t.Fatalf("%s: hasRoom changed the page", what)
				}
				break
			}
			putInLeaf(b, i, found, key, e.value, e.extent)
			if changed++; found {
				m.entries[i] = e
			} else {
				m.insert(i, e)
			}
		case op < 5:
			if found {
				e := randomEntry(r, kind, m.entries[i].key)
				setChild(b, i, e.child)
				m.entries[i] = e
				break
			}
			e := randomEntry(r, kind, key)
			if !hasRoomForChild(b, key, 1<<16-1) {
				full++
				break
			}
			insertChild(b, i, key, e.child)
			changed++
			m.insert(i, e)
		case op < 8:
			least := 0
			if kind == kindInner {
				least = 1
			}
			if n := len(m.entries); n > least {
				i := least + r.IntN(n-least)
				if kind == kindLeaf {
					removeFromLeaf(b, i)
				} else {
					removeChild(b, i)
				}
				m.entries = slices.Delete(m.entries, i, i+1)
			}
		case op == 8:
			dst := randomBytes(r, minPageBytes<<r.IntN(classes), 256)
			held := bytes.Clone(dst)
			if copyPage(dst, b) {
				m.mustHold(t, what+": copied", dst, keys)
				if len(dst) >= len(b) {
					b = dst
				}
			} else if !bytes.Equal(dst, held) {
				t.Fatalf("%s: copyPage changed the page, and says that it did not", what)
			}
		default:
			image := pack(nil, b)
			if len(image) > roundTo(liveBytes(b)+8, 3) {
				t.Fatalf("%s: packed to %d bytes; there are %d that count", what, len(image), liveBytes(b))
			}
			if kind == kindInner {
				for i := range pageCount(image) {
					if childAt(image, i).hint != 0 {
						t.Fatalf("%s: packed with the hint of child %d", what, i)
					}
				}
			}
			if u32(image, atGarbage) != 0 {
				t.Fatalf("%s: packed with garbage", what)
			}
			n := len(m.entries)
			held := slices.Clone(m.entries)
			for i := range held {
				held[i].child.hint = 0
			}
			(&pageModel{kind, held}).mustHold(t, what+": packed", image, keys)
			// As a page that is read again: its size is less than that of its frame.
			frame := make([]byte, minPageBytes<<frameClass(len(image)))
			copy(frame, image)
			(&pageModel{kind, held}).mustHold(t, what+": read again", frame, keys)
			if len(frame) >= len(b) && r.IntN(2) == 0 {
				b, m.entries = frame, held
			}
			if n != len(m.entries) {
				t.Fatal(what)
			}
		}
		m.mustHold(t, what, b, keys)
	}
	if changed+full == 0 {
		t.Errorf("%d bytes: nothing was put", size)
	}
}

// TestRecords reads what was written, at the lengths where the lengths' lengths
// change.
func TestRecords(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, key := range []int{0, 1, 126, 127, 128, 129, 16383, 16384, 65535, 65536} {
		for _, size := range []int{0, 1, 125, 126, 127, 128, 16382, 16383, 16384} {
			suffix, value := randomBytes(r, key, 256), randomBytes(r, size, 256)
			n := recordBytes(key, size, false)
			b := randomBytes(r, headerBytes+n, 256)
			putRecord(b, headerBytes, suffix, value, false)
			s, v, extent, ok := record(b, headerBytes)
			if !ok || extent || !bytes.Equal(s, suffix) || !bytes.Equal(v, value) {
				t.Errorf("%d bytes, %d bytes: read as %d, %d, %v, %v", key, size, len(s), len(v), extent, ok)
			}
			// Whatever is cut off, it is not there.
			for _, cut := range []int{1, n / 2, n} {
				if _, _, _, ok := record(b[:len(b)-cut], headerBytes); ok && cut > 0 {
					t.Errorf("%d bytes, %d bytes: cut by %d it is a record", key, size, cut)
				}
			}
		}
		place := extentRef{id: 1, bytes: 2, sum: 3, birth: 4}
		b := make([]byte, headerBytes+recordBytes(key, extentBytes, true))
		putRecord(b, headerBytes, randomBytes(r, key, 256), place.appendTo(nil), true)
		if s, v, extent, ok := record(b, headerBytes); !ok || !extent || len(s) != key || readExtentRef(v) != place {
			t.Errorf("%d bytes, and a value elsewhere: %d, %v, %v", key, len(s), extent, ok)
		}
	}
}

// TestHash pins the hash of which leaves keep a byte: it is part of the format.
func TestHash(t *testing.T) {
	for key, want := range map[string]uint64{"": 0x1ff5c2923a788d2c, "a": 0x68377a570959786f, "12345678": 0xd567cfd309fe69eb, "123456789": 0xa102ba109050609f, "a key that is longer than most are": 0x1d50d805b4b11af0} {
		if got := hash([]byte(key)); got != want {
			t.Errorf("%q: %#x, want %#x", key, got, want)
		}
	}
}
