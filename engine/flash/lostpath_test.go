package flash_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// patience is how long a test that fails waits for what does not come.
const patience = time.Minute

// until waits for a change of the paths after which something is so.
func until(t *testing.T, e *flash.Engine, what string, is func() bool) {
	t.Helper()
	vain := time.After(patience)
	for {
		changed := e.PathsChanged()
		if is() {
			return
		}
		select {
		case <-changed:
		case <-vain:
			t.Fatalf("in vain: %s; %+v", what, e.Paths())
		}
	}
}

// TestReadsThatHang: gets and scans go on while reads of one path do not come back, and
// that path counts no more, although each of them had the answer of the other.
func TestReadsThatHang(t *testing.T) {
	for _, scan := range []bool{false, true} {
		d := twoDevices(t, 7)
		e := mustOpen(t, d, onPaths(false))
		put(t, e, 0, 300)
		hang := d.Inject(simdisk.Fault{Path: "/two/data/*", Op: simdisk.OpRead, Effect: simdisk.Hang, Sticky: true})
		done := make(chan struct{})
		go func() { // it ends when the reads are done, or the path answers again
			defer close(done)
			for inSync(e) == 2 {
				if !scan {
					wantAll(t, e, 300)
					continue
				}
				it, err := e.NewIterator(engine.IterOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				n := 0
				for ok := it.First(); ok; ok = it.Next() {
					if v, err := it.Value(); err != nil || string(v) != string(valueOf(n)) {
						t.Errorf("scan at %d: %d bytes, %v", n, len(v), err)
					}
					n++
				}
				if err := it.Close(); err != nil || n != 300 {
					t.Errorf("%d keys, %v", n, err)
				}
			}
		}()
		select {
		case <-done:
		case <-time.After(patience):
			t.Errorf("the path that hangs is not lost: %+v", e.Paths())
		}
		if p := e.Paths()[1]; p.InSync || p.Cause == nil || hang.Fired() == 0 {
			t.Errorf("the path that hangs: %+v; %d reads hang", p, hang.Fired())
		}
		hang.Remove()
		until(t, e, "that it is brought level", func() bool { return inSync(e) == 2 })
		closed(t, e)
	}
}

// countingFS counts the files that are open below a directory.
type countingFS struct {
	vfs.FS
	dir    string
	open   atomic.Int64
	closed chan struct{} // has room for one that tells of a file that was closed
}

func (c *countingFS) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	f, err := c.FS.Open(name, flags)
	if err != nil || !strings.HasPrefix(name, c.dir) {
		return f, err
	}
	c.open.Add(1)
	return &countedFile{f, c}, nil
}

type countedFile struct {
	vfs.File
	fs *countingFS
}

func (f *countedFile) Close() error {
	err := f.File.Close()
	f.fs.open.Add(-1)
	select {
	case f.fs.closed <- struct{}{}:
	default:
	}
	return err
}

// TestLostPathIsLetGo: nothing stays open in a path that was lost, so that its file system
// can be unmounted while the store goes on.
func TestLostPathIsLetGo(t *testing.T) {
	d := twoDevices(t, 8)
	c := &countingFS{FS: d, dir: "/two", closed: make(chan struct{}, 1)}
	e := mustOpen(t, c, onPaths(false))
	put(t, e, 0, 300)
	wantAll(t, e, 300)
	if c.open.Load() == 0 {
		t.Fatal("nothing was open: nothing is tested")
	}
	if err := d.Vanish("/two"); err != nil {
		t.Fatal(err)
	}
	put(t, e, 300, 310)
	vain := time.After(patience)
	for c.open.Load() > 0 {
		select {
		case <-c.closed:
		case <-vain:
			t.Fatalf("%d files stay open", c.open.Load())
		}
	}
	closed(t, e)
}

// TestForcedStoreForgetsTheOther: what a path that had gone on alone, and was passed over by
// force, says of its own records counts no more once it was brought level.
func TestForcedStoreForgetsTheOther(t *testing.T) {
	d := twoDevices(t, 9)
	o := onPaths(true)
	e := mustOpen(t, d, o)
	for range 4 {
		put(t, e, 0, 300)
	}
	if err := d.Vanish("/two"); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		put(t, e, 0, 300)
	}
	closed(t, e)
	if err := d.Vanish("/one"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Return("/two"); err != nil {
		t.Fatal(err)
	}
	o.Force = true
	e = mustOpen(t, d, o)
	put(t, e, 0, 10)
	closed(t, e)
	if _, err := d.Return("/one"); err != nil {
		t.Fatal(err)
	}
	o.Force = false
	for range 2 {
		e = mustOpen(t, d, o)
		wantAll(t, e, 300)
		if n := inSync(e); n != 2 {
			t.Fatalf("%d paths count", n)
		}
		closed(t, e)
	}
	o.Force = true
	for _, away := range []string{"/two", "/one"} {
		if err := d.Vanish(away); err != nil {
			t.Fatal(err)
		}
		e = mustOpen(t, d, o)
		wantAll(t, e, 300)
		closed(t, e)
		if _, err := d.Return(away); err != nil {
			t.Fatal(err)
		}
	}
}

// TestResyncBesideFlushes: a path is lost and brought level again and again while many
// commits are flushed.
func TestResyncBesideFlushes(t *testing.T) {
	d := twoDevices(t, 10)
	o := onPaths(false)
	o.Timeout = time.Minute // a busy machine is no failing path
	o.Fill = 0.1            // so that writers do not wait for cleaning
	e := mustOpen(t, d, o)
	stop := make(chan struct{})
	ended := make(chan error, 4)
	for w := range 4 {
		go func() { // it ends at stop
			for i := w; ; i += 4 {
				select {
				case <-stop:
					ended <- nil
					return
				default:
				}
				var b engine.Batch
				b.Put(keyOf(i%400), valueOf(i%400))
				if err := e.Apply(context.Background(), &b, engine.Flushed); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	for range 2 {
		if err := d.Vanish("/two"); err != nil {
			t.Fatal(err)
		}
		until(t, e, "that the path is lost", func() bool { return inSync(e) == 1 })
		if _, err := d.Return("/two"); err != nil {
			t.Fatal(err)
		}
		until(t, e, "that the path is brought level", func() bool { return inSync(e) == 2 })
	}
	close(stop)
	for range 4 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	closed(t, e)
}
