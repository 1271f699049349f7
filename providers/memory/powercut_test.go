package memory_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/providers/memory"
)

// TestBackupSurvivesPowerCuts: whenever the power is cut, the backup that is found is
// whole, and the last that was finished or the one that was being written.
func TestBackupSurvivesPowerCuts(t *testing.T) {
	disk := simdisk.New(simdisk.Options{Seed: 1})
	config := func(d *simdisk.Disk) memory.Config {
		return memory.Config{FS: d, DiskBackup: &memory.DiskBackup{Path: "/missing/as yet/backup", Compression: memory.LZ4}}
	}
	s, err := memory.Open(t.Context(), config(disk))
	if err != nil {
		t.Fatal(err)
	}
	const backups = 4
	for i := 1; i <= backups; i++ {
		for k := range 200 {
			put(t, s, fmt.Sprint("key", k), strconv.Itoa(i))
		}
		if err := s.Backup(t.Context()); err != nil {
			t.Fatal(err)
		}
		disk.Mark(strconv.Itoa(i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	done, cuts, found := 0, 0, map[int]bool{}
	for w := disk.Walk(); w.Next(); {
		if e := w.Event(); e.Kind == simdisk.EventMark {
			if done, err = strconv.Atoi(e.Label); err != nil {
				t.Fatal(err)
			}
		}
		for range 8 {
			fates := make([]simdisk.Fate, len(w.Pending()))
			for i := range fates {
				fates[i] = simdisk.Fate(random.IntN(2)) // lost or kept
			}
			image, err := memory.Open(t.Context(), config(w.Crash(fates, 1)))
			if err != nil {
				if done == 0 {
					continue // the directory may not be there yet
				}
				t.Fatalf("after backup %d: %v", done, err)
			}
			got := 0
			if e, err := image.Get(t.Context(), []byte("key7")); err == nil {
				got, _ = strconv.Atoi(string(e.Value))
			}
			if err := image.Close(); err != nil {
				t.Fatal(err)
			}
			if got != done && got != done+1 {
				t.Fatalf("after backup %d a power cut leaves %d", done, got)
			}
			cuts++
			found[got] = true
		}
	}
	if cuts < 50 || len(found) < backups {
		t.Errorf("only %d power cuts, which left %v", cuts, found)
	}
}
