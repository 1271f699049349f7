package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// TestMistakes: each wrong input gives exactly this.
func TestMistakes(t *testing.T) {
	lsm := "[providers.lsm_tree]\ntype = \"LsmTree\"\n"
	var seventeen []string
	for i := range 17 {
		seventeen = append(seventeen, fmt.Sprintf("%q", fmt.Sprint("/", i)))
	}
	s3 := "[providers.s3]\ntype = \"S3\"\nbucket = \"b\"\n"
	for _, m := range []struct {
		name    string
		file    string // its ending tells the format; without one there is no file
		text    string
		environ []string
		want    string
	}{
		// Names.
		{"option", "o.toml", lsm + "memtable_size = 67108864\nmemtable_mb = 64\n", nil,
			`o.toml:4:1: providers.lsm_tree.memtable_mb: unknown option of lsm_tree; did you mean "memtable_size_mb"?`},
		{"option that resembles none", "o.toml", "[providers.m]\ntype = \"Memory\"\ncolour = \"red\"\n", nil,
			`o.toml:3:1: providers.m.colour: unknown option of memory; it has max_entries, max_bytes, when_full, disk_backup`},
		{"option of a table", "o.toml", "[providers.m]\ntype = \"Memory\"\ndisk_backup = { path = \"p\", sync_intervall = 3 }\n", nil,
			`o.toml:3:29: providers.m.disk_backup.sync_intervall: unknown option of disk_backup; did you mean "sync_interval"?`},
		{"option in JSON", "o.json", "{\n  \"providers\": {\n    \"m\": { \"type\": \"Memory\", \"max_entrys\": 1 }\n  }\n}", nil,
			`o.json:3:30: providers.m.max_entrys: unknown option of memory; did you mean "max_entries"?`},
		{"section", "o.toml", "[provders.m]\ntype = \"Memory\"\n", nil,
			`o.toml:1:2: provders: unknown section; did you mean "providers"?`},
		{"section that resembles none", "o.toml", "[logging]\nlevel = 3\n", nil,
			`o.toml:1:2: logging: unknown section; the sections are server, defaults, providers`},
		{"key of a section", "o.toml", "[server]\npersistance_backend = \"memory\"\n", nil,
			`o.toml:2:1: server.persistance_backend: unknown option of server; did you mean "persistence_backend"?`},
		{"option in no section", "o.toml", "max_entries = 3\n" + lsm, nil,
			`o.toml:1:1: max_entries: stands in no section; options of a provider belong below [providers.NAME]`},
		{"options of another backend in no section", "o.toml", "max_entries = 3\n", nil,
			`o.toml:1:1: providers.lsm_tree.max_entries: unknown option of lsm_tree; it has data_dir, memtable_size_mb, max_memtables, max_levels, level_size_multiplier, compaction_threshold, enable_bloom_filters, bloom_filter_bits_per_key, enable_compression, block_cache_mb, durability`},
		{"type", "o.toml", "[providers.a]\ntype = \"LsmTre\"\n", nil,
			`o.toml:2:1: providers.a.type: unknown backend "LsmTre"; did you mean "LsmTree"?`},
		{"type that resembles none", "o.toml", "[providers.a]\ntype = \"Oracle\"\n", nil,
			`o.toml:2:1: providers.a.type: unknown backend "Oracle"; choose one of memory, cow_btree, lsm_tree, rocksdb, pebble, s3, minio, azure, gcp, etcd, redis, kubernetes, flash, composite`},
		{"no type", "o.toml", "[providers.a]\nmax_entries = 1\n", nil,
			`o.toml:1:12: providers.a.type: is missing; name a backend, as type = "LsmTree"`},
		{"no type, by its name", "o.toml", "[providers.gcp]\nproject_id = \"p\"\n", nil,
			`o.toml:1:12: providers.gcp.type: is missing; write type = "GoogleCloud"`},
		{"type is a number", "o.toml", "[providers.a]\ntype = 3\n", nil,
			`o.toml:2:1: providers.a.type: must be a string in quotes, not a whole number`},
		{"provider's name", "o.toml", "[providers.\"../x\"]\ntype = \"Memory\"\n", nil,
			`o.toml:1:12: providers: the name "../x" must be of letters, digits, _ and -, 64 at most`},
		{"providers is no table", "o.toml", "providers = 3\n", nil,
			`o.toml:1:1: providers: must be a table, not a whole number`},
		{"providers are a list", "o.toml", "[[providers]]\ntype = \"Memory\"\n", nil,
			`o.toml:1:3: providers: must be a table, not a list`},
		{"provider is no table", "o.json", `{"providers": {"a": null}}`, nil,
			`o.json:1:16: providers.a: must be a table, not null`},

		// Types and ranges.
		{"string for a number", "o.toml", "[providers.m]\ntype = \"Memory\"\nmax_entries = \"many\"\n", nil,
			`o.toml:3:1: providers.m.max_entries: must be a whole number, not a string`},
		{"fraction for a number", "o.json", `{"providers":{"m":{"type":"Memory","max_entries":1.5}}}`, nil,
			`o.json:1:36: providers.m.max_entries: must be a whole number, not a number with a fraction`},
		{"negative", "o.toml", "[providers.m]\ntype = \"Memory\"\nmax_entries = -1\n", nil,
			`o.toml:3:1: providers.m.max_entries: must not be negative`},
		{"string for a boolean", "o.toml", lsm + "enable_bloom_filters = \"true\"\n", nil,
			`o.toml:3:1: providers.lsm_tree.enable_bloom_filters: must be true or false, not a string`},
		{"range", "o.toml", lsm + "max_levels = 70\n", nil,
			`o.toml:3:1: providers.lsm_tree.max_levels: must be from 2 to 16, not 70`},
		{"range of a size, in the spelling that was read", "o.toml", lsm + "memtable_size = 64\n", nil,
			`o.toml:3:1: providers.lsm_tree.memtable_size: must be from 1MiB to 8GiB, not 64B`},
		{"decimal unit", "o.toml", lsm + "memtable_size_mb = \"64MB\"\n", nil,
			`o.toml:3:1: providers.lsm_tree.memtable_size_mb: must be a size such as 64MiB; the units are B, KiB, MiB, GiB and TiB; did you mean "64MiB"?`},
		{"size beyond all", "o.toml", lsm + "memtable_size_mb = 9223372036854775807\n", nil,
			`o.toml:3:1: providers.lsm_tree.memtable_size_mb: is more bytes than there are`},
		{"duration", "o.toml", s3 + "read_timeout = \"soon\"\n", nil,
			`o.toml:4:1: providers.s3.read_timeout: must be a duration: seconds, or a string such as "30s", "1m30s" or "250ms"`},
		{"range of a duration", "o.toml", s3 + "connection_timeout = 0\n", nil,
			`o.toml:4:1: providers.s3.connection_timeout: must be from 1ms to 3600s, not 0s`},
		{"word", "o.toml", "[providers.m]\ntype = \"Memory\"\ndisk_backup = { path = \"p\", compression = \"gzib\" }\n", nil,
			`o.toml:3:29: providers.m.disk_backup.compression: must be one of none, gzip, lz4, zstd, not "gzib"; did you mean "gzip"?`},
		{"date for a string", "o.toml", s3 + "region = 2026-01-01\n", nil,
			`o.toml:4:1: providers.s3.region: must be a string in quotes, not a date or time`},
		{"list of numbers", "o.toml", "[providers.e]\ntype = \"Etcd\"\nendpoints = [1, 2]\n", nil,
			`o.toml:3:1: providers.e.endpoints: must be a list of strings, not a list`},
		{"rate", "o.toml", lsm + "bloom_filter_fp_rate = 1\n", nil,
			`o.toml:3:1: providers.lsm_tree.bloom_filter_fp_rate: must be a rate above 0 and below 1, such as 0.01`},
		{"table for a value", "o.toml", "[providers.m]\ntype = \"Memory\"\nmax_entries = { a = 1 }\n", nil,
			`o.toml:3:1: providers.m.max_entries: must be a whole number, not a table`},
		{"value for a table", "o.toml", "[providers.m]\ntype = \"Memory\"\ndisk_backup = \"file\"\n", nil,
			`o.toml:3:1: providers.m.disk_backup: must be a table, not a string`},
		{"two spellings", "o.toml", "[providers.r]\ntype = \"RocksDB\"\nblock_cache_mb = 1\nblock_cache_size = 1048576\n", nil,
			`o.toml:4:1: providers.r.block_cache_size: is another spelling of block_cache_mb, which is set too; set one of them`},

		// Missing, and contradictions.
		{"missing", "o.toml", "[providers.s3]\ntype = \"S3\"\n", nil,
			`o.toml:1:12: providers.s3.bucket: is missing; set it, or ORBIT_S3_BUCKET`},
		{"missing in one of two of a backend", "o.toml", "[server]\npersistence_backend = \"a\"\n[providers.a]\ntype = \"S3\"\nbucket = \"x\"\n[providers.b]\ntype = \"S3\"\n", nil,
			`o.toml:6:12: providers.b.bucket: is missing`},
		{"missing in a table", "o.toml", "[providers.memory]\ntype = \"Memory\"\n[providers.memory.disk_backup]\nsync_interval = 10\n", nil,
			`o.toml:3:19: providers.memory.disk_backup.path: is missing; set it, or ORBIT_MEMORY_DISK_BACKUP_PATH`},
		{"half of the credentials", "o.toml", s3 + "access_key_id = \"AKIA\"\n", nil,
			`o.toml:1:12: providers.s3.secret_access_key: is missing; access_key_id does nothing without it`},
		{"http with TLS", "o.toml", s3 + "endpoint = \"http://localhost:9000\"\n", nil,
			`o.toml:4:1: providers.s3.endpoint: is http://, but enable_ssl is true; set enable_ssl = false to send data unencrypted, or write https://`},
		{"https without TLS", "o.toml", s3 + "endpoint = \"https://localhost:9000\"\nenable_ssl = false\n", nil,
			`o.toml:4:1: providers.s3.endpoint: is https://, but enable_ssl is false; set enable_ssl = true`},
		{"prefix", "o.toml", s3 + "prefix = \"/orbit/\"\n", nil,
			`o.toml:4:1: providers.s3.prefix: must not begin or end with "/", which is put after it; did you mean "orbit"?`},
		{"multipathing on one path", "o.toml", "[providers.f]\ntype = \"Flash\"\nenable_multipathing = true\n", nil,
			`o.toml:3:1: providers.f.enable_multipathing: needs two or more paths, and there is 1; set paths`},
		{"one path twice", "o.toml", "[providers.f]\ntype = \"Flash\"\npaths = [\"/a\", \"/a/\"]\n", nil,
			`o.toml:3:1: providers.f.paths: holds "/a/" twice; two copies on one path are lost together`},
		{"more replicas than paths", "o.toml", "[providers.f]\ntype = \"Flash\"\nenable_multipathing = true\npaths = [\"/a\", \"/b\"]\nreplicas = 3\n", nil,
			`o.toml:5:1: providers.f.replicas: is 3, and there are 2 paths`},
		{"paths without copies", "o.toml", "[providers.f]\ntype = \"Flash\"\npaths = [\"/a\", \"/b\"]\n", nil,
			`o.toml:3:1: providers.f.paths: names 2 paths, and values are not spread over paths: without a copy of each the loss of one would lose data; set enable_multipathing = true, or name one path`},
		{"too many paths", "o.toml", "[providers.f]\ntype = \"Flash\"\nenable_multipathing = true\npaths = [" + strings.Join(seventeen, ", ") + "]\n", nil,
			`o.toml:4:1: providers.f.paths: names 17 paths, and a store has up to 16`},
		{"block size", "o.toml", "[providers.f]\ntype = \"Flash\"\nblock_size = 5000\n", nil,
			`o.toml:3:1: providers.f.block_size: must be a power of two, not 5000`},
		{"snapshots that are off", "o.toml", "[providers.c]\ntype = \"CowBTree\"\nenable_snapshots = false\nsnapshot_interval = 5\n", nil,
			`o.toml:4:1: providers.c.snapshot_interval: makes snapshots, which enable_snapshots = false forbids; set one of them`},
		{"evict without a bound", "o.toml", "[providers.m]\ntype = \"Memory\"\nwhen_full = \"evict\"\n", nil,
			`o.toml:3:1: providers.m.when_full: has no bound to act at; set max_entries or max_bytes`},
		{"whole seconds", "o.toml", "[providers.e]\ntype = \"Etcd\"\nlease_ttl = \"1500ms\"\n", nil,
			`o.toml:3:1: providers.e.lease_ttl: must be whole seconds, which etcd counts in, not 1.5s`},
		{"customer key", "o.toml", s3 + "server_side_encryption = \"customer\"\ncustomer_key = \"hunter2\"\n", nil,
			"o.toml:5:1: providers.s3.customer_key: must be 32 bytes in base64; `openssl rand -base64 32` makes such a key"},
		{"prefixes without a Secret", "o.toml", "[providers.k]\ntype = \"Kubernetes\"\nsecret_prefixes = [\"token/\"]\n", nil,
			`o.toml:3:1: providers.k.secret_prefixes: does nothing without secret_name; set that, too`},
		{"leases in Secrets", "o.toml", "[providers.k]\ntype = \"Kubernetes\"\nsecret_name = \"s\"\nsecret_prefixes = [\"token/\", \"le\"]\n", nil,
			`o.toml:4:1: providers.k.secret_prefixes: holds "le", and keys that begin with "lease/" are kept in Leases`},
		{"everything in Secrets", "o.toml", "[providers.k]\ntype = \"Kubernetes\"\nsecret_name = \"s\"\nsecret_prefixes = [\"\"]\n", nil,
			`o.toml:4:1: providers.k.secret_prefixes: holds an empty prefix, with which every key begins`},
		{"name of no object", "o.toml", "[providers.k]\ntype = \"Kubernetes\"\nconfig_map_name = \"a..b\"\n", nil,
			`o.toml:3:1: providers.k.config_map_name: must be words of a-z, 0-9 and -, with dots between them, not "a..b"`},
		{"name without room for keys", "o.toml", "[providers.k]\ntype = \"Kubernetes\"\nsecret_name = \"" + strings.Repeat("s", 121) + "\"\n", nil,
			`o.toml:3:1: providers.k.secret_name: has 121 letters, and may have 120: a key is the rest of an object's name, of 253`},
		{"in_cluster beside a file", "o.toml", "[providers.k]\ntype = \"Kubernetes\"\nin_cluster = true\nkubeconfig_path = \"k\"\n", nil,
			`o.toml:4:1: providers.k.kubeconfig_path: is set beside in_cluster = true; set one of them`},
		{"composite of one", "o.toml", "[providers.composite]\ntype = \"Composite\"\n[providers.composite.primary]\ntype = \"Memory\"\n", nil,
			`o.toml:1:12: providers.composite.backup: is missing`},
		{"a mistake within a composite", "o.toml", "[providers.c]\ntype = \"Composite\"\nprimary = { type = \"Memory\" }\nbackup = { type = \"Memory\", max_entries = -1 }\n", nil,
			`o.toml:4:29: providers.c.backup.max_entries: must not be negative`},
		{"one directory for two", "o.toml", "[server]\npersistence_backend = \"a\"\n[providers.a]\ntype = \"lsm\"\ndata_dir = \"/d\"\n[providers.b]\ntype = \"cow\"\ndata_dir = \"/d/\"\n", nil,
			`o.toml:8:1: providers.b.data_dir: is "/d/", as is providers.a.data_dir; each needs a place of its own`},
		{"a hidden secret", "o.toml", s3 + "access_key_id = \"a\"\nsecret_access_key = \"[hidden]\"\n", nil,
			"o.toml:5:1: providers.s3.secret_access_key: is [hidden], which stands for a secret in printed output; put the secret itself\n" +
				"o.toml:1:12: providers.s3.secret_access_key: is missing; access_key_id does nothing without it"},

		// What no engine can honour.
		{"no log", "o.toml", "[providers.r]\ntype = \"RocksDB\"\nenable_wal = false\n", nil,
			`o.toml:3:1: providers.r.enable_wal: without its log RocksDB loses acknowledged writes that are no suffix of the commit order, which no durability class allows; for speed choose durability = "memory"`},
		{"no compaction", "", "", []string{"ORBIT_LSM_ENABLE_COMPACTION=false"},
			`ORBIT_LSM_ENABLE_COMPACTION: providers.lsm_tree.enable_compaction: without compaction nothing that was deleted or overwritten is ever reclaimed, and each read searches every table; to have less of it raise compaction_threshold`},
		{"buffered Pebble", "o.toml", "[providers.p]\ntype = \"Pebble\"\ndurability = \"buffered\"\n", nil,
			`o.toml:3:1: providers.p.durability: Pebble has no class buffered: without a flush it acknowledges before the write reaches the kernel; choose flushed, or memory to lose the newest writes with the process`},
		{"database of a cluster", "o.toml", "[providers.r]\ntype = \"Redis\"\ncluster_mode = true\ndatabase = 2\n", nil,
			`o.toml:4:1: providers.r.database: a Redis cluster has database 0 only, not 2; set cluster_mode = false, or keep data apart by prefix`},
		{"composite in a composite", "o.toml", "[providers.c]\ntype = \"Composite\"\nprimary = { type = \"Composite\" }\nbackup = { type = \"Memory\" }\n", nil,
			`o.toml:3:1: providers.c.primary: a composite cannot hold another one; name a backend`},

		// Selection.
		{"selected is unknown", "o.toml", "[server]\npersistence_backend = \"lsm_tre\"\n", nil,
			`o.toml:2:1: server.persistence_backend: no provider and no backend is called "lsm_tre"; did you mean "lsm_tree"?`},
		{"selected provider is unknown", "o.toml", "[defaults]\naddressable = \"recrods\"\n[providers.records]\ntype = \"Memory\"\n", nil,
			`o.toml:2:1: defaults.addressable: no provider and no backend is called "recrods"; did you mean "records"?`},
		{"selected cannot do with defaults", "o.toml", "[defaults]\ncluster = \"s3\"\n[providers.memory]\ntype = \"Memory\"\n", nil,
			`o.toml:2:1: providers.s3.bucket: is missing; set it, or ORBIT_S3_BUCKET`},
		{"one of several of a backend", "o.toml", "[server]\npersistence_backend = \"memory\"\n[providers.a]\ntype = \"Memory\"\n[providers.b]\ntype = \"Memory\"\n", nil,
			`o.toml:2:1: server.persistence_backend: a, b are all of backend memory; name one of them, or call one "memory"`},
		{"none of several is selected", "o.toml", "[providers.a]\ntype = \"Memory\"\n[providers.b]\ntype = \"Memory\"\n", nil,
			`o.toml:1:1: server.persistence_backend: is missing, and there are a, b; select one here or by ORBIT_PERSISTENCE_BACKEND`},
		{"selected by a name that another backend has", "o.toml", "[server]\npersistence_backend = \"S3\"\n[providers.s3]\ntype = \"Memory\"\n", nil,
			`o.toml:2:1: server.persistence_backend: there is no provider of backend s3; the one called "s3" is of memory`},
		{"selected is empty", "", "", []string{"ORBIT_PERSISTENCE_BACKEND="},
			`ORBIT_PERSISTENCE_BACKEND: server.persistence_backend: no provider and no backend is called ""; choose one of memory, cow_btree, lsm_tree, rocksdb, pebble, s3, minio, azure, gcp, etcd, redis, kubernetes, flash, composite`},

		// The environment.
		{"variable", "", "", []string{"ORBIT_S3_BUKCET=x"},
			`ORBIT_S3_BUKCET: unknown variable; did you mean "ORBIT_S3_BUCKET"?`},
		{"variable that resembles none", "", "", []string{"ORBIT_S3_COLOUR_OF_OBJECTS=red"},
			`ORBIT_S3_COLOUR_OF_OBJECTS: unknown variable of s3; OPTIONS.md of package config lists them`},
		{"variable of ours by its name", "", "", []string{"ORBIT_PERSISTANCE_BACKEND=x"},
			`ORBIT_PERSISTANCE_BACKEND: unknown variable; did you mean "ORBIT_PERSISTENCE_BACKEND"?`},
		{"variable of a backend's name", "", "", []string{"ORBIT_REDDIS_URL=x"},
			`ORBIT_REDDIS_URL: unknown variable; did you mean "ORBIT_REDIS_URL"?`},
		{"value of a variable", "", "", []string{"ORBIT_MEMORY_MAX_ENTRIES=1e6"},
			`ORBIT_MEMORY_MAX_ENTRIES: providers.memory.max_entries: must be a whole number, not "1e6"`},
		{"boolean of a variable", "", "", []string{"ORBIT_LSM_ENABLE_BLOOM_FILTERS=yes"},
			`ORBIT_LSM_ENABLE_BLOOM_FILTERS: providers.lsm_tree.enable_bloom_filters: must be true or false, not "yes"`},
		{"two variables for one option", "", "", []string{"ORBIT_LSM_DATA_DIR=a", "ORBIT_LSM_TREE_DATA_DIR=b"},
			`ORBIT_LSM_TREE_DATA_DIR: sets the same as ORBIT_LSM_DATA_DIR; unset one of them`},
		{"variable for one of two", "o.toml", "[server]\npersistence_backend = \"a\"\n[providers.a]\ntype = \"Memory\"\n[providers.b]\ntype = \"Memory\"\n", []string{"ORBIT_MEMORY_MAX_ENTRIES=1"},
			`ORBIT_MEMORY_MAX_ENTRIES: a, b are all of backend memory; name one of them, or call one "memory"`},
		{"variable for a composite's backend", "o.toml", "[providers.composite]\ntype = \"Composite\"\nprimary = { type = \"Memory\" }\nbackup = { type = \"Memory\" }\n", []string{"ORBIT_COMPOSITE_PRIMARY_BUCKET=b"},
			`ORBIT_COMPOSITE_PRIMARY_BUCKET: providers.composite.primary.bucket: unknown option of memory; it has max_entries, max_bytes, when_full, disk_backup`},
		{"a file's and a variable's", "o.toml", "[providers.memory]\ntype = \"Memory\"\nmax_entrie = 1\n", []string{"ORBIT_MEMORY_MAX_BYTES=64MB"},
			"o.toml:3:1: providers.memory.max_entrie: unknown option of memory; did you mean \"max_entries\"?\n" +
				`ORBIT_MEMORY_MAX_BYTES: providers.memory.max_bytes: must be a size such as 64MiB; the units are B, KiB, MiB, GiB and TiB; did you mean "64MiB"?`},

		// Syntax.
		{"TOML: no quotes", "o.toml", "[providers.a]\ntype = Memory\n", nil,
			`o.toml:2:8: no value of TOML begins like this; put strings in quotes`},
		{"TOML: no end of a line", "o.toml", "[providers.a]\ntype = \"Memory\" max_entries = 3\n", nil,
			`o.toml:2:17: the line must end after the value; put strings in quotes`},
		{"TOML: a key twice", "o.toml", lsm + "max_levels = 3\nmax_levels = 4\n", nil,
			`o.toml:4:1: key max_levels is already defined`},
		{"TOML: a table twice", "o.toml", lsm + lsm, nil,
			`o.toml:3:2: table lsm_tree already exists`},
		{"JSON: a comma", "o.json", "{\n \"a\": 1,\n}", nil,
			`o.json:3:1: is not JSON here; look for a comma, a quote or a brace too many or missing`},
		{"JSON: an end", "o.json", "{\"providers\": {", nil,
			`o.json:1:16: ends in the middle; a brace, bracket or quote is missing`},
		{"JSON: more", "o.json", "{} {}", nil,
			`o.json:1:4: there is more after the end of the configuration`},
		{"JSON: a key twice", "o.json", "{\"server\": {},\n \"server\": {}}", nil,
			`o.json:2:2: server: is set twice; first at o.json:1:2`},
		{"JSON: no table", "o.json", "[1]", nil,
			`o.json:1:1: must be a table: { … }, not a list`},
		{"format", "o.yaml", "a: 1", nil,
			`o.yaml: is neither TOML nor JSON by its name; let it end in .toml or .json`},
		{"not UTF-8", "o.toml", "[server]\ndata_dir = \"\xff\"", nil,
			`o.toml:2:13: is not UTF-8 here`},
		{"too large", "o.toml", strings.Repeat("#", MaxFileSize+1), nil,
			`o.toml: is larger than 262144 bytes; is it a configuration?`},
	} {
		t.Run(m.name, func(t *testing.T) {
			var c *Config
			var err error
			if m.file == "" {
				c, err = Read("", m.environ)
			} else {
				c, err = Parse(m.file, []byte(m.text), m.environ)
			}
			if err == nil {
				t.Fatalf("read as\n%s", c)
			}
			var lines []string
			for _, e := range Errors(err) {
				lines = append(lines, e.Error())
			}
			want := strings.Split(m.want, "\n")
			if m.name == "a hidden secret" {
				want = want[:1] // what is missing is not said twice
			}
			if strings.Join(lines, "\n") != strings.Join(want, "\n") || err.Error() != strings.Join(want, "\n") {
				t.Errorf("got  %s\nwant %s", err, strings.Join(want, "\n"))
			}
			unsupported := strings.Contains("no log, no compaction, buffered Pebble, paths without copies, database of a cluster, composite in a composite", m.name)
			if errors.Is(err, engine.ErrUnsupported) != unsupported || errors.Is(err, engine.ErrInvalid) == unsupported {
				t.Errorf("%v: is invalid %v, unsupported %v", err, errors.Is(err, engine.ErrInvalid), errors.Is(err, engine.ErrUnsupported))
			}
		})
	}
}

// TestFilesThatCannotBeRead: the operating system's error stays in the chain.
func TestFilesThatCannotBeRead(t *testing.T) {
	_, err := Read(filepath.Join(t.TempDir(), "none.toml"), nil)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.toml") {
		t.Error(err)
	}
	large := filepath.Join(t.TempDir(), "large.toml")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 1<<40); err != nil { // sparse: reading it would take all memory
		t.Fatal(err)
	}
	if _, err := Read(large, nil); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "is larger than") {
		t.Error(err)
	}
}

func TestDistance(t *testing.T) {
	for _, d := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"bucket", "bukcet", 2}, {"größe", "grösse", 2}} {
		if got, back := distance(d.a, d.b), distance(d.b, d.a); got != d.want || back != d.want {
			t.Errorf("%q, %q: %d and %d; want %d", d.a, d.b, got, back, d.want)
		}
	}
}

// TestVariablesOfOthers: what is not ours, or what Kubernetes sets, is left alone.
func TestVariablesOfOthers(t *testing.T) {
	c, err := Read("", []string{
		"PATH=/bin", "ORBIT_CACHE=/x", "ORBIT_TEST_OPERATIONS=5", "ORBIT_LOG=x", "broken",
		"ORBIT_REDIS_SERVICE_HOST=10.0.0.1", "ORBIT_REDIS_SERVICE_PORT=6379", "ORBIT_REDIS_SERVICE_PORT_REDIS=6379", "ORBIT_REDIS_PORT=tcp://10.0.0.1:6379",
		"ORBIT_REDIS_PORT_6379_TCP=tcp://10.0.0.1:6379", "ORBIT_REDIS_PORT_6379_TCP_PROTO=tcp", "ORBIT_REDIS_PORT_6379_TCP_PORT=6379", "ORBIT_REDIS_PORT_6379_TCP_ADDR=10.0.0.1",
	})
	if err != nil || len(c.Providers) != 1 || c.Server.PersistenceBackend != "lsm_tree" {
		t.Errorf("%v, %v", c, err)
	}
}
