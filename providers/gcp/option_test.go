package gcp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/gcp"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
	"google.golang.org/api/iterator"
)

// fails opens a store and wants an error with some words and no secret.
func fails(t *testing.T, c gcp.Config, kind error, words ...string) {
	t.Helper()
	s, err := gcp.Open(t.Context(), c)
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, kind) {
		t.Fatalf("want %q, got: %v", kind, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
	if text := fmt.Sprintf("%v %+v", err, c); strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "a-token") {
		t.Errorf("a secret is in: %v", err)
	}
}

func TestWhatIsWrong(t *testing.T) {
	_, address := start(t)
	change := func(f func(c *gcp.Config)) gcp.Config { c := at(address); f(&c); return c }
	fails(t, change(func(c *gcp.Config) { c.Bucket = "no-such-bucket" }), driver.ErrInvalid, `"no-such-bucket"`, project, "does not exist")
	fails(t, change(func(c *gcp.Config) { c.Bucket = "" }), driver.ErrInvalid, "bucket_name")
	fails(t, change(func(c *gcp.Config) { c.ProjectID = "" }), driver.ErrInvalid, "project_id")
	fails(t, change(func(c *gcp.Config) { c.Prefix = "/a" }), driver.ErrInvalid, "prefix")
	fails(t, change(func(c *gcp.Config) { c.CACert = "ca.pem" }), driver.ErrInvalid, "ca_cert")
	fails(t, change(func(c *gcp.Config) { c.CredentialsPath = "key.json" }), driver.ErrInvalid, "credentials_path")
	fails(t, change(func(c *gcp.Config) { c.ServiceAccountKey = config.NewSecret("{}") }), driver.ErrInvalid, "service_account_key")
	fails(t, change(func(c *gcp.Config) { c.Endpoint = "http://" + servers.Address(t) }), driver.ErrUnavailable, "refused")
	secret := config.NewSecret(`{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----`)
	fails(t, change(func(c *gcp.Config) { c.Endpoint, c.ServiceAccountKey = "", secret }), driver.ErrInvalid, "service_account_key")
	fails(t, change(func(c *gcp.Config) { c.Endpoint, c.CredentialsPath = "", "/no/such/key.json" }), driver.ErrDenied, "credentials_path")
}

func TestRegistered(t *testing.T) {
	_, address := start(t)
	c := at(address)
	p, err := providers.Open(t.Context(), providers.Config{Backend: gcp.Backend, Options: &c})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if c := p.Capabilities(); !c.Commit || !c.Fence || !c.Remote || c.Backend != "gcp" || !strings.Contains(c.Version, "emulator") {
		t.Errorf("%+v", c)
	}
	if h := p.Health(t.Context()); h.State != providers.Healthy {
		t.Errorf("%+v", h)
	}
}

// TestPrefix: two stores of one bucket do not see one another, and nothing but
// tombstones stands beside what is there.
func TestPrefix(t *testing.T) {
	_, address := start(t)
	var stores []driver.Store
	for _, prefix := range []string{"one", "two/deep"} {
		s, err := open(t.Context(), address, prefix)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		objectstest.Works(t, s)
		if _, err := s.Put(t.Context(), []byte("k"), []byte(prefix), driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		stores = append(stores, s)
	}
	for i, prefix := range []string{"one", "two/deep"} {
		if e, err := stores[i].Get(t.Context(), []byte("k")); err != nil || string(e.Value) != prefix {
			t.Errorf("%s: %q, %v", prefix, e.Value, err)
		}
	}
	var names []string
	for it := sdk(t, address).Bucket(name).Objects(t.Context(), nil); ; {
		o, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	if got := fmt.Sprint(names); got != "[one/k two/deep/k]" {
		t.Errorf("the bucket has %s", got)
	}
}

// TestTimeouts: each of them acts.
func TestTimeouts(t *testing.T) {
	server, address := start(t)
	c := at(address)
	c.ReadTimeout, c.WriteTimeout = 200*time.Millisecond, 0
	reads, err := gcp.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	c.ReadTimeout, c.WriteTimeout = 0, 200*time.Millisecond
	writes, err := gcp.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer writes.Close()
	server.Pause()
	for err = driver.ErrNotFound; errors.Is(err, driver.ErrNotFound); { // its threads stop one by one
		_, err = reads.Get(t.Context(), []byte("k"))
	}
	if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "200ms") {
		t.Errorf("read_timeout: %v", err)
	}
	if _, err := writes.Put(t.Context(), []byte("k"), nil, driver.PutOptions{}); !errors.Is(err, driver.ErrOutcomeUnknown) {
		t.Errorf("write_timeout: %v", err)
	}
	server.Resume()

	// Somebody who accepts connections and never answers a handshake.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c = at("")
	c.Endpoint, c.ServiceAccountKey = "https://"+l.Addr().String(), config.NewSecret(serviceAccount(t, tokenServer(t, nil).URL))
	c.ConnectionTimeout, c.ReadTimeout, c.WriteTimeout = 50*time.Millisecond, 0, 0
	fails(t, c, driver.ErrUnavailable, "handshake")
}

// tokenServer gives a token to who asks for one, and counts.
func tokenServer(t *testing.T, asked *atomic.Int64) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Form.Get("assertion") == "" {
			t.Errorf("asked for %v, %v", r.Form, err)
		}
		if asked != nil {
			asked.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token": "a-token", "token_type": "Bearer", "expires_in": 3600}`)
	}))
	t.Cleanup(s.Close)
	return s
}

// serviceAccount is the key of one whose tokens come from a server.
func serviceAccount(t *testing.T, tokens string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": project, "private_key_id": "1", "client_email": "orbit@" + project + ".iam.gserviceaccount.com",
		"client_id": "1", "token_uri": tokens, "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCredentials: each way to have some ends in the same token, which goes with every
// request over TLS with an authority of its own; and project and key are named on the
// wire where they are configured.
func TestCredentials(t *testing.T) {
	_, address := start(t)
	var without, billed, withKey atomic.Int64
	proxy := objectstest.RecorderTLS(t, "http://"+address, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "Bearer a-token" {
			without.Add(1)
		}
		if r.URL.Query().Get("userProject") == project {
			billed.Add(1)
		}
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if strings.Contains(string(body)+r.URL.RawQuery, "cryptoKeys") {
				withKey.Add(1)
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		return false
	})
	var asked atomic.Int64
	tokens := tokenServer(t, &asked)
	account := serviceAccount(t, tokens.URL)
	path := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(path, []byte(account), 0o600); err != nil {
		t.Fatal(err)
	}
	c := at("")
	c.Endpoint, c.CACert = proxy.URL, objectstest.Authority(t, proxy)
	opens := func(t *testing.T, c gcp.Config) driver.Store {
		t.Helper()
		without.Store(0)
		billed.Store(0)
		withKey.Store(0)
		s, err := gcp.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		objectstest.Works(t, s)
		if without.Load() > 0 {
			t.Errorf("%d requests had no token", without.Load())
		}
		return s
	}
	t.Run("service_account_key", func(t *testing.T) {
		c := c
		c.ServiceAccountKey = config.NewSecret(account)
		s := opens(t, c)
		if asked.Load() == 0 || billed.Load() > 0 || withKey.Load() > 0 {
			t.Errorf("%d tokens; %d requests were billed, %d had a key", asked.Load(), billed.Load(), withKey.Load())
		}
		if m, err := gcp.Describe(t.Context(), s, []byte("none")); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("%+v, %v", m, err)
		}
		if _, err := s.Put(t.Context(), []byte("stays"), nil, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if m, err := gcp.Describe(t.Context(), s, []byte("stays")); err != nil || m.Version == "" || m.Size != 17 || m.Modified.IsZero() {
			t.Errorf("%+v, %v", m, err)
		}
		c.CACert = ""
		fails(t, c, driver.ErrInvalid, "ca_cert", "unknown authority")
	})
	t.Run("credentials_path", func(t *testing.T) {
		c := c
		c.CredentialsPath = path
		opens(t, c)
	})
	t.Run("requester_pays", func(t *testing.T) {
		c := c
		c.CredentialsPath, c.RequesterPays = path, true
		if opens(t, c); billed.Load() == 0 {
			t.Error("no request names the project")
		}
	})
	t.Run("kms_key_name", func(t *testing.T) {
		c := c
		c.CredentialsPath, c.KMSKeyName = path, "projects/p/locations/l/keyRings/r/cryptoKeys/k"
		if opens(t, c); withKey.Load() == 0 {
			t.Error("no put names the key")
		}
	})
	t.Run("default-file", func(t *testing.T) {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
		opens(t, c)
	})
	t.Run("default-metadata", func(t *testing.T) {
		metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Metadata-Flavor", "Google")
			if r.Header.Get("Metadata-Flavor") != "Google" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			switch {
			case strings.HasSuffix(r.URL.Path, "/token"):
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"access_token": "a-token", "token_type": "Bearer", "expires_in": 3600}`)
			case strings.HasSuffix(r.URL.Path, "universe-domain"):
				fmt.Fprint(w, "googleapis.com")
			case strings.HasSuffix(r.URL.Path, "project-id"):
				fmt.Fprint(w, project)
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		defer metadata.Close()
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
		t.Setenv("HOME", t.TempDir())
		t.Setenv("GCE_METADATA_HOST", metadata.Listener.Addr().String())
		opens(t, c)
	})
	t.Run("refused", func(t *testing.T) {
		refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error": "invalid_grant"}`)
		}))
		defer refuses.Close()
		c := c
		c.ServiceAccountKey = config.NewSecret(serviceAccount(t, refuses.URL))
		fails(t, c, driver.ErrDenied, "invalid_grant")
	})
}

// TestAstray: a 404 that does not speak of the object is not taken for its absence.
func TestAstray(t *testing.T) {
	_, address := start(t)
	var astray atomic.Bool
	proxy := objectstest.Recorder(t, "http://"+address, "", func(w http.ResponseWriter, r *http.Request) bool {
		if astray.Load() {
			http.NotFound(w, r)
		}
		return astray.Load()
	})
	s, err := open(t.Context(), proxy.Listener.Addr().String(), "p")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	astray.Store(true)
	if _, err := s.Get(t.Context(), []byte("k")); !errors.Is(err, driver.ErrInvalid) || errors.Is(err, driver.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
}

// TestRefusals: what is too often is not applied, and what is not decided is asked again.
func TestRefusals(t *testing.T) {
	_, address := start(t)
	var left, with atomic.Int64
	proxy := objectstest.Recorder(t, "http://"+address, "", func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || left.Add(-1) < 0 {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(with.Load()))
		fmt.Fprintf(w, `{"error": {"code": %d, "message": "not now", "errors": [{"reason": "rateLimitExceeded"}]}}`, with.Load())
		return true
	})
	s, err := open(t.Context(), proxy.Listener.Addr().String(), "p")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(status, times int64) error {
		with.Store(status)
		left.Store(times)
		_, err := s.Put(t.Context(), []byte("k"), nil, driver.PutOptions{})
		return err
	}
	if err := put(http.StatusTooManyRequests, 1); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("429: %v", err)
	}
	if err := put(http.StatusConflict, 2); err != nil {
		t.Errorf("409, twice: %v", err)
	}
	if err := put(http.StatusForbidden, 1); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("403 for its rate: %v", err)
	}
}

// TestAddressing: without an endpoint requests go to Google's.
func TestAddressing(t *testing.T) {
	c := at("")
	c.Endpoint = ""
	c.ServiceAccountKey = config.NewSecret(serviceAccount(t, tokenServer(t, nil).URL))
	var got string
	client, err := gcp.SDKThrough(t.Context(), c, roundTrip(func(r *http.Request) (*http.Response, error) {
		got = r.URL.Scheme + "://" + r.URL.Host
		return nil, errors.New("enough")
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Bucket(name).Object("k").Attrs(t.Context()); err == nil || errors.Is(err, storage.ErrObjectNotExist) || got != "https://storage.googleapis.com" {
		t.Errorf("asked %s, %v", got, err)
	}
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
