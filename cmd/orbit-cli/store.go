package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
	"golang.org/x/term"
)

// storeFlags say which provider a command opens; every command that looks into one
// has them.
type storeFlags struct {
	Config   string        `placeholder:"FILE" help:"A configuration in TOML or JSON; the variables ORBIT_* go before it, and are read alone without it."`
	Provider string        `placeholder:"NAME" help:"Which provider of the configuration: its name, or its backend."`
	Backend  string        `placeholder:"NAME" help:"A backend, in any spelling (cow, lsm_tree, pebble, s3 …), set up by --dir and by variables."`
	Dir      string        `placeholder:"DIR" help:"The directory of a local backend; with --backend."`
	Timeout  time.Duration `default:"0s" help:"How long it may take in all; 0 leaves it to the limits that the providers have."`
	JSON     bool          `name:"json" help:"Print JSON, failures too."`
}

// storeHelp is what the help of every command that has storeFlags ends with.
const storeHelp = `
A store that is not there is not made, unless by put --create. A local store is open in
one process at a time: one that a server has open is refused as locked.

With --json an answer is an object, in list, leases and nodes one on each line. Keys and
values that are no UTF-8 are given as key_base64 and value_base64. A failure is
{"errors": [{"problem": "…"}]}, beside its line on standard error.

Exit codes:
  0  done
  1  it is not so, or it failed: no such key, a condition that does not hold, a store that
     cannot be opened
  2  the command was called wrongly
`

// session is one command with its provider at work.
type session struct {
	ctx  context.Context
	json bool
	out  *bufio.Writer
	// terminal is whether a person reads out; colour is whether it may have colours.
	terminal, colour bool
}

// run calls do with a session, and prints what it returns as this command's failure.
func (f *storeFlags) run(ctx context.Context, do func(s *session) error) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	if f.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, f.Timeout, fmt.Errorf("it took longer than --timeout %s", f.Timeout))
		defer cancel()
	}
	s := &session{ctx: ctx, json: f.JSON, out: bufio.NewWriter(os.Stdout), terminal: term.IsTerminal(int(os.Stdout.Fd()))}
	s.colour = s.terminal && os.Getenv("NO_COLOR") == ""
	err := do(s)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if code := (exitError{}); err != nil && f.JSON && !errors.As(err, &code) && !bench.IsUsage(err) {
		err = errors.Join(err, s.printJSON(failure(err)))
	}
	return errors.Join(err, s.out.Flush())
}

// exitError ends the program with a code, without a further word.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// read reads the configuration that the flags name.
func (f *storeFlags) read(environ []string) (*config.Config, error) {
	switch {
	case f.Backend != "" && (f.Config != "" || f.Provider != ""):
		return nil, bench.Usagef("--backend opens one backend without a configuration; leave it out, or --config and --provider")
	case f.Dir != "" && f.Backend == "":
		return nil, bench.Usagef("--dir needs --backend; a configuration says itself where its providers lie")
	case f.Backend == "":
		c, err := config.Read(f.Config, environ)
		return c, oneLine(err)
	}
	kind, err := config.ParseKind(f.Backend)
	if err != nil {
		return nil, bench.Usagef("--backend: %w", err)
	}
	set := []string{config.BackendVariable + "=" + string(kind)}
	if f.Dir != "" {
		if lyingIn(kind, f.Dir) == nil || kind == config.KindMemory {
			return nil, bench.Usagef("--dir: %s does not lie in a directory", kind)
		}
		set = append(set, "ORBIT_"+strings.ToUpper(string(kind))+"_DATA_DIR="+f.Dir)
		if kind == config.KindFlash { // of which paths come before a directory
			set = append(set, "ORBIT_FLASH_PATHS=", "ORBIT_FLASH_ENABLE_MULTIPATHING=false", "ORBIT_FLASH_REPLICAS=0")
		}
	}
	for _, variable := range set {
		name, _, _ := strings.Cut(variable, "=")
		environ = slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, name+"=") })
		environ = append(environ, variable)
	}
	c, err := config.Read("", environ)
	return c, oneLine(err)
}

// oneLine puts the mistakes of a configuration on lines of their own, if there are
// several.
func oneLine(err error) error {
	if errs := config.Errors(err); len(errs) > 1 {
		return fmt.Errorf("the configuration has %d mistakes:\n%w", len(errs), err)
	}
	return err
}

// check refuses what would open an empty store that nobody asked for.
func check(name string, b config.Backend, create bool) error {
	places := directoriesOf(b)
	switch {
	case len(places) == 0 && b.Kind() == config.KindMemory:
		return fmt.Errorf("provider %q: %w: what memory holds is seen by its own process only, unless it has a disk_backup", name, providers.ErrInvalid)
	case len(places) == 0 || create:
		return nil
	}
	switch err := nothingIn(places); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("provider %q: %w: there is no store in %s; put --create makes one", name, providers.ErrNotFound, strings.Join(places, ", "))
	case err != nil:
		return fmt.Errorf("provider %q: %w", name, err)
	}
	return nil
}

// quiet keeps a provider from doing more than it is asked for.
func quiet(c *providers.Config) { c.ExpireInterval = -1 }

// with opens one provider, the one of a use if none is named, for the time of do.
func (f *storeFlags) with(ctx context.Context, use providers.Use, create bool, do func(s *session, p *providers.Provider) error) error {
	return f.run(ctx, func(s *session) error {
		c, err := f.read(os.Environ())
		if err != nil {
			return err
		}
		selection := f.Provider
		if selection == "" {
			selection = map[providers.Use]string{
				providers.General: c.Server.PersistenceBackend, providers.Addressable: c.Defaults.Addressable, providers.Cluster: c.Defaults.Cluster,
			}[use]
		}
		if selection == "" {
			return bench.Usagef("the configuration selects no provider for general use; name one by --provider")
		}
		name, b, err := c.Provider(selection)
		if err != nil {
			return bench.Usagef("--provider: %w", err)
		}
		if err := check(name, b, create); err != nil {
			return err
		}
		p, err := all.OpenOne(s.ctx, c, name, quiet)
		if err != nil {
			return err
		}
		return errors.Join(do(s, p), p.Close())
	})
}

// printJSON prints a value on one line.
func (s *session) printJSON(value any) error {
	e := json.NewEncoder(s.out)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

func (s *session) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// Colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (s *session) coloured(text, colour string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// readValue reads a value from a file, "-" for standard input.
func readValue(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}
