package config

import (
	"bufio"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The snippets of the specification stand in testdata/seed as they stand there,
// and sections.txt says in which section. Two of its tuning snippets set each key
// twice, for two workloads, which no TOML may: they are a file for each workload.

// snippet is one of them.
type snippet struct{ file, section, text string }

func snippets(t testing.TB) []snippet {
	t.Helper()
	index, err := os.ReadFile("testdata/seed/sections.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []snippet
	for line := range strings.Lines(string(index)) {
		file, section, ok := strings.Cut(strings.TrimSpace(line), "\t")
		text, err := os.ReadFile(filepath.Join("testdata/seed", file))
		if !ok || err != nil {
			t.Fatalf("sections.txt: %q: %v", line, err)
		}
		all = append(all, snippet{file, section, string(text)})
	}
	return all
}

// TestSeedSnippets: each snippet is read as it stands, and every value of it
// arrives.
func TestSeedSnippets(t *testing.T) {
	want := map[string]struct {
		environ  []string
		general  string
		roles    Defaults
		backends map[string]Backend
	}{
		"1-memory-provider.toml": {backends: map[string]Backend{"memory": func() Backend {
			c := Default[Memory]()
			c.MaxEntries = 100000
			c.DiskBackup = &DiskBackup{Path: "/data/orbit-backup.json", SyncInterval: 300 * time.Second, Compression: Gzip}
			return c
		}()}},
		"2-cow-b-tree-provider.toml": {backends: map[string]Backend{"cow_btree": func() Backend {
			c := Default[CowBTree]()
			c.DataDir, c.MaxKeysPerNode, c.WALBufferSize, c.EnableSnapshots, c.SnapshotInterval = "/var/lib/orbit", 64, MiB, true, 1000
			return c
		}()}},
		"3-lsm-tree-provider.toml": {backends: map[string]Backend{"lsm_tree": func() Backend {
			c := Default[LsmTree]()
			c.DataDir, c.MemtableSize, c.MaxLevels, c.LevelSizeMultiplier, c.CompactionThreshold = "/var/lib/orbit", 64*MiB, 7, 10, 4
			c.EnableBloomFilters, c.BloomFilterBitsPerKey, c.Compression = true, 10, LZ4
			return c
		}()}},
		"4-rocksdb-provider.toml": {backends: map[string]Backend{"rocksdb": func() Backend {
			c := Default[RocksDB]()
			c.DataDir, c.Compression, c.BlockCache, c.WriteBuffer, c.MaxBackgroundJobs = "/var/lib/orbit", LZ4, 256*MiB, 64*MiB, 4
			return c
		}()}},
		"protocol-configuration.toml": {general: "lsm_tree", backends: map[string]Backend{"lsm_tree": func() Backend {
			c := Default[LsmTree]()
			c.DataDir = "/var/lib/orbit/lsm_tree"
			return c
		}()}},
		"5-s3-compatible-providers.toml": {backends: map[string]Backend{"s3": func() Backend {
			c := Default[S3]()
			c.Endpoint, c.Region, c.Bucket, c.Prefix = "https://s3.amazonaws.com", "us-west-2", "orbit-data", "orbit"
			c.AccessKeyID, c.SecretAccessKey = "YOUR_ACCESS_KEY", NewSecret("YOUR_SECRET_KEY")
			c.EnableSSL, c.ConnectionTimeout, c.RetryCount = true, 30*time.Second, 3
			return c
		}()}},
		"6-azure-blob-storage.toml": {backends: map[string]Backend{"azure": func() Backend {
			c := Default[Azure]()
			c.AccountName, c.AccountKey, c.Container, c.Prefix = "orbitdata", NewSecret("YOUR_ACCOUNT_KEY"), "orbit", "orbit"
			c.ConnectionTimeout, c.RetryCount = 30*time.Second, 3
			return c
		}()}},
		"7-google-cloud-storage.toml": {backends: map[string]Backend{"gcp": func() Backend {
			c := Default[GoogleCloud]()
			c.ProjectID, c.Bucket, c.CredentialsPath, c.Prefix = "your-project-id", "orbit-data", "/path/to/service-account.json", "orbit"
			c.ConnectionTimeout, c.RetryCount = 30*time.Second, 3
			return c
		}()}},
		// The snippet gives certificates beside http://; they are used.
		"8-etcd-provider.toml": {backends: map[string]Backend{"etcd": func() Backend {
			c := Default[Etcd]()
			c.Endpoints = []string{"https://localhost:2379", "https://localhost:22379", "https://localhost:32379"}
			c.Prefix, c.LeaseTTL, c.Username, c.Password = "orbit", 300*time.Second, "orbit", NewSecret("secret")
			c.CACert, c.ClientCert, c.ClientKey = "/path/to/ca.crt", "/path/to/client.crt", "/path/to/client.key"
			return c
		}()}},
		"9-redis-provider.toml": {backends: map[string]Backend{"redis": func() Backend {
			c := Default[Redis]()
			c.URL, c.ClusterMode, c.Database, c.Password = "redis://localhost:6379", false, 0, NewSecret("secret")
			c.Prefix, c.PoolSize, c.RetryCount = "orbit", 10, 3
			return c
		}()}},
		"10-kubernetes-provider.toml": {backends: map[string]Backend{"kubernetes": Kubernetes{
			Namespace: "orbit", ConfigMapName: "orbit-data", SecretName: "orbit-secrets", InCluster: true,
		}}},
		"12-flash-optimized-provider.toml": {backends: map[string]Backend{"flash": func() Backend {
			c := Default[Flash]()
			c.DataDir, c.Paths = "/nvme/orbit", []string{"/nvme0/orbit", "/nvme1/orbit", "/nvme2/orbit"}
			c.EnableMultipathing, c.IODepth, c.BlockSize, c.CacheSize, c.Compression = true, 32, 4096, GiB, LZ4
			return c
		}()}},
		"13-composite-provider.toml": {backends: map[string]Backend{"composite": func() Backend {
			primary, backup := Default[Memory](), Default[S3]()
			primary.MaxEntries = 50000
			backup.Endpoint, backup.Region, backup.Bucket = "http://localhost:9000", "us-east-1", "orbit-backup"
			backup.AccessKeyID, backup.SecretAccessKey, backup.EnableSSL = "minioadmin", NewSecret("minioadmin"), false
			c := Default[Composite]()
			c.Primary, c.Backup, c.SyncInterval, c.HealthCheckInterval, c.FailoverThreshold = primary, backup, time.Minute, 30*time.Second, 3
			return c
		}()}},
		"2-configuration-files.toml": {backends: configurationFiles(), roles: Defaults{Addressable: "s3", Cluster: "etcd"}},
		"2-configuration-files.json": {backends: configurationFiles(), roles: Defaults{Addressable: "s3", Cluster: "etcd"}},
		"3-environment-variables.env": {general: "s3", backends: map[string]Backend{"s3": func() Backend {
			c := Default[S3]()
			c.Endpoint, c.Region, c.Bucket = "https://s3.amazonaws.com", "us-west-2", "orbit-data"
			c.AccessKeyID, c.SecretAccessKey = "your_access_key", NewSecret("your_secret_key")
			return c
		}()}},
		"cow-b-tree-tuning-read-heavy.toml": {environ: []string{"ORBIT_PERSISTENCE_BACKEND=cow_btree"}, backends: map[string]Backend{"cow_btree": func() Backend {
			c := Default[CowBTree]()
			c.MaxKeysPerNode, c.WALBufferSize, c.EnableSnapshots, c.SnapshotInterval = 256, 512000, true, 500
			return c
		}()}},
		"cow-b-tree-tuning-memory-constrained-environments.toml": {environ: []string{"ORBIT_PERSISTENCE_BACKEND=cow"}, backends: map[string]Backend{"cow_btree": func() Backend {
			c := Default[CowBTree]()
			c.MaxKeysPerNode, c.WALBufferSize, c.EnableSnapshots = 32, 65536, false
			return c
		}()}},
		"lsm-tree-tuning-write-heavy.toml": {backends: map[string]Backend{"lsm_tree": func() Backend {
			c := Default[LsmTree]()
			c.MemtableSize, c.MaxLevels, c.LevelSizeMultiplier, c.CompactionThreshold = 128*MiB, 8, 8, 10
			return c
		}()}},
		"lsm-tree-tuning-read-heavy.toml": {backends: map[string]Backend{"lsm_tree": func() Backend {
			c := Default[LsmTree]()
			c.MemtableSize, c.EnableBloomFilters, c.BloomFilterBitsPerKey, c.BlockCache = 32*MiB, true, 15, 512*MiB
			return c
		}()}},
		"rocksdb-tuning-production.toml": {environ: []string{"ORBIT_PERSISTENCE_BACKEND=RocksDB"}, backends: map[string]Backend{"rocksdb": func() Backend {
			c := Default[RocksDB]()
			c.WriteBuffer, c.BlockCache, c.MaxBackgroundJobs, c.Compression = 256*MiB, GiB, 8, LZ4
			return c
		}()}},
	}
	for _, s := range snippets(t) {
		t.Run(s.file, func(t *testing.T) {
			want, ok := want[s.file]
			if !ok {
				t.Fatal("nothing is said of what it should give")
			}
			c := readSnippet(t, s, want.environ)
			if !reflect.DeepEqual(c.Providers, want.backends) {
				t.Errorf("read %#v\nwant %#v", c.Providers, want.backends)
			}
			if want.roles != (Defaults{}) {
				if c.Defaults != want.roles || c.Server.PersistenceBackend != "" {
					t.Errorf("defaults %+v, general %q; want %+v", c.Defaults, c.Server.PersistenceBackend, want.roles)
				}
				return
			}
			for name := range want.backends { // the only one, so it is the default
				if all := (Defaults{name, name}); c.Defaults != all || c.Server.PersistenceBackend != name {
					t.Errorf("defaults %+v, general %q; want %s for all", c.Defaults, c.Server.PersistenceBackend, name)
				}
			}
		})
	}
	if len(want) != len(snippets(t)) {
		t.Errorf("%d results are expected of %d snippets", len(want), len(snippets(t)))
	}
}

func configurationFiles() map[string]Backend {
	memory, s3 := Default[Memory](), Default[S3]()
	memory.MaxEntries = 100000
	s3.Endpoint, s3.Region, s3.Bucket = "https://s3.amazonaws.com", "us-west-2", "orbit-data"
	return map[string]Backend{"memory": memory, "s3": s3, "etcd": Default[Etcd]()}
}

func readSnippet(t testing.TB, s snippet, environ []string) *Config {
	t.Helper()
	var c *Config
	var err error
	if filepath.Ext(s.file) == ".env" {
		for line := range strings.Lines(s.text) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				environ = append(environ, line)
			}
		}
		c, err = Read("", environ)
	} else {
		c, err = Parse(s.file, []byte(s.text), environ)
	}
	if err != nil {
		t.Fatalf("%s (%s): %v", s.file, s.section, err)
	}
	return c
}

// TestSeedTuningInAProvider: the tuning snippets also stand below a provider.
func TestSeedTuningInAProvider(t *testing.T) {
	n := 0
	for _, s := range snippets(t) {
		if !strings.Contains(s.file, "-tuning-") {
			continue
		}
		n++
		typ := map[byte]string{'c': "CowBTree", 'l': "LsmTree", 'r': "RocksDB"}[s.file[0]]
		c, err := Parse("t.toml", []byte("[providers.mine]\ntype = \""+typ+"\"\n"+s.text), nil)
		if err != nil {
			t.Errorf("%s: %v", s.file, err)
			continue
		}
		if c.Server.PersistenceBackend != "mine" {
			t.Errorf("%s: %q is the default", s.file, c.Server.PersistenceBackend)
		}
	}
	if n != 5 {
		t.Errorf("%d tuning snippets; want 5", n)
	}
}

// TestSeedSelection: the two ways of selecting, and every value that the
// specification names.
func TestSeedSelection(t *testing.T) {
	if c, err := Parse("t.toml", []byte("[server]\npersistence_backend = \"lsm_tree\""), nil); err != nil || c.Server.PersistenceBackend != "lsm_tree" {
		t.Errorf("%v, %v", c, err)
	}
	if c, err := Read("", nil); err != nil || c.Server.PersistenceBackend != "lsm_tree" || len(c.Providers) != 1 {
		t.Errorf("nothing said: %v, %v", c, err)
	}
	for _, selector := range []string{"memory", "cow_btree", "lsm_tree", "rocksdb", "s3", "azure", "gcp", "etcd", "redis", "kubernetes", "minio", "flash", "composite"} {
		kind, err := ParseKind(selector)
		if err != nil || string(kind) != selector {
			t.Errorf("%s is %q, %v", selector, kind, err)
		}
		// What cannot do with defaults alone says what is missing; nothing else is
		// ever opened in its place.
		for _, how := range []func() (*Config, error){
			func() (*Config, error) { return Read("", []string{BackendVariable + "=" + selector}) },
			func() (*Config, error) {
				return Parse("t.toml", []byte("[server]\npersistence_backend = \""+selector+"\""), nil)
			},
		} {
			c, err := how()
			needs := slices.Contains([]string{"s3", "azure", "gcp", "minio", "composite"}, selector)
			switch {
			case needs && (err == nil || !strings.Contains(err.Error(), "providers."+selector) || !strings.Contains(err.Error(), "is missing")):
				t.Errorf("%s: %v", selector, err)
			case !needs && (err != nil || c.Server.PersistenceBackend != selector || len(c.Providers) != 1 || c.Providers[selector].Kind() != kind):
				t.Errorf("%s: %v, %v", selector, c, err)
			}
		}
	}
}

// TestSpellings: every spelling of the table, everywhere.
func TestSpellings(t *testing.T) {
	for spelling, want := range map[string]Kind{
		"cow": KindCowBTree, "CowBTree": KindCowBTree, "COW_BTREE": KindCowBTree, "cow-btree": KindCowBTree,
		"lsm": KindLsmTree, "LsmTree": KindLsmTree, "RocksDB": KindRocksDB, "GoogleCloud": KindGCP, "google_cloud": KindGCP, "gcp": KindGCP,
		"MinIO": KindMinIO, "Flash": KindFlash,
	} {
		if got, err := ParseKind(spelling); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %s", spelling, got, err, want)
		}
	}
	for _, s := range Spellings() {
		for _, name := range s.names() {
			if s.Kind == KindMemory || s.Kind == KindRocksDB || s.Kind == KindCowBTree || s.Kind == KindLsmTree {
				for _, text := range []string{
					"[server]\npersistence_backend = \"" + name + "\"",
					"[providers.it]\ntype = \"" + name + "\"",
					"[defaults]\naddressable = \"" + name + "\"\ncluster = \"" + name + "\"",
					"[providers.c]\ntype = \"Composite\"\n[providers.c.primary]\ntype = \"" + name + "\"\n[providers.c.backup]\ntype = \"Memory\"",
				} {
					if _, err := Parse("t.toml", []byte(text), nil); err != nil {
						t.Errorf("%s: %v", text, err)
					}
				}
			}
			c, err := Parse("t.toml", []byte("[providers.it]\ntype = \"lsm\""), nil)
			if err != nil {
				t.Fatal(err)
			}
			if s.Kind == KindLsmTree {
				if got, _, err := c.Provider(name); got != "it" || err != nil {
					t.Errorf("Provider(%s): %q, %v", name, got, err)
				}
			}
		}
	}
}

// TestSnippetsAreAllOfThem compares testdata with the specification itself.
func TestSnippetsAreAllOfThem(t *testing.T) {
	path := os.Getenv("ORBIT_TEST_SPECIFICATION")
	if path == "" {
		t.Skip("SKIPPED, NOT VERIFIED HERE: that testdata/seed has every snippet of the specification, which is not in the repository; name its file in ORBIT_TEST_SPECIFICATION")
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	have := map[string]string{}
	for _, s := range snippets(t) {
		have[s.section] += s.text + "\n"
	}
	heading, fence := regexp.MustCompile("^(#{2,}) (.*)"), regexp.MustCompile("^```([a-z]*)$")
	var headings []string
	var language, text string
	n := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if m := heading.FindStringSubmatch(line); m != nil && language == "" {
			headings = append(headings[:min(len(headings), len(m[1])-2)], m[2])
		} else if m := fence.FindStringSubmatch(line); m != nil && language == "" {
			language, text = m[1]+"!", ""
		} else if m != nil {
			if language == "toml!" || language == "json!" || language == "bash!" && strings.Contains(text, "ORBIT_") {
				n++
				section := strings.Join(headings, " > ")
				if !strings.Contains(have[section], text) {
					t.Errorf("section %s: this snippet is not in testdata/seed:\n%s", section, text)
				}
			}
			language = ""
		} else {
			text += line + "\n"
		}
	}
	if n != 19 {
		t.Errorf("found %d snippets in %s", n, path)
	}
}
