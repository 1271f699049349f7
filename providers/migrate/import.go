package migrate

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

type entries = iter.Seq2[providers.Entry, error]

// ImportOptions say how to import. The zero value validates, and refuses a provider that
// holds anything.
type ImportOptions struct {
	// BatchSize is the number of entries that are written at once; 0 is
	// DefaultBatchSize.
	BatchSize int
	// Replace lets the provider hold entries: it becomes a copy of the file, and loses
	// what the file does not have.
	Replace bool
	// NoValidation leaves out the pass that compares the provider with the file.
	NoValidation bool
	// Progress is told how far it has come; nil is nobody.
	Progress func(Progress)
}

// ExportInfo is what CheckFile finds.
type ExportInfo struct {
	ID      string    `json:"id"`
	Backend string    `json:"backend"`
	Created time.Time `json:"created"`
	Tally
	SHA256 string `json:"sha256"`
}

// CheckFile reads an export to its end, and returns what its first and last line say. A
// file that is cut off, out of order, or not what its last line says is ErrCorrupt.
func CheckFile(ctx context.Context, name string, report func(Progress)) (ExportInfo, error) {
	info, err := checkFile(ctx, name, report)
	if err != nil {
		return info, fmt.Errorf("check %s: %w", name, err)
	}
	return info, nil
}

func checkFile(ctx context.Context, name string, report func(Progress)) (info ExportInfo, err error) {
	l, err := openLines(name, true)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	h, err := l.head()
	if err != nil {
		return info, err
	}
	progress := Progress{Phase: "check"}
	var last trailer
	var tally Tally
	var before []byte
	for {
		line, err := l.next()
		switch {
		case errors.Is(err, io.EOF):
			return info, fmt.Errorf("%w: it ends after %d entries, and the last line, which says that it is whole, is missing: the export did not come to its end, so make it anew", driver.ErrCorrupt, progress.Entries)
		case err != nil:
			return info, err
		}
		progress.Bytes += int64(len(line))
		if bytes.HasPrefix(line, trailerStart) {
			if err := strict(line, &last); err != nil {
				return info, fmt.Errorf("line %d: %w", l.number, err)
			}
			break
		}
		e, err := parseEntry(line)
		switch {
		case err != nil:
			return info, fmt.Errorf("line %d: %w", l.number, err)
		case bytes.Compare(e.Key, before) <= 0:
			return info, l.wrong("the key is not above that of the line before")
		}
		before = append(before[:0], e.Key...)
		tally.count(&e, 1)
		if progress.Entries++; progress.Entries&(chunkEntries-1) == 0 {
			if err := ctx.Err(); err != nil {
				return info, err
			}
			if report != nil {
				report(progress)
			}
		}
	}
	tally.work = nil
	switch sum := hex.EncodeToString(l.sum.Sum(nil)); {
	case last.Version != formatVersion:
		return info, l.wrong("format version %d; this program knows version %d", last.Version, formatVersion)
	case sum != last.SHA256:
		return info, l.wrong("the checksum of the file is %s, and this line says %s", sum, last.SHA256)
	case !tally.equal(&last.Tally):
		return info, l.wrong("the file has %d entries, %s, and this line says %d, %s, or other counts", tally.Entries, tally.Digest, last.Entries, last.Digest)
	}
	if _, err := l.next(); !errors.Is(err, io.EOF) {
		return info, l.wrong("it follows the last line")
	}
	return ExportInfo{h.ID, h.Backend, h.Created, last.Tally, last.SHA256}, nil
}

// fromFile returns an export as a side of a pass.
func fromFile(name string) source {
	return source{name: name, now: time.Now, list: func(ctx context.Context, after []byte) entries {
		return func(yield func(providers.Entry, error) bool) {
			l, err := openLines(name, false)
			if err != nil {
				yield(providers.Entry{}, err)
				return
			}
			defer l.close() // it was only read
			if _, err := l.head(); err != nil {
				yield(providers.Entry{}, err)
				return
			}
			for {
				line, err := l.next()
				switch {
				case errors.Is(err, io.EOF):
					err = fmt.Errorf("%w: the last line is missing", driver.ErrCorrupt)
				case err == nil && bytes.HasPrefix(line, trailerStart):
					return
				}
				var e providers.Entry
				if err == nil {
					if e, err = parseEntry(bytes.Clone(line)); err != nil {
						err = fmt.Errorf("line %d: %w", l.number, err)
					}
				}
				if err == nil && after != nil && bytes.Compare(e.Key, after) <= 0 {
					continue
				}
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}}
}

// ImportFile reads an export into a provider, which then holds what the file holds.
// Before anything is written, the whole file is read and checked. After an error, or a
// kill, the provider is marked as half filled, and importing the same file goes on.
// Entries whose time has passed are left out.
func ImportFile(ctx context.Context, name string, p *providers.Provider, o ImportOptions) (Result, error) {
	start := time.Now()
	if o.BatchSize == 0 {
		o.BatchSize = DefaultBatchSize
	}
	r, err := importFile(ctx, name, p, o)
	r.Took = time.Since(start)
	if err != nil {
		return r, fmt.Errorf("import %s into %s: %w", name, p.Name(), err)
	}
	return r, nil
}

func importFile(ctx context.Context, name string, p *providers.Provider, o ImportOptions) (r Result, err error) {
	if o.BatchSize < 1 {
		return r, fmt.Errorf("%w: batches of %d entries", driver.ErrInvalid, o.BatchSize)
	}
	info, err := checkFile(ctx, name, o.Progress)
	if err != nil {
		return r, err
	}
	rec, resumed, err := begin(ctx, p, "the export "+info.ID, o.Replace)
	if errors.Is(err, errNotEmpty) {
		if out, whole := copied(ctx, fromFile(name), p, o.Progress); whole {
			return Result{Tally: out.target, Passes: 1, Validated: true, LeasesMigrated: out.target.Leases, NodesMigrated: out.target.Nodes}, nil
		}
	}
	if err != nil {
		return r, err
	}
	r.Resumed = resumed
	for after := rec.After; ; after = nil {
		r.Passes++
		run := pass{from: fromFile(name), to: p, batch: o.BatchSize, after: after, record: rec, report: o.Progress, progress: Progress{Phase: "copy", Pass: r.Passes}}
		if r.Passes > 1 {
			run.record, run.progress.Phase = nil, "compare"
		}
		out, err := run.run(ctx)
		if err != nil {
			return r, err
		}
		r.Tally = out.source
		whole := after == nil
		switch {
		case whole && !out.source.same(&info.Tally):
			return r, fmt.Errorf("%w: its last line says %d entries, %s, and it has %d, %s", driver.ErrCorrupt, info.Entries, info.Digest, out.source.Entries, out.source.Digest)
		case r.Passes > 2 && out.changed > 0:
			return r, driver.KeyError("validate", out.first, fmt.Errorf("%w: the provider does not have what was written: %s; does somebody else write to it?", driver.ErrCorrupt, out.why))
		}
		if r.Validated = whole && out.changed == 0 && out.source.same(&out.target); r.Validated {
			r.Tally = out.target // without what has expired
		}
		if r.Passes > 1 {
			r.Changed += out.changed
		}
		if r.Validated || whole && o.NoValidation {
			break
		}
	}
	r.LeasesMigrated, r.NodesMigrated = r.Leases, r.Nodes
	return r, finish(ctx, p)
}
