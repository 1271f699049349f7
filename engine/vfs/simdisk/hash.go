package simdisk

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// zeroSum is the hash of a page of zeros, and so of one that is not there.
var zeroSum = xxhash.Sum64(make([]byte, pageSize))

func (p *page) hash() uint64 {
	if p == nil {
		return zeroSum
	}
	sum := p.sum.Load()
	if sum == 0 {
		sum = xxhash.Sum64(p.data[:])
		p.sum.Store(sum)
	}
	return sum
}

// hash returns that of a file's length and content.
func (n *inode) hash() [16]byte {
	if known := n.sum.Load(); known != nil {
		return *known
	}
	var low, high xxhash.Digest
	low.ResetWithSeed(1)
	high.ResetWithSeed(2)
	var b [16]byte
	add := func(x, y uint64) {
		binary.LittleEndian.PutUint64(b[:], x)
		binary.LittleEndian.PutUint64(b[8:], y)
		low.Write(b[:])
		high.Write(b[:])
	}
	add(uint64(n.length), 0)
	for i, l := range n.leaves {
		if l == nil {
			continue
		}
		for j, p := range l.pages {
			if sum := p.hash(); sum != zeroSum {
				add(uint64(i*leafPages+j), sum)
			}
		}
	}
	sum := new([16]byte)
	binary.LittleEndian.PutUint64(sum[:], low.Sum64())
	binary.LittleEndian.PutUint64(sum[8:], high.Sum64())
	n.sum.Store(sum)
	return *sum
}

// Hash returns a hash of names, lengths and content as a running system sees
// them. Equal images have equal hashes, in every process. It is xxHash64 of the
// pages, and of those hashes with two seeds. Pages and files that did not change
// are not hashed again.
func (d *Disk) Hash() [16]byte {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	var h [2]xxhash.Digest
	for i := range h {
		h[i].ResetWithSeed(uint64(i))
	}
	var b []byte
	d.s.im.hash(rootID, func(name string, n *inode) {
		b = append(b[:0], byte(n.kind))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(name)))
		b = append(b, name...)
		if n.kind == vfs.Directory {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(n.entries)))
		} else {
			sum := n.hash()
			b = append(b, sum[:]...)
		}
		for i := range h {
			h[i].Write(b)
		}
	})
	var sum [16]byte
	for i := range h {
		binary.LittleEndian.PutUint64(sum[8*i:], h[i].Sum64())
	}
	return sum
}

// hash calls add for all below a directory, in order.
func (im *image) hash(dir inodeID, add func(name string, n *inode)) {
	for _, e := range im.inodes[dir].entries {
		n := im.inodes[e.id]
		add(e.name, n)
		if n.kind == vfs.Directory {
			im.hash(e.id, add)
		}
	}
}
