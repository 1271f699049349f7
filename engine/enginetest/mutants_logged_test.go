package enginetest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
)

// logging is a subject that keeps a log of its batches in memory.
type logging struct {
	bare
	records []engine.LogRecord
	// defect changes what a reader tells.
	defect func([]engine.LogRecord) []engine.LogRecord
}

// withLog seeds a defect in what the reader of a log tells.
func withLog(defect func([]engine.LogRecord) []engine.LogRecord) func(string) (engine.Engine, error) {
	return func(dir string) (engine.Engine, error) {
		d, err := persistentSubject(dir)
		if err != nil {
			return nil, err
		}
		l := &logging{bare: newBare(d.subject), defect: defect}
		l.traits.Logged = true
		return l, nil
	}
}

func (l *logging) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	err := l.bare.Apply(ctx, b, d)
	if err == nil && b.Count() > 0 {
		l.records = append(l.records, engine.LogRecord{Sequence: uint64(len(l.records)) + 1, Batch: append([]byte(nil), b.Encoded()...)})
	}
	return err
}

func (l *logging) LogPosition() (log, sequence uint64) { return 1, uint64(len(l.records)) }

func (l *logging) NewLogReader(after uint64, _ int64) (engine.LogReader, error) {
	if after > uint64(len(l.records)) {
		return nil, fmt.Errorf("%w: record %d", engine.ErrInvalid, after)
	}
	return &loggingReader{of: l, at: after}, nil
}

type loggingReader struct {
	of     *logging
	at     uint64
	closed bool
}

func (r *loggingReader) Read(_ context.Context, each func(engine.LogRecord) error) (uint64, error) {
	for _, record := range r.of.defect(r.of.records[r.at:]) {
		if err := each(record); err != nil {
			return r.at, err
		}
		r.at = record.Sequence
	}
	return r.at, nil
}

func (*loggingReader) Keep(uint64) {}

func (r *loggingReader) Close() error {
	if r.closed {
		return engine.ErrClosed
	}
	r.closed = true
	return nil
}

var loggedMutants = []mutant{
	{"traits/logged", "a reader tells the newest batch late", withLog(func(r []engine.LogRecord) []engine.LogRecord { return r[:max(len(r), 1)-1] })},
	{"traits/logged", "a reader leaves out a batch", withLog(func(r []engine.LogRecord) []engine.LogRecord {
		if len(r) > 2 {
			return append(append([]engine.LogRecord(nil), r[0]), r[2:]...)
		}
		return r
	})},
	{"traits/logged", "a reader tells another batch", withLog(func(r []engine.LogRecord) []engine.LogRecord {
		r = append([]engine.LogRecord(nil), r...)
		if len(r) > 1 {
			r[0].Batch, r[1].Batch = r[1].Batch, r[0].Batch
		}
		return r
	})},
	{"traits/declared-and-present-or-neither", "an engine has a log that it does not declare", func(dir string) (engine.Engine, error) {
		e, err := withLog(func(r []engine.LogRecord) []engine.LogRecord { return r })(dir)
		if err == nil {
			e.(*logging).traits.Logged = false
		}
		return e, err
	}},
}

// TestLoggedWithoutDefect: what kills the mutants is their defect.
func TestLoggedWithoutDefect(t *testing.T) {
	for _, c := range enginetest.Cases() {
		if c.Name != "traits/logged" {
			continue
		}
		target := enginetest.Target{Name: "logging", Open: withLog(func(r []engine.LogRecord) []engine.LogRecord { return r })}
		if err := c.Run(t.Context(), target, t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}
