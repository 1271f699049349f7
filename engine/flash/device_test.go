package flash_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/internal/loopfs"
)

// loopDevice makes a loop device, or skips the test.
func loopDevice(t *testing.T, size int64) *loopfs.Disk {
	t.Helper()
	k := loopfs.Raw(size)
	if why := k.Missing(); why != "" {
		t.Skip("SKIPPED, NOT VERIFIED HERE: " + why)
	}
	d, err := loopfs.New(t.Context(), t.TempDir(), k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(false); err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestLoopDevices: a store on two devices of the kernel, of which one is replaced; a second
// opener is refused.
func TestLoopDevices(t *testing.T) {
	one, two := loopDevice(t, 256<<20), loopDevice(t, 256<<20)
	o := flash.Options{Paths: []string{one.Device(), two.Device()}, SegmentBytes: 1 << 20, CacheBytes: -1, Timeout: time.Minute}
	ctx := context.Background()
	e := mustOpen(t, nil, o)
	put(t, e, 0, 500)
	wantAll(t, e, 500)
	if u, err := e.DiskUsage(); err != nil || u.FileSystem != "blockfs" {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := openPaths(nil, o); !errors.Is(err, engine.ErrLocked) {
		t.Fatalf("a second opener: %v", err)
	}
	// Reads beside each other go by a ring, where the kernel has one.
	done := make(chan error, 16)
	for i := range cap(done) {
		go func() {
			var err error
			for k := i; k < 500 && err == nil; k += 3 {
				var got []byte
				if got, err = e.Get(keyOf(k), nil); err == nil && !bytes.Equal(got, valueOf(k)) {
					err = fmt.Errorf("get %d: %d bytes", k, len(got))
				}
			}
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Log("reads beside each other: ", e.Metrics().Other["io_uring"])
	closed(t, e)
	if list, err := flash.Status(ctx, vfs.OS(), o.Paths); err != nil || !list[0].InSync || !list[1].InSync {
		t.Fatalf("status: %+v, %v", list, err)
	}
	for _, p := range o.Paths {
		var text bytes.Buffer
		if err := flash.Inspect(ctx, vfs.OS(), p, &text); err != nil || !strings.Contains(text.String(), "500 entries") {
			t.Fatalf("inspect %s: %v\n%s", p, err, text.String())
		}
	}
	// Another device in the place of the second one.
	f, err := os.OpenFile(two.Device(), os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(make([]byte, 1<<20), 0)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openPaths(nil, o); err == nil || !strings.Contains(err.Error(), two.Device()) {
		t.Fatalf("a path that counted is empty: %v", err)
	}
	o.Force, o.ResyncRate = true, -1
	e = mustOpen(t, nil, o)
	for inSync(e) < 2 {
		put(t, e, 0, 1) // what resyncs is the background
	}
	if r, err := e.Scrub(ctx, nil); err != nil || r.Repaired != 0 {
		t.Fatalf("scrub: %+v, %v", r, err)
	}
	wantAll(t, e, 500)
	closed(t, e)
}

var twoRaw = []string{"/dev/one", "/dev/two"}

func rawDevices(seed uint64) *simdisk.Disk {
	return simdisk.New(simdisk.Options{Seed: seed, Devices: []simdisk.Device{
		{Path: twoRaw[0], Capacity: 64 << 20, Raw: true}, {Path: twoRaw[1], Capacity: 64 << 20, Raw: true},
	}})
}

func onRaw() flash.Options {
	o := onPaths(true)
	o.Paths = twoRaw
	return o
}

// TestDeviceIsMirrored: one of two devices goes, comes back and is brought level, by itself
// and after it was zeroed; each then has everything.
func TestDeviceIsMirrored(t *testing.T) {
	d := rawDevices(1)
	e := mustOpen(t, d, onRaw())
	put(t, e, 0, 100)
	if err := d.Vanish(twoRaw[1]); err != nil {
		t.Fatal(err)
	}
	put(t, e, 100, 200)
	if n := inSync(e); n != 1 {
		t.Fatalf("%d paths count, and one is away", n)
	}
	if _, err := d.Return(twoRaw[1]); err != nil {
		t.Fatal(err)
	}
	put(t, e, 200, 300)
	if n := inSync(e); n != 2 {
		t.Fatalf("%d paths count: %+v", n, e.Paths())
	}
	wantAll(t, e, 300)
	closed(t, e)
	onlyOther(t, d, 0, 300)

	f, err := d.Open(twoRaw[0], 0)
	if err == nil {
		_, err = f.WriteAt(make([]byte, 1<<20), 0, vfs.Plain)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	o := onRaw()
	o.Force = true
	e = mustOpen(t, d, o)
	if n := inSync(e); n != 2 {
		t.Fatalf("%d paths count after a rebuild: %+v", n, e.Paths())
	}
	closed(t, e)
	onlyOther(t, d, 1, 300)
}

// onlyOther holds what one device has against what was put, while the other is away.
func onlyOther(t *testing.T, d *simdisk.Disk, away, n int) {
	t.Helper()
	if err := d.Vanish(twoRaw[away]); err != nil {
		t.Fatal(err)
	}
	o := onRaw()
	o.Force = true
	e := mustOpen(t, d, o)
	wantAll(t, e, n)
	closed(t, e)
	if _, err := d.Return(twoRaw[away]); err != nil {
		t.Fatal(err)
	}
	closed(t, mustOpen(t, d, o)) // and is brought level
}

// TestDeviceIsFull: writes are refused, reads go on, and what is deleted makes room.
func TestDeviceIsFull(t *testing.T) {
	d := rawDevices(2)
	o := onRaw()
	o.Paths, o.SegmentBytes, o.CheckpointBytes = twoRaw[:1], 1<<20, 1<<20
	e := mustOpen(t, d, o)
	value := bytes.Repeat([]byte("v"), 256<<10)
	n := 0
	for ; ; n++ {
		var b engine.Batch
		b.Put(keyOf(n), value)
		if err := e.Apply(context.Background(), &b, engine.Flushed); err != nil {
			if !errors.Is(err, engine.ErrNoSpace) {
				t.Fatalf("put %d: %v", n, err)
			}
			break
		}
	}
	if n < 100 {
		t.Fatalf("%d values of 256 KiB on 47 MiB", n)
	}
	for i := range n {
		if got, err := e.Get(keyOf(i), nil); err != nil || !bytes.Equal(got, value) {
			t.Fatalf("get %d of a full device: %d bytes, %v", i, len(got), err)
		}
	}
	closed(t, e)
	e = mustOpen(t, d, o)
	for i := range n {
		if got, err := e.Get(keyOf(i), nil); err != nil || !bytes.Equal(got, value) {
			t.Fatalf("get %d after another opening: %d bytes, %v", i, len(got), err)
		}
	}
	closed(t, e)
}

// TestForeignDevice: a device with something else is refused, and so is one that is missing.
func TestForeignDevice(t *testing.T) {
	d := rawDevices(3)
	f, err := d.Open(twoRaw[1], 0)
	if err == nil {
		_, err = f.WriteAt([]byte("XFSB"), 0, vfs.Plain)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	before := d.Hash()
	if _, err := openPaths(d, onRaw()); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "an xfs file system") || !strings.Contains(err.Error(), twoRaw[1]) {
		t.Fatalf("a foreign device: %v", err)
	}
	o := onRaw()
	o.Paths = []string{"/dev/three"}
	if _, err := openPaths(d, o); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "/dev/three") {
		t.Fatalf("a missing device: %v", err)
	}
	if d.Hash() != before {
		t.Error("something was written")
	}
}
