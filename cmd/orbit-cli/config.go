package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/orbit-persistence/orbit/providers/config"
)

// configCommand is about configurations of the persistence providers.
type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Read a configuration as a server would, and print it or its mistakes."`
}

// configCheckCommand reads a configuration and prints what it comes to.
type configCheckCommand struct {
	JSON          bool   `name:"json" help:"Print JSON: the configuration, or an object with its errors."`
	NoEnvironment bool   `help:"Read the file alone, without the variables ORBIT_*."`
	File          string `arg:"" optional:"" help:"A file in TOML or JSON, by its ending; without one, the environment is all."`
}

// Help is what --help says below the summary.
func (configCheckCommand) Help() string {
	return `Prints the configuration with every default filled in, each option with the place
where it was read, and secrets hidden. With --json it is printed as JSON.

Mistakes are printed to standard error, one a line, with file, line and column or the
variable. With --json they are printed to standard output, as {"errors": [...]}.

Exit codes:
  0  the configuration is valid
  1  it has mistakes, or its file cannot be read
  2  the command was called wrongly`
}

// Run checks the file together with the environment.
func (c *configCheckCommand) Run() error { return c.check(os.Stdout, os.Stderr, os.Environ()) }

func (c *configCheckCommand) check(out, mistakes io.Writer, environ []string) error {
	if c.NoEnvironment {
		environ = nil
	}
	what := c.File
	if what == "" {
		what = "the environment"
	}
	read, err := config.Read(c.File, environ)
	errs := config.Errors(err)
	switch {
	case err != nil && len(errs) == 0:
		return err
	case c.JSON && err != nil:
		return errors.Join(writeJSON(out, map[string]any{"errors": errs}), fmt.Errorf("%s has mistakes", what))
	case c.JSON:
		return writeJSON(out, read)
	case err != nil:
		for _, e := range errs {
			if _, err := fmt.Fprintln(mistakes, e); err != nil {
				return err
			}
		}
		return fmt.Errorf("%s has mistakes", what)
	}
	_, err = io.WriteString(out, read.Explain())
	return err
}

// writeJSON writes indented JSON, which is read by people too.
func writeJSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}
