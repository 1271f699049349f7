package objectstest

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects"
)

// Recorder stands before a server, over TLS if that speaks it. It shows each request to
// see, which may change it, and passes it on, unless see has answered it.
func Recorder(t *testing.T, to, authority string, see func(w http.ResponseWriter, r *http.Request) (answered bool)) *httptest.Server {
	t.Helper()
	return recorder(t, to, authority, strings.HasPrefix(to, "https://"), see)
}

// RecorderTLS is a Recorder over TLS before a server without it.
func RecorderTLS(t *testing.T, to string, see func(w http.ResponseWriter, r *http.Request) (answered bool)) *httptest.Server {
	t.Helper()
	return recorder(t, to, "", true, see)
}

func recorder(t *testing.T, to, authority string, tls bool, see func(w http.ResponseWriter, r *http.Request) bool) *httptest.Server {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := objects.Dial(authority, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !see(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// Authority writes the certificate of a test's server to a file, as a ca_cert.
func Authority(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Works does a little of everything with a store, and fails the test if that fails.
func Works(t *testing.T, s driver.Store) {
	t.Helper()
	if err := Try(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// Try does a little of everything with a store, and leaves nothing.
func Try(ctx context.Context, s driver.Store) error {
	k := []byte("k")
	at, err := s.Put(ctx, k, []byte("v"), driver.PutOptions{IfAbsent: true})
	if err != nil {
		return err
	}
	if at, err = s.Put(ctx, k, []byte("w"), driver.PutOptions{IfRevision: at}); err != nil {
		return err
	}
	has := 0
	for e, err := range s.List(ctx, driver.ListOptions{Prefix: k}) {
		if err != nil {
			return err
		}
		if string(e.Key) != "k" || string(e.Value) != "w" || e.Revision != at {
			return fmt.Errorf("list: %q = %q at %s, want w at %s", e.Key, e.Value, e.Revision, at)
		}
		has++
	}
	if has != 1 {
		return fmt.Errorf("list shows %d entries", has)
	}
	if err := errors.Join(s.Ping(ctx), s.Delete(ctx, k, driver.DeleteOptions{IfRevision: at})); err != nil {
		return err
	}
	if _, err := s.Get(ctx, k); !errors.Is(err, driver.ErrNotFound) {
		return fmt.Errorf("get of what was deleted: %w", err)
	}
	return nil
}
