package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/orbit-persistence/orbit/providers/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Watch implements driver.Watcher. It tells of entries as they are stored: those of a
// provider, which has transactions above the store, have the form of package intent.
func (s *Store) Watch(ctx context.Context, prefix []byte) iter.Seq2[driver.Event, error] {
	return func(yield func(driver.Event, error) bool) {
		if err := s.begin(ctx); err != nil {
			yield(driver.Event{}, err)
			return
		}
		defer s.calls.Done()
		own, cancel := context.WithCancel(ctx)
		defer context.AfterFunc(s.life, cancel)()
		type told struct {
			event driver.Event
			err   error
		}
		news := make(chan told)
		var group sync.WaitGroup
		defer group.Wait()
		defer cancel()
		for _, k := range s.kinds() {
			group.Go(func() {
				err := s.follow(own, k, prefix, func(e driver.Event) bool {
					select {
					case news <- told{event: e}:
						return true
					case <-own.Done():
						return false
					}
				})
				select {
				case news <- told{err: err}:
				case <-own.Done():
				}
			})
		}
		for {
			select {
			case n := <-news:
				if !yield(n.event, n.err) || n.err != nil {
					return
				}
			case <-own.Done():
				err := driver.ErrClosed
				if ctx.Err() != nil {
					err = ctx.Err()
				}
				yield(driver.Event{}, fmt.Errorf("watch: %w", err))
				return
			}
		}
	}
}

// follow tells of changes of one kind, until it fails or is told to stop. Where the API
// server ends a watch, as it does now and then, it goes on where that was.
func (s *Store) follow(ctx context.Context, k *kind, prefix []byte, tell func(driver.Event) bool) error {
	o := meta.ListOptions{LabelSelector: storeTag + "=" + hash(s.c.ConfigMapName), Limit: 1}
	if group := groupOf(prefix); group != "" {
		o.LabelSelector += "," + groupTag + "=" + group
	}
	list := k.list()
	request := func() *meta.ListOptions { return &o }
	err := s.client(k).Get().Namespace(s.c.Namespace).Resource(k.resource).VersionedParams(request(), parameters).MaxRetries(0).Do(ctx).Into(list)
	if err = failure(ctx, false, err); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	o.ResourceVersion = list.(meta.ListInterface).GetResourceVersion()
	o.Limit, o.Watch, o.AllowWatchBookmarks = 0, true, true
	for {
		w, err := s.client(k).Get().Namespace(s.c.Namespace).Resource(k.resource).VersionedParams(request(), parameters).MaxRetries(0).Watch(ctx)
		if err = failure(ctx, false, err); err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		again, err := s.relay(ctx, k, w, prefix, &o.ResourceVersion, tell)
		w.Stop()
		if err != nil || !again {
			return err
		}
	}
}

// relay tells of what one watch shows. It is true when that has ended as watches do.
func (s *Store) relay(ctx context.Context, k *kind, w watch.Interface, prefix []byte, version *string, tell func(driver.Event) bool) (bool, error) {
	for e := range w.ResultChan() {
		if e.Type == watch.Error {
			return false, fmt.Errorf("watch: %w", failure(ctx, false, apierrors.FromObject(e.Object)))
		}
		m, stored, openErr := k.open(e.Object)
		*version = m.ResourceVersion
		if e.Type == watch.Bookmark {
			continue
		}
		key, err := keyOf(s.nameOf(k), m.Name)
		if err != nil {
			return false, fmt.Errorf("watch: %w", err)
		}
		if !bytes.HasPrefix(key, prefix) {
			continue
		}
		event := driver.Event{Entry: driver.Entry{Key: key}, Deleted: e.Type == watch.Deleted}
		if !event.Deleted {
			if openErr != nil {
				return false, driver.KeyError("watch", key, openErr)
			}
			value, p, err := decodeStored(stored)
			if err == nil && p != nil {
				value, err = s.getParts(ctx, k, *p)
			}
			if errors.Is(err, driver.ErrNotFound) {
				continue // it was replaced, which is told next
			}
			if err != nil {
				return false, driver.KeyError("watch", key, err)
			}
			event.Entry.Value, event.Entry.Revision = value, driver.TagRevision(k.version(m))
		}
		if !tell(event) {
			return false, nil
		}
	}
	return true, nil
}
