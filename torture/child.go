package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/torture/crash"
	torturerrors "github.com/orbit-persistence/orbit/torture/errors"
	"github.com/orbit-persistence/orbit/torture/internal/remote"
	"github.com/orbit-persistence/orbit/torture/rot"
	"github.com/orbit-persistence/orbit/torture/target"
)

// childEnv holds the childTask of a child of this program.
const childEnv = "ORBIT_TORTURE_CHILD"

// An engine that may end the process is tortured on the simulated disk in
// children, of which each takes childTime and has a seed of its own: with one that
// ends, only what it counted is lost. Without a budget there are childCount.
const (
	childTime  = time.Second
	childCount = 10
)

type childTask struct {
	Mode, Engine string
	Seed         uint64
	Budget       time.Duration
	Work         int64
	Directory    string
}

// needsChildren reports whether a mode might end this program.
func (t task) needsChildren() bool {
	return t.engine.MayExit && slices.Contains([]string{crash.Name, torturerrors.Name, rot.Name}, t.mode.name)
}

// serveChild does what the parent asks for.
func serveChild(ctx context.Context, text string, engines []target.Engine, modes []mode) error {
	var c childTask
	err := json.Unmarshal([]byte(text), &c)
	m := slices.IndexFunc(modes, func(m mode) bool { return m.name == c.Mode })
	e := slices.IndexFunc(engines, func(e target.Engine) bool { return e.Name == c.Engine })
	run := func(context.Context, target.Run) (target.Result, error) {
		return target.Result{}, errors.Join(fmt.Errorf("%s: no mode %q, or no engine %q", childEnv, c.Mode, c.Engine), err)
	}
	r := target.Run{Seed: c.Seed, Budget: c.Budget, Work: c.Work, Directory: c.Directory}
	if m >= 0 && e >= 0 {
		run, r.Engine = modes[m].run, engines[e]
	}
	return remote.Serve(ctx, os.Stdout, run, r)
}

// inChildren runs a mode in children and adds up what they found.
func inChildren(ctx context.Context, mode string, r target.Run) (sum target.Result, err error) {
	program, err := os.Executable()
	if err != nil {
		return sum, err
	}
	started := time.Now()
	for n := 0; ; n++ {
		one := childTask{Mode: mode, Engine: r.Engine.Name, Seed: r.Seed + uint64(n), Budget: childTime, Directory: r.Directory}
		switch past := time.Since(started); {
		case r.Work > 0 && n == 0:
			one.Budget, one.Work = 0, r.Work
		case r.Work > 0, r.Budget == 0 && n == childCount, r.Budget > 0 && n > 0 && past >= r.Budget:
			return sum, nil
		case r.Budget > 0:
			r.Report(int64(past.Seconds()), int64(r.Budget.Seconds()), "seconds, in children")
		default:
			r.Report(int64(n), childCount, "children")
		}
		task, err := json.Marshal(one)
		if err != nil {
			return sum, err
		}
		cmd := exec.CommandContext(ctx, program, os.Args[1:]...)
		cmd.Env = append(os.Environ(), childEnv+"="+string(task))
		x, err := remote.Run(cmd, func(int64, int64, string) {})
		var exit *exec.ExitError
		switch {
		case ctx.Err() != nil:
			return sum, ctx.Err()
		case errors.As(err, &exit):
			sum.Add("ends of the process", 1)
			noteEnd(&sum, r.Engine, one.Seed, err)
			continue
		case err != nil:
			return sum, err
		}
		sum.Add("ends of the process", 0)
		addUp(&sum, x)
	}
}

// addUp adds the result of a child. Of each kind of observation one is enough.
func addUp(sum *target.Result, x target.Result) {
	for _, c := range x.Counts {
		sum.Add(c.Name, c.N)
	}
	sum.Failures = append(sum.Failures, x.Failures...)
	for _, o := range x.Observed {
		observe(sum, o)
	}
	for _, l := range x.LeftOut {
		if !slices.Contains(sum.LeftOut, l) {
			sum.LeftOut = append(sum.LeftOut, l)
		}
	}
}

// observe keeps an observation, "KIND: what it was", if it is the first of its
// kind.
func observe(sum *target.Result, what string) {
	kind, _, _ := strings.Cut(what, ":")
	if !slices.ContainsFunc(sum.Observed, func(o string) bool { return strings.HasPrefix(o, kind+":") }) {
		sum.Observed = append(sum.Observed, what)
	}
}

// noteEnd keeps how the first process ended.
func noteEnd(sum *target.Result, e target.Engine, seed uint64, err error) {
	const kind, most = "the process ended", 4000
	text := err.Error()
	if i := strings.Index(text, "panic: "); i >= 0 {
		text = text[i:]
	}
	text = fmt.Sprintf("%s: in a child with seed %d: %s", kind, seed, strings.ToValidUTF8(text[:min(len(text), most)], ""))
	if e.Foreign {
		observe(sum, text)
	} else if !slices.ContainsFunc(sum.Failures, func(f target.Failure) bool { return strings.HasPrefix(f.What, kind) }) {
		sum.Failures = append(sum.Failures, target.Failure{What: text, Seed: seed})
	}
}
