//go:build rocksdb

package rocks

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// crashDir names the store to a child that is to be killed.
const crashDir = "ORBIT_ROCKS_CRASH_DIR"

// writeUntilKilled commits numbered batches over two families in mixed classes,
// and prints each number and class when it is acknowledged.
func writeUntilKilled(dir string) {
	e, err := Open(dir, Options{ManualLogFlush: true, WriteBufferBytes: 64 << 10, Families: []string{"f"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	f := e.(*store).familyNamed("f").id
	for i := uint64(1); ; i++ {
		key := binary.BigEndian.AppendUint64(nil, i)
		var b engine.Batch
		b.Put(key, make([]byte, rand.IntN(500)))
		b.PutIn(f, key, nil)
		d := engine.Memory
		switch rand.IntN(20) {
		case 0, 1, 2:
			d = engine.Buffered
		case 3:
			d = engine.Flushed
		}
		if err := e.Apply(context.Background(), &b, d); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%d %d\n", i, d)
	}
}

// What a killed process leaves is a prefix of its commits, batches whole, and no
// shorter than the last one that was Buffered or Flushed.
func TestKilledProcessLeavesAPrefix(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	for round := range 8 {
		dir := t.TempDir()
		child := exec.Command(self)
		child.Env = append(os.Environ(), crashDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var safe, last, number uint64
		var class engine.Durability
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if n, err := fmt.Sscan(lines.Text(), &number, &class); n != 2 {
				break // the line at which it was killed
			} else if err != nil {
				t.Fatal(err)
			}
			last = number
			if class != engine.Memory {
				safe = number
			}
			if number == uint64(500+round*400) {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if child.Wait() == nil {
			t.Fatal("the child ended by itself")
		}

		s := openTest(t, dir, Options{})
		newest := uint64(0)
		for _, name := range []string{"default", "f"} {
			r, err := s.In(s.familyNamed(name).id)
			if err != nil {
				t.Fatal(err)
			}
			it, err := r.NewIterator(engine.IterOptions{KeysOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			n := uint64(0)
			for ok := it.First(); ok; ok = it.Next() {
				n++
				if got := binary.BigEndian.Uint64(it.Key()); got != n {
					t.Fatalf("round %d, family %s: commit %d follows %d", round, name, got, n-1)
				}
			}
			closeTest(t, it)
			if name == "f" && n != newest {
				t.Fatalf("round %d: %d commits in one family, %d in the other", round, newest, n)
			}
			newest = n
		}
		if newest < safe {
			t.Fatalf("round %d: %d commits are left; %d was acknowledged as buffered or flushed", round, newest, safe)
		}
		if newest < last {
			lost++
		}
		closeTest(t, s)
	}
	t.Logf("in %d of 8 rounds commits of the class memory were lost", lost)
}
