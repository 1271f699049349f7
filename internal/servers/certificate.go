package servers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificate is that of a server on the loopback, signed by an authority that nobody
// else trusts. All are names of files in PEM.
type Certificate struct {
	Authority, Certificate, Key string
}

// NewCertificate makes an authority and a certificate, for one test.
func NewCertificate(t testing.TB) *Certificate {
	t.Helper()
	a := NewAuthority(t)
	cert, key := a.Issue("localhost")
	return &Certificate{a.CACert, cert, key}
}

// Authority is a certificate authority of a test.
type Authority struct {
	// CACert is the file of its certificate.
	CACert string

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority that nobody else trusts.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority of a test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	a.CACert, _ = a.issue("ca", template)
	return a
}

// Issue makes a certificate for 127.0.0.1 and localhost, for servers and for clients,
// in the name of a subject, and returns the files of it and of its key.
func (a *Authority) Issue(name string) (cert, key string) {
	a.t.Helper()
	return a.issue(name, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost", "*.localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

// issue signs a template by the authority, or by itself if it is the authority's.
func (a *Authority) issue(name string, template *x509.Certificate) (cert, key string) {
	a.t.Helper()
	check := func(err error) {
		if err != nil {
			a.t.Fatal(err)
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	check(err)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	check(err)
	if a.cert == nil {
		a.cert, err = x509.ParseCertificate(der)
		check(err)
		a.key = private
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	check(err)
	cert, key = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	check(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}

// copy puts the server's certificate and key where a server wants them.
func (c *Certificate) copy(t testing.TB, certificate, key string) {
	t.Helper()
	for from, to := range map[string]string{c.Certificate: certificate, c.Key: key} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// serving asks whether a server answers a request of a path with success.
func serving(address, path string, c *Certificate) func(context.Context) error {
	return func(ctx context.Context) error {
		scheme, transport := "http", &http.Transport{DisableKeepAlives: true}
		if c != nil {
			pool := x509.NewCertPool()
			authority, err := os.ReadFile(c.Authority)
			if err != nil {
				return err
			}
			pool.AppendCertsFromPEM(authority)
			scheme, transport.TLSClientConfig = "https", &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+path, nil)
		if err != nil {
			return err
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", path, response.Status)
		}
		return nil
	}
}
