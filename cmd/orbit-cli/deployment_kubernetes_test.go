package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	clientv3 "go.etcd.io/etcd/client/v3"
	"sigs.k8s.io/yaml"
)

// administrator is who applies manifests on an API server.
type administrator struct {
	*servers.KubeAPIServer
	client *http.Client
}

func newAdministrator(t *testing.T, s *servers.KubeAPIServer) *administrator {
	t.Helper()
	return &administrator{s, &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: poolOf(t, s.CACert), MinVersion: tls.VersionTLS12}}}}
}

func poolOf(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(file); err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s: %v", file, err)
	}
	return pool
}

// ask makes a request, and returns what is answered.
func (a *administrator) ask(t *testing.T, method, path, kind string, body []byte) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, a.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.AdminToken)
	r.Header.Set("Content-Type", kind)
	response, err := a.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s, %v", method, path, response.Status, answer, err)
	}
	return string(answer)
}

// apply makes the objects of a manifest.
func (a *administrator) apply(t *testing.T, file string) {
	t.Helper()
	manifest, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range strings.Split(string(manifest), "\n---\n") {
		var o struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Metadata   struct{ Namespace string }
		}
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatal(err)
		}
		path := "/apis/" + o.APIVersion
		if o.APIVersion == "v1" {
			path = "/api/v1"
		}
		if o.Metadata.Namespace != "" {
			path += "/namespaces/" + o.Metadata.Namespace
		}
		data, err := yaml.YAMLToJSON([]byte(document))
		if err != nil {
			t.Fatal(err)
		}
		// An unknown field of a manifest is an error.
		a.ask(t, http.MethodPost, path+"/"+strings.ToLower(o.Kind)+"s?fieldValidation=Strict", "application/json", data)
	}
}

// roleOfEtcd does what the page says that etcdctl does, and turns on authentication.
func roleOfEtcd(t *testing.T, authority *servers.Authority, endpoints []string) {
	t.Helper()
	cert, key := authority.Issue("root")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: &tls.Config{RootCAs: poolOf(t, authority.CACert), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	for _, user := range []string{"root", "orbit"} {
		_, err1 := c.UserAddWithOptions(ctx, user, "", &clientv3.UserAddOptions{NoPassword: true})
		_, err2 := c.RoleAdd(ctx, user)
		_, err3 := c.UserGrantRole(ctx, user, user)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
	}
	_, err1 := c.RoleGrantPermission(ctx, "orbit", "orbit/", clientv3.GetPrefixRangeEnd("orbit/"), clientv3.PermissionType(clientv3.PermReadWrite))
	_, err2 := c.AuthEnable(ctx)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
}

func TestKubernetesDeployment(t *testing.T) {
	account := servers.KubeUser{Name: "system:serviceaccount:orbit:orbit", Token: servers.Secret("account")}
	a := newAdministrator(t, servers.NewKubeAPIServer(t, account))
	a.apply(t, "../../examples/kubernetes/rbac.yaml")
	a.apply(t, "../../examples/deployments/kubernetes/workload.yaml")
	toAPI := servers.NewWire(t, a.Address)
	kubeconfig := a.Kubeconfig(t, "https://"+toAPI.Address, account.Token)
	authority := servers.NewAuthority(t)
	cert, key := authority.Issue("localhost")
	etcd := servers.EtcdCluster(t, 3, servers.EtcdOptions{Cert: cert, Key: key, ClientCA: authority.CACert})
	roleOfEtcd(t, authority, etcd.Endpoints())
	clientCert, clientKey := authority.Issue("orbit")
	d := deploy(t, "kubernetes",
		"ORBIT_ETCD_ENDPOINTS="+strings.Join(etcd.Endpoints(), ","), "ORBIT_ETCD_CA_CERT="+authority.CACert,
		"ORBIT_ETCD_CLIENT_CERT="+clientCert, "ORBIT_ETCD_CLIENT_KEY="+clientKey,
		"ORBIT_KUBERNETES_IN_CLUSTER=false", "ORBIT_KUBERNETES_KUBECONFIG_PATH="+kubeconfig)
	registry := d.open(t)
	d.works(t, registry)
	ctx, settings, state := t.Context(), d.provider(t, registry, providers.General), d.provider(t, registry, providers.Addressable)
	write := func(p *providers.Provider) error {
		_, err := p.Put(ctx, []byte("written"), nil, providers.PutOptions{})
		return err
	}
	if _, err := settings.Put(ctx, []byte("secret/password"), []byte("1"), providers.PutOptions{}); err != nil {
		t.Error(err)
	}
	const maps, secrets = "/api/v1/namespaces/orbit/configmaps", "/api/v1/namespaces/orbit/secrets"
	if s := a.ask(t, http.MethodGet, maps, "", nil); !strings.Contains(s, `"name":"orbit-settings.`) || strings.Contains(s, "secret/password") {
		t.Error(s)
	}
	if s := a.ask(t, http.MethodGet, secrets, "", nil); !strings.Contains(s, `"name":"orbit-secrets.`) || !strings.Contains(s, "secret/password") {
		t.Error(s)
	}
	// Where the API server is away, and where etcd has no majority.
	toAPI.Cut()
	// A request that has left on a connection which is cut then is in doubt.
	if err := write(settings); !errors.Is(err, providers.ErrUnavailable) && !errors.Is(err, providers.ErrOutcomeUnknown) {
		t.Errorf("without the API server it says %v", err)
	}
	if err := write(state); err != nil {
		t.Errorf("without the API server: %v", err)
	}
	toAPI.Mend()
	until(t, "the API server is back", func() bool { return write(settings) == nil })
	etcd.Members[0].Kill()
	until(t, "two members of three are enough", func() bool { return write(state) == nil })
	etcd.Members[1].Kill()
	until(t, "one member of three is not", func() bool {
		err := write(state)
		return errors.Is(err, providers.ErrUnavailable) || errors.Is(err, providers.ErrOutcomeUnknown)
	})
	if err := write(settings); err != nil {
		t.Errorf("without etcd: %v", err)
	}
	etcd.Members[0].Restart()
	until(t, "there is a majority again", func() bool { return write(state) == nil })
	// What somebody edits by hand.
	name := ""
	for _, part := range strings.Split(a.ask(t, http.MethodGet, maps, "", nil), `"name":"`) {
		if n, rest, _ := strings.Cut(part, `"`); strings.HasPrefix(n, "orbit-settings.") && strings.Contains(rest, "theme") {
			name = n
		}
	}
	a.ask(t, http.MethodPatch, maps+"/"+name, "application/merge-patch+json", []byte(`{"data":null,"binaryData":null}`))
	_, err := settings.Get(ctx, []byte("theme"))
	d.says(t, err, providers.ErrCorrupt, "corrupt")
	d.stands(t, registry)
	if err := registry.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = d.tryOpen(t, "ORBIT_KUBERNETES_NAMESPACE=default")
	d.says(t, err, providers.ErrDenied, "denied")
}
