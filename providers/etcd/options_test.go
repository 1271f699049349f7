package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/etcd"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func open(t testing.TB, c etcd.Config) *etcd.Store {
	t.Helper()
	s, err := etcd.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func put(t testing.TB, s driver.Store, key, value string) driver.Revision {
	t.Helper()
	r, err := s.Put(t.Context(), []byte(key), []byte(value), driver.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func has(t testing.TB, s driver.Store, key string) bool {
	t.Helper()
	_, err := s.Get(t.Context(), []byte(key))
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// bare returns the client library itself.
func bare(t testing.TB, c clientv3.Config) *clientv3.Client {
	t.Helper()
	c.Logger = zap.NewNop()
	client, err := clientv3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestEndpointsAndPrefix(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 1, servers.EtcdOptions{})
	dead := "http://" + servers.Address(t)
	s := open(t, etcd.Config{Endpoints: []string{dead, c.Members[0].URL}, Prefix: "here"})
	other := open(t, etcd.Config{Endpoints: c.Endpoints(), Prefix: "there"})
	none := open(t, etcd.Config{Endpoints: c.Endpoints()})
	put(t, s, "key", "value")
	if has(t, other, "key") || has(t, none, "key") {
		t.Error("a key is seen under another prefix")
	}
	put(t, none, "key", "value")
	all, err := bare(t, clientv3.Config{Endpoints: c.Endpoints()}).Get(t.Context(), "\x00", clientv3.WithFromKey())
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, kv := range all.Kvs {
		keys = append(keys, string(kv.Key)+"="+string(kv.Value))
	}
	if got := strings.Join(keys, " "); got != "data/key=value here/data/key=value" {
		t.Errorf("stored are %s", got)
	}
	if v := s.Capabilities().Version; v != "etcd 3.6.16" {
		t.Errorf("the version is %q", v)
	}
	_, err = etcd.Open(t.Context(), etcd.Config{Endpoints: []string{dead}})
	if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("where nobody listens: %v", err)
	}
}

// TestConnectionTimeout: a server that accepts and says nothing is given up by itself.
func TestConnectionTimeout(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = etcd.Open(t.Context(), etcd.Config{Endpoints: []string{"http://" + l.Addr().String()}, ConnectionTimeout: 50 * time.Millisecond})
	if !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("a silent server: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, c := range []etcd.Config{{}, {Username: "u", Password: config.NewSecret("p")}} {
		c.Endpoints, c.ConnectionTimeout = []string{"http://" + l.Addr().String()}, time.Hour
		if _, err = etcd.Open(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a silent server, and a context that ends: %v", err)
		}
	}
}

// TestLeaseTTL: what is bound lives with the client, goes with it, and outlives its death
// by the TTL that was configured.
func TestLeaseTTL(t *testing.T) {
	t.Parallel()
	c := servers.EtcdCluster(t, 1, servers.EtcdOptions{})
	client := bare(t, clientv3.Config{Endpoints: c.Endpoints()})
	s := open(t, etcd.Config{Endpoints: c.Endpoints(), LeaseTTL: 3 * time.Second})
	other := open(t, etcd.Config{Endpoints: c.Endpoints()})
	for _, key := range []string{"node/1", "node/2"} {
		if _, err := s.Bind(t.Context(), []byte(key), []byte("here"), driver.PutOptions{IfAbsent: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Bind(t.Context(), []byte("node/1"), nil, driver.PutOptions{IfAbsent: true}); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("bound where there is one: %v", err)
	}
	if _, err := s.Bind(t.Context(), []byte("node/3"), nil, driver.PutOptions{TTL: time.Hour}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("bound with a TTL: %v", err)
	}
	if _, err := other.Bind(t.Context(), []byte("node/5"), []byte("there"), driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	leaseOf := func(key string) clientv3.LeaseID {
		kv, err := client.Get(t.Context(), "data/"+key)
		if err != nil || len(kv.Kvs) != 1 {
			t.Fatalf("%s: %v, %v", key, kv, err)
		}
		return clientv3.LeaseID(kv.Kvs[0].Lease)
	}
	granted := func(key string) int64 {
		l, err := client.TimeToLive(t.Context(), leaseOf(key))
		if err != nil {
			t.Fatal(err)
		}
		return l.GrantedTTL
	}
	if leaseOf("node/1") != leaseOf("node/2") {
		t.Error("one client has two leases")
	}
	if a, b := granted("node/1"), granted("node/5"); a != 3 || b != 300 {
		t.Errorf("the leases are of %d and %d s, not 3 and 300", a, b)
	}
	// It is kept alive: with the remaining time never renewed it would end.
	alive := open(t, etcd.Config{Endpoints: c.Endpoints(), Prefix: "alive", LeaseTTL: 4 * time.Second})
	if _, err := alive.Bind(t.Context(), []byte("k"), nil, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	lease, err := client.Get(t.Context(), "alive/data/k")
	if err != nil {
		t.Fatal(err)
	}
	before, renewed := int64(4), false
	for !renewed {
		l, err := client.TimeToLive(t.Context(), clientv3.LeaseID(lease.Kvs[0].Lease))
		if err != nil || l.TTL < 0 {
			t.Fatalf("the lease of a client that lives is gone: %v, %v", l, err)
		}
		renewed, before = l.TTL > before, l.TTL
		time.Sleep(20 * time.Millisecond)
	}
	// A lease that was lost is replaced.
	if _, err := client.Revoke(t.Context(), clientv3.LeaseID(lease.Kvs[0].Lease)); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := alive.Bind(t.Context(), []byte("k"), nil, driver.PutOptions{})
		if err == nil {
			break
		}
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if has(t, other, "node/1") || has(t, other, "node/2") || !has(t, other, "node/5") {
		t.Error("what was bound to a client that was closed is there, or another's is gone")
	}
}

func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]etcd.Config{
		"no scheme":               {Endpoints: []string{"localhost:2379"}},
		"a path":                  {Endpoints: []string{"http://localhost:2379/v3"}},
		"both schemes":            {Endpoints: []string{"http://a:1", "https://b:1"}},
		"a user in an endpoint":   {Endpoints: []string{"http://user:hunter2@a:1"}},
		"a long prefix":           {Prefix: strings.Repeat("x", 129)},
		"no password":             {Username: "user"},
		"no user":                 {Password: config.NewSecret("hunter2")},
		"no key":                  {Endpoints: []string{"https://a:1"}, ClientCert: garbage},
		"an authority for http":   {CACert: garbage},
		"no authority in a file":  {Endpoints: []string{"https://a:1"}, CACert: garbage},
		"no such file":            {Endpoints: []string{"https://a:1"}, CACert: dir + "/none"},
		"no certificate, garbage": {Endpoints: []string{"https://a:1"}, ClientCert: garbage, ClientKey: garbage},
		"a part of a second":      {LeaseTTL: 1500 * time.Millisecond},
		"a timeout below 0":       {ConnectionTimeout: -1},
	} {
		_, err := etcd.Open(t.Context(), c)
		if !errors.Is(err, driver.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestSecurity: TLS with an authority of one's own, certificates of clients, users and
// their rights. No message shows a password.
func TestSecurity(t *testing.T) {
	t.Parallel()
	secret := servers.Secret("etcd")
	ours, others := servers.NewAuthority(t), servers.NewAuthority(t)
	serverCert, serverKey := ours.Issue("server")
	c := servers.EtcdCluster(t, 1, servers.EtcdOptions{Cert: serverCert, Key: serverKey, ClientCA: ours.CACert})
	cert, key := ours.Issue("orbit")
	strangeCert, strangeKey := others.Issue("orbit")
	rootCert, rootKey := ours.Issue("root")
	good := etcd.Config{Endpoints: c.Endpoints(), Prefix: "orbit", CACert: ours.CACert, ClientCert: cert, ClientKey: key, ConnectionTimeout: 20 * time.Second}
	var said []string
	fails := func(what string, kind error, text string, c etcd.Config) {
		t.Helper()
		s, err := etcd.Open(t.Context(), c)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: want %q with %q, got %v", what, kind, text, err)
		}
		if err != nil {
			said = append(said, err.Error())
		}
		said = append(said, fmt.Sprintf("%v %+v %#v", c, c, c))
	}
	with := func(change func(c *etcd.Config)) etcd.Config {
		c := good
		change(&c)
		return c
	}
	s := open(t, good)
	put(t, s, "k", "v")
	fails("an authority of others", driver.ErrUnavailable, "certificate", with(func(c *etcd.Config) { c.CACert = others.CACert }))
	fails("the system's authorities", driver.ErrUnavailable, "certificate", with(func(c *etcd.Config) { c.CACert = "" }))
	fails("no certificate", driver.ErrDenied, "certificate", with(func(c *etcd.Config) { c.ClientCert, c.ClientKey = "", "" }))
	fails("a certificate of others", driver.ErrDenied, "certificate", with(func(c *etcd.Config) { c.ClientCert, c.ClientKey = strangeCert, strangeKey }))
	fails("no TLS", driver.ErrUnavailable, "", with(func(c *etcd.Config) {
		c.Endpoints = []string{"http://" + c.Endpoints[0][len("https://"):]}
		c.CACert, c.ClientCert, c.ClientKey = "", "", ""
	}))
	fails("a user where there are none", driver.ErrInvalid, "not enabled", with(func(c *etcd.Config) { c.Username, c.Password = "orbit", config.NewSecret(secret) }))

	root := with(func(c *etcd.Config) { c.ClientCert, c.ClientKey = rootCert, rootKey })
	tls, err := etcd.TLS(root)
	if err != nil {
		t.Fatal(err)
	}
	admin := bare(t, clientv3.Config{Endpoints: c.Endpoints(), TLS: tls})
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(admin.UserAdd(t.Context(), "root", "of no use"))
	must(admin.UserGrantRole(t.Context(), "root", "root"))
	must(admin.RoleAdd(t.Context(), "orbit"))
	must(admin.RoleGrantPermission(t.Context(), "orbit", "orbit/", clientv3.GetPrefixRangeEnd("orbit/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	must(admin.UserAdd(t.Context(), "orbit", secret))
	must(admin.UserGrantRole(t.Context(), "orbit", "orbit"))
	must(admin.AuthEnable(t.Context()))
	defer func() { must(admin.AuthDisable(context.Background())) }()

	user := with(func(c *etcd.Config) {
		c.ClientCert, c.ClientKey = rootCert, rootKey
		c.Username, c.Password = "orbit", config.NewSecret(secret)
	})
	p := open(t, user)
	put(t, p, "k", "by password")
	if _, err := p.Put(t.Context(), []byte("f"), nil, driver.PutOptions{Fence: 3, IfAbsent: true, TTL: time.Hour}); err != nil {
		t.Errorf("rights on the prefix are not enough: %v", err)
	}
	q := open(t, good) // the certificate names the user
	put(t, q, "k", "by certificate")
	change := func(change func(c *etcd.Config)) etcd.Config {
		c := user
		change(&c)
		return c
	}
	fails("a wrong password", driver.ErrDenied, "password", change(func(c *etcd.Config) { c.Password = config.NewSecret("wrong " + secret) }))
	fails("a user that is not there", driver.ErrDenied, "", change(func(c *etcd.Config) { c.Username = "nobody" }))
	fails("another prefix", driver.ErrDenied, "permission", change(func(c *etcd.Config) { c.Prefix = "elsewhere" }))
	must(admin.UserChangePassword(t.Context(), "orbit", "another"))
	fails("a password that was changed", driver.ErrDenied, "password", user)
	for _, text := range said {
		if strings.Contains(text, secret) {
			t.Errorf("a secret is shown: %s", text)
		}
	}
}
