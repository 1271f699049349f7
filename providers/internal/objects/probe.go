package objects

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// probe tries out on an object of its own what the service does with conditions.
func (s *Store) probe(ctx context.Context) (err error) {
	id := make([]byte, 16)
	random(id)
	name := s.names.own("ROBE-" + hex.EncodeToString(id))
	put := func(c Condition) (driver.Revision, error) { return s.put(ctx, name, encodeValue(nil), c) }

	first, err := put(Condition{Absent: true})
	if errors.Is(err, driver.ErrOutcomeUnknown) {
		// Of a service that ends the connection before it has read what was put, the refusal
		// may be lost. A read has nothing to send after its head, so that its own comes.
		if _, _, e := s.get(ctx, name); errors.Is(e, driver.ErrInvalid) || errors.Is(e, driver.ErrDenied) {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("put a first object: %w", err)
	}
	s.tagged = first.Tag() != ""
	defer func() { err = errors.Join(err, s.removeProbe(ctx, name)) }()
	if err := refused(put(Condition{Absent: true})); err != nil {
		return fmt.Errorf("put if absent, what is there: %w", err)
	}
	second, err := put(Condition{At: first})
	if err != nil {
		return fmt.Errorf("put if unchanged: %w", err)
	}
	if err := refused(put(Condition{At: first})); err != nil {
		return fmt.Errorf("put if unchanged, what has changed: %w", err)
	}
	if err := s.probeDelete(ctx, name, first, second); err != nil {
		return err
	}
	_, err = put(Condition{Absent: true})
	if errors.Is(err, driver.ErrConflict) {
		// Versions are kept, and that of the delete counts as an object.
		s.tombstones, s.kept = true, true
		return nil
	}
	if err != nil {
		return fmt.Errorf("put if absent, what was deleted: %w", err)
	}
	return nil
}

// refused returns the error of a service that has not refused a put whose condition
// does not hold.
func refused(_ driver.Revision, err error) error {
	switch {
	case errors.Is(err, driver.ErrConflict):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: the service ignores the condition of a put, so that two writers would overwrite one another; it cannot be used (some proxies remove the headers If-Match and If-None-Match)", driver.ErrUnsupported)
}

// probeDelete finds out whether a delete looks at its condition, and leaves the object
// deleted.
func (s *Store) probeDelete(ctx context.Context, name string, old, now driver.Revision) error {
	for i, at := range []driver.Revision{old, now, now} {
		err := s.delete(ctx, name, at)
		switch holds := i == 1; {
		case err == nil && holds, errors.Is(err, driver.ErrConflict) && !holds:
		case err == nil:
			s.tombstones = true
			return nil // it is deleted
		default:
			return fmt.Errorf("delete if unchanged: %w", err)
		}
	}
	return nil
}

// removeProbe removes the probe, and its versions.
func (s *Store) removeProbe(ctx context.Context, name string) error {
	if err := s.delete(ctx, name, driver.Revision{}); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	v, ok := s.bucket.(Versions)
	if !ok || !v.Versioned() {
		return nil
	}
	var all []Version
	err := v.ListVersions(ctx, name, func(version Version) error { all = append(all, version); return nil })
	for i := 0; i < len(all) && err == nil; i++ {
		err = v.DeleteVersion(ctx, all[i].Name, all[i].Version)
	}
	if errors.Is(err, driver.ErrDenied) {
		return nil // versions are not this client's to remove; these few bytes stay
	}
	if err != nil {
		return fmt.Errorf("remove versions: %w", err)
	}
	return nil
}
