package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// RecordKey is the key of the entry that a target has while it is being filled, and not
// afterwards.
const RecordKey = "\x00orbit/migration"

var recordKey = []byte(RecordKey)

const recordVersion = 1

// record says from where a target is filled, and how far that has come.
type record struct {
	Version int    `json:"version"`
	From    string `json:"from"`
	// After is the key up to which, with it, all is there; nil before the first batch.
	After   []byte `json:"after,omitempty"`
	Replace bool   `json:"replace,omitempty"`
}

// loadRecord returns the record of a target, nil if it has none.
func loadRecord(ctx context.Context, p *providers.Provider) (*record, error) {
	e, err := p.Get(ctx, recordKey)
	if errors.Is(err, driver.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read how far %s is filled: %w", p.Name(), err)
	}
	r := new(record)
	d := json.NewDecoder(bytes.NewReader(e.Value))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, driver.KeyError("decode", recordKey, fmt.Errorf("%w: %w", driver.ErrCorrupt, err))
	}
	if r.Version != recordVersion {
		return nil, driver.KeyError("decode", recordKey, fmt.Errorf("%w: version %d; this program knows version %d", driver.ErrCorrupt, r.Version, recordVersion))
	}
	return r, nil
}

func (r *record) encode() []byte {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // it has only what JSON has
	}
	return data
}

// Unfinished returns ErrConflict, and says what to do, if a provider is the target of a
// migration or an import that has not come to its end; nil if it is not.
func Unfinished(ctx context.Context, p *providers.Provider) error {
	r, err := loadRecord(ctx, p)
	if err != nil || r == nil {
		return err
	}
	return fmt.Errorf("%s: %w: it is half filled from %s; let that be finished first", p.Name(), driver.ErrConflict, r.From)
}

// errNotEmpty is that of a target with entries and without a record.
var errNotEmpty = fmt.Errorf("%w", driver.ErrConflict)

// copied reports whether a target that is not empty is whole already: who was killed
// right behind the end begins again, and has nothing to do.
func copied(ctx context.Context, from source, p *providers.Provider, report func(Progress)) (outcome, bool) {
	run := pass{from: from, to: p, look: true, first: true, report: report, progress: Progress{Phase: "compare", Pass: 1}}
	o, err := run.run(ctx)
	return o, err == nil && o.changed == 0 && o.source.same(&o.target)
}

// begin makes p a target that is being filled from a source, or finds that it is one
// already. resumed tells that.
func begin(ctx context.Context, p *providers.Provider, from string, replace bool) (r *record, resumed bool, err error) {
	r, err = loadRecord(ctx, p)
	switch {
	case err != nil:
		return nil, false, err
	case r != nil && r.From != from && !replace:
		return nil, false, fmt.Errorf("%s: %w: it is half filled from %s, and this is %s; go on with that, or replace what is there",
			p.Name(), driver.ErrConflict, r.From, from)
	case r != nil && r.From == from:
		return r, true, nil
	}
	if r == nil && !replace {
		for e, err := range p.List(ctx, providers.ListOptions{Limit: 1, KeysOnly: true}) {
			if err != nil {
				return nil, false, fmt.Errorf("look whether %s is empty: %w", p.Name(), err)
			}
			return nil, false, driver.KeyError("begin", e.Key, fmt.Errorf("%w: %s is not empty, and does not hold what the source does; choose an empty target, or replace what is there", errNotEmpty, p.Name()))
		}
	}
	r = &record{Version: recordVersion, From: from, Replace: replace}
	if _, err := p.Put(ctx, recordKey, r.encode(), providers.PutOptions{}); err != nil {
		return nil, false, fmt.Errorf("begin to fill %s: %w", p.Name(), err)
	}
	return r, false, nil
}

// finish makes a target whole.
func finish(ctx context.Context, p *providers.Provider) error {
	if err := p.Delete(ctx, recordKey, providers.DeleteOptions{}); err != nil {
		return fmt.Errorf("finish %s, to which all was copied: %w", p.Name(), err)
	}
	return nil
}
