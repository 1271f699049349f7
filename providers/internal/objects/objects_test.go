package objects_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/intent"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// TestConditionsAreNeeded: a service that does not look at the condition of a put is
// refused, and the refusal says why.
func TestConditionsAreNeeded(t *testing.T) {
	for name, f := range map[string]*fake{"absent": {ignoresAbsent: true}, "match": {ignoresMatch: true}} {
		_, err := objects.Open(t.Context(), f, objects.Options{Backend: "fake", Version: "of a test"})
		if !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(fmt.Sprint(err), "ignores the condition of a put") {
			t.Errorf("%s: %v", name, err)
		}
		if len(f.objects) != 0 {
			t.Errorf("%s: the probe is left: %v", name, f.objects)
		}
	}
}

// TestRefusalThatIsLost: where nobody knows of the first put, the refusal of a read says
// what is wrong; nothing else that a read meets does.
func TestRefusalThatIsLost(t *testing.T) {
	for _, read := range []error{driver.ErrInvalid, driver.ErrDenied, driver.ErrNotFound, driver.ErrUnavailable, context.Canceled, nil} {
		put, asked := false, false
		f := &fake{before: func(op, _ string) error {
			switch {
			case op == "put" && !put:
				put = true
				return driver.ErrOutcomeUnknown
			case op == "get" && put:
				asked = true
				return read
			}
			return nil
		}}
		want := driver.ErrOutcomeUnknown
		if read == driver.ErrInvalid || read == driver.ErrDenied {
			want = read
		}
		if _, err := objects.Open(t.Context(), f, objects.Options{Backend: "fake", Version: "of a test"}); !errors.Is(err, want) || !asked {
			t.Errorf("a read says %v: %v, asked: %t; want %v", read, err, asked, want)
		}
	}
}

// TestProbeLeavesNothing: no object, and no version.
func TestProbeLeavesNothing(t *testing.T) {
	for name, make := range deficient() {
		f := make()
		open(t, f).Close()
		if len(f.objects) != 0 {
			t.Errorf("%s: %v", name, f.objects)
		}
	}
}

// TestTombstones: they are put only where they are needed, show nothing, and go where
// they can.
func TestTombstones(t *testing.T) {
	for name, make := range deficient() {
		f := make()
		s := open(t, f)
		k := []byte("k")
		for range 3 {
			at, err := s.Put(t.Context(), k, []byte("v"), driver.PutOptions{IfAbsent: true})
			if err != nil {
				t.Fatalf("%s: put if absent: %v", name, err)
			}
			if err := s.Delete(t.Context(), k, driver.DeleteOptions{IfRevision: at}); err != nil {
				t.Fatalf("%s: delete: %v", name, err)
			}
		}
		for e, err := range s.List(t.Context(), driver.ListOptions{KeysOnly: true}) {
			t.Errorf("%s: a list shows %q, %v", name, e.Key, err)
		}
		needs := f.ignoresDelete || f.markerBlocks || f.unguarded
		if has := f.newest("orbit/k") != nil; has != needs {
			t.Errorf("%s: there is a tombstone: %t, want %t", name, has, needs)
		}
		c, compacts := s.(driver.Compacter)
		if compacts != (needs && f.versions && !f.unguarded) {
			t.Errorf("%s: it compacts: %t", name, compacts)
		}
		if compacts {
			if _, err := s.Put(t.Context(), []byte("stays"), []byte("v"), driver.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := c.Compact(t.Context()); err != nil {
				t.Fatalf("%s: compact: %v", name, err)
			}
			if len(f.objects["orbit/k"]) != 0 || len(f.objects["orbit/stays"]) != 1 {
				t.Errorf("%s: after compaction there are %v", name, f.objects)
			}
		}
		if _, err := s.Get(t.Context(), k); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
}

// TestCompactIsCutOff: at each step of a compaction that ends there, nothing that was
// deleted is there again.
func TestCompactIsCutOff(t *testing.T) {
	for cut := 0; ; cut++ {
		f := &fake{versions: true, ignoresDelete: true}
		s := open(t, f)
		for range 3 {
			at, err := s.Put(t.Context(), []byte("k"), []byte("v"), driver.PutOptions{})
			if err == nil {
				err = s.Delete(t.Context(), []byte("k"), driver.DeleteOptions{IfRevision: at})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		left := cut
		f.before = func(op, _ string) error {
			if op == "delete version" {
				if left--; left < 0 {
					return errors.New("the wire is cut")
				}
			}
			return nil
		}
		err := s.(driver.Compacter).Compact(t.Context())
		if _, getErr := s.Get(t.Context(), []byte("k")); !errors.Is(getErr, driver.ErrNotFound) {
			t.Fatalf("cut at step %d: %v", cut, getErr)
		}
		s.Close()
		if err == nil {
			if cut != 6 {
				t.Errorf("it took %d steps to remove 6 versions", cut)
			}
			return
		}
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("cut at step %d: %v", cut, err)
		}
	}
}

// TestTransactionsLeaveNothing: the record of a transaction that has committed leaves no
// tombstone, which nobody would ever put over.
func TestTransactionsLeaveNothing(t *testing.T) {
	for name, f := range map[string]*fake{"ignores deletes' tags": {ignoresDelete: true}, "deletes in two steps": {unguarded: true}} {
		s := intent.Wrap(open(t, f), intent.Options{})
		for range 5 {
			m := &driver.Commit{Writes: []driver.Write{{Key: []byte("a"), Value: []byte("v")}, {Key: []byte("b"), Value: []byte("v")}}}
			if err := s.(driver.Committer).Commit(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		if len(f.objects) != 2 {
			t.Errorf("%s: there are %d objects: %v", name, len(f.objects), f.objects)
		}
	}
}

// TestUnguardedDeletes: a compare-and-swap comes where a service that deletes in two steps
// has looked, and not yet removed. Of it and a delete of the same revision one is done.
func TestUnguardedDeletes(t *testing.T) {
	f := &fake{unguarded: true}
	s, k := open(t, f), []byte("k")
	defer s.Close()
	at, err := s.Put(t.Context(), k, []byte("v"), driver.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var swapped error
	came := false
	f.before = func(op, _ string) error {
		if op == "put" || op == "remove" { // the tombstone, or the second step
			f.before, came = nil, true
			_, swapped = s.Put(t.Context(), k, []byte("new"), driver.PutOptions{IfRevision: at})
		}
		return nil
	}
	deleted := s.Delete(t.Context(), k, driver.DeleteOptions{IfRevision: at})
	if !came || swapped != nil || !errors.Is(deleted, driver.ErrConflict) {
		t.Errorf("it came in between: %t; the swap says %v, the delete %v", came, swapped, deleted)
	}
	if e, err := s.Get(t.Context(), k); err != nil || string(e.Value) != "new" {
		t.Errorf("there is %q, %v", e.Value, err)
	}
}

// TestOldTombstones: where deletes need no tombstones those of before are obeyed.
func TestOldTombstones(t *testing.T) {
	f := &fake{ignoresDelete: true}
	s := open(t, f)
	at, err := s.Put(t.Context(), []byte("k"), []byte("v"), driver.PutOptions{})
	if err == nil {
		err = s.Delete(t.Context(), []byte("k"), driver.DeleteOptions{IfRevision: at})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	f.ignoresDelete = false
	s = intent.Wrap(open(t, f), intent.Options{})
	defer s.Close()
	if _, err := s.Put(t.Context(), []byte("k"), []byte("new"), driver.PutOptions{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
}

// TestTombstoneIsTaken: of two who want a deleted key to be absent one is told that it is
// not, also where the other comes between its look and its put.
func TestTombstoneIsTaken(t *testing.T) {
	f := &fake{ignoresDelete: true}
	s, k := open(t, f), []byte("k")
	defer s.Close()
	at, err := s.Put(t.Context(), k, []byte("v"), driver.PutOptions{})
	if err == nil {
		err = s.Delete(t.Context(), k, driver.DeleteOptions{IfRevision: at})
	}
	if err != nil {
		t.Fatal(err)
	}
	puts := 0
	f.before = func(op, _ string) error {
		if op != "put" {
			return nil
		}
		if puts++; puts == 2 { // the one over the tombstone
			f.before = nil
			if _, err := s.Put(t.Context(), k, []byte("other"), driver.PutOptions{IfAbsent: true}); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	if _, err := s.Put(t.Context(), k, []byte("mine"), driver.PutOptions{IfAbsent: true}); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("put over what another has put: %v", err)
	}
	if e, err := s.Get(t.Context(), k); err != nil || string(e.Value) != "other" {
		t.Errorf("%q, %v", e.Value, err)
	}
}

// TestPages: a list of many pages shows each key once, with tombstones between them.
func TestPages(t *testing.T) {
	f := &fake{ignoresDelete: true}
	s := open(t, f)
	defer s.Close()
	const keys = 2500
	for i := range keys {
		at, err := s.Put(t.Context(), fmt.Appendf(nil, "%05d", i), nil, driver.PutOptions{})
		if err == nil && i%3 == 0 {
			err = s.Delete(t.Context(), fmt.Appendf(nil, "%05d", i), driver.DeleteOptions{IfRevision: at})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{0, 1, 1500} {
		i, n := 0, 0
		for e, err := range s.List(t.Context(), driver.ListOptions{KeysOnly: true, Limit: limit}) {
			if i%3 == 0 {
				i++
			}
			if want := fmt.Sprintf("%05d", i); err != nil || string(e.Key) != want {
				t.Fatalf("limit %d: %q, %v; want %s", limit, e.Key, err, want)
			}
			i++
			n++
		}
		if want := keys * 2 / 3; limit == 0 && n != want || limit > 0 && n != limit {
			t.Errorf("limit %d: %d keys", limit, n)
		}
	}
}

// TestForeignRevision: a revision of another kind of store is a condition that does not
// hold, and not none.
func TestForeignRevision(t *testing.T) {
	s, k := open(t, &fake{}), []byte("k")
	defer s.Close()
	if _, err := s.Put(t.Context(), k, nil, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	at := driver.NumberRevision(1)
	if _, err := s.Put(t.Context(), k, nil, driver.PutOptions{IfRevision: at}); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("put: %v", err)
	}
	if err := s.Delete(t.Context(), k, driver.DeleteOptions{IfRevision: at}); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("delete: %v", err)
	}
}

// TestUnordered: a service that does not list in order is told.
func TestUnordered(t *testing.T) {
	f := &fake{}
	s := open(t, f)
	defer s.Close()
	for _, k := range []string{"a", "b"} {
		if _, err := s.Put(t.Context(), []byte(k), nil, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	f.unordered = true
	var last error
	for _, last = range s.List(t.Context(), driver.ListOptions{}) {
	}
	if !errors.Is(last, driver.ErrUnsupported) {
		t.Errorf("list: %v", last)
	}
}

// TestStrangers: objects of others are told by name and not shown, and neither are the
// store's own, of which nobody need know.
func TestStrangers(t *testing.T) {
	for name, ours := range map[string]bool{"orbit/": false, "orbit/READ.ME": false, "orbit/a/b": false, "orbit/PROBE-1": true, "orbit/.k.sgwtmp.17": true, "orbit/k": true} {
		f := &fake{}
		s := open(t, f)
		f.write(name, version{data: make([]byte, 40)})
		shown := 0
		for _, err := range s.List(t.Context(), driver.ListOptions{KeysOnly: true}) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			shown++
		}
		told := s.(driver.Reporter).Report().Degraded
		if ours != (told == "") || !ours && !strings.Contains(told, name) || (shown == 1) != (name == "orbit/k") {
			t.Errorf("%s: %d are shown, and it is told: %q", name, shown, told)
		}
		if _, err := s.Get(t.Context(), []byte("k")); name == "orbit/k" && !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("an object of zeros: %v", err)
		}
		s.Close()
	}
}

// TestContended: a condition that the service has not decided is asked again, and that
// is no answer by itself.
func TestContended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		s := open(t, f)
		defer s.Close()
		calls, busy := 0, 3
		f.before = func(op, _ string) error {
			if op == "put" {
				if calls++; calls <= busy {
					return fmt.Errorf("%w: 409", objects.ErrContended)
				}
			}
			return nil
		}
		if _, err := s.Put(t.Context(), []byte("k"), nil, driver.PutOptions{IfAbsent: true}); err != nil || calls != 4 {
			t.Errorf("after %d calls: %v", calls, err)
		}
		busy = 1 << 30
		_, err := s.Put(t.Context(), []byte("k"), nil, driver.PutOptions{})
		if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrConflict) || calls > 20 {
			t.Errorf("after %d calls: %v", calls, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if _, err := s.Put(ctx, []byte("k"), nil, driver.PutOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that ends: %v", err)
		}
	})
}

// TestRoundTrips: a transaction of ten keys takes three times the latency after its
// last read, and a put and a get take it once. Time is that of the test.
func TestRoundTrips(t *testing.T) {
	for name, make := range deficient() {
		synctest.Test(t, func(t *testing.T) {
			const latency = time.Second
			f := make()
			s := intent.Wrap(open(t, f), intent.Options{})
			f.before = func(string, string) error { time.Sleep(latency); return nil }
			took := func(what string, most int, do func() error) {
				begin := time.Now()
				if err := do(); err != nil {
					t.Fatalf("%s: %s: %v", name, what, err)
				}
				if n := int(time.Since(begin) / latency); n > most {
					t.Errorf("%s: %s takes %d round trips, more than %d", name, what, n, most)
				}
			}
			ctx := t.Context()
			m := &driver.Commit{}
			for i := range 10 {
				key := fmt.Appendf(nil, "k%d", i)
				took("a put", 1, func() error { _, err := s.Put(ctx, key, []byte("v"), driver.PutOptions{}); return err })
				took("a get", 1, func() error {
					e, err := s.Get(ctx, key)
					m.Reads = append(m.Reads, driver.Read{Key: key, Revision: e.Revision})
					return err
				})
				m.Writes = append(m.Writes, driver.Write{Key: key, Value: []byte("w")})
			}
			took("a transaction", 3, func() error { return s.(driver.Committer).Commit(ctx, m) })
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestTimeouts: a request that has no answer in its own time says what has become of it.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		s, err := objects.Open(t.Context(), hanging{f}, objects.Options{Backend: "fake", Version: "of a test", ReadTimeout: time.Second, WriteTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Put(t.Context(), []byte("k"), nil, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, err = s.Get(t.Context(), []byte("hang"))
		if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("get, after %s: %v", time.Since(begin), err)
		}
		begin = time.Now()
		_, err = s.Put(t.Context(), []byte("hang"), nil, driver.PutOptions{})
		if !errors.Is(err, driver.ErrUnavailable) || time.Since(begin) != time.Minute {
			t.Errorf("put that was not sent, after %s: %v", time.Since(begin), err)
		}
	})
}

// hanging is a fake that does not answer about one name.
type hanging struct{ *fake }

func (h hanging) Get(ctx context.Context, name string) ([]byte, driver.Revision, error) {
	if strings.HasSuffix(name, "hang") {
		<-ctx.Done()
		return nil, driver.Revision{}, ctx.Err()
	}
	return h.fake.Get(ctx, name)
}

func (h hanging) Put(ctx context.Context, name string, data []byte, c objects.Condition) (driver.Revision, error) {
	if strings.HasSuffix(name, "hang") {
		<-ctx.Done()
		return driver.Revision{}, ctx.Err()
	}
	return h.fake.Put(ctx, name, data, c)
}

// TestReadAll: what is too long is told, whether the length was or not, and what is
// too short is an error of the wire.
func TestReadAll(t *testing.T) {
	long := io.LimitReader(zeros{}, objects.MaxObjectBytes+2)
	if _, err := objects.ReadAll(long, -1); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("long: %v", err)
	}
	if _, err := objects.ReadAll(zeros{}, objects.MaxObjectBytes+1); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("told to be long: %v", err)
	}
	if _, err := objects.ReadAll(strings.NewReader("abc"), 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short: %v", err)
	}
	if _, err := objects.ReadAll(strings.NewReader("abcd"), 3); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("longer than told: %v", err)
	}
	mismatch := errors.New("checksum")
	if _, err := objects.ReadAll(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(mismatch)), 3); !errors.Is(err, mismatch) {
		t.Errorf("the end is not read: %v", err)
	}
	for _, n := range []int64{3, -1} {
		if data, err := objects.ReadAll(strings.NewReader("abc"), n); string(data) != "abc" || err != nil {
			t.Errorf("%q, %v", data, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestAnswers: what is applied, or may be, is not told as what is not.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		status       int
		writes, busy bool
		want         error
	}{
		{200, true, false, nil}, {204, false, false, nil},
		{401, true, false, driver.ErrDenied}, {403, false, false, driver.ErrDenied}, {404, false, false, driver.ErrNotFound},
		{412, true, false, driver.ErrConflict}, {413, true, false, driver.ErrTooLarge}, {507, true, false, driver.ErrNoSpace},
		{429, true, false, driver.ErrUnavailable}, {503, true, true, driver.ErrUnavailable}, {503, false, false, driver.ErrUnavailable},
		{500, true, false, driver.ErrOutcomeUnknown}, {502, true, false, driver.ErrOutcomeUnknown}, {503, true, false, driver.ErrOutcomeUnknown},
		{500, false, false, driver.ErrUnavailable}, {400, true, false, driver.ErrInvalid}, {301, true, false, driver.ErrInvalid},
	} {
		if got := objects.Answer(c.status, c.writes, c.busy); got != c.want { //nolint // they are bare
			t.Errorf("%d, writes %t, busy %t: %v, want %v", c.status, c.writes, c.busy, got, c.want)
		}
	}
}

// overHTTP is a fake whose puts go over a wire, as those of a client do.
type overHTTP struct {
	*fake
	client *http.Client
	url    *string
}

func (o overHTTP) Put(ctx context.Context, name string, data []byte, c objects.Condition) (driver.Revision, error) {
	if *o.url != "" {
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, *o.url, bytes.NewReader(data))
		if err != nil {
			return driver.Revision{}, err
		}
		response, err := o.client.Do(r)
		if err != nil {
			return driver.Revision{}, err
		}
		response.Body.Close()
	}
	return o.fake.Put(ctx, name, data, c)
}

// TestSent: a write whose request may have arrived is in doubt; one that found no
// connection was not applied.
func TestSent(t *testing.T) {
	var answer atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if !answer.Load() {
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	transport, err := objects.Dial("", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	url := ""
	s, err := objects.Open(t.Context(), overHTTP{&fake{}, &http.Client{Transport: objects.Transport(transport)}, &url}, objects.Options{Backend: "fake", Version: "of a test"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func() error {
		_, err := s.Put(t.Context(), []byte("k"), []byte("v"), driver.PutOptions{})
		return err
	}
	url = server.URL
	if err := put(); !errors.Is(err, driver.ErrOutcomeUnknown) || errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("sent, and no answer: %v", err)
	}
	answer.Store(true)
	if err := put(); err != nil {
		t.Error(err)
	}
	nobody := httptest.NewServer(nil)
	nobody.Close()
	url = nobody.URL
	if err := put(); !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrOutcomeUnknown) {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, []byte("k"), nil, driver.PutOptions{}); !errors.Is(err, context.Canceled) || errors.Is(err, driver.ErrOutcomeUnknown) {
		t.Errorf("cancelled before: %v", err)
	}
}
