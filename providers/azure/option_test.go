package azure_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/azure"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
)

// fails opens a store and wants an error with some words and no secret.
func fails(t *testing.T, c azure.Config, kind error, words ...string) {
	t.Helper()
	s, err := azure.Open(t.Context(), c)
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
	for _, secret := range []config.Secret{c.AccountKey, c.ConnectionString, c.CustomerKey, config.NewSecret("a-signature")} {
		if !secret.IsZero() && strings.Contains(fmt.Sprintf("%v %+v", err, c), secret.Reveal()) {
			t.Errorf("a secret is in: %v", err)
		}
	}
}

func TestWhatIsWrong(t *testing.T) {
	address := start(t).Address
	change := func(f func(c *azure.Config)) azure.Config { c := at(address); f(&c); return c }
	fails(t, change(func(c *azure.Config) { c.AccountKey = config.NewSecret("YS13cm9uZy1rZXktb2Ytbm9ib2R5") }), driver.ErrDenied, "AuthorizationFailure")
	fails(t, change(func(c *azure.Config) { c.AccountKey = config.NewSecret("not base64!") }), driver.ErrInvalid, "account_key")
	fails(t, change(func(c *azure.Config) { c.Container = "no-such-container" }), driver.ErrInvalid, `"no-such-container" does not exist`)
	fails(t, change(func(c *azure.Config) { c.Container = "" }), driver.ErrInvalid, "container_name")
	fails(t, change(func(c *azure.Config) { c.AccountName = "" }), driver.ErrInvalid, "account_name")
	fails(t, change(func(c *azure.Config) { c.AccountKey = config.Secret{} }), driver.ErrInvalid, "http://")
	fails(t, change(func(c *azure.Config) { c.Prefix = "a/" }), driver.ErrInvalid, "prefix")
	fails(t, change(func(c *azure.Config) { c.CACert = "ca.pem" }), driver.ErrInvalid, "ca_cert")
	fails(t, change(func(c *azure.Config) { c.CustomerKey = customerKey }), driver.ErrInvalid, "customer_key")
	fails(t, change(func(c *azure.Config) { c.Endpoint, c.CustomerKey = "https://a.test", config.NewSecret("short") }), driver.ErrInvalid, "customer_key")
	fails(t, change(func(c *azure.Config) {
		c.Endpoint, c.CustomerKey, c.EncryptionScope = "https://a.test", customerKey, "scope"
	}), driver.ErrInvalid, "encryption_scope")
	joined := func(f func(c *azure.Config)) azure.Config {
		c := azure.Defaults()
		c.Container, c.ConnectionString = name, config.NewSecret("AccountName=a")
		f(&c)
		return c
	}
	fails(t, joined(func(c *azure.Config) { c.AccountName = "a" }), driver.ErrInvalid, "account_name")
	fails(t, joined(func(c *azure.Config) { c.AccountKey = config.NewSecret(key) }), driver.ErrInvalid, "account_key")
	fails(t, joined(func(c *azure.Config) { c.Endpoint = "https://a.test" }), driver.ErrInvalid, "endpoint")
	fails(t, change(func(c *azure.Config) { c.Endpoint = "http://" + servers.Address(t) + "/" + account }), driver.ErrUnavailable, "refused")
}

var customerKey = config.NewSecret("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")

func TestRegistered(t *testing.T) {
	c := at(start(t).Address)
	p, err := providers.Open(t.Context(), providers.Config{Backend: azure.Backend, Options: &c})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if c := p.Capabilities(); !c.Commit || !c.Fence || !c.Remote || c.Backend != "azure" || !strings.Contains(c.Version, "emulator") {
		t.Errorf("%+v", c)
	}
	if h := p.Health(t.Context()); h.State != providers.Healthy {
		t.Errorf("%+v", h)
	}
}

// TestConnectionString: with a key, and with a signature that no error shows.
func TestConnectionString(t *testing.T) {
	server := start(t)
	c := at(server.Address)
	c.AccountName, c.AccountKey, c.Endpoint = "", config.Secret{}, ""
	endpoint := "BlobEndpoint=http://" + server.Address + "/" + account
	c.ConnectionString = config.NewSecret("DefaultEndpointsProtocol=http;AccountName=" + account + ";AccountKey=" + key + ";" + endpoint + ";")
	s, err := azure.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	objectstest.Works(t, s)
	c.ConnectionString = config.NewSecret("this is none")
	fails(t, c, driver.ErrInvalid, "connection_string")
	signature := "SharedAccessSignature=sv=2024-01-01&sig=a-signature"
	c.ConnectionString = config.NewSecret(endpoint + ";" + signature)
	fails(t, c, driver.ErrDenied)
	c.ConnectionString = config.NewSecret("BlobEndpoint=http://" + servers.Address(t) + "/" + account + ";" + signature)
	fails(t, c, driver.ErrUnavailable, "refused")
}

// TestPrefix: two stores of one container do not see one another, and nothing stands
// beside the prefix.
func TestPrefix(t *testing.T) {
	server := start(t)
	var stores []driver.Store
	for _, prefix := range []string{"prefix/one", "prefix/two/deep"} {
		s, err := open(t.Context(), server.Address, prefix)
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
	for i, prefix := range []string{"prefix/one", "prefix/two/deep"} {
		if e, err := stores[i].Get(t.Context(), []byte("k")); err != nil || string(e.Value) != prefix {
			t.Errorf("%s: %q, %v", prefix, e.Value, err)
		}
	}
	var names []string
	for pager := sdk(t, server.Address).NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: to.Ptr("prefix")}); pager.More(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Segment.BlobItems {
			names = append(names, *item.Name)
		}
	}
	if got := fmt.Sprint(names); got != "[prefix/one/k prefix/two/deep/k]" {
		t.Errorf("the container has %s", got)
	}
}

// TestTimeouts: each of them acts.
func TestTimeouts(t *testing.T) {
	server := start(t)
	c := at(server.Address)
	c.ReadTimeout, c.WriteTimeout = 400*time.Millisecond, 0
	reads, err := azure.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	c.ReadTimeout, c.WriteTimeout = 0, 400*time.Millisecond
	writes, err := azure.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer writes.Close()
	server.Pause()
	for err = driver.ErrNotFound; errors.Is(err, driver.ErrNotFound); { // its threads stop one by one
		_, err = reads.Get(t.Context(), []byte("k"))
	}
	if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "400ms") {
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
	c.Endpoint = "https://" + l.Addr().String() + "/" + account
	c.ConnectionTimeout, c.ReadTimeout, c.WriteTimeout = 50*time.Millisecond, 0, 0
	fails(t, c, driver.ErrUnavailable, "handshake")
}

// TestTLS: over TLS, with an authority of its own; with the keys of the customer and the
// scope seen on the wire; and with tokens of the SDK's default chain, which asks a
// metadata server of the test.
func TestTLS(t *testing.T) {
	certificate := servers.NewCertificate(t)
	server := servers.StartAzurite(t, certificate)
	var mu sync.Mutex
	seen := map[string]http.Header{} // of the last request, by method
	var without atomic.Int64
	proxy := objectstest.Recorder(t, "https://"+server.Address, certificate.Authority, func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Method] = r.Header.Clone()
		// Azurite has no such keys.
		for _, header := range []string{"X-Ms-Encryption-Key", "X-Ms-Encryption-Key-Sha256", "X-Ms-Encryption-Algorithm", "X-Ms-Encryption-Scope"} {
			r.Header.Del(header)
		}
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			without.Add(1)
		}
		return false
	})
	c := at("")
	c.Endpoint, c.CACert = proxy.URL+"/"+account, objectstest.Authority(t, proxy)
	client, err := azure.SDK(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	opens := func(t *testing.T, c azure.Config) driver.Store {
		t.Helper()
		s, err := azure.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		objectstest.Works(t, s)
		return s
	}
	t.Run("authority", func(t *testing.T) {
		opens(t, c)
		c := c
		c.CACert = ""
		fails(t, c, driver.ErrInvalid, "ca_cert", "unknown authority")
	})
	// encryption needs tokens: a shared key signs these headers, which Azurite refuses.
	encryption := func(t *testing.T, c azure.Config) {
		for header, test := range map[string]struct {
			change func(c *azure.Config)
			want   string
		}{
			"X-Ms-Encryption-Key":   {func(c *azure.Config) { c.CustomerKey = customerKey }, customerKey.Reveal()},
			"X-Ms-Encryption-Scope": {func(c *azure.Config) { c.EncryptionScope = "a-scope" }, "a-scope"},
			"X-Ms-Encryption-None":  {func(*azure.Config) {}, ""},
		} {
			o := c
			o.Prefix = header
			test.change(&o)
			s := opens(t, o)
			if _, err := s.Put(t.Context(), []byte("stays"), nil, driver.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Get(t.Context(), []byte("stays")); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			if got := seen[http.MethodPut].Get(header); got != test.want {
				t.Errorf("%s of a put is %q", header, got)
			}
			if got := seen[http.MethodGet].Get(header); header == "X-Ms-Encryption-Key" && got != test.want {
				t.Errorf("%s of a get is %q", header, got)
			}
			mu.Unlock()
			m, err := azure.Describe(t.Context(), s, []byte("stays"))
			if err != nil || m.Revision.IsZero() || m.Size != 17 || m.Modified.IsZero() {
				t.Errorf("%+v, %v", m, err)
			}
		}
	}
	t.Run("default-chain", func(t *testing.T) {
		metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Identity-Header") != "a-header" {
				t.Errorf("asked without the header: %v", r.Header)
			}
			fmt.Fprintf(w, `{"access_token":%q,"expires_on":"%d","resource":%q,"token_type":"Bearer"}`, token(t), time.Now().Add(time.Hour).Unix(), r.FormValue("resource"))
		}))
		defer metadata.Close()
		c := c
		c.AccountKey = config.Secret{}
		t.Setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
		fails(t, c, driver.ErrDenied, "default chain", "AZURE_")
		t.Setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
		t.Setenv("IDENTITY_ENDPOINT", metadata.URL)
		t.Setenv("IDENTITY_HEADER", "a-header")
		without.Store(0)
		opens(t, c)
		if without.Load() > 0 {
			t.Errorf("%d requests had no token", without.Load())
		}
		encryption(t, c)
	})
}

// token is one that Azurite takes: it looks at what it says, and at no signature.
func token(t *testing.T) string {
	part := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	now := time.Now().Unix()
	return part(map[string]any{"alg": "none", "typ": "JWT"}) + "." + part(map[string]any{
		"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
		"iat": now - 60, "nbf": now - 60, "exp": now + 3600,
	}) + ".c2lnbmF0dXJl"
}

// TestAddressing: without an endpoint requests go to Azure's of the account.
func TestAddressing(t *testing.T) {
	c := at("")
	c.Endpoint = ""
	client, err := azure.SDK(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := client.URL(); got != "https://devstoreaccount1.blob.core.windows.net/orbit" {
		t.Errorf("it is at %s", got)
	}
}
