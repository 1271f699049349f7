package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/migrate"
)

// migrateCommand copies a provider to another.
type migrateCommand struct {
	configFlag
	outputFlags
	From            string `required:"" placeholder:"PROVIDER" help:"Where from."`
	To              string `required:"" placeholder:"PROVIDER" help:"Where to; it must be empty, or half filled from the same source."`
	BatchSize       int    `default:"4096" help:"How many entries are written at once."`
	Replace         bool   `help:"Make the target a copy although it holds entries: it loses what the source does not have."`
	NoValidation    bool   `help:"Leave out the passes that compare the target with the source."`
	WithoutExpiring bool   `help:"Leave out entries that expire, for a target that keeps no time."`
	Barrier         string `placeholder:"COMMAND" help:"While others write to the source: a shell command that stops them, and ends once they have stopped. It runs when little is left to copy."`
}

// Help is what --help says below the summary.
func (migrateCommand) Help() string {
	return `Copies everything, in the order of keys, then compares both sides until nothing differs:
entry by entry, by count, and by a digest of the contents. Memory stays the same whatever
the size. When it is killed, run it again: it goes on where it was. Until it has come to
its end, the target says of itself that it is half filled, and other commands refuse it.

` + providersHelp + `

Examples:
  orbit-cli migrate --from cow:/var/lib/orbit --to lsm:/var/lib/orbit-new
  orbit-cli migrate --config orbit.toml --from records --to s3
  orbit-cli migrate --config orbit.toml --from etcd --to redis --barrier 'kubectl scale deploy/app --replicas=0 --timeout=60s'

` + exitHelp
}

// Run migrates.
func (c *migrateCommand) Run(ctx context.Context) error {
	var r migrate.Result
	return c.run(ctx, "run the same command again to go on", func(ctx context.Context) (any, error) {
		var err error
		r, err = c.migrate(ctx)
		return r, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "migrated %d leases and %d nodes from %s to %s in %s\n", r.LeasesMigrated, r.NodesMigrated, c.From, c.To, r.Took.Round(time.Millisecond))
		printResult(w, &r)
	})
}

func printResult(w io.Writer, r *migrate.Result) {
	printTally(w, &r.Tally)
	switch {
	case r.Validated:
		fmt.Fprintf(w, "validated: the last of %d passes found no difference\n", r.Passes)
	default:
		fmt.Fprintf(w, "not validated\n")
	}
	if r.Resumed {
		fmt.Fprintln(w, "it went on with what an earlier run had begun")
	}
	if r.Barrier > 0 {
		fmt.Fprintf(w, "writers were stopped for %s\n", r.Barrier.Round(time.Millisecond))
	}
}

func (c *migrateCommand) migrate(ctx context.Context) (r migrate.Result, err error) {
	if c.BatchSize < 1 {
		return r, bench.Usagef("--batch-size %d: at least 1", c.BatchSize)
	}
	from, err := c.find(c.From)
	if err != nil {
		return r, err
	}
	to, err := c.find(c.To)
	if err != nil {
		return r, err
	}
	for _, dir := range from.dirs {
		if slices.Contains(to.dirs, dir) {
			return r, bench.Usagef("--from and --to are both in %s", dir)
		}
	}
	source, err := from.openExisting(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := to.open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	report, done := c.reporter()
	defer done()
	m := migrate.New().FromProvider(source).ToProvider(target).WithSourceName(from.label).WithBatchSize(c.BatchSize).
		WithValidation(!c.NoValidation).WithReplace(c.Replace).WithoutExpiring(c.WithoutExpiring).WithProgress(report)
	if c.Barrier != "" {
		m.WithBarrier(func(ctx context.Context) (func(), error) { return func() {}, shell(ctx, c.Barrier) })
	}
	return m.Execute(ctx)
}

// shell runs a command of the operator's.
func shell(ctx context.Context, command string) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("--barrier %q: %w", command, err)
	}
	return nil
}

// exportCommand writes a provider to a file.
type exportCommand struct {
	backendFlags
	outputFlags
	Output  string `required:"" placeholder:"FILE" help:"The file; packed if its name ends in .gz or .zst; - is standard output."`
	Replace bool   `help:"Replace a file that is there."`
}

// Help is what --help says below the summary.
func (exportCommand) Help() string {
	return `Writes every entry as a line of JSON, in the order of keys, with a first line that names the
format and its version, and a last one with counts and checksums; package providers/migrate
documents it. The file appears under its name when all of it is on the disk; until then it
is FILE.partial, and whoever reads that is told that it is cut off.

` + providersHelp + `

Examples:
  orbit-cli export --backend=cow --data-dir=/var/lib/orbit --output=export.json
  orbit-cli export --config orbit.toml --backend=s3 --output=export.json.zst
  orbit-cli export --backend=lsm --data-dir=/var/lib/orbit --output=- | grep '"key":"node/'

` + exitHelp
}

// Run exports.
func (c *exportCommand) Run(ctx context.Context) error {
	if c.Output == "-" && c.JSON {
		return bench.Usagef("--output - and --json both write to standard output")
	}
	var t migrate.Tally
	return c.run(ctx, "", func(ctx context.Context) (any, error) {
		err := c.with(ctx, &c.outputFlags, func(ctx context.Context, p *providers.Provider, report func(migrate.Progress)) (err error) {
			if c.Output == "-" {
				t, err = migrate.Export(ctx, p, os.Stdout, report)
			} else {
				t, err = migrate.ExportFile(ctx, p, c.Output, c.Replace, report)
			}
			return err
		})
		return t, err
	}, func(w io.Writer) {
		if c.Output == "-" {
			w = os.Stderr
		}
		fmt.Fprintf(w, "exported %s to %s\n", c.spec(), c.Output)
		printTally(w, &t)
	})
}

// with opens the provider that must be there, for as long as do works with it.
func (f *backendFlags) with(ctx context.Context, out *outputFlags, do func(ctx context.Context, p *providers.Provider, report func(migrate.Progress)) error) (err error) {
	s, err := f.find(f.spec())
	if err != nil {
		return err
	}
	p, err := s.openExisting(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	report, done := out.reporter()
	defer done()
	return do(ctx, p, report)
}

// importCommand reads a file into a provider.
type importCommand struct {
	backendFlags
	outputFlags
	Input        string `required:"" placeholder:"FILE" help:"A file that export wrote."`
	BatchSize    int    `default:"4096" help:"How many entries are written at once."`
	Replace      bool   `help:"Make the provider a copy of the file although it holds entries: it loses what the file does not have."`
	NoValidation bool   `help:"Leave out the pass that compares the provider with the file."`
}

// Help is what --help says below the summary.
func (importCommand) Help() string {
	return `Reads the whole file and checks it before anything is written: a file that is cut off, or
changed, is refused. A provider that holds entries is refused too, unless --replace is
given. When it is killed, run it again: it goes on where it was. Until it has come to its
end, the provider says of itself that it is half filled, and other commands refuse it.

` + providersHelp + `

Examples:
  orbit-cli import --backend=lsm --data-dir=/var/lib/orbit-new --input=export.json
  orbit-cli import --config orbit.toml --backend=s3 --input=export.json.zst

` + exitHelp
}

// Run imports.
func (c *importCommand) Run(ctx context.Context) error {
	var r migrate.Result
	return c.run(ctx, "run the same command again to go on", func(ctx context.Context) (any, error) {
		var err error
		r, err = c.read(ctx)
		return r, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "imported %d leases and %d nodes from %s into %s in %s\n", r.LeasesMigrated, r.NodesMigrated, c.Input, c.spec(), r.Took.Round(time.Millisecond))
		printResult(w, &r)
	})
}

func (c *importCommand) read(ctx context.Context) (r migrate.Result, err error) {
	if c.BatchSize < 1 {
		return r, bench.Usagef("--batch-size %d: at least 1", c.BatchSize)
	}
	if _, err := os.Stat(c.Input); err != nil { // before a store is made
		return r, fmt.Errorf("import: %w", err)
	}
	s, err := c.find(c.spec())
	if err != nil {
		return r, err
	}
	p, err := s.open(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	report, done := c.reporter()
	defer done()
	return migrate.ImportFile(ctx, c.Input, p, migrate.ImportOptions{BatchSize: c.BatchSize, Replace: c.Replace, NoValidation: c.NoValidation, Progress: report})
}

// validateCommand reads all of a provider.
type validateCommand struct {
	backendFlags
	outputFlags
	Input   string `placeholder:"FILE" help:"Compare it with an export, entry by entry."`
	Against string `placeholder:"PROVIDER" help:"Compare it with another provider, entry by entry."`
}

// Help is what --help says below the summary.
func (validateCommand) Help() string {
	return `Reads every entry, so that every checksum on the way is verified, and decodes every lease
and node. Prints counts and a digest of the contents, which is the same for the same
contents in any backend. A target of a migration or import that has not come to its end is
refused.

` + providersHelp + `

Examples:
  orbit-cli validate --backend=lsm --data-dir=/var/lib/orbit-new
  orbit-cli validate --backend=lsm --data-dir=/var/lib/orbit-new --input=export.json
  orbit-cli validate --backend=lsm --data-dir=/var/lib/orbit-new --against=cow:/var/lib/orbit

` + exitHelp
}

// Run validates.
func (c *validateCommand) Run(ctx context.Context) error {
	var r migrate.Report
	return c.run(ctx, "", func(ctx context.Context) (any, error) {
		if c.Input != "" && c.Against != "" {
			return r, bench.Usagef("--input and --against: choose one")
		}
		err := c.with(ctx, &c.outputFlags, func(ctx context.Context, p *providers.Provider, report func(migrate.Progress)) (err error) {
			if r, err = migrate.Validate(ctx, p, report); err == nil {
				err = c.compare(ctx, p, &r, report)
			}
			if err != nil && len(r.Problems) > 0 && !c.JSON {
				for _, problem := range r.Problems {
					fmt.Fprintln(os.Stderr, problem)
				}
			}
			return err
		})
		return r, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "%s is valid\n", c.spec())
		printTally(w, &r.Tally)
	})
}

func (c *validateCommand) compare(ctx context.Context, p *providers.Provider, r *migrate.Report, report func(migrate.Progress)) (err error) {
	if c.Input != "" {
		*r, err = migrate.CompareFile(ctx, c.Input, p, report)
		return err
	}
	if c.Against == "" {
		return nil
	}
	s, err := c.find(c.Against)
	if err != nil {
		return err
	}
	other, err := s.openExisting(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	*r, err = migrate.Compare(ctx, other, p, report)
	return err
}
