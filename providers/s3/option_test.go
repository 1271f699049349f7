package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
	"github.com/orbit-persistence/orbit/providers/s3"
)

// fails opens a store and wants a kind of error, whose text holds some words and no
// secret.
func fails(t *testing.T, c s3.Config, kind error, words ...string) {
	t.Helper()
	s, err := s3.Open(t.Context(), c)
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
	for _, secret := range []config.Secret{c.SecretAccessKey, c.SessionToken, c.CustomerKey} {
		if !secret.IsZero() && strings.Contains(fmt.Sprintf("%v %+v", err, c), secret.Reveal()) {
			t.Errorf("a secret is in: %v", err)
		}
	}
}

func TestWhatIsWrong(t *testing.T) {
	address := start(t).Address
	change := func(f func(c *s3.Config)) s3.Config { c := at(address); f(&c); return c }
	fails(t, change(func(c *s3.Config) { c.SecretAccessKey = config.NewSecret("a-wrong-secret") }), driver.ErrDenied, "SignatureDoesNotMatch")
	fails(t, change(func(c *s3.Config) { c.AccessKeyID = "nobody" }), driver.ErrDenied, "access key")
	fails(t, change(func(c *s3.Config) { c.Bucket = "no-such-bucket" }), driver.ErrInvalid, `"no-such-bucket" does not exist`)
	fails(t, change(func(c *s3.Config) { c.Region = "mars-north-1" }), driver.ErrInvalid, "us-east-1")
	fails(t, change(func(c *s3.Config) { c.Bucket = "" }), driver.ErrInvalid, "bucket")
	fails(t, change(func(c *s3.Config) { c.Prefix = "/a" }), driver.ErrInvalid, "prefix")
	fails(t, change(func(c *s3.Config) { c.EnableSSL = true }), driver.ErrInvalid, "enable_ssl")
	fails(t, change(func(c *s3.Config) { c.Prefix = strings.Repeat("p", 900) }), driver.ErrInvalid, "prefix")
	fails(t, change(func(c *s3.Config) {
		c.Endpoint, c.EnableSSL, c.Encryption, c.CustomerKey = "https://"+address, true, config.EncryptionCustomer, config.NewSecret("short-customer-key")
	}), driver.ErrInvalid, "customer_key")
	fails(t, change(func(c *s3.Config) { c.Endpoint = "http://" + servers.Address(t) }), driver.ErrUnavailable, "refused")
}

func TestRegistered(t *testing.T) {
	c := at(start(t).Address)
	p, err := providers.Open(t.Context(), providers.Config{Backend: s3.Backend, Options: &c})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if c := p.Capabilities(); !c.Commit || !c.Fence || !c.Remote || c.Backend != "s3" {
		t.Errorf("%+v", c)
	}
	if h := p.Health(t.Context()); h.State != providers.Healthy {
		t.Errorf("%+v", h)
	}
}

func TestTLS(t *testing.T) {
	certificate := servers.NewCertificate(t)
	server := servers.VersitygwTLS(t, certificate)
	c := at(server.Address)
	c.Endpoint, c.EnableSSL, c.CACert = "https://"+server.Address, true, certificate.Authority
	b, err := s3.SDK(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &c.Bucket}); err != nil {
		t.Fatal(err)
	}
	s, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	objectstest.Works(t, s)
	c.CACert = ""
	fails(t, c, driver.ErrInvalid, "ca_cert", "unknown authority")
	c.CACert = certificate.Key
	fails(t, c, driver.ErrInvalid, "holds no certificate")
	c.CACert = certificate.Key + "x"
	fails(t, c, driver.ErrInvalid, "ca_cert")
}

// TestPrefix: two stores of one bucket do not see one another, and nothing stands
// beside the prefix.
func TestPrefix(t *testing.T) {
	server := start(t)
	var stores []driver.Store
	for _, prefix := range []string{"one", "two/deep", ""} {
		s, err := open(t.Context(), server.Address, prefix)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if prefix != "" {
			objectstest.Works(t, s)
			if _, err := s.Put(t.Context(), []byte("k"), []byte(prefix), driver.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		stores = append(stores, s)
	}
	for i, prefix := range []string{"one", "two/deep"} {
		if e, err := stores[i].Get(t.Context(), []byte("k")); err != nil || string(e.Value) != prefix {
			t.Errorf("%s: %q, %v", prefix, e.Value, err)
		}
	}
	out, err := sdk(server.Address).ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range out.Contents {
		names = append(names, *o.Key)
	}
	if got := fmt.Sprint(names); got != "[one/k two/deep/k]" {
		t.Errorf("the bucket has %s", got)
	}
	for e, err := range stores[2].List(t.Context(), driver.ListOptions{}) {
		t.Errorf("a store above others lists %q, %v", e.Key, err)
	}
	if told := stores[2].(driver.Reporter).Report().Degraded; !strings.Contains(told, "a prefix of its own") {
		t.Errorf("a store above others reports %q", told)
	}
}

// TestTimeouts: each of them acts.
func TestTimeouts(t *testing.T) {
	server := start(t)
	c := at(server.Address)
	c.ReadTimeout, c.WriteTimeout = 200*time.Millisecond, 0
	reads, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer reads.Close()
	c.ReadTimeout, c.WriteTimeout = 0, 200*time.Millisecond
	writes, err := s3.Open(t.Context(), c)
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
	c.Endpoint, c.EnableSSL = "https://"+l.Addr().String(), true
	c.ConnectionTimeout, c.ReadTimeout, c.WriteTimeout = 50*time.Millisecond, 0, 0
	fails(t, c, driver.ErrUnavailable, "handshake")
}

// recorder passes requests on, and shows them to see before; what see answers goes back
// instead.
func recorder(t *testing.T, to, authority string, see func(r *http.Request) (answer int)) *httptest.Server {
	t.Helper()
	return objectstest.Recorder(t, to, authority, func(w http.ResponseWriter, r *http.Request) bool {
		answer := see(r)
		if answer != 0 {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(answer)
			fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>ConditionalRequestConflict</Code><Message>once more</Message></Error>`)
		}
		return answer != 0
	})
}

// TestEncryption: the headers are seen on the wire, and MinIO, which has keys here,
// encrypts, decrypts, and shows it.
func TestEncryption(t *testing.T) {
	certificate := servers.NewCertificate(t)
	server := servers.MinIO(t, certificate)
	var mu sync.Mutex
	seen := map[string]http.Header{} // of the last request, by method
	proxy := recorder(t, "https://"+server.Address, certificate.Authority, func(r *http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Method] = r.Header.Clone()
		return 0
	})
	base := at("")
	base.Endpoint, base.EnableSSL, base.CACert = proxy.URL, true, objectstest.Authority(t, proxy)
	client, err := s3.SDK(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &base.Bucket}); err != nil {
		t.Fatal(err)
	}
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	const header = "X-Amz-Server-Side-Encryption"
	for _, c := range []struct {
		encryption config.Encryption
		put, get   map[string]string
		shown, by  string
		change     func(c *s3.Config)
	}{
		{config.NoEncryption, map[string]string{header: "", header + "-Customer-Algorithm": ""}, nil, "", "", func(*s3.Config) {}},
		{config.EncryptionS3, map[string]string{header: "AES256"}, nil, "AES256", "", func(*s3.Config) {}},
		{config.EncryptionKMS, map[string]string{header: "aws:kms", header + "-Aws-Kms-Key-Id": "orbit"}, nil, "aws:kms", "orbit", func(c *s3.Config) { c.KMSKeyID = "orbit" }},
		{
			config.EncryptionCustomer, map[string]string{header: "", header + "-Customer-Algorithm": "AES256", header + "-Customer-Key": key},
			map[string]string{header + "-Customer-Algorithm": "AES256", header + "-Customer-Key": key}, "customer AES256", "", func(c *s3.Config) { c.CustomerKey = config.NewSecret(key) },
		},
	} {
		t.Run(string(c.encryption), func(t *testing.T) {
			o := base
			o.Encryption, o.Prefix = c.encryption, string(c.encryption)
			c.change(&o)
			s, err := s3.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			objectstest.Works(t, s)
			if _, err := s.Put(t.Context(), []byte("stays"), []byte("v"), driver.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			if e, err := s.Get(t.Context(), []byte("stays")); err != nil || string(e.Value) != "v" {
				t.Fatalf("%q, %v", e.Value, err)
			}
			mu.Lock()
			for method, want := range map[string]map[string]string{http.MethodPut: c.put, http.MethodGet: c.get} {
				for name, value := range want {
					if got := seen[method].Get(name); got != value {
						t.Errorf("%s: header %s is %q", method, name, got)
					}
				}
			}
			mu.Unlock()
			m, err := s3.Describe(t.Context(), s, []byte("stays"))
			if err != nil || m.Encryption != c.shown || !strings.Contains(m.Key, c.by) || m.Size == 0 || m.Modified.IsZero() {
				t.Errorf("%+v, %v", m, err)
			}
			if c.encryption != config.EncryptionCustomer {
				return
			}
			// Nobody else can read it, and who tries is told why.
			o.CustomerKey = config.NewSecret(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{8}, 32)))
			other, err := s3.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			_, err = other.Get(t.Context(), []byte("stays"))
			if !errors.Is(err, driver.ErrDenied) && !errors.Is(err, driver.ErrInvalid) || strings.Contains(err.Error(), o.CustomerKey.Reveal()) {
				t.Errorf("with another key: %v", err)
			}
		})
	}
}

// tokens stands before a server that knows no session tokens: it passes on what has the
// one that it wants.
func tokens(t *testing.T, server *servers.S3, want string) (address string) {
	return recorder(t, "http://"+server.Address, "", func(r *http.Request) int {
		if got := r.Header.Get("X-Amz-Security-Token"); got != want {
			t.Errorf("%s %s has the token %q", r.Method, r.URL.Path, got)
		}
		resign(t, r, "X-Amz-Security-Token")
		return 0
	}).Listener.Addr().String()
}

// TestSessionToken: it goes with each request.
func TestSessionToken(t *testing.T) {
	c := at(tokens(t, start(t), "a-token"))
	c.SessionToken = config.NewSecret("a-token")
	s, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	objectstest.Works(t, s)
}

// TestConditionsLost: a proxy that takes the conditions away is found at opening.
func TestConditionsLost(t *testing.T) {
	server := start(t)
	for _, lost := range []string{"If-None-Match", "If-Match"} {
		proxy := recorder(t, "http://"+server.Address, "", func(r *http.Request) int {
			if r.Header.Get(lost) == "" || r.Method == http.MethodDelete {
				return 0
			}
			resign(t, r, lost)
			return 0
		})
		fails(t, at(proxy.Listener.Addr().String()), driver.ErrUnsupported, "ignores the condition of a put", lost)
	}
	// One that takes them from deletes alone is served, by tombstones.
	proxy := recorder(t, "http://"+server.Address, "", func(r *http.Request) int {
		if r.Method == http.MethodDelete && r.Header.Get("If-Match") != "" {
			resign(t, r, "If-Match")
		}
		return 0
	})
	s, err := open(t.Context(), proxy.Listener.Addr().String(), "deletes")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	objectstest.Works(t, s)
	out, err := sdk(server.Address).ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String("deletes/")})
	if err != nil || len(out.Contents) != 1 || *out.Contents[0].Size != 16 {
		t.Errorf("want one tombstone: %+v, %v", out.Contents, err)
	}
}

// resign takes a header from a request and signs it anew.
func resign(t *testing.T, r *http.Request, without string) {
	r.Header.Del(without)
	r.Header.Del("Authorization")
	r.Header.Del("X-Forwarded-For")
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if hash == "" {
		sum := sha256.Sum256(nil)
		hash = hex.EncodeToString(sum[:])
	}
	who := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}
	if err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(r.Context(), who, r, hash, "s3", "us-east-1", time.Now()); err != nil {
		t.Error(err)
	}
}

// TestNotThere: what a proxy, or a service that does not know the user any more, answers
// with 404 is not taken for an object that is not there.
func TestNotThere(t *testing.T) {
	server := start(t)
	var astray atomic.Bool
	proxy := objectstest.Recorder(t, "http://"+server.Address, "", func(w http.ResponseWriter, r *http.Request) bool {
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
	if err := s.Delete(t.Context(), []byte("k"), driver.DeleteOptions{}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("delete: %v", err)
	}
}

// TestNotDecided: 409 is not 412. The service has not looked at the condition, and is
// asked again.
func TestNotDecided(t *testing.T) {
	server := start(t)
	var left atomic.Int64
	proxy := recorder(t, "http://"+server.Address, "", func(r *http.Request) int {
		if (r.Method == http.MethodPut || r.Method == http.MethodDelete) && left.Add(-1) >= 0 {
			return http.StatusConflict
		}
		return 0
	})
	s, err := open(t.Context(), proxy.Listener.Addr().String(), "p")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	left.Store(2)
	at, err := s.Put(t.Context(), []byte("k"), []byte("v"), driver.PutOptions{IfAbsent: true})
	if err != nil {
		t.Fatal(err)
	}
	left.Store(2)
	if _, err := s.Put(t.Context(), []byte("k"), []byte("v"), driver.PutOptions{IfAbsent: true}); !errors.Is(err, driver.ErrConflict) {
		t.Fatal(err)
	}
	left.Store(2)
	if err := s.Delete(t.Context(), []byte("k"), driver.DeleteOptions{IfRevision: at}); err != nil {
		t.Fatal(err)
	}
}

// TestVersions: a bucket that keeps versions says so, shows them, and loses nothing of
// what is there when tombstones are removed by their versions. versitygw refuses to
// create a name over the marker of its deletion, so that it needs them. Known by its name
// it has no compaction; here it is behind a proxy that does not tell it.
func TestVersions(t *testing.T) {
	server := start(t)
	target, err := url.Parse("http://" + server.Address)
	if err != nil {
		t.Fatal(err)
	}
	nameless := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }, // the host is signed
		ModifyResponse: func(r *http.Response) error { r.Header.Del("Server"); return nil },
	})
	defer nameless.Close()
	client := sdk(server.Address)
	_, err = client.PutBucketVersioning(t.Context(), &awss3.PutBucketVersioningInput{
		Bucket: aws.String(bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	known, err := open(t.Context(), server.Address, "q")
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	if _, compacts := known.(driver.Compacter); compacts || known.Capabilities().Compact {
		t.Error("tombstones are removed where a put may come in between")
	}
	s, err := open(t.Context(), nameless.Listener.Addr().String(), "p")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if v := s.Capabilities().Version; !strings.Contains(v, "versions kept") {
		t.Errorf("version %q", v)
	}
	objectstest.Works(t, s)
	objectstest.Works(t, s)
	var shown []string
	for i := range 2 {
		if _, err := s.Put(t.Context(), []byte("stays"), []byte{byte(i)}, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		m, err := s3.Describe(t.Context(), s, []byte("stays"))
		if err != nil || m.Version == "" {
			t.Fatalf("%+v, %v", m, err)
		}
		shown = append(shown, m.Version)
	}
	if shown[0] == shown[1] {
		t.Errorf("two versions are %q", shown)
	}
	if _, err := s3.Describe(t.Context(), s, []byte("k")); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("a tombstone is described: %v", err)
	}
	if err := s.(driver.Compacter).Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := client.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: aws.String(bucket)})
	if err != nil || len(out.Versions) != 2 || len(out.DeleteMarkers) != 0 {
		t.Errorf("after compaction: %d versions, %d markers, %v; want the two of one key", len(out.Versions), len(out.DeleteMarkers), err)
	}
	objectstest.Works(t, s)
}

// TestChain: without keys the SDK's default chain is asked: the environment, a web
// identity, an instance's role, each at a server of the test.
func TestChain(t *testing.T) {
	server := start(t)
	clean := func(t *testing.T) {
		for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
			t.Setenv(name, "")
		}
		t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
		t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	}
	c := at(server.Address)
	c.AccessKeyID, c.SecretAccessKey = "", config.Secret{}
	opens := func(t *testing.T, c s3.Config) {
		t.Helper()
		s, err := s3.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		objectstest.Works(t, s)
	}
	t.Run("environment", func(t *testing.T) {
		clean(t)
		t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
		t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
		opens(t, c)
	})
	t.Run("web-identity", func(t *testing.T) {
		clean(t)
		c := c
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte("a-web-identity"), 0o600); err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int64
		sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil || r.Form.Get("Action") != "AssumeRoleWithWebIdentity" || r.Form.Get("WebIdentityToken") != "a-web-identity" || r.Form.Get("RoleArn") != "arn:aws:iam::1:role/orbit" {
				t.Errorf("asked for %v, %v", r.Form, err)
			}
			asked.Add(1)
			fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>
				<AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>a-token</SessionToken><Expiration>%s</Expiration>
				</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, accessKey, secretKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}))
		defer sts.Close()
		t.Setenv("AWS_ENDPOINT_URL_STS", sts.URL)
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", token)
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/orbit")
		c.Endpoint = "http://" + tokens(t, server, "a-token")
		opens(t, c)
		if asked.Load() != 1 {
			t.Errorf("the token service was asked %d times", asked.Load())
		}
	})
	t.Run("instance-role", func(t *testing.T) {
		clean(t)
		c := c
		var asked atomic.Int64
		const roles = "/latest/meta-data/iam/security-credentials/"
		metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/latest/api/token" && r.Header.Get("X-Aws-Ec2-Metadata-Token") != "session" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			switch r.URL.Path {
			case "/latest/api/token":
				w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "600")
				fmt.Fprint(w, "session")
			case roles:
				fmt.Fprint(w, "orbit")
			case roles + "orbit":
				asked.Add(1)
				fmt.Fprintf(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":%q,"SecretAccessKey":%q,"Token":"a-token","Expiration":%q}`, accessKey, secretKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		defer metadata.Close()
		t.Setenv("AWS_EC2_METADATA_DISABLED", "")
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.URL)
		c.Endpoint = "http://" + tokens(t, server, "a-token")
		opens(t, c)
		if asked.Load() == 0 {
			t.Error("the metadata service was not asked")
		}
	})
	t.Run("none", func(t *testing.T) {
		clean(t)
		fails(t, c, driver.ErrDenied, "access_key_id")
	})
}

// TestAddressing: the bucket stands in the path or in the host, as it is configured;
// without an endpoint requests go to Amazon's of the region, with TLS or without.
func TestAddressing(t *testing.T) {
	for _, test := range []struct {
		endpoint  string
		ssl, path bool
		want      string
	}{
		{"http://objects.test", false, true, "http://objects.test/orbit-data"},
		{"http://objects.test", false, false, "http://orbit-data.objects.test/"},
		{"https://objects.test", true, false, "https://orbit-data.objects.test/"},
		{"", true, false, "https://orbit-data.s3.eu-central-1.amazonaws.com/"},
		{"", false, true, "http://s3.eu-central-1.amazonaws.com/orbit-data"},
	} {
		c := at("")
		c.Endpoint, c.EnableSSL, c.PathStyle, c.Region = test.endpoint, test.ssl, test.path, "eu-central-1"
		var got string
		client, err := s3.SDKThrough(t.Context(), c, roundTrip(func(r *http.Request) (*http.Response, error) {
			u := *r.URL
			u.RawQuery = ""
			got = u.String()
			return nil, errors.New("enough")
		}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.HeadBucket(context.Background(), &awss3.HeadBucketInput{Bucket: aws.String(bucket)}); err == nil || got != test.want {
			t.Errorf("%+v: asked %s, %v", test, got, err)
		}
	}
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
