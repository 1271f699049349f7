package remote_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/torture/internal/remote"
	"github.com/orbit-persistence/orbit/torture/target"
)

// The test program is the other program too, which does what this says.
const role = "ORBIT_TEST_REMOTE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		goleak.VerifyTestMain(m)
		return
	case "silent":
	case "other":
		fmt.Println("hello")
	case "dies":
		fmt.Fprintln(os.Stderr, "boo")
		os.Exit(3)
	default:
		mode := func(ctx context.Context, r target.Run) (x target.Result, err error) {
			r.Report(1, 2, "things")
			x.Add("seed", int64(r.Seed))
			if os.Getenv(role) == "fails" {
				err = errors.New("no luck")
			}
			return x, err
		}
		if err := remote.Serve(context.Background(), os.Stdout, mode, target.Run{Seed: 7}); err != nil {
			os.Exit(1)
		}
	}
	os.Exit(0)
}

func TestRun(t *testing.T) {
	want := target.Result{Counts: []target.Count{{Name: "seed", N: 7}}}
	for what, c := range map[string]struct {
		result target.Result
		says   []string // of the error
	}{
		"works":  {want, nil},
		"fails":  {want, []string{"no luck"}},
		"silent": {target.Result{}, []string{"without a result"}},
		"other":  {target.Result{}, []string{"not for this program", "without a result"}},
		"dies":   {target.Result{}, []string{"exit status 3", "boo"}},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), role+"="+what)
		var told []string
		got, err := remote.Run(cmd, func(done, of int64, what string) { told = append(told, fmt.Sprint(done, of, what)) })
		if !reflect.DeepEqual(got, c.result) || (err == nil) != (c.says == nil) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		for _, s := range c.says {
			if err != nil && !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v does not say %q", what, err, s)
			}
		}
		if told := strings.Join(told, ","); (told == "1 2things") != (len(c.result.Counts) > 0) {
			t.Errorf("%s told %q", what, told)
		}
	}
}
