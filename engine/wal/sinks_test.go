package wal_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/engine/wal"
)

var twoSinks = []string{"/a/log", "/b/log"}

func twoDevices(t *testing.T, seed uint64) *simdisk.Disk {
	t.Helper()
	d := simdisk.New(simdisk.Options{Seed: seed, Devices: []simdisk.Device{{Path: "/a"}, {Path: "/b"}}})
	for _, dir := range twoSinks {
		if err := errors.Join(d.MkdirAll(dir), d.SyncDir(dir[:2])); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func openSinks(fsys vfs.FS, allowMissing bool) (*wal.Log, []string, error) {
	var got []string
	l, err := wal.Open(context.Background(), wal.Options{
		FS: fsys, Sinks: twoSinks, SegmentBytes: 16 << 10, Inline: true, AllowMissing: allowMissing,
	}, 0, func(r wal.Record) error {
		got = append(got, string(r.Payload))
		return nil
	})
	return l, got, err
}

func appendFlushed(t *testing.T, l *wal.Log, payload string) {
	t.Helper()
	s, err := l.Append(context.Background(), []byte(payload), engine.Flushed)
	if err == nil {
		err = l.Flush(s)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSinksThroughLossAndPowerCuts takes devices away and brings them back, kills
// the process and cuts the power, at random, and expects at each opening a prefix
// of what was appended that holds all that was flushed.
func TestSinksThroughLossAndPowerCuts(t *testing.T) {
	opens, losses := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 0))
		d := twoDevices(t, seed)
		var want []string
		flushed := 0
		l, _, err := openSinks(d, false)
		if err != nil {
			t.Fatal(err)
		}
		away, lost := "", false // lost: in this life of the process
		late := []*simdisk.Late(nil)
		bringBack := func() {
			if away == "" {
				return
			}
			x, err := d.Return(away)
			if err != nil {
				t.Fatal(err)
			}
			late = append(late, x)
			away = ""
		}
		for range 60 {
			switch n := r.IntN(20); {
			case n < 12:
				payload := fmt.Sprintf("%d.%d.%0*d", seed, len(want), r.IntN(2000), 0)
				class := engine.Durability(r.IntN(3))
				s, err := l.Append(context.Background(), []byte(payload), class)
				if err != nil {
					t.Fatalf("seed %d: append: %v", seed, err)
				}
				want = append(want, payload)
				if class == engine.Flushed {
					if err := l.Flush(s); err != nil {
						t.Fatalf("seed %d: flush: %v", seed, err)
					}
					flushed = len(want)
				}
			case n < 14:
				if !lost {
					lost = true
					away = []string{"/a", "/b"}[r.IntN(2)]
					losses++
					if err := d.Vanish(away); err != nil {
						t.Fatal(err)
					}
				}
			case n < 16:
				bringBack()
			default:
				// The end of the process: by Close, a kill or a power cut.
				lost = false
				switch r.IntN(3) {
				case 0:
					err = l.Close()
					if err == nil {
						flushed = len(want)
					} else if away == "" && l.Stats().Lost == nil {
						t.Fatalf("seed %d: close: %v", seed, err)
					}
					bringBack()
					d = d.Kill()
				case 1:
					bringBack()
					d = d.Kill()
				case 2:
					bringBack()
					d = d.Kill()
					w := d.Walk()
					for w.Next() {
					}
					fates := make([]simdisk.Fate, len(w.Pending()))
					for i := range fates {
						fates[i] = simdisk.Fate(r.IntN(5))
					}
					d = w.Crash(fates, seed)
					late = nil
				}
				for _, x := range late {
					for i := range x.Units() {
						if r.IntN(2) == 0 {
							continue
						}
						if err := x.Land(i); err != nil && !errors.Is(err, fs.ErrNotExist) {
							t.Fatal(err)
						}
					}
				}
				late = nil
				var got []string
				l, got, err = openSinks(d, false)
				if err != nil {
					t.Fatalf("seed %d: open: %v", seed, err)
				}
				opens++
				if len(got) < flushed || len(got) > len(want) {
					t.Fatalf("seed %d: %d records; %d were appended and %d flushed", seed, len(got), len(want), flushed)
				}
				for i := range got {
					if got[i] != want[i] {
						t.Fatalf("seed %d: record %d is %.40q, and should be %.40q", seed, i, got[i], want[i])
					}
				}
				want = want[:len(got)]
				flushed = len(got)
			}
		}
		d.Kill()
	}
	if opens < 1000 || losses < 400 {
		t.Errorf("only %d openings and %d losses", opens, losses)
	}
}

// TestMissingSink: a sink that cannot be read is an error, unless it is allowed to
// be missing, and it is brought level when it is back.
func TestMissingSink(t *testing.T) {
	d := twoDevices(t, 1)
	l, _, err := openSinks(d, false)
	if err != nil {
		t.Fatal(err)
	}
	appendFlushed(t, l, "both")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Vanish("/b"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openSinks(d, false); err == nil {
		t.Fatal("a sink is missing, and the log opens")
	}
	l, got, err := openSinks(d, true)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if s := l.Stats(); s.Lost["/b/log"] == nil {
		t.Errorf("no sink is said to be lost: %+v", s)
	}
	appendFlushed(t, l, "a alone")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Return("/b"); err != nil {
		t.Fatal(err)
	}
	if l, got, err = openSinks(d, false); err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Vanish("/a"); err != nil {
		t.Fatal(err)
	}
	if l, got, err = openSinks(d, true); err != nil || len(got) != 2 || got[1] != "a alone" {
		t.Fatal(got, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamageIsRepairedFromTheOtherSink flips a bit in each sector in turn of one
// sink of a log that was closed, and then reads the log from that sink alone.
func TestDamageIsRepairedFromTheOtherSink(t *testing.T) {
	d := twoDevices(t, 1)
	l, _, err := openSinks(d, false)
	if err != nil {
		t.Fatal(err)
	}
	const records = 40
	for i := range records {
		appendFlushed(t, l, fmt.Sprintf("%0300d", i))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w := d.Walk()
	for w.Next() {
	}
	for off := int64(8); off < 16<<10; off += 512 {
		image := w.Crash(nil, 1)
		if err := image.Rot("/a/log/000001.wal", off, 1); err != nil {
			t.Fatal(err)
		}
		l, got, err := openSinks(image, false)
		if err != nil || len(got) != records {
			t.Fatalf("offset %d: %d records, %v", off, len(got), err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := image.Vanish("/b"); err != nil {
			t.Fatal(err)
		}
		l, got, err = openSinks(image, true)
		if err != nil || len(got) != records {
			t.Fatalf("offset %d: not repaired: %d records, %v", off, len(got), err)
		}
		l.Close()
	}
}

// TestHungSink: a sink that does not answer is left behind, and the log goes on.
func TestHungSink(t *testing.T) {
	d := twoDevices(t, 1)
	o := wal.Options{FS: d, Sinks: twoSinks, SegmentBytes: 16 << 10, SinkTimeout: 20 * time.Millisecond, Flush: wal.Direct}
	l, err := wal.Open(context.Background(), o, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	appendFlushed(t, l, "both")
	hang := d.Inject(simdisk.Fault{Op: simdisk.OpDSync, Path: "/b/log/*", Effect: simdisk.Hang, Sticky: true})
	appendFlushed(t, l, "a alone")
	if s := l.Stats(); s.Hung != 1 || s.Lost["/b/log"] == nil {
		t.Errorf("no sink is said to hang: %+v", s)
	}
	appendFlushed(t, l, "more")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	hang.Remove()
	l, got, err := openSinks(d, false)
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
