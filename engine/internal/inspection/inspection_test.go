package inspection

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDamage: what is wrong is told up to a bound, and counted beyond it.
func TestDamage(t *testing.T) {
	print := func(d *Damage) string {
		var out strings.Builder
		p := NewPrinter(&out)
		d.Print(p)
		if err := p.Err(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	var d Damage
	if got := print(&d); got != "sound\n" || d.Err() != nil || d.Count() != 0 {
		t.Fatalf("nothing: %q, %v, %d", got, d.Err(), d.Count())
	}
	place := errors.New("place 0")
	d.Add(place)
	if got := print(&d); got != "damage in 1 places\n  place 0\n" || !errors.Is(d.Err(), place) || errors.Is(d.Err(), engine.ErrCorrupt) {
		t.Fatalf("one place: %q, %v", got, d.Err())
	}
	for n := 1; n < MaxListed+7; n++ {
		d.Add(fmt.Errorf("place %d", n))
	}
	got, err := print(&d), d.Err()
	if !strings.HasPrefix(got, fmt.Sprintf("damage in %d places\n", MaxListed+7)) || strings.Count(got, "\n") != MaxListed+1 {
		t.Errorf("it prints %q", got)
	}
	if !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), "in 7 more places") {
		t.Errorf("it is %v", err)
	}
}

// broken fails after some writes.
type broken struct {
	left int
	err  error
}

func (b *broken) Write(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.err
	}
	b.left--
	return len(p), nil
}

// TestPrinter: the first error is kept, and nothing is written afterwards.
func TestPrinter(t *testing.T) {
	w := &broken{left: 1, err: errors.New("full")}
	p := NewPrinter(w)
	p.Printf("one")
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	p.Printf("two")
	w.left = 1
	p.Printf("three")
	if p.Err() != w.err || w.left != 1 {
		t.Fatalf("error %v, %d writes left", p.Err(), w.left)
	}
}
