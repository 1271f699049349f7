package kubernetes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/internal/objects/objectstest"
	"github.com/orbit-persistence/orbit/providers/kubernetes"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/node"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// What a process that the tests have started needs.
const (
	tokenVariable = "ORBIT_TEST_KUBERNETES_TOKEN"
	caVariable    = "ORBIT_TEST_KUBERNETES_CA"
)

func TestMain(m *testing.M) { objectstest.Main(m, open) }

// open opens a store of the account of examples/kubernetes.
func open(ctx context.Context, address, prefix string) (driver.Store, error) {
	h := fnv.New64a()
	h.Write([]byte(prefix))
	c := kubernetes.Config{Namespace: "orbit", ConfigMapName: fmt.Sprintf("t%x", h.Sum64()), Rest: restConfig(address)}
	c.SecretName = c.ConfigMapName + "-secret"
	return kubernetes.Open(ctx, c)
}

func restConfig(address string) *rest.Config {
	return &rest.Config{Host: "https://" + address, BearerToken: os.Getenv(tokenVariable), TLSClientConfig: rest.TLSClientConfig{CAFile: os.Getenv(caVariable)}}
}

// The users beside the administrator. The first is the account of examples/kubernetes.
var (
	account  = servers.KubeUser{Name: "system:serviceaccount:orbit:orbit", Token: servers.Secret("account")}
	stranger = servers.KubeUser{Name: "stranger", Token: servers.Secret("stranger")}
	partial  = servers.KubeUser{Name: "partial", Token: servers.Secret("partial")}
)

// cluster is an API server on which examples/kubernetes was applied.
type cluster struct {
	t testing.TB
	*servers.KubeAPIServer
	admin *http.Client
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t, KubeAPIServer: servers.NewKubeAPIServer(t, account, stranger, partial)}
	t.Setenv(tokenVariable, account.Token)
	t.Setenv(caVariable, c.CACert)
	c.admin = c.client(c.AdminToken)
	manifest, err := os.ReadFile("../../examples/kubernetes/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c.apply(string(manifest))
	return c
}

// client returns an HTTP client of a user.
func (c *cluster) client(token string) *http.Client {
	c.t.Helper()
	h, err := rest.HTTPClientFor(&rest.Config{Host: c.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAFile: c.CACert}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(h.CloseIdleConnections)
	return h
}

// do makes one request and returns the status and the answer.
func (c *cluster) do(h *http.Client, method, path string, body []byte, contentType string) (int, []byte) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	response, err := h.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(response.Body); err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, answer.Bytes()
}

// apply makes the objects of a manifest.
func (c *cluster) apply(manifest string) {
	c.t.Helper()
	for _, document := range strings.Split(manifest, "\n---\n") {
		var o struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Metadata   struct{ Namespace string }
		}
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			c.t.Fatal(err)
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
			c.t.Fatal(err)
		}
		if code, answer := c.do(c.admin, http.MethodPost, path+"/"+strings.ToLower(o.Kind)+"s", data, "application/json"); code != http.StatusCreated {
			c.t.Fatalf("apply %s: %d %s", o.Kind, code, answer)
		}
	}
}

// names returns the names of objects of a kind in the namespace orbit that begin with a
// prefix.
func (c *cluster) names(resource, prefix string) (names []string) {
	c.t.Helper()
	path := "/api/v1/namespaces/orbit/" + resource
	if resource == "leases" {
		path = "/apis/coordination.k8s.io/v1/namespaces/orbit/leases"
	}
	code, answer := c.do(c.admin, http.MethodGet, path, nil, "")
	var list struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	if err := json.Unmarshal(answer, &list); err != nil || code != http.StatusOK {
		c.t.Fatalf("%d %v", code, err)
	}
	for _, i := range list.Items {
		if strings.HasPrefix(i.Metadata.Name, prefix) {
			names = append(names, i.Metadata.Name)
		}
	}
	return names
}

func (c *cluster) open(change func(*kubernetes.Config)) (driver.Store, error) {
	o := kubernetes.Config{Namespace: "orbit", ConfigMapName: "orbit-data", SecretName: "orbit-secrets", Rest: restConfig(c.Address)}
	if change != nil {
		change(&o)
	}
	s, err := kubernetes.Open(c.t.Context(), o)
	if err == nil {
		c.t.Cleanup(func() {
			if err := s.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
				c.t.Error(err)
			}
		})
	}
	return s, err
}

// at returns a cluster that reports to a subtest.
func (c *cluster) at(t *testing.T) *cluster { return &cluster{t, c.KubeAPIServer, c.admin} }

func mustPut(t *testing.T, s driver.Store, key string, value []byte) driver.Revision {
	t.Helper()
	r, err := s.Put(t.Context(), []byte(key), value, driver.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestKubernetes runs everything that needs an API server over one of them.
func TestKubernetes(t *testing.T) {
	c := newCluster(t)
	service := objectstest.Service{Server: "kube-apiserver v1.34.4", Address: c.Address, Open: open, MayDeny: true, Restart: func() { c.Kill(); c.Restart() }}
	t.Run("conformance", func(t *testing.T) { objectstest.Conformance(t, service) })
	t.Run("faults", func(t *testing.T) { objectstest.MidOperation(t, service) })
	t.Run("histories", func(t *testing.T) { objectstest.Histories(t, service) })
	t.Run("lease fight", func(t *testing.T) { objectstest.LeaseFight(t, service) })
	t.Run("processes", func(t *testing.T) { objectstest.Processes(t, service) })
	for name, test := range map[string]func(*testing.T, *cluster){
		"kinds": kinds, "large values": largeValues, "credentials": credentials, "rights": rights, "kubeconfig": kubeconfig,
		"in cluster": inCluster, "settings": settings, "leases": leases, "watch": watches, "foreign objects": foreignObjects,
		"watch goes on": watchGoesOn,
	} {
		t.Run(name, func(t *testing.T) { test(t, c.at(t)) })
	}
	t.Run("restart", func(t *testing.T) { restart(t, c.at(t)) })
	t.Run("watch gap", func(t *testing.T) { watchGap(t, c.at(t)) })
	t.Run("list outlives its version", func(t *testing.T) { listOutlivesItsVersion(t, c.at(t)) })
}

// kinds: which object holds an entry, and that a list merges them in the order of keys.
func kinds(t *testing.T, c *cluster) {
	s, err := c.open(func(o *kubernetes.Config) {
		o.ConfigMapName, o.SecretName, o.SecretPrefixes = "kinds", "kinds-of-secret", []string{"secret/", "token"}
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{"a", "lease/x", "leasf", "secret", "secret/a", "secret/b", "token of all", "z"}
	for _, key := range keys {
		mustPut(t, s, key, []byte("value of "+key))
	}
	var listed []string
	for e, err := range s.List(t.Context(), driver.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if string(e.Value) != "value of "+string(e.Key) {
			t.Errorf("%s is %q", e.Key, e.Value)
		}
		listed = append(listed, string(e.Key))
	}
	if !slices.Equal(listed, keys) {
		t.Errorf("%q", listed)
	}
	listed = nil
	for e, err := range s.List(t.Context(), driver.ListOptions{Prefix: []byte("secret/")}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, string(e.Key))
	}
	if !slices.Equal(listed, []string{"secret/a", "secret/b"}) {
		t.Errorf("%q", listed)
	}
	if n := len(c.names("configmaps", "kinds.")); n != 4 {
		t.Errorf("%d ConfigMaps", n)
	}
	if n := len(c.names("secrets", "kinds-of-secret.")); n != 3 {
		t.Errorf("%d Secrets", n)
	}
	names := c.names("leases", "kinds.")
	if len(names) != 1 {
		t.Fatalf("%q", names)
	}
	_, answer := c.do(c.admin, http.MethodGet, "/apis/coordination.k8s.io/v1/namespaces/orbit/leases/"+names[0], nil, "")
	host, _ := os.Hostname()
	if text := string(answer); !strings.Contains(text, `"holderIdentity":"`+host) || !strings.Contains(text, `lease/x`) {
		t.Errorf("%s", text)
	}
	// What is secret stands nowhere else.
	for _, resource := range []string{"configmaps", "leases"} {
		path := "/api/v1/namespaces/orbit/configmaps"
		if resource == "leases" {
			path = "/apis/coordination.k8s.io/v1/namespaces/orbit/leases"
		}
		if _, answer := c.do(c.admin, http.MethodGet, path, nil, ""); bytes.Contains(answer, []byte("dmFsdWUgb2Ygc2VjcmV0L")) { // "value of secret/"
			t.Errorf("a secret value stands in %s", resource)
		}
	}
	plain, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName, o.SecretName = "plain", "" })
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, plain, "secret/a", nil)
	if n := len(c.names("configmaps", "plain.")); n != 1 {
		t.Errorf("%d ConfigMaps without secret_name", n)
	}
}

// largeValues are sharded beyond what one object takes, and their parts go when they
// are replaced.
func largeValues(t *testing.T, c *cluster) {
	s, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName, o.SecretName = "large", "large-secret" })
	if err != nil {
		t.Fatal(err)
	}
	parts := func() int {
		return len(c.names("configmaps", "large.part.")) + len(c.names("secrets", "large-secret.part."))
	}
	for _, key := range []string{"big", "secret/big", "lease/big"} {
		value := make([]byte, 3<<20)
		for i := range value {
			value[i] = byte(i >> 12) // so that the order of parts counts
		}
		r := mustPut(t, s, key, value)
		e, err := s.Get(t.Context(), []byte(key))
		if err != nil || !bytes.Equal(e.Value, value) || e.Revision != r {
			t.Fatalf("%s: %d bytes, %v", key, len(e.Value), err)
		}
		if n := parts(); n != 4 {
			t.Errorf("%s: %d parts", key, n)
		}
		if n := len(c.names("secrets", "large-secret.part.")); n != 0 != strings.HasPrefix(key, "secret/") {
			t.Errorf("%s: %d parts are in Secrets", key, n)
		}
		for e, err := range s.List(t.Context(), driver.ListOptions{Prefix: []byte(key)}) {
			if err != nil || !bytes.Equal(e.Value, value) {
				t.Errorf("%s: a list shows %d bytes, %v", key, len(e.Value), err)
			}
		}
		// Refused: the parts of the new value go again.
		if _, err := s.Put(t.Context(), []byte(key), value, driver.PutOptions{IfAbsent: true}); !errors.Is(err, driver.ErrConflict) {
			t.Error(err)
		}
		if n := parts(); n != 4 {
			t.Errorf("%s: %d parts after a refused put", key, n)
		}
		value[0] = 'x'
		if _, err := s.Put(t.Context(), []byte(key), value, driver.PutOptions{IfRevision: r}); err != nil {
			t.Fatal(err)
		}
		if n := parts(); n != 4 {
			t.Errorf("%s: %d parts after a second put", key, n)
		}
		mustPut(t, s, key, []byte("small"))
		if n := parts(); n != 0 {
			t.Errorf("%s: %d parts of a small value", key, n)
		}
		mustPut(t, s, key, value)
		if err := s.Delete(t.Context(), []byte(key), driver.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	// Parts that a client has left are removed when they are old, and no others.
	mustPut(t, s, "kept", make([]byte, 2<<20))
	kept := parts()
	for _, name := range c.names("configmaps", "large.") {
		if !strings.Contains(name, ".part.") {
			continue
		}
		_, answer := c.do(c.admin, http.MethodGet, "/api/v1/namespaces/orbit/configmaps/"+name, nil, "")
		var o map[string]any
		if err := json.Unmarshal(answer, &o); err != nil {
			t.Fatal(err)
		}
		m := o["metadata"].(map[string]any)
		o["metadata"] = map[string]any{"name": strings.Replace(name, ".part.", ".part.0000", 1), "labels": m["labels"]}
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if code, answer := c.do(c.admin, http.MethodPost, "/api/v1/namespaces/orbit/configmaps", data, "application/json"); code != http.StatusCreated {
			t.Fatalf("%s", answer)
		}
	}
	compact := s.(driver.Compacter).Compact
	if err := compact(t.Context()); err != nil || parts() != 2*kept {
		t.Errorf("young parts: %v, %d of %d are there", err, parts(), 2*kept)
	}
	kubernetes.SetOrphanAge(s, 0)
	if err := compact(t.Context()); err != nil || parts() != kept {
		t.Errorf("old parts: %v, %d are there of %d that are named", err, parts(), kept)
	}
	if e, err := s.Get(t.Context(), []byte("kept")); err != nil || len(e.Value) != 2<<20 {
		t.Errorf("%d bytes, %v", len(e.Value), err)
	}
	// A part that is gone is said to be, by name.
	for _, name := range c.names("configmaps", "large.part.")[:1] {
		c.do(c.admin, http.MethodDelete, "/api/v1/namespaces/orbit/configmaps/"+name, nil, "")
	}
	if _, err := s.Get(t.Context(), []byte("kept")); !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), "kept") {
		t.Error(err)
	}
}

// credentials that are wrong are said to be, and not shown.
func credentials(t *testing.T, c *cluster) {
	for name, f := range map[string]struct {
		change func(*kubernetes.Config)
		want   error
		says   string
	}{
		"unknown token":            {func(o *kubernetes.Config) { o.Rest.BearerToken = "hunter2" }, driver.ErrDenied, "does not know these credentials"},
		"no rights":                {func(o *kubernetes.Config) { o.Rest.BearerToken = stranger.Token }, driver.ErrDenied, `cannot get resource "configmaps"`},
		"another namespace":        {func(o *kubernetes.Config) { o.Namespace = "default" }, driver.ErrDenied, `in the namespace "default"`},
		"no namespace":             {func(o *kubernetes.Config) { o.Namespace, o.Rest.BearerToken = "nowhere", c.AdminToken }, driver.ErrInvalid, "nowhere is not there"},
		"another authority":        {func(o *kubernetes.Config) { o.Rest.CAFile = servers.NewAuthority(t).CACert }, driver.ErrUnavailable, "certificate"},
		"the system's authorities": {func(o *kubernetes.Config) { o.Rest.CAFile = "" }, driver.ErrUnavailable, "certificate"},
		"nobody listens":           {func(o *kubernetes.Config) { o.Rest.Host = "https://" + servers.Address(t) }, driver.ErrUnavailable, "refused"},
	} {
		_, err := c.open(f.change)
		if !errors.Is(err, f.want) || !strings.Contains(err.Error(), f.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), account.Token) || strings.Contains(err.Error(), stranger.Token)) {
			t.Errorf("%s: the error shows a token: %v", name, err)
		}
	}
}

// rights: the account of examples/kubernetes may do what the provider does and nothing
// else, and each verb that it has is needed.
func rights(t *testing.T, c *cluster) {
	h := c.client(account.Token)
	for _, f := range []struct{ method, path, contentType string }{
		{http.MethodGet, "/api/v1/namespaces/orbit/pods", ""},
		{http.MethodGet, "/api/v1/namespaces/default/configmaps", ""},
		{http.MethodGet, "/api/v1/secrets", ""},
		{http.MethodGet, "/api/v1/namespaces", ""},
		{http.MethodGet, "/apis/rbac.authorization.k8s.io/v1/namespaces/orbit/roles", ""},
		{http.MethodDelete, "/api/v1/namespaces/orbit/configmaps", ""},
		{http.MethodDelete, "/api/v1/namespaces/orbit/secrets", ""},
		{http.MethodPatch, "/api/v1/namespaces/orbit/configmaps/orbit-data", "application/merge-patch+json"},
		{http.MethodPost, "/api/v1/namespaces/orbit/serviceaccounts/orbit/token", "application/json"},
	} {
		if code, answer := c.do(h, f.method, f.path, []byte("{}"), f.contentType); code != http.StatusForbidden {
			t.Errorf("%s %s: %d %s", f.method, f.path, code, answer)
		}
	}
	verbs := []string{"get", "list", "watch", "create", "update", "delete"}
	role := func(resource, without string) []byte {
		var rules []map[string]any
		for _, r := range []string{"configmaps", "secrets", "leases"} {
			allowed := verbs
			if r == resource {
				allowed = slices.DeleteFunc(slices.Clone(verbs), func(v string) bool { return v == without })
			}
			rules = append(rules, map[string]any{"apiGroups": []string{"", "coordination.k8s.io"}, "resources": []string{r}, "verbs": allowed})
		}
		data, err := json.Marshal(map[string]any{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": map[string]any{"name": "partial", "namespace": "orbit"}, "rules": rules})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	c.apply(string(role("", "")) + "\n---\n" + `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: partial, namespace: orbit}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: partial}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: partial}]`)
	mine := func(o *kubernetes.Config) { o.Rest.BearerToken = partial.Token }
	// exercise does one of each; its error is the first.
	exercise := func(n int) error {
		s, err := c.open(mine)
		if err != nil {
			return err
		}
		defer s.Close()
		for _, prefix := range []string{"", "secret/", "lease/"} {
			key := []byte(fmt.Sprint(prefix, n))
			r, err := s.Put(t.Context(), key, nil, driver.PutOptions{IfAbsent: true})
			if err == nil {
				r, err = s.Put(t.Context(), key, nil, driver.PutOptions{IfRevision: r})
			}
			if err == nil {
				_, err = s.Get(t.Context(), key)
			}
			if err == nil {
				err = s.Delete(t.Context(), key, driver.DeleteOptions{IfRevision: r})
			}
			if err != nil {
				return err
			}
		}
		for _, err := range s.List(t.Context(), driver.ListOptions{}) {
			if err != nil {
				return err
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(200*time.Millisecond, cancel) // a watch that is let in has no end
		for _, err := range s.(driver.Watcher).Watch(ctx, nil) {
			if err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
		}
		return nil
	}
	change := func(resource, verb string) {
		if code, answer := c.do(c.admin, http.MethodPut, "/apis/rbac.authorization.k8s.io/v1/namespaces/orbit/roles/partial", role(resource, verb), "application/json"); code != http.StatusOK {
			t.Fatalf("%d %s", code, answer)
		}
	}
	settles := func(what string, n int, denied bool) { // a change of a role takes a moment
		for {
			err := exercise(n)
			if denied == errors.Is(err, driver.ErrDenied) && (denied || err == nil) {
				return
			}
			if t.Context().Err() != nil {
				t.Fatalf("%s: %v", what, err)
			}
			n += 1000
		}
	}
	n := 0
	settles("everything", n, false)
	for _, resource := range []string{"configmaps", "secrets", "leases"} {
		for _, verb := range verbs {
			n++
			change(resource, verb)
			settles("without "+verb+" of "+resource, n, true)
		}
	}
}

// kubeconfig: the file that is given, $KUBECONFIG, and what is wrong with others.
func kubeconfig(t *testing.T, c *cluster) {
	good, bad := c.Kubeconfig(t, "", account.Token), c.Kubeconfig(t, "", "hunter2")
	t.Setenv("KUBECONFIG", bad)
	if _, err := c.open(func(o *kubernetes.Config) { o.Rest, o.KubeconfigPath = nil, good }); err != nil {
		t.Error(err)
	}
	if _, err := c.open(func(o *kubernetes.Config) { o.Rest = nil }); !errors.Is(err, driver.ErrDenied) || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	t.Setenv("KUBECONFIG", good)
	if _, err := c.open(func(o *kubernetes.Config) { o.Rest = nil }); err != nil {
		t.Error(err)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := c.open(func(o *kubernetes.Config) { o.Rest, o.KubeconfigPath = nil, missing }); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), missing) {
		t.Error(err)
	}
	t.Setenv("KUBECONFIG", missing)
	t.Setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1") // of a pod, which nobody has asked for
	t.Setenv("KUBERNETES_SERVICE_PORT", "1")
	if _, err := c.open(func(o *kubernetes.Config) { o.Rest = nil }); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "kubeconfig") {
		t.Error(err)
	}
	if _, err := c.open(func(o *kubernetes.Config) { o.Rest, o.InCluster = nil, true }); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "in_cluster") {
		t.Error(err)
	}
}

// inPod is set in a process that finds the files of a service account where a pod has
// them.
const inPod = "ORBIT_TEST_IN_POD"

// inCluster uses the service account of a pod, in a process whose view of the file system
// has one.
func inCluster(t *testing.T, c *cluster) {
	host, port, _ := strings.Cut(c.Address, ":")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := `set -e
mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
cd /var/run/secrets/kubernetes.io/serviceaccount
printf %s "$` + tokenVariable + `" >token
cp "$` + caVariable + `" ca.crt
exec "$0" -test.run '^TestInPod$' -test.v`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script, program)
	cmd.Env = append(os.Environ(), inPod+"=1", "KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port)
	if out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "mount", "--make-rprivate", "/").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, NOT VERIFIED HERE: a mount namespace cannot be had: %v %s", err, out)
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestInPod") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestInPod is what runs in the process that inCluster starts.
func TestInPod(t *testing.T) {
	if os.Getenv(inPod) == "" {
		return // TestKubernetes runs it
	}
	s, err := driver.Open(t.Context(), kubernetes.Backend, kubernetes.Config{Namespace: "orbit", ConfigMapName: "in-pod", InCluster: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustPut(t, s, "k", []byte("v"))
}

// settings that differ are refused, as entries would be looked for where they are not.
func settings(t *testing.T, c *cluster) {
	base := func(o *kubernetes.Config) { o.ConfigMapName = "settings" }
	if _, err := c.open(base); err != nil {
		t.Fatal(err)
	}
	if _, err := c.open(base); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*kubernetes.Config){
		func(o *kubernetes.Config) { o.SecretName = "" },
		func(o *kubernetes.Config) { o.SecretPrefixes = []string{"password/"} },
	} {
		if _, err := c.open(func(o *kubernetes.Config) { base(o); change(o) }); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "orbit/settings") {
			t.Error(err)
		}
	}
	two := func(prefixes ...string) (driver.Store, error) {
		return c.open(func(o *kubernetes.Config) { o.ConfigMapName, o.SecretPrefixes = "settings-of-two", prefixes })
	}
	if _, err := two("a", "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := two("a,b"); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("one prefix is taken for two: %v", err)
	}
	if _, err := c.open(func(o *kubernetes.Config) { base(o); o.SecretPrefixes = []string{} }); err != nil {
		t.Errorf("no prefixes are not the default: %v", err)
	}
}

// leases of package lease are Leases, and are taken over without a clock of the server's.
func leases(t *testing.T, c *cluster) {
	now := time.Now()
	var directories []*lease.Directory
	for range 2 {
		s, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName = "directory" })
		if err != nil {
			t.Fatal(err)
		}
		p := providers.OpenStore(s, providers.Config{})
		defer p.Close()
		directories = append(directories, lease.New(p, lease.Options{Now: func() time.Time { return now }}))
	}
	r := lease.Reference{Type: "Player", Key: lease.StringKey("7")}
	nodes := []node.ID{{Key: "a", Namespace: "n"}, {Key: "b", Namespace: "n"}}
	held, err := directories[0].Acquire(t.Context(), r, nodes[0], time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.names("leases", "directory.")); n != 1 {
		t.Errorf("%d Leases", n)
	}
	for range 2 {
		if _, err := directories[1].Acquire(t.Context(), r, nodes[1], time.Minute); !errors.Is(err, providers.ErrConflict) {
			t.Fatal(err)
		}
		now = now.Add(50 * time.Second)
		if held, err = directories[0].Renew(t.Context(), held); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := directories[1].Acquire(t.Context(), r, nodes[1], time.Minute); !errors.Is(err, providers.ErrConflict) {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	taken, err := directories[1].Acquire(t.Context(), r, nodes[1], time.Minute)
	if err != nil || taken.Token <= held.Token {
		t.Fatalf("token %d after %d, %v", taken.Token, held.Token, err)
	}
	if _, err := directories[0].Renew(t.Context(), held); !errors.Is(err, providers.ErrConflict) {
		t.Error(err)
	}
}

// watches show changes of every kind of object, with their values, and end with the
// store.
func watches(t *testing.T, c *cluster) {
	s, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName = "watched" })
	if err != nil {
		t.Fatal(err)
	}
	writer, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName = "watched" })
	if err != nil {
		t.Fatal(err)
	}
	events, ended := make(chan driver.Event), make(chan error, 1)
	go func() {
		for e, err := range s.(driver.Watcher).Watch(t.Context(), nil) {
			if err != nil {
				ended <- err
				return
			}
			events <- e
		}
	}()
	await := func(key string, value []byte, deleted bool) {
		t.Helper()
		for {
			select {
			case e := <-events:
				if string(e.Entry.Key) == key && e.Deleted == deleted && bytes.Equal(e.Entry.Value, value) {
					return
				}
			case err := <-ended:
				t.Fatal(err)
			}
		}
	}
	// Each kind's watch begins when it does: put until it is shown.
	for _, key := range []string{"a", "secret/a", "lease/a"} {
		for seen := false; !seen; {
			mustPut(t, writer, key, []byte("1"))
			select {
			case e := <-events:
				seen = string(e.Entry.Key) == key
			case err := <-ended:
				t.Fatal(err)
			case <-time.After(20 * time.Millisecond):
			}
		}
		large := bytes.Repeat([]byte{'v'}, 2<<20)
		mustPut(t, writer, key, large)
		await(key, large, false)
		if err := writer.Delete(t.Context(), []byte(key), driver.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		await(key, nil, true)
	}
	go func() {
		for range events {
		}
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, driver.ErrClosed) {
		t.Error(err)
	}
	close(events)
}

// through returns the address of a proxy in front of the API server, which may change
// what is asked, and sees what is answered.
func (c *cluster) through(t *testing.T, ask func(r *http.Request), answered func(r *http.Response)) *rest.Config {
	t.Helper()
	server, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(server)
			ask(r.Out)
		},
		ModifyResponse: func(r *http.Response) error { answered(r); return nil },
		FlushInterval:  -1, Transport: c.client("").Transport, ErrorLog: log.New(io.Discard, "", 0),
	})
	t.Cleanup(between.Close)
	r := restConfig(c.Address)
	r.Host, r.TLSClientConfig = between.URL, rest.TLSClientConfig{}
	return r
}

// asks sets an option of a request.
func asks(r *http.Request, option, value string) {
	q := r.URL.Query()
	q.Set(option, value)
	r.URL.RawQuery = q.Encode()
}

// isWatch reports whether a request begins a watch of ConfigMaps.
func isWatch(r *http.Request) bool {
	return r.URL.Query().Get("watch") != "" && strings.HasSuffix(r.URL.Path, "/configmaps")
}

// watchGoesOn: where the API server ends a watch, the next one begins where that was:
// each change is shown once, in order.
func watchGoesOn(t *testing.T, c *cluster) {
	var watches atomic.Int64
	way := c.through(t, func(r *http.Request) {
		if isWatch(r) {
			watches.Add(1)
			asks(r, "timeoutSeconds", "1")
		}
	}, func(*http.Response) {})
	s, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName, o.Rest = "goes-on", way })
	if err != nil {
		t.Fatal(err)
	}
	writer, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName = "goes-on" })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var written atomic.Int64
	var writing sync.WaitGroup
	defer writing.Wait()
	defer cancel()
	writing.Go(func() { // through the ends of two watches
		for i := int64(1); watches.Load() < 3 && ctx.Err() == nil; i++ {
			if _, err := writer.Put(ctx, []byte("key"), fmt.Append(nil, i), driver.PutOptions{}); err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				cancel()
				return
			}
			written.Store(i)
		}
		if _, err := writer.Put(ctx, []byte("last"), nil, driver.PutOptions{}); err != nil && ctx.Err() == nil {
			t.Error(err)
			cancel()
		}
	})
	var before int
	for e, err := range s.(driver.Watcher).Watch(ctx, nil) {
		if err != nil {
			t.Fatalf("after %d of %d changes: %v", before, written.Load(), err)
		}
		if string(e.Entry.Key) == "last" {
			break
		}
		n, err := strconv.Atoi(string(e.Entry.Value))
		if err != nil {
			t.Fatal(err)
		}
		if before != 0 && n != before+1 {
			t.Fatalf("change %d comes after %d", n, before)
		}
		before = n
	}
	if before == 0 || watches.Load() < 3 {
		t.Errorf("%d changes were shown in %d watches", before, watches.Load())
	}
}

// watchGap: a watch that cannot go on where it was says so, and does not begin anew. The
// API server, which was started anew, remembers nothing of before.
func watchGap(t *testing.T, c *cluster) {
	var watches atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	way := c.through(t, func(r *http.Request) {
		if !isWatch(r) {
			return
		}
		asks(r, "timeoutSeconds", "1")
		switch watches.Add(1) {
		case 1:
		case 2:
			asks(r, "resourceVersion", "1")
		default:
			cancel() // it has not said so
		}
	}, func(*http.Response) {})
	s, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName, o.Rest = "gap", way })
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range s.(driver.Watcher).Watch(ctx, nil) {
		if err == nil {
			t.Fatalf("it shows %q after a gap", e.Entry.Key)
		}
		if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "does not have this version any more") || watches.Load() != 2 {
			t.Errorf("after %d watches: %v", watches.Load(), err)
		}
	}
}

// listOutlivesItsVersion: a list whose version the API server has dropped between two
// pages goes on from where it was. It keeps versions in memory, too, until it is started
// anew.
func listOutlivesItsVersion(t *testing.T, c *cluster) {
	var expired atomic.Int64
	way := c.through(t, func(*http.Request) {}, func(r *http.Response) {
		if r.StatusCode == http.StatusGone {
			expired.Add(1)
		}
	})
	s, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName, o.Rest = "outlives", way })
	if err != nil {
		t.Fatal(err)
	}
	etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{c.Etcd.Members[0].URL}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	const n = 300 // two pages
	for i := range n {
		mustPut(t, s, fmt.Sprintf("%04d", i), nil)
	}
	var listed []string
	for e, err := range s.List(t.Context(), driver.ListOptions{}) {
		if err != nil {
			t.Fatalf("after %d: %v", len(listed), err)
		}
		listed = append(listed, string(e.Key))
		if len(listed) == 1 {
			mustPut(t, s, "0000", nil)
			now, err := etcd.Get(t.Context(), "none")
			if err == nil {
				_, err = etcd.Compact(t.Context(), now.Header.Revision)
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Kill()
			c.Restart()
		}
	}
	if len(listed) != n || !slices.IsSorted(listed) || len(slices.Compact(listed)) != n {
		t.Errorf("%d of %d are listed", len(listed), n)
	}
	if expired.Load() == 0 {
		t.Error("the API server had the version all the same; this test shows nothing")
	}
}

// foreignObjects: what something else has written under a name of the store is
// ErrCorrupt by name, and what is not labelled is not seen by lists.
func foreignObjects(t *testing.T, c *cluster) {
	s, err := c.open(func(o *kubernetes.Config) { o.ConfigMapName = "foreign" })
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "k", []byte("v"))
	name := c.names("configmaps", "foreign.")[0]
	for _, body := range []string{`{"data":{"x":"y"},"binaryData":null}`, `{"data":null,"binaryData":{"value":"AgA="}}`, `{"binaryData":{"value":""}}`} {
		if code, answer := c.do(c.admin, http.MethodPatch, "/api/v1/namespaces/orbit/configmaps/"+name, []byte(body), "application/merge-patch+json"); code != http.StatusOK {
			t.Fatalf("%s", answer)
		}
		if _, err := s.Get(t.Context(), []byte("k")); !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), `"k"`) {
			t.Errorf("get over %s: %v", body, err)
		}
		for _, err := range s.List(t.Context(), driver.ListOptions{}) {
			if !errors.Is(err, driver.ErrCorrupt) {
				t.Errorf("list over %s: %v", body, err)
			}
		}
	}
	c.do(c.admin, http.MethodPost, "/api/v1/namespaces/orbit/configmaps", []byte(`{"metadata":{"name":"foreign.no-key"}}`), "application/json")
	mustPut(t, s, "k", []byte("v"))
	n := 0
	for _, err := range s.List(t.Context(), driver.ListOptions{}) {
		if n++; err != nil {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d entries", n)
	}
}

// restart: what was acknowledged is there after the death of the API server.
func restart(t *testing.T, c *cluster) {
	s, err := c.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := mustPut(t, s, "k", []byte("v"))
	c.Kill()
	if _, err := s.Get(t.Context(), []byte("k")); !errors.Is(err, driver.ErrUnavailable) {
		t.Error(err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, driver.ErrUnavailable) {
		t.Error(err)
	}
	c.Restart()
	if e, err := s.Get(t.Context(), []byte("k")); err != nil || e.Revision != r {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := s.Put(t.Context(), []byte("k"), nil, driver.PutOptions{IfRevision: r}); err != nil {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	base := kubernetes.Config{Namespace: "orbit", ConfigMapName: "orbit-data", Rest: &rest.Config{Host: "https://127.0.0.1:1"}}
	for want, change := range map[string]func(*kubernetes.Config){
		"namespace":                   func(o *kubernetes.Config) { o.Namespace = "Orbit" },
		"config_map_name":             func(o *kubernetes.Config) { o.ConfigMapName = "a/b" },
		"up to 120":                   func(o *kubernetes.Config) { o.ConfigMapName = strings.Repeat("a", 121) },
		"secret_name":                 func(o *kubernetes.Config) { o.SecretName = "a_b" },
		"without secret_name":         func(o *kubernetes.Config) { o.SecretPrefixes = []string{"s/"} },
		"no prefix may be empty":      func(o *kubernetes.Config) { o.SecretName, o.SecretPrefixes = "s", []string{""} },
		"leases are kept":             func(o *kubernetes.Config) { o.SecretName, o.SecretPrefixes = "s", []string{"le"} },
		"kubeconfig_path beside in_c": func(o *kubernetes.Config) { o.InCluster, o.KubeconfigPath = true, "x" },
	} {
		c := base
		change(&c)
		if _, err := kubernetes.Open(t.Context(), c); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	c := newCluster(b)
	p, client := benchmarked(b, c)
	objectstest.BenchmarkPut(b, p, client)
}

func BenchmarkGet(b *testing.B) {
	c := newCluster(b)
	p, client := benchmarked(b, c)
	objectstest.BenchmarkGet(b, p, client)
}

func benchmarked(b *testing.B, c *cluster) (*providers.Provider, objectstest.Bare) {
	s, err := open(b.Context(), c.Address, "bench")
	if err != nil {
		b.Fatal(err)
	}
	p := providers.OpenStore(s, providers.Config{})
	b.Cleanup(func() { p.Close() })
	return p, bareClient(b, c)
}
