package azure_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/providers/azure"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// TestListGoesOn: Azurite, which does not know how to begin a list at a name, is asked for each
// blob once, whether all are listed at once or page by page; and a list may begin behind any
// name, twice too. What it answers is counted on the way.
func TestListGoesOn(t *testing.T) {
	server := start(t)
	target, err := url.Parse("http://" + server.Address)
	if err != nil {
		t.Fatal(err)
	}
	var listed atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Query().Get("comp") != "list" {
				return nil
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			listed.Add(int64(bytes.Count(body, []byte("<Blob>"))))
			r.Body = io.NopCloser(bytes.NewReader(body))
			return nil
		},
	})
	defer proxy.Close()
	s, err := azure.Open(t.Context(), at(proxy.Listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const blobs = 1200 // more than a page
	name := func(i int) string { return fmt.Sprintf("%06d", i) }
	for i := range blobs {
		if _, err := s.Put(t.Context(), []byte(name(i)), []byte("v"), driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(o driver.ListOptions) (keys []string) {
		t.Helper()
		o.KeysOnly = true
		for e, err := range s.List(t.Context(), o) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, string(e.Key))
		}
		return keys
	}
	listed.Store(0)
	if keys := list(driver.ListOptions{}); len(keys) != blobs || keys[blobs-1] != name(blobs-1) {
		t.Errorf("%d blobs of %d are listed", len(keys), blobs)
	}
	if n := listed.Swap(0); n != blobs {
		t.Errorf("%d blobs were asked for, of %d", n, blobs)
	}
	var after []byte
	for n := 0; n < blobs; n += 100 {
		keys := list(driver.ListOptions{After: after, Limit: 100})
		if len(keys) != 100 || keys[0] != name(n) {
			t.Fatalf("behind %q come %d blobs, from %v on", after, len(keys), keys)
		}
		after = []byte(keys[99])
	}
	if n := listed.Load(); n != blobs {
		t.Errorf("page by page %d blobs were asked for, of %d", n, blobs)
	}
	for range 2 {
		if keys := list(driver.ListOptions{After: []byte(name(1099)), Limit: 5}); len(keys) != 5 || keys[0] != name(1100) {
			t.Errorf("behind a name come %v", keys)
		}
	}
}
