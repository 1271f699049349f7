package kubernetes

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/orbit-persistence/orbit/providers/driver"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Revision{}, err
	}
	defer s.calls.Done()
	if err := s.caps.CheckPut(key, value, o); err != nil {
		return driver.Revision{}, err
	}
	r, err := s.put(ctx, key, value, o)
	if err != nil {
		return driver.Revision{}, driver.KeyError("put", key, err)
	}
	return r, nil
}

func (s *Store) put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	k := s.kindOf(key)
	name := s.place(k, key)
	if !o.IfRevision.IsZero() && o.IfRevision.Tag() == "" {
		return driver.Revision{}, fmt.Errorf("%w: revision %s is not one of this store", driver.ErrConflict, o.IfRevision)
	}
	var p *parts
	data := []byte(nil)
	if len(value)+inlineHeader <= k.inline {
		data = encodeInline(value)
	} else {
		var err error
		if p, err = s.putParts(ctx, k, value); err != nil {
			return driver.Revision{}, err
		}
		data = encodeParted(*p)
	}
	version, err := s.replace(ctx, k, name, key, data, o)
	if err != nil {
		if p != nil && !errors.Is(err, driver.ErrOutcomeUnknown) {
			s.removeParts(context.WithoutCancel(ctx), k, *p)
		}
		return driver.Revision{}, err
	}
	if p != nil {
		s.remember(name, version, *p)
	}
	return driver.TagRevision(version), nil
}

// replace puts what is stored in the place of what is there, and returns the new version.
func (s *Store) replace(ctx context.Context, k *kind, name string, key, data []byte, o driver.PutOptions) (string, error) {
	m := meta.ObjectMeta{
		Name: name, Namespace: s.c.Namespace, Labels: map[string]string{storeTag: hash(s.c.ConfigMapName)},
		Annotations: map[string]string{keyNote: strconv.Quote(string(key))},
	}
	if group := groupOf(key); group != "" {
		m.Labels[groupTag] = group
	}
	at := o.IfRevision.Tag()
	for {
		if at == "" && !o.IfAbsent && k != leases { // whatever is there, in one request
			made, err := s.update(ctx, k, name, k.make(m, data, s.writer))
			if err == nil {
				s.forget(ctx, k, name, "")
				return versionOf(k, made), nil
			}
			if !errors.Is(err, driver.ErrNotFound) {
				return "", err
			}
		} else if at == "" && !o.IfAbsent { // of a Lease the API server wants to know the version
			is, err := s.fetch(ctx, k, name)
			switch {
			case err == nil:
				was, stored, err := k.open(is)
				if err == nil {
					s.rememberStored(name, k.version(was), stored)
				}
				at = k.version(was)
			case !errors.Is(err, driver.ErrNotFound):
				return "", err
			}
		}
		if err := k.at(&m, at); err != nil {
			return "", err
		}
		if at == "" {
			made, err := s.create(ctx, k, k.make(m, data, s.writer))
			if err == nil {
				return versionOf(k, made), nil
			}
			if errors.Is(err, driver.ErrNotFound) {
				return "", fmt.Errorf("%w: the namespace is gone: %v", driver.ErrUnavailable, err)
			}
			if !errors.Is(err, driver.ErrConflict) || o.IfAbsent {
				return "", err
			}
			continue
		}
		made, err := s.update(ctx, k, name, k.make(m, data, s.writer))
		if err == nil {
			s.forget(ctx, k, name, at)
			return versionOf(k, made), nil
		}
		if errors.Is(err, driver.ErrNotFound) {
			err = fmt.Errorf("%w: the key is not there; it was asked for at revision %s", driver.ErrConflict, o.IfRevision)
		}
		if !errors.Is(err, driver.ErrConflict) || !o.IfRevision.IsZero() {
			return "", err
		}
		at = ""
	}
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := s.caps.CheckDelete(key, o); err != nil {
		return err
	}
	k := s.kindOf(key)
	name := s.place(k, key)
	at := o.IfRevision.Tag()
	if !o.IfRevision.IsZero() && at == "" {
		return driver.KeyError("delete", key, fmt.Errorf("%w: revision %s is not one of this store", driver.ErrConflict, o.IfRevision))
	}
	err := s.remove(ctx, k, name, at)
	switch {
	case err == nil:
		s.forget(ctx, k, name, at)
	case errors.Is(err, driver.ErrNotFound) && at == "":
		err = nil
	case errors.Is(err, driver.ErrNotFound):
		err = fmt.Errorf("%w: the key is not there; it was asked for at revision %s", driver.ErrConflict, o.IfRevision)
	}
	return driver.KeyError("delete", key, err)
}

func (s *Store) partName(k *kind, id [8]byte, i int) string {
	return s.nameOf(partKind(k)) + ".part." + hex.EncodeToString(id[:]) + "." + strconv.Itoa(i)
}

// partKind returns the kind of the parts of a kind's values.
func partKind(k *kind) *kind {
	if k == secrets {
		return secrets
	}
	return configMaps
}

// putParts writes the parts of a value, whose names nobody knows yet.
func (s *Store) putParts(ctx context.Context, k *kind, value []byte) (*parts, error) {
	p := &parts{size: uint64(len(value))}
	if _, err := rand.Read(p.id[:]); err != nil {
		return nil, err
	}
	pk := partKind(k)
	for left := value; len(left) > 0; p.number++ {
		n := min(len(left), maxInline)
		m := meta.ObjectMeta{
			Name: s.partName(k, p.id, p.number), Namespace: s.c.Namespace, Labels: map[string]string{storeTag: "p" + hash(s.c.ConfigMapName)},
		}
		m.Annotations = map[string]string{}
		if _, err := s.create(ctx, pk, pk.make(m, left[:n], s.writer)); err != nil {
			p.number++
			s.removeParts(context.WithoutCancel(ctx), k, *p)
			if errors.Is(err, driver.ErrOutcomeUnknown) || errors.Is(err, driver.ErrNotFound) { // nobody will ever ask for it
				err = fmt.Errorf("%w: a part of the value could not be written: %v", driver.ErrUnavailable, err)
			}
			return nil, err
		}
		left = left[n:]
	}
	return p, nil
}

// removeParts removes parts that no object names. What stays, Compact removes.
func (s *Store) removeParts(ctx context.Context, k *kind, p parts) {
	for i := range p.number {
		_ = s.remove(ctx, partKind(k), s.partName(k, p.id, i), "")
	}
}

func (s *Store) remember(name, version string, p parts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other := range s.parted {
		if len(s.parted) < maxParted {
			break
		}
		delete(s.parted, other)
	}
	s.parted[name] = known{version, p}
}

func (s *Store) rememberStored(name, version string, stored []byte) {
	if _, p, err := decodeStored(stored); err == nil && p != nil {
		s.remember(name, version, *p)
	}
}

// forget removes the parts of an object that was replaced or removed at a version; "" is
// whichever it had, and then all that were remembered are an older value's.
func (s *Store) forget(ctx context.Context, k *kind, name, version string) {
	s.mu.Lock()
	was, ok := s.parted[name]
	if ok = ok && (version == "" || was.version == version); ok {
		delete(s.parted, name)
	}
	s.mu.Unlock()
	if ok {
		s.removeParts(context.WithoutCancel(ctx), k, was.parts)
	}
}
