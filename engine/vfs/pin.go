package vfs

import "io"

// Layered is an FS whose files lie in files of another one.
type Layered interface {
	FS
	// Below returns that one.
	Below() FS
}

// Pinner is a File of a Layered FS, whose bytes a ReadRing of the FS below can read.
type Pinner interface {
	File
	// Pin returns the file of the FS below that has [off, off+n), and where in it that lies;
	// false if it is not in one piece, or not all within the file. With true it stays there
	// until Unpin, which is called once for each.
	Pin(off int64, n int) (f File, at int64, ok bool)
	Unpin()
}

// pin makes r a read of the file that has its bytes; false if it has to be read by ReadAt.
func (r *Request) pin() bool {
	p, ok := r.File.(Pinner)
	if !ok {
		return true
	}
	f, at, ok := p.Pin(r.Offset, len(r.Data))
	if ok {
		r.pinned, r.pinnedAt = p, r.Offset
		r.File, r.Offset = f, at
	}
	return ok
}

// unpin makes r again what it was before pin.
func (r *Request) unpin() {
	p := r.pinned
	if p == nil {
		return
	}
	r.File, r.Offset, r.pinned = p, r.pinnedAt, nil
	if r.Err != nil && r.Err != io.EOF {
		r.Err = NewError(opRead, p.Name(), r.Offset, r.Err)
	}
	p.Unpin()
}
