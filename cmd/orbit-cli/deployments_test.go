package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/node"
	"github.com/orbit-persistence/orbit/providers/redis"
	orbittable "github.com/orbit-persistence/orbit/providers/table"
	goredis "github.com/redis/go-redis/v9"
)

// deployment is a page about a deployment with its files, on servers of the test's own,
// which variables point to.
type deployment struct {
	page
	*console
	variables []string
}

// deploy runs the commands of the page. What the page shows as the configuration must be
// the file.
func deploy(t *testing.T, name string, variables ...string) *deployment {
	t.Helper()
	d := &deployment{page: readPage(t, "deploy-"+name+".md"), console: newConsole(t, variables...), variables: variables}
	files := "../../examples/deployments/" + name
	if err := os.CopyFS(d.dir, os.DirFS(files)); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(files, "orbit.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if shown := d.blocks(t, "toml", "Configuration")[0]; shown != string(file) {
		t.Errorf("%s shows another configuration than %s/orbit.toml has", d.name, files)
	}
	for _, block := range d.blocks(t, "sh", "See that it works") {
		out := d.run(t, block)
		if strings.Contains(block, "orbit-cli health") && !strings.Contains(out, "): healthy") {
			t.Errorf("%s\n%s", block, out)
		}
	}
	return d
}

// open opens the configuration as a program of the deployment does.
func (d *deployment) open(t *testing.T, more ...string) *providers.Registry {
	t.Helper()
	registry, err := d.tryOpen(t, more...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close() })
	return registry
}

func (d *deployment) tryOpen(t *testing.T, more ...string) (*providers.Registry, error) {
	t.Helper()
	t.Chdir(d.dir)
	c, err := config.Read("orbit.toml", append(append([]string{}, d.variables...), more...))
	if err != nil {
		t.Fatal(err)
	}
	return all.Open(t.Context(), c)
}

// says holds an error to its kind, and to what the page says of it.
func (d *deployment) says(t *testing.T, err error, kind error, words string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), words) {
		t.Errorf("want %q with %q, got %v", kind, words, err)
	}
	d.shows(t, words)
}

// shows holds the page to some words.
func (d *deployment) shows(t *testing.T, words string) {
	t.Helper()
	if !strings.Contains(d.text, words) {
		t.Errorf("%s does not say %q", d.name, words)
	}
}

// works puts and gets an entry, a lease, a node and a row of a table.
func (d *deployment) works(t *testing.T, registry *providers.Registry) {
	t.Helper()
	addressable, cluster := d.provider(t, registry, providers.Addressable), d.provider(t, registry, providers.Cluster)
	ctx, p := t.Context(), d.provider(t, registry, providers.General)
	if _, err := p.Put(ctx, []byte("key"), []byte("value"), providers.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if e, err := p.Get(ctx, []byte("key")); err != nil || string(e.Value) != "value" {
		t.Errorf("%q, %v", e.Value, err)
	}
	home, player := node.ID{Namespace: "default", Key: "node-1"}, lease.Reference{Type: "Player", Key: lease.StringKey("ada")}
	leases, nodes := lease.New(addressable, lease.Options{}), node.New(cluster, node.Options{})
	if err := nodes.Store(ctx, node.Info{ID: home, URL: "http://localhost", Port: 7000, Status: node.Active}); err != nil {
		t.Error(err)
	}
	if _, err := leases.Acquire(ctx, player, home, 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	if l, err := leases.Get(ctx, player); err != nil || l.Node != home {
		t.Errorf("%v, %v", l, err)
	}
	other := node.ID{Namespace: "default", Key: "node-2"}
	if _, err := leases.Acquire(ctx, player, other, 5*time.Minute); !errors.Is(err, providers.ErrConflict) {
		t.Errorf("a lease that is held is given to another: %v", err)
	}
	s := orbittable.New(p)
	err := s.CreateTable(ctx, &orbittable.Schema{
		Name:       "players",
		Columns:    []orbittable.Column{{Name: "id", Type: orbittable.IntType}, {Name: "team", Type: orbittable.TextType}},
		PrimaryKey: []string{"id"},
		Indexes:    []orbittable.Index{{Name: "by_team", Columns: []string{"team"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Insert(ctx, "players", orbittable.Row{"id": orbittable.Int(1), "team": orbittable.Text("red")}); err != nil {
		t.Fatal(err)
	}
	d.stands(t, registry)
}

// stands looks at what works has put.
func (d *deployment) stands(t *testing.T, registry *providers.Registry) {
	t.Helper()
	p := d.provider(t, registry, providers.General)
	r, err := orbittable.New(p).Select(t.Context(), orbittable.Query{Table: "players", Filter: orbittable.Eq("team", orbittable.Text("red"))})
	if err != nil || len(r.Rows) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if e, err := p.Get(t.Context(), []byte("key")); err != nil || string(e.Value) != "value" {
		t.Errorf("%q, %v", e.Value, err)
	}
}

func (d *deployment) provider(t *testing.T, registry *providers.Registry, use providers.Use) *providers.Provider {
	t.Helper()
	p, err := registry.Default(use)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// until asks again until it is so; it ends with the test's time.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("it never came to be: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestDevelopment(t *testing.T) {
	d := deploy(t, "development")
	registry := d.open(t)
	d.works(t, registry)
	_, err := d.tryOpen(t)
	d.says(t, err, providers.ErrLocked, "locked by another opener")
	if err := registry.Close(); err != nil {
		t.Fatal(err)
	}
	registry = d.open(t, "ORBIT_MEMORY_MAX_ENTRIES=20")
	d.stands(t, registry)
	p := d.provider(t, registry, providers.General)
	for i := range 20 {
		if _, err = p.Put(t.Context(), []byte{byte(i)}, nil, providers.PutOptions{}); err != nil {
			break
		}
	}
	d.says(t, err, providers.ErrNoSpace, "no space left")
	if err := registry.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.dir, "orbit-dev.backup")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = d.tryOpen(t)
	d.says(t, err, providers.ErrCorrupt, "corrupt")
	if now, err := os.ReadFile(file); err != nil || string(now) != string(text) {
		t.Errorf("the damaged file was changed, %v", err)
	}
}

// bucket starts MinIO with a bucket, and returns the client of its owner.
func bucket(t *testing.T, name string) (*servers.S3, *s3.Client) {
	t.Helper()
	server := servers.MinIO(t, nil)
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + server.Address), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestAWS(t *testing.T) {
	store, owner := bucket(t, "orbit-data")
	policy, err := os.ReadFile("../../examples/deployments/aws/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	// The role's rights, as credentials that the policy bounds.
	role, err := sts.New(sts.Options{
		BaseEndpoint: aws.String("http://" + store.Address), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider(store.AccessKey, store.SecretKey, ""),
	}).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:minio:iam::1:role/any"), RoleSessionName: aws.String("orbit"), Policy: aws.String(string(policy)),
	})
	if err != nil {
		t.Fatal(err)
	}
	rights, err := os.ReadFile("../../examples/deployments/aws/redis-rights.txt")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, rule := range redis.Rights("orbit") {
		documented = append(documented, rule.(string))
	}
	if got, want := strings.Join(strings.Fields(string(rights)), " "), strings.Join(documented, " "); got != want {
		t.Errorf("redis-rights.txt has\n%s\nand package redis says\n%s", got, want)
	}
	password := servers.Secret("redis")
	authority := servers.NewAuthority(t)
	cert, key := authority.Issue("server")
	cache := servers.StartRedis(t, servers.RedisOptions{Cert: cert, Key: key, CA: authority.CACert, Args: []string{"--requirepass", password}})
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(authority.CACert); err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	boss := goredis.NewClient(&goredis.Options{Addr: cache.Address, Password: password, TLSConfig: &tls.Config{RootCAs: pool}})
	defer boss.Close()
	rule := []any{"acl", "setuser", "orbit", "on", ">" + password}
	for _, word := range strings.Fields(string(rights)) {
		rule = append(rule, word)
	}
	if err := boss.Do(t.Context(), rule...).Err(); err != nil {
		t.Fatal(err)
	}
	toCache, toStore := servers.NewWire(t, cache.Address), servers.NewWire(t, store.Address)
	const primary, backup = "ORBIT_COMPOSITE_PRIMARY_", "ORBIT_COMPOSITE_BACKUP_"
	d := deploy(t, "aws",
		primary+"URL=rediss://"+toCache.Address, primary+"CA_CERT="+authority.CACert, primary+"PASSWORD="+password,
		backup+"ENDPOINT=http://"+toStore.Address, backup+"REGION=us-east-1", backup+"ENABLE_SSL=false", backup+"PATH_STYLE=true",
		backup+"ACCESS_KEY_ID="+*role.Credentials.AccessKeyId, backup+"SECRET_ACCESS_KEY="+*role.Credentials.SecretAccessKey,
		backup+"SESSION_TOKEN="+*role.Credentials.SessionToken)
	registry := d.open(t, "ORBIT_COMPOSITE_SYNC_INTERVAL=1") // so that the cache is believed again soon
	d.works(t, registry)
	p := d.provider(t, registry, providers.General)
	if _, err := p.Get(t.Context(), []byte("user/42")); err != nil {
		t.Error(err)
	}
	if keys, err := boss.Keys(t.Context(), "*").Result(); err != nil || len(keys) == 0 {
		t.Errorf("the cache holds %q, %v", keys, err)
	}
	toCache.Cut()
	until(t, "it is degraded", func() bool {
		d.stands(t, registry)
		h := p.Health(t.Context())
		return h.State == providers.Degraded && strings.Contains(strings.Join(h.Reasons, " "), "the backup serves alone")
	})
	d.shows(t, "the backup serves alone")
	if _, err := p.Put(t.Context(), []byte("key"), []byte("value"), providers.PutOptions{}); err != nil {
		t.Errorf("without the cache: %v", err)
	}
	toCache.Mend()
	until(t, "the cache is back", func() bool { return p.Health(t.Context()).State == providers.Healthy })
	toStore.Cut()
	until(t, "a write says that S3 is away", func() bool {
		_, err := p.Put(t.Context(), []byte("other"), nil, providers.PutOptions{})
		return errors.Is(err, providers.ErrUnavailable)
	})
	d.shows(t, "`unavailable`")
	toStore.Mend()
	for words, variable := range map[string]string{
		"denied": backup + "PREFIX=another", "does not exist": backup + "BUCKET=another",
	} {
		// The policy denies another bucket, so that it is the owner who asks for it.
		more := []string{variable}
		kind := providers.ErrDenied
		if words == "does not exist" {
			kind = providers.ErrInvalid
			more = append(more, backup+"ACCESS_KEY_ID="+store.AccessKey, backup+"SECRET_ACCESS_KEY="+store.SecretKey, backup+"SESSION_TOKEN=")
		}
		_, err := d.tryOpen(t, more...)
		d.says(t, err, kind, words)
	}
	if out, err := owner.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("orbit-data")}); err != nil || len(out.Contents) == 0 {
		t.Errorf("the bucket holds nothing, %v", err)
	}
}

// hybrid starts the deployment with a wire to the cloud that can be cut.
func hybrid(t *testing.T) (*deployment, *servers.Wire) {
	store, _ := bucket(t, "orbit-backup")
	toCloud := servers.NewWire(t, store.Address)
	const primary, backup = "ORBIT_COMPOSITE_PRIMARY_", "ORBIT_COMPOSITE_BACKUP_"
	return deploy(t, "hybrid",
		primary+"DATA_DIR="+filepath.Join(t.TempDir(), "records"),
		backup+"ENDPOINT=http://"+toCloud.Address, backup+"REGION=us-east-1", backup+"ENABLE_SSL=false", backup+"PATH_STYLE=true",
		backup+"ACCESS_KEY_ID="+store.AccessKey, backup+"SECRET_ACCESS_KEY="+store.SecretKey), toCloud
}

func TestHybrid(t *testing.T) {
	d, toCloud := hybrid(t)
	registry := d.open(t)
	d.works(t, registry)
	p := d.provider(t, registry, providers.General)
	toCloud.Cut()
	until(t, "writes are refused", func() bool {
		_, err := p.Put(t.Context(), []byte("other"), nil, providers.PutOptions{})
		return errors.Is(err, providers.ErrUnavailable)
	})
	d.shows(t, "`unavailable`")
	d.stands(t, registry)
	if h := p.Health(t.Context()); h.State != providers.Degraded {
		t.Errorf("%v", h)
	}
	toCloud.Mend()
	until(t, "both are level again", func() bool {
		_, err := p.Put(t.Context(), []byte("other"), []byte("2"), providers.PutOptions{})
		return err == nil && p.Health(t.Context()).State == providers.Healthy
	})
	if err := registry.Close(); err != nil {
		t.Fatal(err)
	}
	// A new machine: an empty directory, and the bucket.
	registry = d.open(t, "ORBIT_COMPOSITE_PRIMARY_DATA_DIR="+filepath.Join(t.TempDir(), "new"))
	d.stands(t, registry)
	p = d.provider(t, registry, providers.General)
	if e, err := p.Get(t.Context(), []byte("other")); err != nil || string(e.Value) != "2" {
		t.Errorf("%q, %v", e.Value, err)
	}
}
