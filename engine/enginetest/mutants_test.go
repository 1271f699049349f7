package enginetest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// operations is the length of the random run: enough for its mutants.
const operations = 3000

// mutant is a sound engine with one defect.
type mutant struct {
	// notices is the case that must fail because of the defect.
	notices string
	defect  string
	open    func(dir string) (engine.Engine, error)
}

// volatile seeds a defect in the memory engine.
func volatile(defect func(*subject)) func(string) (engine.Engine, error) {
	return func(string) (engine.Engine, error) {
		s := volatileSubject()
		defect(s)
		return s, nil
	}
}

// persistent seeds a defect in the durable engine.
func persistent(defect func(*familySubject)) func(string) (engine.Engine, error) {
	return func(dir string) (engine.Engine, error) {
		s, err := persistentSubject(dir)
		if err != nil {
			return nil, err
		}
		defect(s)
		return s, nil
	}
}

// reopened seeds a defect in what a durable engine finds when it is opened.
func reopened(change func([]record) []record) func(string) (engine.Engine, error) {
	return func(dir string) (engine.Engine, error) {
		if err := rewriteLog(dir, change); err != nil {
			return nil, err
		}
		return persistentSubject(dir)
	}
}

// TestMutants shows that the suite can fail: for each seeded defect, the case
// that is there to notice it does, and every case notices some defect. Run with
// -v, it prints what each case said.
func TestMutants(t *testing.T) {
	mutants := slices.Concat(readMutants, writeMutants, lifetimeMutants, traitMutants())
	cases := map[string]enginetest.Case{}
	for _, c := range enginetest.Cases() {
		cases[c.Name] = c
		if !slices.ContainsFunc(mutants, func(m mutant) bool { return m.notices == c.Name }) {
			t.Errorf("%s has no mutant to notice", c.Name)
		}
	}
	var table []string
	for _, m := range mutants {
		t.Run(m.notices+"/"+m.defect, func(t *testing.T) {
			c, known := cases[m.notices]
			if !known {
				t.Fatalf("there is no case %s", m.notices)
			}
			// Whether a run meets a defect of concurrency is up to the scheduler; the
			// budget for those is several runs, for all others one.
			runs := 1
			if strings.HasPrefix(m.notices, "concurrent/") || m.notices == "lifetime/close-under-load" {
				runs = 8
			}
			var err error
			for ; err == nil && runs > 0; runs-- {
				err = c.Run(t.Context(), enginetest.Target{Name: "mutant", Open: m.open, Operations: operations}, t.TempDir())
			}
			if err == nil {
				t.Fatalf("%s does not notice: %s", m.notices, m.defect)
			}
			if strings.Contains(err.Error(), "panic:") && m.defect != panics {
				t.Errorf("%s noticed by a panic: %v", m.notices, err)
			}
			said, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "mutant: "+m.notices+": "), "\n")
			table = append(table, fmt.Sprintf("%-42s %-62s %.110s", m.notices, m.defect, said))
		})
	}
	t.Logf("%d of %d mutants noticed:\n%s", len(table), len(mutants), strings.Join(table, "\n"))
}

// TestSurvivors shows that the suite fails for the defect and not for the seam
// in which it is seeded: sound engines pass every case.
func TestSurvivors(t *testing.T) {
	for name, open := range map[string]func(string) (engine.Engine, error){
		"volatile":   volatile(func(*subject) {}),
		"persistent": persistent(func(*familySubject) {}),
		"bare":       func(string) (engine.Engine, error) { return newBare(volatileSubject()), nil },
		"equivalent": volatile(equivalent),
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, enginetest.Target{Name: name, Open: open, Operations: operations})
		})
	}
}

// equivalent changes what no user can tell: batches are built anew, values come
// in a slice of their own, the iterator is that of a snapshot.
func equivalent(s *subject) {
	s.edit(func(ops []engine.Op) []engine.Op { return ops })
	get := s.get
	s.get = func(key, dst []byte) ([]byte, error) {
		value, err := get(key, nil)
		if err != nil {
			return dst, err
		}
		return append(slices.Clip(dst), value...), nil
	}
	s.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
		snap, err := s.base.Snapshot()
		if err != nil {
			return nil, err
		}
		i, err := s.iterate(snap, o)
		if err != nil {
			return nil, err
		}
		return i, snap.Close()
	}
}
