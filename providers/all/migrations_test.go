package all_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/migrate"
	"github.com/orbit-persistence/orbit/providers/node"
	"google.golang.org/api/option"
)

// What `make migrations` sets: the number of entries, and the file for the table.
const (
	migrationsVariable      = "ORBIT_TEST_MIGRATIONS"
	migrationsTableVariable = "ORBIT_MIGRATIONS_TABLE"
)

// kind is a kind of provider. Options returns those of a place of its own, with nothing in
// it; the directory is for what is local. It is on a server that runs, or on one that start
// starts: for a server that is the slower the more it has of other places.
type kind struct {
	name    string
	options func(place, dir string) string
	start   func(t *testing.T) (options func(place, dir string) string, end func())
}

// kinds starts a server for each remote kind.
func kinds(t *testing.T) []kind {
	t.Helper()
	local := func(typ string) func(place, dir string) string {
		return func(_, dir string) string { return fmt.Sprintf("type = %q\ndata_dir = %q\n", typ, dir) }
	}
	gateway, minio := servers.Versitygw(t), servers.MinIO(t, nil)
	for _, s := range []*servers.S3{gateway, minio} {
		client := awss3.New(awss3.Options{
			BaseEndpoint: aws.String("http://" + s.Address), Region: "us-east-1", UsePathStyle: true,
			Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		})
		if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("orbit")}); err != nil {
			t.Fatal(err)
		}
	}
	_, google := servers.FakeGCSInFiles(t)
	client, err := storage.NewClient(t.Context(), option.WithoutAuthentication(), option.WithEndpoint("http://"+google+"/storage/v1/"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Bucket("orbit").Create(t.Context(), "orbit-project", nil); err != nil {
		t.Fatal(err)
	}
	etcd := servers.EtcdCluster(t, 1, servers.EtcdOptions{}).Members[0]
	redis := servers.StartRedis(t, servers.RedisOptions{})
	api := servers.NewKubeAPIServer(t)
	kubeconfig := api.Kubeconfig(t, "", api.AdminToken)
	all := []kind{
		{name: "memory", options: func(_, _ string) string { return "type = \"Memory\"\n" }},
		{name: "cow_btree", options: local("CowBTree")},
		{name: "lsm_tree", options: local("LsmTree")},
		{name: "flash", options: local("Flash")},
		{name: "pebble", options: local("Pebble")},
		{name: "rocksdb", options: local("RocksDB")},
		{name: "composite", options: func(_, dir string) string {
			return fmt.Sprintf("type = \"Composite\"\n[providers.p.primary]\ntype = \"Memory\"\n[providers.p.backup]\ntype = \"CowBTree\"\ndata_dir = %q\n", dir)
		}},
		{name: "etcd", options: func(place, _ string) string {
			return fmt.Sprintf("type = \"Etcd\"\nendpoints = [%q]\nprefix = %q\n", "http://"+etcd.Address, place)
		}},
		{name: "redis", options: func(place, _ string) string {
			return fmt.Sprintf("type = \"Redis\"\nurl = %q\nprefix = %q\n", "redis://"+redis.Address, place)
		}},
		{name: "kubernetes", options: func(place, _ string) string {
			return fmt.Sprintf("type = \"Kubernetes\"\nconfig_map_name = %q\nsecret_name = %q\nkubeconfig_path = %q\n", place, place+"-hidden", kubeconfig)
		}},
		{name: "s3", options: func(place, _ string) string {
			return fmt.Sprintf("type = \"S3\"\nendpoint = %q\nenable_ssl = false\npath_style = true\nbucket = \"orbit\"\nprefix = %q\naccess_key_id = %q\nsecret_access_key = %q\n",
				"http://"+gateway.Address, place, gateway.AccessKey, gateway.SecretKey)
		}},
		{name: "minio", options: func(place, _ string) string {
			return fmt.Sprintf("type = \"MinIO\"\nendpoint = %q\nsecure = false\nbucket = \"orbit\"\nprefix = %q\naccess_key = %q\nsecret_key = %q\n", minio.Address, place, minio.AccessKey, minio.SecretKey)
		}},
		{name: "azure", start: startAzure},
		{name: "gcp", options: func(place, _ string) string {
			return fmt.Sprintf("type = \"GoogleCloud\"\nproject_id = \"orbit-project\"\nendpoint = %q\nbucket = \"orbit\"\nprefix = %q\n", "http://"+google, place)
		}},
	}
	for _, s := range config.Spellings() {
		if !slices.ContainsFunc(all, func(k kind) bool { return k.name == string(s.Kind) }) {
			t.Errorf("no migration from and to %s", s.Kind)
		}
	}
	return all
}

// startAzure starts an emulator of Azure's storage, which looks at all objects at each
// request.
func startAzure(t *testing.T) (options func(place, dir string) string, end func()) {
	t.Helper()
	azurite := servers.StartAzurite(t, nil)
	endpoint := "http://" + azurite.Address + "/" + azurite.Account
	credential, err := container.NewSharedKeyCredential(azurite.Account, azurite.Key)
	if err != nil {
		t.Fatal(err)
	}
	box, err := container.NewClientWithSharedKeyCredential(endpoint+"/orbit", credential, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return func(place, _ string) string {
		// It looks at every blob for each get, of which a page of a list takes a thousand.
		return fmt.Sprintf("type = \"Azure\"\naccount_name = %q\naccount_key = %q\nendpoint = %q\ncontainer = \"orbit\"\nprefix = %q\nread_timeout = \"10m\"\n", azurite.Account, azurite.Key, endpoint, place)
	}, azurite.Kill
}

// places counts, so that each has a name of its own.
var places int

// open opens a place of a kind, and returns what closes it and removes what is local.
func (k kind) open(t *testing.T) (p *providers.Provider, end func()) {
	t.Helper()
	places++
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	options, stop := k.options, func() {}
	if k.start != nil {
		options, stop = k.start(t)
	}
	p, err = all.OpenOne(t.Context(), read(t, "[providers.p]\n"+options(fmt.Sprint("place-", places), dir)), "p")
	if errors.Is(err, providers.ErrUnsupported) {
		t.Skip("SKIPPED, NOT VERIFIED HERE: " + err.Error())
	}
	if err != nil {
		t.Fatalf("%s: %v", k.name, err)
	}
	return p, func() {
		if err := p.Close(); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
}

// stock stores n entries, which are others for another seed: records, keys of any bytes,
// values of none to 300 bytes, leases and nodes.
func stock(t *testing.T, p *providers.Provider, n int, seed uint64) {
	t.Helper()
	const nodes = 10
	leases := n / 10
	random := rand.New(rand.NewPCG(seed, 0))
	var writes []driver.Write
	for i := range n - leases - nodes {
		w := driver.Write{Key: fmt.Appendf(nil, "record/%08d", i), Value: make([]byte, random.IntN(300))}
		if i%8 == 0 {
			w.Key = append(binary.BigEndian.AppendUint32(nil, random.Uint32()), byte(i), 0xff, 0, byte(i>>8), byte(i>>16))
		}
		for i := range w.Value {
			w.Value[i] = byte(random.Uint32())
		}
		writes = append(writes, w)
	}
	if err := p.BulkPut(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	id := func(i int) node.ID { return node.ID{Key: fmt.Sprint(i % nodes), Namespace: fmt.Sprint("of ", seed)} }
	directory := node.New(p, node.Options{})
	for i := range nodes {
		if err := directory.Store(t.Context(), node.Info{ID: id(i), URL: "http://localhost", Port: 1000 + i, Status: node.Active}); err != nil {
			t.Fatal(err)
		}
	}
	var some []lease.Lease
	for i := range leases {
		some = append(some, lease.Lease{Reference: lease.Reference{Type: "player", Key: lease.Int64Key(int64(i))}, Node: id(i), ExpiresAt: time.Now().Add(24 * time.Hour)})
	}
	if err := lease.New(p, lease.Options{}).StoreBulk(t.Context(), some); err != nil {
		t.Fatal(err)
	}
}

// TestMigrations moves entries around a ring of all kinds of providers, on their servers,
// and back to where they began. `make migrations` does it with more of them, and from each
// kind to each other one.
func TestMigrations(t *testing.T) {
	all, n := kinds(t), 300
	pairs := false
	if text := os.Getenv(migrationsVariable); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 100 {
			t.Fatalf("%s: %q is no number of 100 or more", migrationsVariable, text)
		}
		pairs = true
	}
	tally := func(p *providers.Provider) migrate.Tally {
		t.Helper()
		r, err := migrate.Validate(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.Tally
	}
	// move migrates what is known to be want, and returns the target open.
	move := func(from *providers.Provider, want migrate.Tally, to kind) (*providers.Provider, func(), time.Duration) {
		t.Helper()
		target, end := to.open(t)
		r, err := migrate.New().FromProvider(from).ToProvider(target).WithValidation(true).Execute(t.Context())
		if err != nil {
			t.Fatalf("to %s: %v", to.name, err)
		}
		if got := tally(target); got.Digest != want.Digest || got.Entries != want.Entries || got.Entries < int64(n) || r.Digest != want.Digest || !r.Validated || r.NodesMigrated != 10 || r.LeasesMigrated != int64(n/10) {
			t.Errorf("to %s: there are %+v and not %+v; %+v", to.name, got, want, r)
		}
		return target, end, r.Took
	}
	if !pairs {
		first, endFirst := all[0].open(t)
		defer endFirst()
		stock(t, first, n, 1)
		want := tally(first)
		at, end := first, func() {}
		for i := range all {
			next, endNext, _ := move(at, want, all[(i+1)%len(all)])
			end()
			at, end = next, endNext
		}
		end()
		return
	}
	file := os.Getenv(migrationsTableVariable)
	took := readMigrations(t, file, n)
	for i, from := range all {
		left := slices.DeleteFunc(slices.Clone(all), func(to kind) bool {
			_, done := took[[2]string{from.name, to.name}]
			return done || to.name == from.name
		})
		if len(left) == 0 {
			continue
		}
		source, end := from.open(t)
		stock(t, source, n, uint64(i))
		want := tally(source)
		for _, to := range left {
			_, endTarget, d := move(source, want, to)
			endTarget()
			if t.Failed() {
				break
			}
			took[[2]string{from.name, to.name}] = d
			t.Logf("%3d of %d: %s to %s, %.1f s", len(took), len(all)*(len(all)-1), from.name, to.name, d.Seconds())
			if file == "" {
				continue
			}
			if err := os.WriteFile(file, []byte(migrationsTable(all, n, took)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		end()
	}
}

// readMigrations returns what a run of as many entries, which was cut short, has measured: its
// table has gaps. One that has none is for a new run to replace.
func readMigrations(t *testing.T, file string, n int) map[[2]string]time.Duration {
	t.Helper()
	took := map[[2]string]time.Duration{}
	data, err := os.ReadFile(file)
	if file == "" || errors.Is(err, fs.ErrNotExist) {
		return took
	}
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), fmt.Sprintf("\n%d entries,", n)) {
		return took
	}
	var columns []string
	gaps := 0
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		switch {
		case !strings.HasPrefix(line, "|"):
		case cells[0] == "from, to":
			columns = cells[1:]
		case len(cells) == len(columns)+1 && !strings.HasPrefix(cells[0], "-"):
			for i, cell := range cells[1:] {
				seconds, err := strconv.ParseFloat(cell, 64)
				if err == nil {
					took[[2]string{cells[0], columns[i]}] = time.Duration(seconds * float64(time.Second))
				} else if cells[0] != columns[i] {
					gaps++
				}
			}
		}
	}
	if gaps == 0 {
		clear(took)
	}
	return took
}

func migrationsTable(all []kind, n int, took map[[2]string]time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Migrations between all pairs of providers

%d entries, a tenth of them leases, from each kind of provider (a row) to each other one (a
column), on the servers that the [table of providers](providers.md) names. Each was validated
by a second pass over both sides, and the target then read again: its digest is that of the
source in all %d. The figures are seconds. Made by `+"`make migrations`"+`, which goes on where
there are gaps: those pairs have not been tried, or their run was cut short.

| from, to |`, n, len(took))
	for _, to := range all {
		fmt.Fprintf(&b, " `%s` |", to.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("--:|", len(all)) + "\n")
	for _, from := range all {
		fmt.Fprintf(&b, "| `%s` |", from.name)
		for _, to := range all {
			if d, ok := took[[2]string{from.name, to.name}]; ok {
				fmt.Fprintf(&b, " %.1f |", d.Seconds())
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
