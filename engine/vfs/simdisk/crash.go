package simdisk

// Fate is what becomes of a Unit at a power cut. A Length or a Name is kept or
// lost: every fate but Lost keeps it.
type Fate uint8

// The fates.
const (
	// Lost: nothing of it is there.
	Lost Fate = iota
	// Kept: all of it is there.
	Kept
	// Left: of a Write of two sectors or more, some at its start are there and
	// the rest is not; how many is the seed's choice. A smaller one is kept.
	Left
	// Right: likewise, some at its end. A Write of one sector is lost.
	Right
	// Garbage: some sectors of a Write, by the seed's choice, hold random bytes
	// where it wrote; the others are there. Bytes it did not write are not hurt.
	Garbage
)

// String returns "lost", "kept", "left", "right" or "garbage".
func (f Fate) String() string {
	return [...]string{"lost", "kept", "left", "right", "garbage", "fate(?)"}[min(f, Garbage+1)]
}

// Crash returns the disk after a power cut here, with a fate for each unit of
// Pending, in its order; units without one are lost. seed fixes what the fates
// leave open. Everything on the new disk is durable, its log is empty, it has
// the devices of the old one and none of its faults. It shares memory with the
// walk and with other disks, but may be used at the same time as they are.
func (w *Walk) Crash(fates []Fate, seed uint64) *Disk {
	im := w.durable.clone()
	for i := range w.pending[:min(len(fates), len(w.pending))] {
		if fates[i] == Lost {
			continue
		}
		u := &w.pending[i]
		switch u.kind {
		case Write:
			im.land(u, fates[i], mix(seed, uint64(u.event)))
		case Length:
			im.setLength(u.inode, u.length)
		case Name:
			for _, a := range u.names[:u.named] {
				im.assign(u.inode, a.name, a.id)
			}
		}
	}
	for i := range w.pending[:min(len(fates), len(w.pending))] {
		if u := &w.pending[i]; u.kind == Write && fates[i] != Lost {
			im.trim(u.inode)
		}
	}
	return w.origin.after(im, im.sweep(nil), seed)
}

// mix returns a hash of two numbers (the finalizer of SplitMix64: Steele, Lea,
// Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
func mix(a, b uint64) uint64 {
	x := a ^ (b+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// land does what a fate other than Lost leaves of a Write.
func (im *image) land(u *unit, fate Fate, random uint64) {
	whole := [1]span{u.all()}
	parts := u.parts
	if parts == nil {
		parts = whole[:]
	}
	if fate == Kept {
		for _, s := range parts {
			im.put(u, s)
		}
		return
	}
	var sectors uint64
	for _, s := range parts {
		sectors += uint64((s.to+sectorSize-1)/sectorSize - s.from/sectorSize)
	}
	if sectors == 0 {
		return
	}
	// Left has the sectors below cut, Right those from it on.
	cut := 1 + random%max(sectors-1, 1)
	spoilt := random % sectors // this one is garbage for certain
	var i uint64
	for _, s := range parts {
		for from := s.from; from < s.to; i++ {
			to := min(s.to, (from/sectorSize+1)*sectorSize)
			switch part := (span{from, to}); fate {
			case Left:
				if i < cut {
					im.put(u, part)
				}
			case Right:
				if i >= cut {
					im.put(u, part)
				}
			default:
				if r := mix(random, i); i == spoilt || r&1 == 1 {
					im.spoil(u.inode, part, r)
				} else {
					im.put(u, part)
				}
			}
			from = to
		}
	}
}

// put writes a range of a Write.
func (im *image) put(u *unit, s span) {
	if u.data == nil {
		im.zero(u.inode, s.from, s.to)
		return
	}
	im.write(u.inode, s.from, u.data[s.from-u.off:s.to-u.off])
}

// spoil fills a range of at most a sector with random bytes.
func (im *image) spoil(id inodeID, s span, random uint64) {
	var b [sectorSize]byte
	for i := range b {
		if i%8 == 0 {
			random = mix(random, uint64(i))
		}
		b[i] = byte(random >> (i % 8 * 8))
	}
	im.write(id, s.from, b[:s.to-s.from])
}

// after returns a disk with the devices of s and that content.
func (s *state) after(im image, links []int32, seed uint64) *Disk {
	t := newState(s.options, s.devices)
	t.options.Seed = seed
	t.base = im.inodes
	t.im = im.clone()
	t.links = links
	t.measure()
	return &Disk{s: t}
}
