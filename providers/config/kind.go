package config

import (
	"slices"
	"strings"
)

// Kind is a backend, written as its selector: "lsm_tree". ParseKind reads every
// other spelling.
type Kind string

// The kinds of backend.
const (
	KindMemory     Kind = "memory"
	KindCowBTree   Kind = "cow_btree"
	KindLsmTree    Kind = "lsm_tree"
	KindRocksDB    Kind = "rocksdb"
	KindPebble     Kind = "pebble"
	KindS3         Kind = "s3"
	KindMinIO      Kind = "minio"
	KindAzure      Kind = "azure"
	KindGCP        Kind = "gcp"
	KindEtcd       Kind = "etcd"
	KindRedis      Kind = "redis"
	KindKubernetes Kind = "kubernetes"
	KindFlash      Kind = "flash"
	KindComposite  Kind = "composite"
)

// DefaultKind is what a configuration without any provider selects.
const DefaultKind = KindLsmTree

// Spelling is a row of the table of backends: the names of one kind. Each of them
// is read wherever a backend is named, in any case, and with or without "_" or "-".
type Spelling struct {
	// Kind is the selector, as in persistence_backend = "gcp", and names the
	// environment variables: ORBIT_GCP_BUCKET_NAME.
	Kind Kind
	// Type is the value of a provider's type: "GoogleCloud".
	Type string
	// CLI is the name in flags of orbit-cli: "cow", "lsm".
	CLI string
	// Folder is the package below providers/.
	Folder string

	zero Backend
}

var spellings = []Spelling{
	{KindMemory, "Memory", "memory", "memory", Memory{}},
	{KindCowBTree, "CowBTree", "cow", "cowbtree", CowBTree{}},
	{KindLsmTree, "LsmTree", "lsm", "lsmtree", LsmTree{}},
	{KindRocksDB, "RocksDB", "rocksdb", "rocksdb", RocksDB{}},
	{KindPebble, "Pebble", "pebble", "pebble", Pebble{}},
	{KindS3, "S3", "s3", "s3", S3{}},
	{KindMinIO, "MinIO", "minio", "minio", MinIO{}},
	{KindAzure, "Azure", "azure", "azure", Azure{}},
	{KindGCP, "GoogleCloud", "gcp", "gcp", GoogleCloud{}},
	{KindEtcd, "Etcd", "etcd", "etcd", Etcd{}},
	{KindRedis, "Redis", "redis", "redis", Redis{}},
	{KindKubernetes, "Kubernetes", "kubernetes", "kubernetes", Kubernetes{}},
	{KindFlash, "Flash", "flash", "flash", Flash{}},
	{KindComposite, "Composite", "composite", "composite", Composite{}},
}

// Spellings returns the table of backends. The caller owns it.
func Spellings() []Spelling { return slices.Clone(spellings) }

// names are the spellings of a row, without those that plain says twice.
func (s Spelling) names() []string {
	var names []string
	for _, name := range []string{string(s.Kind), s.Type, s.CLI, s.Folder} {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// plain is a spelling without what may differ: case, "_" and "-".
func plain(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

func lookUpKind(name string) (Spelling, bool) {
	for _, s := range spellings {
		for _, known := range s.names() {
			if plain(known) == plain(name) {
				return s, true
			}
		}
	}
	return Spelling{}, false
}

// ParseKind reads any spelling of a backend. The error is an *Error of kind
// ErrInvalid that names the nearest.
func ParseKind(name string) (Kind, error) {
	s, ok := lookUpKind(name)
	if !ok {
		return "", unknownKind(name)
	}
	return s.Kind, nil
}

func unknownKind(name string) *Error { return unknownName("unknown backend", name, nil) }

// unknownName suggests the nearest of some names and of all backends, or lists them.
func unknownName(problem, name string, names []string) *Error {
	all, listed := slices.Clone(names), slices.Clone(names)
	for _, s := range spellings {
		all = append(all, s.names()...)
		if !slices.Contains(listed, string(s.Kind)) {
			listed = append(listed, string(s.Kind))
		}
	}
	e := &Error{Problem: problem + " " + quote(name), Suggestion: nearest(name, all)}
	if e.Suggestion == "" {
		e.Problem += "; choose one of " + strings.Join(listed, ", ")
	}
	return e
}

// spelling returns the row of a kind that is in the table.
func (k Kind) spelling() Spelling {
	s, _ := lookUpKind(string(k))
	return s
}
