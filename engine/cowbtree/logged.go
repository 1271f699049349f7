package cowbtree

import "github.com/orbit-persistence/orbit/engine"

// LogPosition implements engine.Logged.
func (e *Engine) LogPosition() (log, sequence uint64) { return e.log.ID(), e.log.LastSequence() }

// NewLogReader implements engine.Logged. The names of snapshots are records too, and say
// nothing of what is stored.
func (e *Engine) NewLogReader(after uint64, limit int64) (engine.LogReader, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	t, err := e.log.NewTail(after, limit)
	if err != nil {
		return nil, err
	}
	return t.Batches(func(p []byte) (is, opaque bool) {
		is = len(p) > 1 && p[0] == recordNoBatch
		return is, is && p[1] == recordIngest
	}), nil
}
