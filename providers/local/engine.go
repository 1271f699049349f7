package local

import (
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// Engine returns the engine beneath, for backups, which read its log and apply it again.
// What is written through it goes past revisions, fences and limits.
func (s *Store) Engine() engine.Engine { return s.engine }

// RaiseRevisions makes every revision that is given from now on at least so high, also
// after a restart: for a store whose state has gone back, so that nobody meets a revision
// of before. It is never lowered.
func (s *Store) RaiseRevisions(ctx context.Context, least uint64) error {
	s.grow.Lock()
	defer s.grow.Unlock()
	if least <= s.reserved.Load() {
		return nil
	}
	if err := s.writeHeader(ctx, least); err != nil {
		return fmt.Errorf("raise revisions: %w", err)
	}
	s.reserved.Store(least) // the next one finds that its block is used up
	for {
		now := s.revision.Load()
		if now >= least-1 || s.revision.CompareAndSwap(now, least-1) {
			return nil
		}
	}
}
