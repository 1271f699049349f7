package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/node"
)

// maxProblems bounds the problems that Validate tells one by one.
const maxProblems = 20

// Report is what Validate has found.
type Report struct {
	Tally
	// Problems are leases and nodes that cannot be read, the first of them; Damaged
	// counts all.
	Problems []string `json:"problems,omitempty"`
	Damaged  int64    `json:"damaged"`
	// Differences counts the keys in which it differs from what it was compared with.
	Differences int64 `json:"differences"`
}

// Validate reads all that a provider holds, so that every checksum on the way is
// verified, and every lease and node decoded. What cannot be read ends it with its
// error; leases and nodes that cannot be decoded are ErrCorrupt, after all was read.
func Validate(ctx context.Context, p *providers.Provider, report func(Progress)) (Report, error) {
	r, err := validate(ctx, p, report)
	if err == nil && r.Damaged > 0 {
		err = fmt.Errorf("%w: %d entries are neither lease nor node, and in the place of one", driver.ErrCorrupt, r.Damaged)
	}
	if err != nil {
		return r, fmt.Errorf("validate %s: %w", p.Name(), err)
	}
	return r, nil
}

func validate(ctx context.Context, p *providers.Provider, report func(Progress)) (r Report, err error) {
	if err := Unfinished(ctx, p); err != nil {
		return r, err
	}
	from, err := of(ctx, p)
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := read(ctx, from, nil)
	defer func() {
		cancel()
		for range c.ahead { // until its goroutine has ended
		}
	}()
	progress := Progress{Phase: "validate"}
	for {
		e, err := c.head(ctx)
		if err != nil {
			return r, err
		}
		if e == nil {
			break
		}
		_, leaseErr := lease.IsLease(*e)
		_, nodeErr := node.IsNode(*e)
		if err := errors.Join(leaseErr, nodeErr); err != nil {
			if r.Damaged++; len(r.Problems) < maxProblems {
				r.Problems = append(r.Problems, err.Error())
			}
		}
		progress.Bytes += int64(len(e.Key) + len(e.Value))
		if progress.Entries++; progress.Entries&(chunkEntries-1) == 0 && report != nil {
			progress.Key = e.Key
			report(progress)
		}
		c.next()
	}
	r.Tally = c.tally
	return r, nil
}

// ErrDifferent is what Compare returns of two sides that are not the same.
var ErrDifferent = fmt.Errorf("%w: they differ", driver.ErrConflict)

// Compare reads two providers side by side, and is ErrDifferent if they do not hold the
// same; the first difference is in the message.
func Compare(ctx context.Context, a, b *providers.Provider, report func(Progress)) (Report, error) {
	from, err := of(ctx, a)
	if err != nil {
		return Report{}, err
	}
	return compare(ctx, from, b, report)
}

// CompareFile is Compare with an export, which is checked before.
func CompareFile(ctx context.Context, name string, p *providers.Provider, report func(Progress)) (Report, error) {
	if _, err := CheckFile(ctx, name, report); err != nil {
		return Report{}, err
	}
	return compare(ctx, fromFile(name), p, report)
}

func compare(ctx context.Context, from source, p *providers.Provider, report func(Progress)) (Report, error) {
	run := pass{from: from, to: p, look: true, report: report, progress: Progress{Phase: "compare", Pass: 1}}
	o, err := run.run(ctx)
	r := Report{Tally: o.target, Differences: o.changed}
	if err == nil && (o.changed > 0 || !o.source.same(&o.target)) {
		err = driver.KeyError("compare", o.first, fmt.Errorf("%w in %d keys, of which this is the first: %s", ErrDifferent, o.changed, o.why))
	}
	if err != nil {
		return r, fmt.Errorf("compare %s with %s: %w", from.name, p.Name(), err)
	}
	return r, nil
}
