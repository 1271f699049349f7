package driver_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
	"pgregory.net/rapid"
)

// TestNamesKeepOrderAndPrefix: names go back to their keys, compare as the keys
// do, and have the names of prefixes as prefixes.
func TestNamesKeepOrderAndPrefix(t *testing.T) {
	key := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("az09.-_/AZ`{^:"))), 0, 8)
	rapid.Check(t, func(t *rapid.T) {
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		na, nb := driver.EncodeName(nil, a), driver.EncodeName(nil, b)
		if back, err := driver.DecodeName(nil, string(na)); err != nil || !bytes.Equal(back, a) {
			t.Fatalf("%q is named %q, which is %q, %v", a, na, back, err)
		}
		if bytes.Compare(a, b) != bytes.Compare(na, nb) {
			t.Fatalf("%q and %q are in another order than %q and %q", na, nb, a, b)
		}
		if ab := driver.EncodeName(nil, append(bytes.Clone(a), b...)); string(ab) != string(na)+string(nb) {
			t.Fatalf("%q is not %q and %q", ab, na, nb)
		}
		if len(na) > driver.MaxNameBytes(len(a)) {
			t.Fatalf("%q has %d bytes", na, len(na))
		}
		for _, c := range na {
			if !strings.ContainsRune("-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz", rune(c)) {
				t.Fatalf("%q has a letter that not every backend takes", na)
			}
		}
	})
}

// TestNamesArePinned: names stand in buckets.
func TestNamesArePinned(t *testing.T) {
	for key, want := range map[string]string{
		"lease/Player:7": "lease.2fA50layerA3a7", "a-b.c_z": "a-2db.2ec_5fz7a", "": "", "\x00\xff": "-00zff", "..": ".2e.2e", "^`": "A5e_60",
	} {
		if got := string(driver.EncodeName(nil, []byte(key))); got != want {
			t.Errorf("%q is named %q, want %q", key, got, want)
		}
	}
}

func FuzzDecodeName(f *testing.F) {
	for _, s := range []string{"", "abc", "-00", "z7a", "A50", "-", "z0", "-2e", "zFF", "A2f", "/", "..", "z79"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		key, err := driver.DecodeName(nil, name)
		if err != nil {
			if !errors.Is(err, driver.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again := string(driver.EncodeName(nil, key)); again != name {
			t.Fatalf("%q is the name of %q, whose name is %q", name, key, again)
		}
	})
}

func TestRevisionText(t *testing.T) {
	for _, r := range []driver.Revision{{}, driver.NumberRevision(1), driver.NumberRevision(1 << 63), driver.TagRevision("17"), driver.TagRevision("a\"\n\xff")} {
		if back, err := driver.ParseRevision(r.String()); err != nil || back != r {
			t.Errorf("%s becomes %v, %v", r, back, err)
		}
	}
	for _, s := range []string{"0", "x", `""`, `"x`, "-1", "18446744073709551616", `"a" `} {
		if r, err := driver.ParseRevision(s); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%q is %v, %v", s, r, err)
		}
	}
	if driver.NumberRevision(17) == driver.TagRevision("17") || !(driver.Revision{}).IsZero() {
		t.Error("revisions are mixed up")
	}
}

type someConfig struct{ Secret string }

func TestRegistration(t *testing.T) {
	var got someConfig
	driver.Register("some", func(_ context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, someConfig{Secret: "default"})
		got = c
		return nil, err
	})
	for want, options := range map[string]any{"default": nil, "value": someConfig{"value"}, "pointer": &someConfig{"pointer"}} {
		if _, err := driver.Open(t.Context(), "some", options); err != nil || got.Secret != want {
			t.Errorf("%s: got %v, %v", want, got, err)
		}
	}
	if _, err := driver.Open(t.Context(), "some", (*someConfig)(nil)); err != nil || got.Secret != "default" {
		t.Errorf("nil pointer: got %v, %v", got, err)
	}
	_, err := driver.Open(t.Context(), "some", map[string]string{"secret": "hunter2"})
	if !errors.Is(err, driver.ErrInvalid) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "someConfig") {
		t.Errorf("wrong type: %v", err)
	}
	_, err = driver.Open(t.Context(), "other", nil)
	if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), `"other"`) || !strings.Contains(err.Error(), "some") {
		t.Errorf("unknown backend: %v", err)
	}
	for what, register := range map[string]func(){
		"twice":     func() { driver.Register("some", func(context.Context, any) (driver.Store, error) { return nil, nil }) },
		"no opener": func() { driver.Register("none", nil) },
		"no name":   func() { driver.Register("", func(context.Context, any) (driver.Store, error) { return nil, nil }) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("registered %s", what)
				}
			}()
			register()
		}()
	}
}

func TestChecks(t *testing.T) {
	bare := driver.Capabilities{Backend: "bare", Limits: driver.Limits{MaxKeyBytes: 4, MaxValueBytes: 4, MaxCommitWrites: 2, MaxCommitBytes: 9}}
	able := bare
	able.TTL, able.Fence, able.RangeReads = true, true, true
	write := func(keys ...string) *driver.Commit {
		m := new(driver.Commit)
		for _, k := range keys {
			m.Writes = append(m.Writes, driver.Write{Key: []byte(k), Value: []byte("123")})
		}
		return m
	}
	rev := driver.NumberRevision(1)
	for what, c := range map[string]struct{ got, want error }{
		"put":                  {bare.CheckPut([]byte("1234"), []byte("1234"), driver.PutOptions{IfAbsent: true}), nil},
		"no key":               {bare.CheckPut(nil, nil, driver.PutOptions{}), engine.ErrInvalid},
		"long key":             {bare.CheckPut([]byte("12345"), nil, driver.PutOptions{}), engine.ErrTooLarge},
		"long value":           {bare.CheckPut([]byte("1"), []byte("12345"), driver.PutOptions{}), engine.ErrTooLarge},
		"absent at a revision": {bare.CheckPut([]byte("1"), nil, driver.PutOptions{IfAbsent: true, IfRevision: rev}), engine.ErrInvalid},
		"ttl":                  {bare.CheckPut([]byte("1"), nil, driver.PutOptions{TTL: 1}), engine.ErrUnsupported},
		"ttl below 0":          {able.CheckPut([]byte("1"), nil, driver.PutOptions{TTL: -1}), engine.ErrInvalid},
		"fence":                {bare.CheckPut([]byte("1"), nil, driver.PutOptions{Fence: 1}), engine.ErrUnsupported},
		"able":                 {able.CheckPut([]byte("1"), nil, driver.PutOptions{Fence: 1, TTL: 1}), nil},
		"delete":               {bare.CheckDelete([]byte("1"), driver.DeleteOptions{IfRevision: rev}), nil},
		"delete, no key":       {bare.CheckDelete(nil, driver.DeleteOptions{}), engine.ErrInvalid},
		"delete, fence":        {bare.CheckDelete([]byte("1"), driver.DeleteOptions{Fence: 1}), engine.ErrUnsupported},
		"commit":               {bare.CheckCommit(write("1", "2")), nil},
		"commit of three":      {bare.CheckCommit(write("1", "2", "3")), engine.ErrTooLarge},
		"commit of ten bytes":  {bare.CheckCommit(write("12", "34")), engine.ErrTooLarge},
		"commit, key twice":    {bare.CheckCommit(write("1", "1")), engine.ErrInvalid},
		"commit, long key":     {bare.CheckCommit(write("12345")), engine.ErrTooLarge},
		"commit, read no key":  {bare.CheckCommit(&driver.Commit{Reads: []driver.Read{{}}}), engine.ErrInvalid},
		"commit, ranges":       {bare.CheckCommit(&driver.Commit{Ranges: make([]driver.RangeRead, 1)}), engine.ErrUnsupported},
		"commit, able":         {able.CheckCommit(&driver.Commit{Ranges: make([]driver.RangeRead, 1)}), nil},
	} {
		if !errors.Is(c.got, c.want) || (c.want == nil) != (c.got == nil) {
			t.Errorf("%s: got %v, want %v", what, c.got, c.want)
		}
	}
}
