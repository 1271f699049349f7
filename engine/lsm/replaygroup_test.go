package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// TestReplayGroup takes records whose memory is used again by the next, small and large, with
// nothing in them and with much, and looks at what is added, and when.
func TestReplayGroup(t *testing.T) {
	var taken, added, near []string
	asked := 0
	g := replayGroup{
		near: func(ops []engine.Op) {
			for _, op := range ops {
				near = append(near, string(op.Key))
			}
			asked += len(ops)
		},
		add: func(b *engine.Batch, sequence uint64) error {
			text := fmt.Sprint(sequence)
			for op := range b.Ops() {
				if len(near) > 0 && text == fmt.Sprint(sequence) {
					if string(op.Key) != near[0] {
						t.Errorf("record %d begins with %q, and %q was asked for", sequence, op.Key, near[0])
					}
					near = near[1:]
				}
				text += fmt.Sprintf(" %s=%d", op.Key, len(op.Value))
			}
			added = append(added, text)
			return nil
		},
	}
	var memory []byte
	for i := range 100 {
		var b engine.Batch
		text := fmt.Sprint(i)
		for j := range i % 4 {
			key, value := fmt.Sprintf("key %d/%d", i, j), make([]byte, i%7*(1+i%5*4000))
			b.Put([]byte(key), value)
			text += fmt.Sprintf(" %s=%d", key, len(value))
		}
		taken = append(taken, text)
		memory = append(memory[:0], b.Encoded()...)
		if err := g.take(uint64(i), memory); err != nil {
			t.Fatal(err)
		}
		for j := range memory {
			memory[j] = 0xff
		}
		if behind := len(taken) - len(added); behind >= 16 {
			t.Fatalf("%d records are kept back", behind)
		}
	}
	if err := g.flush(); err != nil || !slices.Equal(taken, added) {
		t.Fatalf("%v; taken\n%q\nadded\n%q", err, taken, added)
	}
	if asked < 50 { // a group of one is not worth it
		t.Errorf("%d keys were asked for, of 75", asked)
	}
	if err := g.flush(); err != nil || len(added) != len(taken) {
		t.Fatalf("%v, %d records more", err, len(added)-len(taken))
	}
}

// TestReplayGroupErrors sees what is refused, and that nothing is added behind it.
func TestReplayGroupErrors(t *testing.T) {
	failure, added := errors.New("no room"), 0
	g := replayGroup{near: func([]engine.Op) {}, add: func(_ *engine.Batch, sequence uint64) error {
		if sequence == 3 {
			return failure
		}
		added++
		return nil
	}}
	var b engine.Batch
	b.Put([]byte("k"), bytes.Repeat([]byte("v"), 10))
	for i := range 5 {
		if err := g.take(uint64(i), b.Encoded()); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.take(5, []byte("no batch")); !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), "record 5 ") {
		t.Fatal(err)
	}
	if err := g.flush(); !errors.Is(err, failure) || !strings.Contains(err.Error(), "record 3 ") || added != 3 {
		t.Fatalf("%v, %d added", err, added)
	}
}
