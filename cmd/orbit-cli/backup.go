package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/backup"
	"github.com/orbit-persistence/orbit/providers/config"
)

// placesHelp says how commands are told where backups are.
const placesHelp = `A PLACE is
  /DIRECTORY, ./DIRECTORY, file:///DIRECTORY    a directory, best on another device
  PROVIDER                                      any provider, which holds backups in chunks

` + providersHelp

// backupCommand makes backups.
type backupCommand struct {
	configFlag
	outputFlags
	From     string      `placeholder:"PROVIDER" help:"What to back up."`
	To       string      `required:"" placeholder:"PLACE" help:"Where to."`
	KeepLast int         `placeholder:"N" help:"Afterwards remove all but the newest N bases, and what of the log only they need; 0 keeps all."`
	KeepFor  string      `placeholder:"DURATION" help:"Keep each base for so long, such as 720h, and with --keep-last so many all the same."`
	Rate     bench.Bytes `placeholder:"BYTES" help:"Copy no more than so many bytes in a second, such as 50MiB."`
	LogOnly  bool        `help:"Archive the log only, unless there must be a base."`
	List     bool        `help:"List the bases that are in the place, and do nothing else."`
	Verify   bool        `help:"Read all that is in the place, and verify it; do nothing else."`
}

// Help is what --help says below the summary.
func (backupCommand) Help() string {
	return `Archives the log of the store as far as it is not there yet, and makes a base: a copy of the
whole store, which is read once, so that a damaged store is no base. A restore takes a base,
and applies the log behind it. Everything has length and SHA-256; a base counts when its
manifest, which is written last, is there. When it is killed, run it again: what is left of
the base under way is removed then.

The log is there for cow_btree and lsm_tree. Others have bases only; those that cannot copy
themselves, as memory and remote ones, have an export as their base.

A server backs up what it has open itself, on a schedule, by package providers/backup.

` + placesHelp + `

Examples:
  orbit-cli backup --from lsm:/var/lib/orbit --to /mnt/backup/orbit --keep-last 7
  orbit-cli backup --from lsm:/var/lib/orbit --to /mnt/backup/orbit --log-only
  orbit-cli backup --config orbit.toml --from records --to s3
  orbit-cli backup --to /mnt/backup/orbit --list
  orbit-cli backup --to /mnt/backup/orbit --verify

` + exitHelp
}

// backedUp is what the command has done.
type backedUp struct {
	Base    *backup.Manifest  `json:"base,omitempty"`
	Point   backup.Point      `json:"point"`
	Removed int               `json:"removed"`
	Bases   []backup.Manifest `json:"bases,omitempty"`
	// Verified is set by --verify.
	Verified *backup.Verified `json:"verified,omitempty"`
}

// Run backs up.
func (c *backupCommand) Run(ctx context.Context) error {
	var r backedUp
	return c.run(ctx, "run the same command again to back up", func(ctx context.Context) (any, error) {
		err := c.do(ctx, &r)
		return &r, err
	}, func(w io.Writer) { c.print(w, &r) })
}

func (c *backupCommand) print(w io.Writer, r *backedUp) {
	switch {
	case r.Verified != nil:
		fmt.Fprintf(w, "%s is whole: %d bases of %d files, %s; %s records of the log in %d pieces\n",
			c.To, r.Verified.Bases, r.Verified.Files, inBytes(r.Verified.Bytes), grouped(int64(r.Verified.Records)), r.Verified.Pieces)
		return
	case c.List:
		for _, m := range r.Bases {
			fmt.Fprintf(w, "%s  %s  %-10s  %s", m.ID, m.Backend, m.Kind, inBytes(m.Bytes))
			if m.Log != "" {
				fmt.Fprintf(w, "  records up to %d", m.UpTo)
			}
			fmt.Fprintln(w)
		}
		return
	case r.Base != nil:
		fmt.Fprintf(w, "base %s: %d files, %s\n", r.Base.ID, len(r.Base.Files), inBytes(r.Base.Bytes))
	}
	if r.Point.Sequence > 0 {
		fmt.Fprintf(w, "the log is archived up to record %d\n", r.Point.Sequence)
	}
	if r.Removed > 0 {
		fmt.Fprintf(w, "%d objects were removed\n", r.Removed)
	}
}

func (c *backupCommand) do(ctx context.Context, r *backedUp) (err error) {
	place, closePlace, err := c.place(ctx, c.To, !c.List && !c.Verify)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closePlace()) }()
	report, done := c.reporter()
	defer done()
	switch {
	case c.List && c.Verify:
		return bench.Usagef("--list and --verify: choose one")
	case c.List:
		r.Bases, err = backup.Bases(ctx, place)
		return err
	case c.Verify:
		v, err := backup.Verify(ctx, place, report)
		r.Verified = &v
		return err
	case c.From == "":
		return bench.Usagef("missing flags: --from=PROVIDER")
	}
	o := backup.Options{KeepLast: c.KeepLast, Share: 1, BytesPerSecond: int64(c.Rate)} // nobody else has the store
	if c.KeepFor != "" {
		if o.KeepFor, err = time.ParseDuration(c.KeepFor); err != nil || o.KeepFor <= 0 {
			return bench.Usagef("--keep-for %s: it must be a time such as 720h", c.KeepFor)
		}
	}
	if c.KeepLast < 0 {
		return bench.Usagef("--keep-last %d is below 0", c.KeepLast)
	}
	from, err := c.find(c.From)
	if err != nil {
		return err
	}
	if len(from.dirs) > 0 {
		o.Scratch = from.dirs[0] + ".backup-scratch" // on the same file system
	}
	p, err := from.openExisting(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	o.Open = func(ctx context.Context, dir string) (*providers.Provider, error) {
		there, err := from.at(dir)
		if err != nil {
			return nil, err
		}
		return there.openExisting(ctx)
	}
	b, err := backup.New(p, place, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if r.Point, err = b.Archive(ctx); err != nil {
		return err
	}
	if !c.LogOnly || b.NeedsBase() {
		m, err := b.Base(ctx)
		if err != nil {
			return err
		}
		r.Base = &m
		if r.Point, err = b.Archive(ctx); err != nil {
			return err
		}
	}
	r.Removed, err = b.Prune(ctx)
	return err
}

// place opens where backups are.
func (f *configFlag) place(ctx context.Context, spec string, create bool) (place backup.Place, closePlace func() error, err error) {
	dir, isURL := strings.CutPrefix(spec, "file://")
	if isURL || strings.HasPrefix(spec, "/") || strings.HasPrefix(spec, ".") {
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, nil, err
		}
		if _, err := os.Stat(dir); err != nil && !create {
			return nil, nil, fmt.Errorf("backups in %s: %w", dir, err)
		}
		return backup.Dir(dir), func() error { return nil }, nil
	}
	s, err := f.find(spec)
	if err != nil {
		return nil, nil, fmt.Errorf("%w; a directory begins with / or ./", err)
	}
	open := s.openExisting
	if create {
		open = s.open
	}
	p, err := open(ctx)
	if err != nil {
		return nil, nil, err
	}
	return backup.In(p), p.Close, nil
}

// restoreCommand makes a store of a backup.
type restoreCommand struct {
	configFlag
	outputFlags
	From string `required:"" placeholder:"PLACE" help:"Where the backups are."`
	To   string `required:"" placeholder:"PROVIDER" help:"The store to make; nothing may be there."`
	At   string `placeholder:"SEQ|TIME" help:"The point: a record of the log, or a time such as 2026-11-26T04:30:00Z; without it, the newest."`
}

// Help is what --help says below the summary.
func (restoreCommand) Help() string {
	return `Copies the newest base that is not behind the point, verifies it, and applies the archived
log up to the point. The store appears under its name when all of it is there. A directory
that is not empty is refused. When it is killed, run it again: it begins anew.

A checkpoint is restored to the backend that it is of; migrate it to another afterwards. An
export goes into any.

` + placesHelp + `

Examples:
  orbit-cli restore --from /mnt/backup/orbit --to lsm:/var/lib/orbit-restored
  orbit-cli restore --from /mnt/backup/orbit --to lsm:/var/lib/orbit-restored --at 2026-11-26T04:30:00Z
  orbit-cli restore --config orbit.toml --from s3 --to lsm:/var/lib/orbit-restored --at 184467

` + exitHelp
}

// Run restores.
func (c *restoreCommand) Run(ctx context.Context) error {
	var r backup.Restored
	return c.run(ctx, "run the same command again; it begins anew", func(ctx context.Context) (any, error) {
		err := c.do(ctx, &r)
		return &r, err
	}, func(w io.Writer) {
		fmt.Fprintf(w, "restored base %s, %s, and %s records of the log behind it, to %s in %s\n", r.Base, inBytes(r.Bytes), grouped(int64(r.Records)), c.To, r.Took.Round(time.Millisecond))
		if r.Point.Sequence > 0 {
			fmt.Fprintf(w, "it is as it was at record %d, which was written before %s\n", r.Point.Sequence, r.Point.Time.Local().Format(time.RFC3339))
		}
		if r.Gap != "" {
			fmt.Fprintln(w, r.Gap)
		}
	})
}

func (c *restoreCommand) do(ctx context.Context, r *backup.Restored) (err error) {
	at, err := backup.ParsePoint(c.At)
	if err != nil {
		return bench.Usagef("--at: %w", err)
	}
	to, err := c.find(c.To)
	if err != nil {
		return err
	}
	place, closePlace, err := c.place(ctx, c.From, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closePlace()) }()
	report, done := c.reporter()
	defer done()
	target := backup.Target{Backend: to.config.Backend, Report: report, Open: func(ctx context.Context, dir string) (*providers.Provider, error) {
		if dir == "" {
			return to.open(ctx)
		}
		there, err := to.at(dir)
		if err != nil {
			return nil, err
		}
		return there.open(ctx)
	}}
	if to.backend.Kind() != config.KindMemory {
		target.Dir = to.dir()
	}
	*r, err = backup.Restore(ctx, place, target, at)
	return err
}
