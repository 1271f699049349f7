package servers

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// KubeAPIServer is an API server of Kubernetes with RBAC, over an etcd of its own. There
// are no controllers.
type KubeAPIServer struct {
	*Process
	Address string // host and port
	URL     string
	// CACert is the file of the authority that has signed the server's certificate.
	CACert string
	// AdminToken is that of a user who may do everything.
	AdminToken string
	// Etcd is where the server keeps its objects.
	Etcd *Etcd
}

// Kubeconfig writes a kubeconfig for the bearer of a token, and returns its path. server is
// the URL to go to, "" is the server's own.
func (s *KubeAPIServer) Kubeconfig(t testing.TB, server, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: u, user: {token: %q}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, cmp.Or(server, s.URL), s.CACert, token)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// KubeUser is a user of an API server, who may do nothing unless a role says so.
type KubeUser struct{ Name, Token string }

// NewKubeAPIServer starts an API server that knows some users.
func NewKubeAPIServer(t testing.TB, users ...KubeUser) *KubeAPIServer {
	t.Helper()
	path := Program(t, "kube-apiserver")
	etcd := EtcdCluster(t, 1, EtcdOptions{})
	authority := NewAuthority(t)
	cert, key := authority.Issue("localhost")
	dir := t.TempDir()
	s := &KubeAPIServer{Address: Address(t), CACert: authority.CACert, AdminToken: Secret("kubernetes admin"), Etcd: etcd}
	s.URL = "https://" + s.Address
	tokens := []string{s.AdminToken + ",admin,1,system:masters"}
	for i, u := range users {
		tokens = append(tokens, fmt.Sprintf("%s,%s,%d", u.Token, u.Name, i+2))
	}
	tokenFile := filepath.Join(dir, "tokens.csv")
	if err := os.WriteFile(tokenFile, []byte(strings.Join(tokens, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(authority.CACert)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s: %v", authority.CACert, err)
	}
	_, port, err := cutPort(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	s.Process = Start(t, Command{
		Path: path, Dir: dir,
		Args: []string{
			"--etcd-servers", etcd.Members[0].URL, "--bind-address", "127.0.0.1", "--secure-port", port,
			"--tls-cert-file", cert, "--tls-private-key-file", key, "--token-auth-file", tokenFile,
			"--authorization-mode", "RBAC", "--anonymous-auth=false",
			"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", cert, "--service-account-signing-key-file", key,
			"--service-cluster-ip-range", "10.0.0.0/24", "--cert-dir", dir,
			// There is nobody to make service accounts, and no endpoints to look after.
			"--disable-admission-plugins", "ServiceAccount", "--endpoint-reconciler-type", "none",
		},
		Ready: func(ctx context.Context) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/readyz", nil)
			if err != nil {
				return err
			}
			r.Header.Set("Authorization", "Bearer "+s.AdminToken)
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
			response, err := client.Do(r)
			if err != nil {
				return err
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("readyz: %s", response.Status)
			}
			return nil
		},
	})
	return s
}
