package all_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
)

// TestNetworksTakeEveryOption: an option arrives in the field of the same name, and
// retry_count in what stands above it. What each does is tested against a server, by its
// package.
func TestNetworksTakeEveryOption(t *testing.T) {
	cluster := config.Redis{
		URL: "rediss://redis.test:6380", ClusterMode: true, Username: "user", Password: config.NewSecret("a"), CACert: "ca.pem", Prefix: "prefix",
		ConnectionTimeout: time.Second, PoolSize: 7, RetryCount: 4, Partitions: 9, WaitReplicas: 2, WaitTimeout: 3 * time.Second,
	}
	numbered := config.Default[config.Redis]()
	numbered.Database, numbered.Partitions = 3, 1
	members := config.Etcd{
		Endpoints: []string{"https://a:1", "https://b:1"}, Prefix: "prefix", Username: "user", Password: config.NewSecret("a"),
		CACert: "ca.pem", ClientCert: "client.pem", ClientKey: "client.key", ConnectionTimeout: time.Second, LeaseTTL: 3 * time.Second,
	}
	objects := config.Kubernetes{
		Namespace: "namespace", ConfigMapName: "config", SecretName: "secret", SecretPrefixes: []string{"token/"}, KubeconfigPath: "file",
	}
	pod := config.Default[config.Kubernetes]()
	pod.InCluster = true
	seen := map[config.Kind]map[string]bool{config.KindRedis: {}, config.KindEtcd: {}, config.KindKubernetes: {}}
	for _, b := range []config.Backend{cluster, numbered, members, objects, pod} {
		c, err := all.Config("name", b)
		if err != nil {
			t.Fatal(err)
		}
		from, to := reflect.ValueOf(b), reflect.ValueOf(c.Options)
		for i := range from.NumField() {
			name := from.Type().Field(i).Name
			if !from.Field(i).IsZero() {
				seen[b.Kind()][name] = true
			}
			if name == "RetryCount" {
				if got := c.Retry.Count; got != int(from.Field(i).Int()) {
					t.Errorf("%s: RetryCount becomes %d", b.Kind(), got)
				}
				continue
			}
			if got := to.FieldByName(name); !got.IsValid() || !reflect.DeepEqual(got.Interface(), from.Field(i).Interface()) {
				t.Errorf("%s: %s is %v, and becomes %v", b.Kind(), name, from.Field(i), got)
			}
		}
	}
	for _, b := range []config.Backend{config.Redis{}, config.Etcd{}, config.Kubernetes{}} {
		for i := range reflect.TypeOf(b).NumField() {
			if name := reflect.TypeOf(b).Field(i).Name; !seen[b.Kind()][name] {
				t.Errorf("%s: %s was never given", b.Kind(), name)
			}
		}
	}
	// The default of partitions is that of a cluster.
	if c, err := all.Config("name", config.Default[config.Redis]()); err != nil || reflect.ValueOf(c.Options).FieldByName("Partitions").Int() != 1 {
		t.Errorf("a server of its own has %+v, %v", c.Options, err)
	}
}

// api is an API server as its administrator sees it.
type api struct {
	*servers.KubeAPIServer
	http *http.Client
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{KubeAPIServer: servers.NewKubeAPIServer(t)}
	pem, err := os.ReadFile(a.CACert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	a.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	return a
}

// ask makes a request, and returns what is answered.
func (a *api) ask(t *testing.T, method, path, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, a.URL+"/api/v1/namespaces"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.AdminToken)
	r.Header.Set("Content-Type", "application/json")
	response, err := a.http.Do(r)
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

// TestKubernetesFromAConfiguration opens a store on an API server, and looks there for
// what each option does.
func TestKubernetesFromAConfiguration(t *testing.T) {
	a := newAPI(t)
	a.ask(t, http.MethodPost, "", `{"metadata":{"name":"apart"}}`)
	file := a.Kubeconfig(t, "", a.AdminToken)
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "another"))
	open := func(options string) (*providers.Provider, error) {
		return all.OpenOne(t.Context(), read(t, "type = \"Kubernetes\"\n"+options), "")
	}
	p, err := open(fmt.Sprintf(`
namespace = "apart"
config_map_name = "entries"
secret_name = "hidden"
secret_prefixes = ["token/", "password/"]
kubeconfig_path = %q
`, file))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, key := range []string{"token/a", "password/b", "secret/c", "d"} {
		put(t, p, key, []byte("value of "+key))
		if e, err := p.Get(t.Context(), []byte(key)); err != nil || string(e.Value) != "value of "+key {
			t.Errorf("%s is %q, %v", key, e.Value, err)
		}
	}
	err = p.Update(t.Context(), func(tx *providers.Tx) error {
		for _, key := range []string{"token/a", "d"} { // of both kinds at once
			if err := tx.Put(t.Context(), []byte(key), []byte("again"), providers.PutOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	secrets, maps := a.ask(t, http.MethodGet, "/apart/secrets", ""), a.ask(t, http.MethodGet, "/apart/configmaps", "")
	for _, key := range []string{"token/a", "password/b", "secret/c", "d"} {
		hidden := strings.HasPrefix(key, "token/") || strings.HasPrefix(key, "password/")
		quoted := fmt.Sprintf("%q", fmt.Sprintf("%q", key)) // as an annotation in JSON
		if strings.Contains(secrets, quoted) != hidden || strings.Contains(maps, quoted) == hidden {
			t.Errorf("%s is in a Secret: %v, in a ConfigMap: %v", key, strings.Contains(secrets, quoted), strings.Contains(maps, quoted))
		}
	}
	if !strings.Contains(secrets, `"name":"hidden.`) || !strings.Contains(maps, `"name":"entries.`) {
		t.Errorf("%s\n%s", secrets, maps)
	}
	if h := p.Health(t.Context()); h.State != providers.Healthy {
		t.Errorf("%s %q", h.State, h.Reasons)
	}
	for option, says := range map[string]string{
		"kubeconfig_path = \"" + file + ".missing\"": file + ".missing",
		"in_cluster = true":                          "in_cluster",
		"":                                           "set kubeconfig_path",
	} {
		if p, err := open(option); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("with %q it opens: %v, %v", option, p, err)
		}
	}
}
