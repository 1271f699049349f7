package composite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

const controlVersion = 1

// level is what a side has of the acknowledged writes.
type level string

const (
	isLevel  level = "level"  // all of them
	isAhead  level = "ahead"  // all of them, and the other may lack some
	isBehind level = "behind" // perhaps not all
)

// control is the record by which a process has a side, and that fences all others.
type control struct {
	Version int    `json:"version"`
	Epoch   uint64 `json:"epoch"`
	// Writer is the process, at random for each opening.
	Writer string `json:"writer"`
	// Serving is the name of the side that serves.
	Serving string `json:"serving"`
	// Level is what the side has that holds the record.
	Level level `json:"level"`
	// Released: the writer has given up its lease. Clean: both sides were the same then.
	Released bool `json:"released,omitempty"`
	Clean    bool `json:"clean,omitempty"`
	// TTL is the writer's LeaseTTL.
	TTL time.Duration `json:"ttl_ns"`
	// Pair is for an opening that does not reach the other side.
	Pair shape `json:"pair"`
}

// shape is what both sides together can do.
type shape struct {
	Version    string            `json:"version"`
	Durability driver.Durability `json:"durability"`
	Persistent bool              `json:"persistent"`
	TTL        bool              `json:"ttl"`
	Limits     driver.Limits     `json:"limits"`
}

func decodeControl(data []byte) (c control, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("%w: the composite's control record: %v", driver.ErrCorrupt, err)
	}
	if c.Version != controlVersion || c.Epoch == 0 || c.Writer == "" || c.Serving != sideNames[0] && c.Serving != sideNames[1] ||
		c.Level != isLevel && c.Level != isAhead && c.Level != isBehind || c.TTL <= 0 {
		return c, fmt.Errorf("%w: the composite's control record: version %d, epoch %d, writer %q, serving %q, level %q; this program knows version %d",
			driver.ErrCorrupt, c.Version, c.Epoch, c.Writer, c.Serving, c.Level, controlVersion)
	}
	return c, nil
}

// view is what a process sees of a side's control and lease.
type view struct {
	control  // Epoch 0 where there is none
	revision driver.Revision
	lease    driver.Revision
}

func (v *view) exists() bool { return !v.revision.IsZero() }

// look reads the control and the lease of a side. A side without a control must be
// empty.
func (p *pair) look(ctx context.Context, i int) (v view, err error) {
	s := p.sides[i]
	entries, err := s.getMany(ctx, [][]byte{controlKey, leaseKey})
	if err != nil {
		return v, err
	}
	v.revision, v.lease = entries[0].Revision, entries[1].Revision
	if !v.revision.IsZero() {
		if v.control, err = decodeControl(entries[0].Value); err != nil {
			return v, fmt.Errorf("%s: %w", s.name, err)
		}
		return v, nil
	}
	rows, err := s.list(ctx, driver.ListOptions{Limit: 1, KeysOnly: true})
	if err == nil && len(rows) > 0 {
		err = fmt.Errorf("%w: the %s has entries that no composite has written, such as %q; use an empty one, and migrate them", driver.ErrInvalid, s.name, rows[0].Key)
	}
	return v, err
}

// errLost says that another process has taken a side.
var errLost = fmt.Errorf("%w: another process has taken over", driver.ErrFenced)

// beat returns a lease that was never written before.
func (p *pair) beat() []byte { return fmt.Appendf(nil, "%s/%d", p.me, p.beats.Add(1)) }

// take makes the record of a side this process's, if nobody has touched control or lease
// since they were seen so; it is errLost if somebody has. It returns the revision of the
// control.
func (p *pair) take(ctx context.Context, i int, seen view, c control) (driver.Revision, error) {
	return p.rule(ctx, i, []driver.Read{{Key: controlKey, Revision: seen.revision}, {Key: leaseKey, Revision: seen.lease}}, c)
}

// advance replaces the control that this process has on a side.
func (p *pair) advance(ctx context.Context, i int, fence driver.Revision, c control) (driver.Revision, error) {
	for {
		revision, err := p.rule(ctx, i, []driver.Read{{Key: controlKey, Revision: fence}}, c)
		if !errors.Is(err, errLost) {
			return revision, err
		}
		// It may be this process's, by an advance whose outcome was not known.
		now, mine, lookErr := p.mine(ctx, i)
		if lookErr != nil {
			return driver.Revision{}, lookErr
		}
		if !mine || now == fence {
			return driver.Revision{}, err
		}
		fence = now
	}
}

// mine returns the revision of a side's control, and whether it is this process's.
func (p *pair) mine(ctx context.Context, i int) (driver.Revision, bool, error) {
	e, err := p.sides[i].get(ctx, controlKey)
	if errors.Is(err, driver.ErrNotFound) {
		return driver.Revision{}, false, nil
	}
	if err != nil {
		return driver.Revision{}, false, err
	}
	c, err := decodeControl(e.Value)
	return e.Revision, err == nil && c.Writer == p.me, err
}

func (p *pair) rule(ctx context.Context, i int, reads []driver.Read, c control) (driver.Revision, error) {
	c.Version, c.Writer, c.TTL, c.Pair = controlVersion, p.me, p.c.LeaseTTL, p.shape
	data, err := json.Marshal(c)
	if err != nil {
		return driver.Revision{}, err
	}
	begun := p.c.Now()
	s := p.sides[i]
	err = s.commit(ctx, &driver.Commit{Reads: reads, Writes: []driver.Write{{Key: controlKey, Value: data}, {Key: leaseKey, Value: p.beat()}}})
	if errors.Is(err, driver.ErrConflict) {
		return driver.Revision{}, fmt.Errorf("%s: %w", s.name, errLost)
	}
	if err != nil {
		return driver.Revision{}, err
	}
	e, err := s.get(ctx, controlKey)
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		return driver.Revision{}, err
	}
	if err != nil || !bytes.Equal(e.Value, data) {
		return driver.Revision{}, fmt.Errorf("%s: %w", s.name, errLost)
	}
	p.valid[i].Store(int64(begun.Add(p.c.LeaseTTL).Sub(p.begun)))
	return e.Revision, nil
}

// renew prolongs the lease of a side that this process has.
func (p *pair) renew(ctx context.Context, i int, fence driver.Revision) error {
	begun := p.c.Now()
	err := p.commitTo(ctx, i, fence, []driver.Write{{Key: leaseKey, Value: p.beat()}})
	if err == nil {
		p.valid[i].Store(int64(begun.Add(p.c.LeaseTTL).Sub(p.begun)))
	}
	return err
}

// commitTo commits to a side, if it is still this process's; it is errLost if not.
func (p *pair) commitTo(ctx context.Context, i int, fence driver.Revision, writes []driver.Write) error {
	err := p.sides[i].commit(ctx, &driver.Commit{Reads: []driver.Read{{Key: controlKey, Revision: fence}}, Writes: writes})
	if errors.Is(err, driver.ErrConflict) {
		return fmt.Errorf("%s: %w", p.sides[i].name, errLost)
	}
	return err
}
