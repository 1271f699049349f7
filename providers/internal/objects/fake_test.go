package objects_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/intent"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a bucket in memory that can be as deficient as services are. What real ones
// do is tested in their packages.
type fake struct {
	ignoresAbsent, ignoresMatch, ignoresDelete bool
	// versions: old ones are kept. markerBlocks: what was deleted counts as there for
	// a put if absent, as versitygw has it.
	versions, markerBlocks bool
	unordered              bool
	// unguarded: a delete looks, calls before with "remove", and then removes whatever is
	// there, as versitygw does.
	unguarded bool
	// before is called before each request, and may fail it.
	before func(op, name string) error

	mu      sync.Mutex
	objects map[string][]version // of each name, the newest last
	count   int
}

type version struct {
	id     string
	data   []byte
	marker bool
}

func (f *fake) call(ctx context.Context, op, name string) error {
	if f.before != nil {
		if err := f.before(op, name); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func tagOf(data []byte) driver.Revision {
	sum := md5.Sum(data) // as S3 has it
	return driver.TagRevision(hex.EncodeToString(sum[:]))
}

// newest returns what a reader sees; nil if nothing.
func (f *fake) newest(name string) *version {
	all := f.objects[name]
	if len(all) == 0 || all[len(all)-1].marker {
		return nil
	}
	return &all[len(all)-1]
}

func (f *fake) Get(ctx context.Context, name string) ([]byte, driver.Revision, error) {
	if err := f.call(ctx, "get", name); err != nil {
		return nil, driver.Revision{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.newest(name)
	if v == nil {
		return nil, driver.Revision{}, driver.ErrNotFound
	}
	return bytes.Clone(v.data), tagOf(v.data), nil
}

func (f *fake) Put(ctx context.Context, name string, data []byte, c objects.Condition) (driver.Revision, error) {
	if err := f.call(ctx, "put", name); err != nil {
		return driver.Revision{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.newest(name)
	switch {
	case c.Absent && !f.ignoresAbsent && (v != nil || f.markerBlocks && len(f.objects[name]) > 0),
		!c.At.IsZero() && !f.ignoresMatch && (v == nil || tagOf(v.data) != c.At):
		return driver.Revision{}, driver.ErrConflict
	}
	f.write(name, version{data: bytes.Clone(data)})
	return tagOf(data), nil
}

func (f *fake) write(name string, v version) {
	f.count++
	v.id = strconv.Itoa(f.count)
	if f.objects == nil {
		f.objects = map[string][]version{}
	}
	if !f.versions {
		f.objects[name] = nil
	}
	f.objects[name] = append(f.objects[name], v)
}

func (f *fake) Delete(ctx context.Context, name string, at driver.Revision) error {
	if err := f.call(ctx, "delete", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.newest(name)
	if !at.IsZero() && !f.ignoresDelete && (v == nil || tagOf(v.data) != at) {
		return driver.ErrConflict
	}
	if f.unguarded {
		f.mu.Unlock()
		err := f.call(ctx, "remove", name)
		f.mu.Lock()
		if err != nil {
			return err
		}
	}
	if f.versions {
		f.write(name, version{marker: true})
	} else {
		delete(f.objects, name)
	}
	return nil
}

func (f *fake) List(ctx context.Context, prefix, after string, limit int) (page []objects.Listed, more bool, err error) {
	if err := f.call(ctx, "list", prefix); err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.objects {
		if v := f.newest(name); v != nil && strings.HasPrefix(name, prefix) && name > after {
			page = append(page, objects.Listed{Name: name, At: tagOf(v.data), Size: int64(len(v.data))})
		}
	}
	slices.SortFunc(page, func(a, b objects.Listed) int { return cmp.Compare(a.Name, b.Name) })
	if more = len(page) > limit; more {
		page = page[:limit]
	}
	if f.unordered {
		slices.Reverse(page)
	}
	return page, more, nil
}

func (f *fake) Describe(ctx context.Context, name string) (objects.Metadata, error) {
	data, at, err := f.Get(ctx, name)
	return objects.Metadata{Revision: at, Size: int64(len(data))}, err
}

func (f *fake) Ping(ctx context.Context) error { return f.call(ctx, "ping", "") }

func (f *fake) Close() {}

func (f *fake) Versioned() bool { return f.versions }

func (f *fake) ListVersions(_ context.Context, prefix string, yield func(objects.Version) error) error {
	f.mu.Lock()
	var all []objects.Version
	for _, name := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		for i, v := range f.objects[name] {
			all = append(all, objects.Version{Name: name, Version: v.id, Size: int64(len(v.data)), Marker: v.marker, Newest: i == len(f.objects[name])-1})
		}
	}
	f.mu.Unlock()
	for _, v := range all {
		if err := yield(v); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) DeleteVersion(ctx context.Context, name, id string) error {
	if err := f.call(ctx, "delete version", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[name] = slices.DeleteFunc(f.objects[name], func(v version) bool { return v.id == id })
	if len(f.objects[name]) == 0 {
		delete(f.objects, name)
	}
	return nil
}

func open(t testing.TB, f *fake) driver.Store {
	t.Helper()
	s, err := objects.Open(t.Context(), f, objects.Options{Backend: "fake", Version: "of a test", Prefix: "orbit"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (f *fake) UnguardedDeletes() bool { return f.unguarded }

// deficient are all services that can be served.
func deficient() map[string]func() *fake {
	return map[string]func() *fake{
		"as it should be":                       func() *fake { return &fake{} },
		"ignores deletes' tags":                 func() *fake { return &fake{ignoresDelete: true} },
		"keeps versions":                        func() *fake { return &fake{versions: true} },
		"keeps versions, ignores deletes' tags": func() *fake { return &fake{versions: true, ignoresDelete: true} },
		"keeps versions, that block":            func() *fake { return &fake{versions: true, markerBlocks: true} },
		"deletes in two steps":                  func() *fake { return &fake{unguarded: true} },
		"keeps versions, deletes in two steps":  func() *fake { return &fake{unguarded: true, versions: true} },
	}
}

// TestConformance: whatever the service does with the conditions of deletes.
func TestConformance(t *testing.T) {
	for name, make := range deficient() {
		for _, transactions := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/transactions=%t", name, transactions), func(t *testing.T) {
				buckets := map[string]*fake{}
				drivertest.Run(t, drivertest.Target{Name: name, Operations: 200, Open: func(ctx context.Context, place string) (driver.Store, error) {
					if buckets[place] == nil {
						buckets[place] = make()
					}
					s, err := objects.Open(ctx, buckets[place], objects.Options{Backend: "fake", Version: "of a test"})
					if transactions && err == nil {
						s = intent.Wrap(s, intent.Options{})
					}
					return s, err
				}})
			})
		}
	}
}
