package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func versionOf(k *kind, o runtime.Object) string {
	m, _, _ := k.open(o)
	return k.version(m)
}

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Entry{}, err
	}
	defer s.calls.Done()
	if err := s.caps.Limits.CheckKey("get", key); err != nil {
		return driver.Entry{}, err
	}
	e, err := s.get(ctx, key)
	if errors.Is(err, driver.ErrNotFound) {
		return driver.Entry{}, driver.ErrNotFound
	}
	if err != nil {
		return driver.Entry{}, driver.KeyError("get", key, err)
	}
	return e, nil
}

func (s *Store) get(ctx context.Context, key []byte) (driver.Entry, error) {
	k := s.kindOf(key)
	o, err := s.fetch(ctx, k, s.place(k, key))
	if err != nil {
		return driver.Entry{}, err
	}
	return s.entry(ctx, k, key, o)
}

// entry makes an entry of an object. Where its parts have been removed meanwhile, it is
// read again.
func (s *Store) entry(ctx context.Context, k *kind, key []byte, o runtime.Object) (driver.Entry, error) {
	for {
		m, stored, err := k.open(o)
		if err != nil {
			return driver.Entry{}, err
		}
		value, p, err := decodeStored(stored)
		if err != nil {
			return driver.Entry{}, err
		}
		if p == nil {
			return driver.Entry{Key: bytes.Clone(key), Value: value, Revision: driver.TagRevision(k.version(m))}, nil
		}
		value, missing := s.getParts(ctx, k, *p)
		if missing == nil {
			s.remember(m.Name, k.version(m), *p)
			return driver.Entry{Key: bytes.Clone(key), Value: value, Revision: driver.TagRevision(k.version(m))}, nil
		}
		if !errors.Is(missing, driver.ErrNotFound) {
			return driver.Entry{}, missing
		}
		again, err := s.fetch(ctx, k, m.Name)
		if err != nil {
			return driver.Entry{}, err
		}
		if versionOf(k, again) == k.version(m) {
			return driver.Entry{}, fmt.Errorf("%w: a part of the value is missing: %v", driver.ErrCorrupt, missing)
		}
		o = again
	}
}

func (s *Store) getParts(ctx context.Context, k *kind, p parts) ([]byte, error) {
	value := make([]byte, 0, p.size)
	pk := partKind(k)
	for i := range p.number {
		o, err := s.fetch(ctx, pk, s.partName(k, p.id, i))
		if err != nil {
			return nil, err
		}
		_, part, err := pk.open(o)
		if err != nil {
			return nil, err
		}
		value = append(value, part...)
	}
	if uint64(len(value)) != p.size {
		return nil, fmt.Errorf("%w: the parts have %d bytes, and not %d", driver.ErrCorrupt, len(value), p.size)
	}
	return value, nil
}

// page is how many objects are asked for at once.
const page = 250

// stream is the objects of one kind, in the order of their keys, a page at a time.
type stream struct {
	s     *Store
	k     *kind
	o     meta.ListOptions
	after []byte // the key after which it begins
	items []runtime.Object
	more  bool
}

func (s *Store) stream(k *kind, o driver.ListOptions) *stream {
	selector := storeTag + "=" + hash(s.c.ConfigMapName)
	if group := groupOf(o.Prefix); group != "" {
		selector += "," + groupTag + "=" + group
	}
	return &stream{s: s, k: k, o: meta.ListOptions{LabelSelector: selector, Limit: page}, after: o.After, more: true}
}

// head returns the key and the object of the stream that come next; nil at the end.
func (t *stream) head(ctx context.Context, prefix []byte) (key []byte, o runtime.Object, err error) {
	for {
		for len(t.items) > 0 {
			o := t.items[0]
			m, _, _ := t.k.open(o)
			key, err := keyOf(t.s.nameOf(t.k), m.Name)
			if err != nil {
				return nil, nil, err
			}
			if bytes.HasPrefix(key, prefix) && bytes.Compare(key, t.after) > 0 {
				return key, o, nil
			}
			if bytes.Compare(key, prefix) > 0 && !bytes.HasPrefix(key, prefix) { // there are no more
				t.items, t.more = nil, false
				break
			}
			t.items = t.items[1:]
		}
		if !t.more {
			return nil, nil, nil
		}
		list := t.k.list()
		err = t.s.client(t.k).Get().Namespace(t.s.c.Namespace).Resource(t.k.resource).VersionedParams(&t.o, parameters).MaxRetries(0).Do(ctx).Into(list)
		if err = failure(ctx, false, err); err != nil {
			return nil, nil, err
		}
		t.items = t.k.items(list)
		t.o.Continue = list.(meta.ListInterface).GetContinue()
		t.more = t.o.Continue != ""
	}
}

// List implements driver.Store. Each kind's objects are read as of one moment, as long as
// the API server has that, else from where the list had come to.
func (s *Store) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		o := o
		if o.Limit < 0 {
			return
		}
		var streams []*stream
		for _, k := range s.kinds() {
			streams = append(streams, s.stream(k, o))
		}
		for n := 0; o.Limit == 0 || n < o.Limit; n++ {
			e, ok, err := s.next(ctx, streams, o)
			if err != nil {
				yield(driver.Entry{}, fmt.Errorf("list: %w", err))
				return
			}
			if !ok || !yield(e, nil) {
				return
			}
		}
	}
}

// next takes the next entry of several streams. An entry whose parts are gone with the
// object is left out.
func (s *Store) next(ctx context.Context, streams []*stream, o driver.ListOptions) (driver.Entry, bool, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Entry{}, false, err
	}
	defer s.calls.Done()
	for {
		var from *stream
		var key []byte
		var object runtime.Object
		for _, t := range streams {
			k, head, err := t.head(ctx, o.Prefix)
			if errors.Is(err, errExpired) && t.o.Continue != "" {
				*t = *s.stream(t.k, driver.ListOptions{Prefix: o.Prefix, After: t.after})
				k, head, err = t.head(ctx, o.Prefix)
			}
			if err != nil {
				return driver.Entry{}, false, err
			}
			if head != nil && (object == nil || bytes.Compare(k, key) < 0) {
				from, key, object = t, k, head
			}
		}
		if object == nil {
			return driver.Entry{}, false, nil
		}
		from.items, from.after = from.items[1:], key
		if o.KeysOnly {
			m, _, err := from.k.open(object)
			return driver.Entry{Key: key, Revision: driver.TagRevision(from.k.version(m))}, true, err
		}
		e, err := s.entry(ctx, from.k, key, object)
		if errors.Is(err, driver.ErrNotFound) {
			continue
		}
		return e, err == nil, err
	}
}

// Compact implements driver.Compacter: it removes parts that no object names, and that
// are an hour older than the newest object, by the API server's clock.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	kinds := []*kind{configMaps}
	if s.c.SecretName != "" {
		kinds = append(kinds, secrets)
	}
	type old struct {
		k    *kind
		name string
		made time.Time
	}
	var found []old
	var newest time.Time
	each := func(k *kind, label string, f func(m *meta.ObjectMeta, stored []byte)) error {
		o := meta.ListOptions{LabelSelector: storeTag + "=" + label, Limit: page}
		for {
			list := k.list()
			err := s.client(k).Get().Namespace(s.c.Namespace).Resource(k.resource).VersionedParams(&o, parameters).MaxRetries(0).Do(ctx).Into(list)
			if err = failure(ctx, false, err); err != nil {
				return fmt.Errorf("compact: %w", err)
			}
			for _, item := range k.items(list) {
				m, stored, err := k.open(item)
				if err != nil {
					return driver.KeyError("compact", []byte(m.Name), err)
				}
				f(m, stored)
			}
			if o.Continue = list.(meta.ListInterface).GetContinue(); o.Continue == "" {
				return nil
			}
		}
	}
	for _, k := range kinds {
		err := each(k, "p"+hash(s.c.ConfigMapName), func(m *meta.ObjectMeta, _ []byte) {
			found = append(found, old{k, m.Name, m.CreationTimestamp.Time})
			if m.CreationTimestamp.After(newest) {
				newest = m.CreationTimestamp.Time
			}
		})
		if err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return nil
	}
	named := map[string]bool{}
	for _, k := range s.kinds() {
		err := each(k, hash(s.c.ConfigMapName), func(m *meta.ObjectMeta, stored []byte) {
			if m.CreationTimestamp.After(newest) {
				newest = m.CreationTimestamp.Time
			}
			if _, p, err := decodeStored(stored); err == nil && p != nil {
				for i := range p.number {
					named[s.partName(k, p.id, i)] = true
				}
			}
		})
		if err != nil {
			return err
		}
	}
	for _, part := range found {
		if named[part.name] || newest.Sub(part.made) < s.orphanAge {
			continue
		}
		if err := s.remove(ctx, part.k, part.name, ""); err != nil && !errors.Is(err, driver.ErrNotFound) {
			return fmt.Errorf("compact: %w", err)
		}
	}
	return nil
}
