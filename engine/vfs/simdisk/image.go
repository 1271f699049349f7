package simdisk

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

const (
	pageSize   = 4096
	sectorSize = 512

	leafPages = 16
	leafBytes = leafPages * pageSize

	// maxLength bounds a file; beyond it a write is EFBIG.
	maxLength = 256 << 30
)

// inodeID numbers the files and directories of a disk and of the images made of
// it. It is never used again; 0 is none.
type inodeID int32

const rootID inodeID = 1

// image is the content of all devices at one moment. Images share what they have
// in common: an inode, a leaf or a page is changed in place only by the image
// whose token it carries, and copied first by every other.
type image struct {
	token uint64
	// inodes is indexed by inodeID; nil is a number that is not in use.
	inodes []*inode
}

// inode is a file, a raw device or a directory.
type inode struct {
	owner  uint64
	kind   vfs.Kind
	device int
	// mount marks the root of a device, which cannot be removed or renamed.
	mount bool

	// length is that of a file. Its pages hold zeros from there on.
	length int64
	// allocated counts the pages written or reserved.
	allocated int64
	leaves    []*leaf

	// entries are those of a directory, in ascending order.
	entries []entry

	sum atomic.Pointer[[16]byte] // of the content; nil if not known
}

type entry struct {
	name string
	id   inodeID
}

// leaf is a part of the page table.
type leaf struct {
	owner uint64
	// reserved has a bit for each page that takes space without being written.
	reserved uint16
	pages    [leafPages]*page // nil reads as zeros
}

type page struct {
	owner uint64
	sum   atomic.Uint64 // of data; 0 if not known
	data  [pageSize]byte
}

var tokens atomic.Uint64

func newToken() uint64 { return tokens.Add(1) }

// share lets others have what im consists of: from now on im copies it before a
// change, as they do.
func (im *image) share() { im.token = newToken() }

// clone returns an image with the same content. What im is cloned from may be
// used by others at the same time, im itself not.
func (im *image) clone() image {
	im.share()
	return image{token: newToken(), inodes: slices.Clone(im.inodes)}
}

// add puts a new inode at id.
func (im *image) add(id inodeID, kind vfs.Kind, device int) {
	for len(im.inodes) <= int(id) {
		im.inodes = append(im.inodes, nil)
	}
	im.inodes[id] = &inode{owner: im.token, kind: kind, device: device}
}

// own returns the inode for a change.
func (im *image) own(id inodeID) *inode {
	n := im.inodes[id]
	if n.owner != im.token {
		n = &inode{
			owner: im.token, kind: n.kind, device: n.device, mount: n.mount,
			length: n.length, allocated: n.allocated,
			leaves: slices.Clone(n.leaves), entries: slices.Clone(n.entries),
		}
		im.inodes[id] = n
		return n
	}
	n.sum.Store(nil)
	return n
}

// leaf returns the leaf with the page of that number for a change.
func (im *image) leaf(n *inode, number int64) *leaf {
	i := int(number / leafPages)
	for len(n.leaves) <= i {
		n.leaves = append(n.leaves, nil)
	}
	l := n.leaves[i]
	switch {
	case l == nil:
		l = &leaf{owner: im.token}
	case l.owner != im.token:
		l = &leaf{owner: im.token, reserved: l.reserved, pages: l.pages}
	}
	n.leaves[i] = l
	return l
}

// page returns the page of that number for a change; if whole, its content does
// not matter. n is owned.
func (im *image) page(n *inode, number int64, whole bool) *page {
	l, i := im.leaf(n, number), number%leafPages
	p := l.pages[i]
	switch {
	case p == nil:
		if l.reserved>>i&1 == 0 {
			n.allocated++
		}
		p = &page{owner: im.token}
		l.pages[i] = p
	case p.owner != im.token:
		old := p
		p = &page{owner: im.token}
		if !whole {
			p.data = old.data
		}
		l.pages[i] = p
	default:
		p.sum.Store(0)
	}
	return p
}

// peek returns the page of that number for reading; nil for zeros.
func (n *inode) peek(number int64) *page {
	if i := number / leafPages; i < int64(len(n.leaves)) && n.leaves[i] != nil {
		return n.leaves[i].pages[number%leafPages]
	}
	return nil
}

// read fills p from off; the caller minds the length.
func (n *inode) read(p []byte, off int64) {
	for len(p) > 0 {
		in := off % pageSize
		part := p[:min(int64(len(p)), pageSize-in)]
		if from := n.peek(off / pageSize); from != nil {
			copy(part, from.data[in:])
		} else {
			clear(part)
		}
		p, off = p[len(part):], off+int64(len(part))
	}
}

// write puts p at off; it does not change the length.
func (im *image) write(id inodeID, off int64, p []byte) {
	n := im.own(id)
	for len(p) > 0 {
		in := off % pageSize
		part := p[:min(int64(len(p)), pageSize-in)]
		to := im.page(n, off/pageSize, len(part) == pageSize)
		copy(to.data[in:], part)
		p, off = p[len(part):], off+int64(len(part))
	}
}

// zero makes [from, to) read as zeros and gives back the pages that lie in it.
func (im *image) zero(id inodeID, from, to int64) {
	n := im.inodes[id]
	to = min(to, int64(len(n.leaves))*leafBytes)
	if from >= to {
		return
	}
	n = im.own(id)
	for at := from; at < to; {
		number := at / pageSize
		if n.leaves[number/leafPages] == nil {
			at = (number/leafPages + 1) * leafBytes
			continue
		}
		end := min(to, (number+1)*pageSize)
		switch old := n.peek(number); {
		case end-at == pageSize:
			l, i := im.leaf(n, number), number%leafPages
			if old != nil || l.reserved>>i&1 == 1 {
				n.allocated--
			}
			l.pages[i] = nil
			l.reserved &^= 1 << i
		case old != nil:
			clear(im.page(n, number, false).data[at%pageSize:][:end-at])
		}
		at = end
	}
}

// end returns an offset from which on there are no pages.
func (n *inode) end() int64 { return int64(len(n.leaves)) * leafBytes }

// setLength sets the length and drops what lies beyond.
func (im *image) setLength(id inodeID, length int64) {
	n := im.own(id)
	n.length = length
	im.trim(id)
}

// trim drops what lies beyond the length, the reserved pages too.
func (im *image) trim(id inodeID) {
	n := im.inodes[id]
	if n.end() <= n.length {
		return
	}
	im.zero(id, n.length, n.end())
	n = im.own(id)
	n.leaves = n.leaves[:(n.length+leafBytes-1)/leafBytes]
}

// reserve takes space for the pages of [from, to).
func (im *image) reserve(id inodeID, from, to int64) {
	n := im.own(id)
	for number := from / pageSize; number*pageSize < to; number++ {
		l, i := im.leaf(n, number), number%leafPages
		if l.pages[i] == nil && l.reserved>>i&1 == 0 {
			l.reserved |= 1 << i
			n.allocated++
		}
	}
}

// missing counts the pages of [from, to) that have no space yet.
func (n *inode) missing(from, to int64) int64 {
	var count int64
	for number := from / pageSize; number*pageSize < to; number++ {
		if !n.has(number) {
			count++
		}
	}
	return count
}

// has reports whether the page of that number has space.
func (n *inode) has(number int64) bool {
	i := number / leafPages
	if i >= int64(len(n.leaves)) || n.leaves[i] == nil {
		return false
	}
	l := n.leaves[i]
	return l.pages[number%leafPages] != nil || l.reserved>>(number%leafPages)&1 == 1
}

func (n *inode) search(name string) (int, bool) {
	return slices.BinarySearchFunc(n.entries, name, func(e entry, name string) int { return strings.Compare(e.name, name) })
}

// lookup returns what name stands for in a directory; 0 if it is not there.
func (n *inode) lookup(name string) inodeID {
	if i, found := n.search(name); found {
		return n.entries[i].id
	}
	return 0
}

// assign makes name stand for id in directory dir; 0 removes it.
func (im *image) assign(dir inodeID, name string, id inodeID) {
	n := im.own(dir)
	i, found := n.search(name)
	switch {
	case found && id == 0:
		n.entries = slices.Delete(n.entries, i, i+1)
	case found:
		n.entries[i].id = id
	case id != 0:
		n.entries = slices.Insert(n.entries, i, entry{name, id})
	}
}

// sweep drops what no name leads to from the root and opens does not count, and
// returns the number of names of each inode. Of a directory with two names, which
// a rename between directories leaves that is half durable, it keeps the first in
// the order of the walk.
func (im *image) sweep(opens []int32) []int32 {
	links := make([]int32, len(im.inodes))
	links[rootID] = 1
	im.count(rootID, links)
	for id := range im.inodes {
		if links[id] == 0 && (id >= len(opens) || opens[id] == 0) {
			im.inodes[id] = nil
		}
	}
	return links
}

// count adds the names below a directory to links.
func (im *image) count(dir inodeID, links []int32) {
	n := im.inodes[dir]
	for i := 0; i < len(n.entries); i++ {
		e := n.entries[i]
		child := im.inodes[e.id]
		if child.kind == vfs.Directory && links[e.id] > 0 {
			im.assign(dir, e.name, 0)
			n = im.inodes[dir]
			i--
			continue
		}
		links[e.id]++
		if child.kind == vfs.Directory {
			im.count(e.id, links)
		}
	}
}
