package torture

import (
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/torture/target"
)

// TestProgress: a terminal sees how far a task is, cut to its width, and a line
// when it is done; elsewhere there is a line a minute.
func TestProgress(t *testing.T) {
	var out strings.Builder
	p := &progress{w: &out, terminal: true, width: 60, tasks: 12}
	p.begin("crash", "one", 10*time.Second)
	p.shown = time.Time{}
	p.step(1234, 0, "workloads")
	p.shown = time.Now().Add(time.Hour)
	p.step(1235, 0, "workloads") // too soon
	p.shown = time.Time{}
	p.step(1, 4, strings.Repeat("things ", 20))
	p.end(outcome{Result: target.Result{Mode: "crash", Engine: "one", Counts: []target.Count{{Name: "images", N: 1}}}})
	wantText(t, out.String(), "1/12  crash  [one]  1,234 workloads, ", "s of 10s", "25 % of 4 things", "   1/12  crash     one             0s  ok\n")
	for line := range strings.SplitSeq(out.String(), "\r\x1b[K") {
		if len(strings.TrimSuffix(line, "\n")) > p.width {
			t.Errorf("%q is longer than the terminal is wide", line)
		}
	}
	if strings.Contains(out.String(), "1,235") {
		t.Error("a terminal is written to more often than can be read")
	}
	out.Reset()
	p = &progress{w: &out, tasks: 1}
	p.begin("crash", "one", 0)
	p.shown = time.Now().Add(time.Hour)
	p.step(1, 2, "soon")
	p.shown = time.Time{}
	p.step(1, 2, "later")
	if got := out.String(); strings.Contains(got, "soon") || !strings.HasPrefix(got, "  1/1  crash  [one]  50 % of 2 later") || !strings.HasSuffix(got, "\n") {
		t.Errorf("without a terminal it is %q", got)
	}
}
