package objects

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/orbit-persistence/orbit/providers/driver"
)

const (
	// pageObjects is the number of objects of one page, as services have it.
	pageObjects = 1000
	// atOnce is how many values of a list are read at one time.
	atOnce = 32
)

// List implements driver.Store. A page of names is one request, and each value is one
// more, many at a time: object stores list no values.
func (s *Store) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		if o.Limit < 0 {
			return
		}
		prefix, after, left := s.names.of(o.Prefix), "", o.Limit
		if o.After != nil {
			after = s.names.of(o.After)
		}
		for more := true; more; {
			var page []Listed
			var err error
			if page, more, err = s.page(ctx, prefix, after, left); err != nil {
				yield(driver.Entry{}, fmt.Errorf("list: %w", err))
				return
			}
			for len(page) > 0 {
				some := page[:min(len(page), atOnce)]
				page = page[len(some):]
				entries, err := s.entries(ctx, some, o.KeysOnly)
				for _, e := range entries {
					if !yield(e, nil) {
						return
					}
					if left--; left == 0 {
						return
					}
				}
				if err != nil {
					yield(driver.Entry{}, fmt.Errorf("list: %w", err))
					return
				}
				after = some[len(some)-1].Name
			}
		}
	}
}

// page returns a page of names, of about as many as are wanted; 0 is all.
func (s *Store) page(ctx context.Context, prefix, after string, wanted int) (page []Listed, more bool, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, false, err
	}
	defer s.calls.Done()
	limit := pageObjects
	if wanted > 0 {
		limit = min(wanted, limit)
	}
	err = call(ctx, s.o.ReadTimeout, false, func(ctx context.Context) (err error) {
		page, more, err = s.bucket.List(ctx, prefix, after, limit)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	for _, l := range page {
		if l.Name <= after || !strings.HasPrefix(l.Name, prefix) {
			return nil, false, fmt.Errorf("%w: the service lists %q after %q; it must list names in the order of their bytes", driver.ErrUnsupported, l.Name, after)
		}
		after = l.Name
	}
	return page, more && len(page) > 0, nil
}

// entries returns the entries of some objects, in their order, up to the first error.
// What is deleted in the meantime is left out, and so is what others have put there,
// which Report tells.
func (s *Store) entries(ctx context.Context, some []Listed, keysOnly bool) ([]driver.Entry, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	entries, errs := make([]driver.Entry, len(some)), make([]error, len(some))
	var group sync.WaitGroup
	for i, l := range some {
		if l.Size == tombstoneBytes {
			continue
		}
		key, ours, err := s.names.key(l.Name)
		if err != nil {
			s.note(err)
		}
		if !ours {
			continue
		}
		if keysOnly {
			entries[i] = driver.Entry{Key: key, Revision: l.At}
			continue
		}
		group.Go(func() {
			value, at, err := s.get(ctx, l.Name)
			switch {
			case err == nil:
				entries[i] = driver.Entry{Key: key, Value: value, Revision: at}
			case !errors.Is(err, driver.ErrNotFound):
				errs[i] = driver.KeyError("get", key, err)
			}
		})
	}
	group.Wait()
	there := entries[:0]
	for i := range entries {
		if errs[i] != nil {
			return there, errs[i]
		}
		if entries[i].Key != nil {
			there = append(there, entries[i])
		}
	}
	return there, nil
}
