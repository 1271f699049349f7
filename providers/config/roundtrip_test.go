package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestExamples: each example is read, says its backend by its name, and names only
// what there is; and there is one for each backend.
func TestExamples(t *testing.T) {
	const dir = "../../examples/config"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		c, err := Read(file, nil)
		if err != nil {
			t.Errorf("%s: %v", e.Name(), err)
			continue
		}
		roundTrip(t, file, c)
		kind := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		if s, ok := lookUpKind(kind); ok {
			have = append(have, string(s.Kind))
			if b := c.Providers[c.Server.PersistenceBackend]; b == nil || b.Kind() != s.Kind {
				t.Errorf("%s selects %q, a %v", e.Name(), c.Server.PersistenceBackend, b)
			}
		}
	}
	for _, s := range Spellings() {
		if !slices.Contains(have, string(s.Kind)) {
			t.Errorf("there is no example %s.toml", s.Kind)
		}
	}
}

func TestSeedRoundTrips(t *testing.T) {
	for _, s := range snippets(t) {
		var environ []string
		if kind := map[byte]string{'c': "cow", 'r': "rocksdb"}[s.file[0]]; strings.Contains(s.file, "-tuning-") && kind != "" {
			environ = []string{BackendVariable + "=" + kind}
		}
		roundTrip(t, s.file, readSnippet(t, s, environ))
	}
}

// roundTrip: what is written is read as the same, in both formats, but for secrets,
// which are put back here.
func roundTrip(t *testing.T, name string, c *Config) {
	t.Helper()
	asJSON, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"again.toml": c.TOML(), "explained.toml": c.Explain(), "again.json": string(asJSON)} {
		hidden := strings.Contains(text, Hidden)
		if _, err := Parse(file, []byte(text), nil); hidden && (err == nil || !strings.Contains(err.Error(), "stands for a secret")) {
			t.Errorf("%s: %s: a hidden secret was read: %v", name, file, err)
		}
		again, err := Parse(file, []byte(strings.ReplaceAll(text, Hidden, "put back")), nil)
		if err != nil {
			t.Errorf("%s: %s: %v\n%s", name, file, err, text)
			continue
		}
		want := map[string]Backend{}
		for name, b := range c.Providers {
			want[name] = withSecrets(b, "put back")
		}
		if !reflect.DeepEqual(again.Providers, want) || again.Defaults != c.Defaults || again.Server != c.Server {
			t.Errorf("%s: %s: read again as\n%s\nfrom\n%s", name, file, again, text)
		}
	}
}

// withSecrets returns a copy of a backend whose secrets are all text, those that
// there are.
func withSecrets(b Backend, text string) Backend {
	v := reflect.New(reflect.TypeOf(b)).Elem()
	v.Set(reflect.ValueOf(b))
	for i := range v.NumField() {
		switch x := v.Field(i).Interface().(type) {
		case Secret:
			if !x.IsZero() {
				v.Field(i).Set(reflect.ValueOf(NewSecret(text)))
			}
		case Backend:
			v.Field(i).Set(reflect.ValueOf(withSecrets(x, text)))
		}
	}
	return v.Interface().(Backend)
}

// TestAwkwardValuesRoundTrip: sizes and durations that are not whole in their
// option's unit, and strings that need escapes.
func TestAwkwardValuesRoundTrip(t *testing.T) {
	lsm, flash, memory, redis := Default[LsmTree](), Default[Flash](), Default[Memory](), Default[Redis]()
	lsm.DataDir, lsm.MemtableSize, lsm.BlockCache, lsm.Compression = "a \"b\"\\\x7f\t\u2028ü<&>", MiB+1, 1536*KiB, NoCompression
	lsm.Durability = "memory"
	flash.Paths, flash.EnableMultipathing, flash.CacheSize = []string{`x",`, `","`, "y\nz"}, true, 3*GiB+5
	memory.DiskBackup = &DiskBackup{Path: "b", SyncInterval: 90500 * time.Millisecond, Compression: Zstd}
	redis.ConnectionTimeout, redis.Prefix = 1500*time.Microsecond, ""
	c, err := NewBuilder().With("lsm", lsm, true).With("flash", flash, false).With("memory", memory, false).With("redis", redis, false).Cluster("redis").Build()
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, "awkward", c)
}

// TestExplain: each line tells where it is from.
func TestExplain(t *testing.T) {
	c, err := Parse("o.toml", []byte("[providers.memory]\ntype = \"Memory\"\nmax_entries = 5\ndisk_backup = { path = \"p\" }"), []string{"ORBIT_MEMORY_MAX_BYTES=1GiB"})
	if err != nil {
		t.Fatal(err)
	}
	want := `[server]
persistence_backend = "memory"               # default
data_dir = "orbit_data"                      # default

[defaults]
addressable = "memory"                       # default
cluster = "memory"                           # default

[providers.memory]
type = "Memory"                              # o.toml:2:1
max_entries = 5                              # o.toml:3:1
max_bytes = 1073741824                       # ORBIT_MEMORY_MAX_BYTES
when_full = "refuse"                         # default

[providers.memory.disk_backup]
path = "p"                                   # o.toml:4:17
sync_interval = 300                          # default
compression = "none"                         # default
`
	if got := c.Explain(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestEnvironmentGoesFirst: over the file, also in another spelling, also into
// tables and into a provider of another name.
func TestEnvironmentGoesFirst(t *testing.T) {
	text := `
[providers.records]
type = "LsmTree"
memtable_size_mb = 16
[providers.m]
type = "Memory"
[providers.composite]
type = "Composite"
primary = { type = "Memory", max_entries = 3 }
backup = { type = "lsm" }
`
	c, err := Parse("o.toml", []byte(text), []string{
		"ORBIT_LSM_MEMTABLE_SIZE=1", "ORBIT_LSM_MEMTABLE_SIZE=33554432", // the last counts
		"ORBIT_LSM_TREE_BLOOM_FILTER_FP_RATE=0.001", "ORBIT_PERSISTENCE_BACKEND=lsm",
		"ORBIT_MEMORY_DISK_BACKUP_PATH=/b", "ORBIT_MEMORY_DISK_BACKUP_COMPRESSION=Zstd", "ORBIT_ETCD_ENDPOINTS=http://a:1,http://b:2",
		"ORBIT_COMPOSITE_PRIMARY_MAX_ENTRIES=4", "ORBIT_SERVER_DATA_DIR=/data", "ORBIT_DEFAULTS_CLUSTER=etcd",
		"ORBIT_ROCKSDB_ENABLE_WAL=true", "ORBIT_ROCKSDB_BLOCK_CACHE_SIZE=1GiB", "ORBIT_COW_DATA_DIR=/cow",
	})
	if err != nil {
		t.Fatal(err)
	}
	lsm := c.Providers["records"].(LsmTree)
	if lsm.MemtableSize != 32*MiB || lsm.BloomFilterBitsPerKey != 15 || lsm.DataDir != "/data/records" {
		t.Errorf("%+v", lsm)
	}
	if m := c.Providers["m"].(Memory); m.DiskBackup == nil || *m.DiskBackup != (DiskBackup{Path: "/b", SyncInterval: 300 * time.Second, Compression: Zstd}) {
		t.Errorf("%+v", m)
	}
	composite := c.Providers["composite"].(Composite)
	if composite.Primary.(Memory).MaxEntries != 4 || composite.Backup.(LsmTree).DataDir != "/data/composite/backup" {
		t.Errorf("%+v", composite)
	}
	if e := c.Providers["etcd"].(Etcd); !slices.Equal(e.Endpoints, []string{"http://a:1", "http://b:2"}) {
		t.Errorf("%+v", e)
	}
	if r := c.Providers["rocksdb"].(RocksDB); r.BlockCache != GiB {
		t.Errorf("%+v", r)
	}
	if c.Providers["cow_btree"].(CowBTree).DataDir != "/cow" {
		t.Errorf("%+v", c.Providers["cow_btree"])
	}
	if c.Server.PersistenceBackend != "records" || c.Defaults != (Defaults{"records", "etcd"}) {
		t.Errorf("%+v, %+v", c.Server, c.Defaults)
	}
}

// TestPredecessorSpellings: what the first implementation calls otherwise.
func TestPredecessorSpellings(t *testing.T) {
	c, err := Parse("o.toml", []byte(`
[server]
persistence_backend = "minio"
[providers.lsm]
type = "LsmTree"
memtable_size_limit = 33554432
max_memtables = 4
bloom_filter_fp_rate = 0.01
enable_compaction = true
[providers.rocks]
type = "RocksDB"
enable_wal = true
write_buffer_size = 134217728
max_write_buffer_number = 4
target_file_size_base = 33554432
enable_statistics = true
block_cache_size = 268435456
[providers.cow]
type = "CowBTree"
enable_compression = false
wal_sync_interval = 5
[providers.minio]
type = "MinIO"
endpoint = "localhost:9000"
access_key = "minioadmin"
secret_key = "minioadmin"
bucket_name = "b"
secure = false
[providers.k]
type = "Kubernetes"
kubeconfig_path = "/k"
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	lsm, rocks, cow := c.Providers["lsm"].(LsmTree), c.Providers["rocks"].(RocksDB), c.Providers["cow"].(CowBTree)
	if lsm.MemtableSize != 32*MiB || lsm.MaxMemtables != 4 || lsm.BloomFilterBitsPerKey != 10 ||
		rocks.WriteBuffer != 128*MiB || rocks.MaxWriteBufferNumber != 4 || rocks.TargetFileSize != 32*MiB || !rocks.EnableStatistics || rocks.BlockCache != 256*MiB ||
		cow.Compression != NoCompression || cow.WALSyncInterval != 5*time.Second {
		t.Errorf("%+v\n%+v\n%+v", lsm, rocks, cow)
	}
	s3 := c.Providers["minio"].(MinIO).S3()
	if err := s3.Validate(); err != nil || s3.Endpoint != "http://localhost:9000" || s3.EnableSSL || !s3.PathStyle || s3.SecretAccessKey.Reveal() != "minioadmin" || s3.Bucket != "b" {
		t.Errorf("%+v: %v", s3, err)
	}
}

// TestBuilder: its mistakes, all at once, and what it makes.
func TestBuilder(t *testing.T) {
	s3 := Default[S3]()
	s3.Bucket = "b"
	c, err := NewBuilder().With("memory", Default[Memory](), false).With("s3", s3, true).Build()
	if err != nil || c.Server.PersistenceBackend != "s3" || c.Defaults != (Defaults{"s3", "s3"}) || len(c.Providers) != 2 {
		t.Errorf("%v, %v", c, err)
	}
	bad := Default[Memory]()
	bad.MaxEntries, bad.WhenFull = -1, "explode"
	for _, b := range []struct {
		builder *Builder
		want    string
	}{
		{NewBuilder(), `providers: there is none; add one by With`},
		{NewBuilder().With("a/b", s3, false), `providers: the name "a/b" must be of letters, digits, _ and -, 64 at most`},
		{NewBuilder().With("a", s3, false).With("a", s3, false), `providers.a: is there twice`},
		{NewBuilder().With("a", nil, false), `providers.a: must be a struct of package config, not nil and not a pointer`},
		{NewBuilder().With("a", &s3, false), `providers.a: must be a struct of package config, not nil and not a pointer`},
		{NewBuilder().With("a", s3, true).With("b", s3, true), `providers.b: is the default, as is a`},
		{NewBuilder().With("a", s3, false).With("b", s3, false), `server.persistence_backend: there are several providers and none is the default; add one with isDefault`},
		{NewBuilder().With("records", s3, true).Addressable("record"), `defaults.addressable: there is no provider "record"; did you mean "records"?`},
		{NewBuilder().With("a", S3{}, true), "providers.a.bucket: is missing\nproviders.a.connection_timeout: must be from 1ms to 3600s, not 0s\nproviders.a.region: is missing\nproviders.a.server_side_encryption: must be one of none, s3, kms, customer, not \"\""},
		{NewBuilder().With("a", bad, true), "providers.a.max_entries: must not be negative\nproviders.a.when_full: must be one of refuse, evict, not \"explode\""},
		{NewBuilder().With("a", Default[LsmTree](), true).With("b", Default[LsmTree](), false), `providers.b.data_dir: is "orbit_data/lsm_tree", as is providers.a.data_dir; each needs a place of its own`},
		{NewBuilder().With("a", Composite{Primary: &s3, Backup: Composite{}, Mode: Synchronous, SyncInterval: time.Minute, HealthCheckInterval: time.Minute, FailoverThreshold: 1, LeaseTTL: time.Minute, RequestTimeout: time.Second}, true),
			"providers.a.backup: a composite cannot hold another one; name a backend\nproviders.a.primary: must be a struct of package config, not a pointer"},
	} {
		if c, err := b.builder.Build(); err == nil || !strings.Contains(err.Error(), b.want) {
			t.Errorf("got  %v, %v\nwant %s", c, err, b.want)
		}
	}
}

// TestDefaultsAreValid: a default is a value that the option takes; what is missing
// is all that Validate asks for.
func TestDefaultsAreValid(t *testing.T) {
	for _, s := range Spellings() {
		v := reflect.New(reflect.TypeOf(s.zero))
		setDefaults(v.Interface())
		for _, e := range Errors(v.Elem().Interface().(Backend).Validate()) {
			if e.Problem != "is missing" {
				t.Errorf("%s: %v", s.Kind, e)
			}
		}
	}
	if c := Default[LsmTree](); c.MemtableSize != 64*MiB || c.Durability != "flushed" {
		t.Errorf("%+v", c)
	}
	if _, err := Default[LsmTree]().Durability.Class(); err != nil {
		t.Error(err)
	}
}
