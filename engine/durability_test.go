package engine_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

func TestDurabilityNames(t *testing.T) {
	for d, name := range map[engine.Durability]string{engine.Flushed: "flushed", engine.Buffered: "buffered", engine.Memory: "memory"} {
		if d.String() != name {
			t.Errorf("class %d is %q, want %q", uint8(d), d, name)
		}
		if got, err := engine.ParseDurability(name); got != d || err != nil {
			t.Errorf("%q is read as %v, %v", name, got, err)
		}
	}
	if got := engine.Durability(3).String(); got != "durability(3)" {
		t.Errorf("an unknown class is %q", got)
	}
	for _, bad := range []string{"", "Flushed", "flushed ", "durability(3)", "sync"} {
		if d, err := engine.ParseDurability(bad); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%q is read as %v, %v", bad, d, err)
		}
	}
	var zero engine.Durability
	if zero != engine.Flushed {
		t.Errorf("the zero value is %v", zero)
	}
}

func TestDurabilitySet(t *testing.T) {
	all := engine.Durabilities
	if !slices.Equal(all, []engine.Durability{engine.Memory, engine.Buffered, engine.Flushed}) {
		t.Fatalf("the classes from the weakest are %v", all)
	}
	for mask := range 8 {
		var in []engine.Durability
		var text string
		for i, d := range all {
			if mask>>i&1 == 1 {
				in = append(in, d)
				if text != "" {
					text += ","
				}
				text += d.String()
			}
		}
		set := engine.DurabilityOf(in...)
		if set.String() != text {
			t.Errorf("the set of %v is %q, want %q", in, set, text)
		}
		for _, d := range append(all[:3:3], 3, 7, 8, 255) {
			have := slices.Contains(in, d)
			if set.Has(d) != have {
				t.Errorf("%v has %v: %v", in, d, set.Has(d))
			}
			if err := engine.CheckDurability(set, d); (err == nil) != have || err != nil && !errors.Is(err, engine.ErrUnsupported) {
				t.Errorf("check %v in %v: %v", d, in, err)
			}
		}
		strongest, ok := set.Strongest()
		if ok != (len(in) > 0) || ok && strongest != in[len(in)-1] {
			t.Errorf("the strongest of %v is %v, %v", in, strongest, ok)
		}
	}
	err := engine.CheckDurability(engine.DurabilityOf(engine.Memory, engine.Flushed), engine.Buffered)
	if want := "unsupported: durability buffered; this engine has memory,flushed"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}
