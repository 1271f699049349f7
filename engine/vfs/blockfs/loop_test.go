package blockfs_test

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/blockfs"
	"github.com/orbit-persistence/orbit/internal/loopfs"
)

// loopDevice makes a device of the kernel, or skips the test.
func loopDevice(t *testing.T) string {
	t.Helper()
	k := loopfs.Raw(64 * mib)
	if why := k.Missing(); why != "" {
		t.Skip("SKIPPED, NOT VERIFIED HERE: " + why)
	}
	d, err := loopfs.New(t.Context(), t.TempDir(), k)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close(false)) })
	return d.Device()
}

func TestConformanceOnLoopDevice(t *testing.T) {
	name := loopDevice(t)
	conform(t, func(t *testing.T) (vfs.FS, string) {
		f, err := vfs.OS().Open(name, 0)
		must(t, err)
		_, err = f.WriteAt(make([]byte, mib), 0, vfs.Plain)
		must(t, errors.Join(err, f.Sync(), f.Close()))
		fsys := blockfs.New(vfs.OS(), name)
		t.Cleanup(func() { must(t, fsys.Close()) })
		return fsys, name
	})
}

// TestReadRing: a ring reads what ReadAt does, with what is not in one piece, holes and the
// end of the file among it.
func TestReadRing(t *testing.T) {
	name := loopDevice(t)
	fsys := blockfs.New(vfs.OS(), name)
	defer fsys.Close()
	ring, err := vfs.NewReadRing(fsys, 16)
	if errors.Is(err, engine.ErrUnsupported) {
		t.Skip("SKIPPED, NOT VERIFIED HERE: ", err)
	}
	must(t, err)
	const size = mib + 100
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i >> 8 * 7)
	}
	clear(want[mib/2 : mib/2+mib/4])
	f, err := fsys.Open(name+"/a", vfs.Create)
	must(t, err)
	other, err := fsys.Open(name+"/b", vfs.Create)
	must(t, err)
	for off := 0; off < size; off += mib / 8 { // in turn, so that neither is in one piece
		end := min(off+mib/8, size)
		if off < mib/2 || off >= mib/2+mib/4 {
			_, err = f.WriteAt(want[off:end], int64(off), vfs.Plain)
			must(t, err)
		}
		_, err = other.WriteAt([]byte{1}, int64(off), vfs.Plain)
		must(t, err)
	}
	direct, err := fsys.Open(name+"/a", vfs.Direct)
	must(t, err)
	var all sync.WaitGroup
	for c := range 4 {
		all.Go(func() {
			requests := make([]*vfs.Request, 8)
			for i := range 32 {
				for k := range requests {
					requests[k] = &vfs.Request{File: direct, Data: vfs.AlignedBuffer(4096*(1+k*3), 4096), Offset: int64((i*8 + k + c) % 257 * 4096)}
				}
				if err := ring.Read(requests...); err != nil {
					t.Error(err)
					return
				}
				for _, r := range requests {
					end := min(int(r.Offset)+len(r.Data), size)
					if r.File != direct || r.N != end-int(r.Offset) || r.Err != nil && (r.Err != io.EOF || end < size) || !bytes.Equal(r.Data[:r.N], want[r.Offset:end]) {
						t.Errorf("%d bytes at %d: %d, %v", len(r.Data), r.Offset, r.N, r.Err)
					}
				}
			}
		})
	}
	all.Wait()
	closed := &vfs.Request{File: direct, Data: vfs.AlignedBuffer(4096, 4096)}
	must(t, direct.Close())
	if err := ring.Read(closed); err != nil || !errors.Is(closed.Err, engine.ErrClosed) {
		t.Errorf("%v, %v", err, closed.Err)
	}
	must(t, errors.Join(f.Close(), other.Close(), ring.Close()))
}
