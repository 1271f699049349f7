package objects

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// sweeping is a store with tombstones in a bucket that keeps versions.
type sweeping struct {
	*Store
	versions Versions
}

// Compact implements driver.Compacter: it removes each key's tombstone, by its version,
// after the versions that are older. Were it removed before them, the newest of them
// would be there again. What is put over it meanwhile stays.
func (s *sweeping) Compact(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	var same []Version // of one name
	err := s.versions.ListVersions(ctx, s.names.prefix, func(v Version) error {
		if len(same) > 0 && same[0].Name != v.Name {
			if err := s.unbury(ctx, same); err != nil {
				return err
			}
			same = same[:0]
		}
		same = append(same, v)
		return nil
	})
	if err == nil {
		err = s.unbury(ctx, same)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("compact: %w: %v", ctx.Err(), err) //nolint // removing what nobody reads leaves nothing in doubt
	case !answered(err) || errors.Is(err, driver.ErrOutcomeUnknown):
		return fmt.Errorf("compact: %w: %v", driver.ErrUnavailable, err) //nolint // as above: it may be repeated
	}
	return fmt.Errorf("compact: %w", err)
}

// unbury removes all versions of a name whose newest is a tombstone, which goes last.
func (s *sweeping) unbury(ctx context.Context, same []Version) error {
	tombstone := slices.IndexFunc(same, func(v Version) bool { return v.Newest && !v.Marker && v.Size == tombstoneBytes })
	if tombstone < 0 {
		return nil
	}
	if _, _, err := s.names.key(same[tombstone].Name); err != nil {
		return err
	}
	last := len(same) - 1
	same[tombstone], same[last] = same[last], same[tombstone]
	for _, v := range same {
		err := call(ctx, s.o.WriteTimeout, true, func(ctx context.Context) error { return s.versions.DeleteVersion(ctx, v.Name, v.Version) })
		if err != nil {
			return err
		}
	}
	return nil
}
