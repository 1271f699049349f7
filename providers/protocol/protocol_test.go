package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/protocol"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if !protocol.Available {
		fmt.Fprintln(os.Stderr, "SKIPPED, NOT VERIFIED HERE: RocksDB itself, since the tests are built without the tag rocksdb; they run over the LSM-tree")
		protocol.WithoutRocksDB()
	}
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t testing.TB, kind, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("want %q, got %v", kind, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}

func open(t testing.TB, dir string, o protocol.Options) *protocol.Stores {
	t.Helper()
	o.CacheBytes, o.WriteBufferBytes = 1<<20, 1<<20
	if o.SweepInterval == 0 {
		o.SweepInterval = -1
	}
	s, err := protocol.Open(t.Context(), dir, o)
	ok(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, engine.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func collect[T any](t testing.TB, seq iter.Seq2[T, error]) (all []T) {
	t.Helper()
	for v, err := range seq {
		ok(t, err)
		all = append(all, v)
	}
	return all
}

// contents returns all entries of a closed store's families, by their names.
func contents(t testing.TB, dir string) map[string]map[string]string {
	t.Helper()
	e, err := protocol.OpenRaw(t.Context(), dir)
	ok(t, err)
	defer func() { ok(t, e.Close()) }()
	ids, err := e.(engine.FamilyStore).Families()
	ok(t, err)
	all := map[string]map[string]string{}
	for name, id := range ids {
		r, err := e.(engine.FamilyStore).In(id)
		ok(t, err)
		it, err := r.NewIterator(engine.IterOptions{})
		ok(t, err)
		all[name] = map[string]string{}
		for more := it.First(); more; more = it.Next() {
			v, err := it.Value()
			ok(t, err)
			all[name][string(it.Key())] = string(v)
		}
		ok(t, it.Close())
	}
	return all
}

// populate puts something of every kind into every store, all under the same names.
func populate(t testing.TB, s *protocol.Stores) {
	t.Helper()
	ctx := t.Context()
	for _, rows := range []*protocol.RowStore{s.PostgreSQL, s.MySQL, s.CQL} {
		ok(t, rows.PutSchema(ctx, "x", []byte(`{"of":"`+string(rows.Protocol())+`"}`)))
		ok(t, rows.PutRows(ctx, "x", protocol.Row{ID: "1", Values: protocol.Object{"of": string(rows.Protocol())}}))
		for _, c := range []protocol.Catalog{protocol.Indexes, protocol.Views, protocol.SchemaDefs, protocol.Extensions, protocol.Settings} {
			ok(t, rows.Put(ctx, c, "x", []byte(`"`+string(rows.Protocol())+`"`)))
		}
	}
	ok(t, s.Redis.Set(ctx, "x", []byte("redis"), time.Hour))
	ok(t, s.Redis.SetMetadata(ctx, "x", []byte("redis")))
	ok(t, s.Cypher.PutNode(ctx, protocol.Node{ID: "x", Labels: []string{"L"}}))
	ok(t, s.Cypher.PutRelationship(ctx, protocol.Relationship{ID: "x", Type: "T", From: "x", To: "x"}))
	ok(t, s.Cypher.SetMetadata(ctx, "x", []byte("cypher")))
	ok(t, s.AQL.CreateCollection(ctx, protocol.Collection{Name: "x"}))
	ok(t, s.AQL.PutDocuments(ctx, "x", protocol.Document{Key: "x", Values: protocol.Object{"of": "aql"}}))
	ok(t, s.AQL.CreateCollection(ctx, protocol.Collection{Name: "e", Edges: true}))
	ok(t, s.AQL.PutEdge(ctx, "e", protocol.Edge{Key: "x", From: "x/x", To: "x/y"}))
	ok(t, s.AQL.PutGraph(ctx, "x", protocol.Object{"edges": "e"}))
	ok(t, s.AQL.SetMetadata(ctx, "x", []byte("aql")))
	ok(t, s.GraphRAG.PutEntity(ctx, "x", protocol.Entity{ID: "x", Text: "X"}))
	ok(t, s.GraphRAG.PutRelation(ctx, "x", protocol.Relation{ID: "x", Type: "T", From: "x", To: "x"}))
	ok(t, s.GraphRAG.PutEmbedding(ctx, "x", "x", []float32{1, 2}))
	ok(t, s.GraphRAG.SetMetadata(ctx, "x", []byte("graphrag")))
}

// sqlFamilies and the like are what the specification lists, written down once more.
var specified = map[string][]string{
	"postgresql": {"data", "extensions", "indexes", "schema_defs", "schemas", "settings", "views"},
	"mysql":      {"data", "extensions", "indexes", "schema_defs", "schemas", "settings", "views"},
	"cql":        {"data", "extensions", "indexes", "schema_defs", "schemas", "settings", "views"},
	"redis":      {"redis_data", "redis_expiration", "redis_metadata"},
	"cypher":     {"metadata", "nodes", "relationships"},
	"aql":        {"collections", "documents", "edges", "graphs", "metadata"},
	"graphrag":   {"embeddings", "entity_index", "metadata", "nodes", "rel_index", "relationships"},
}

// TestEachProtocolHasItsDirectory: the second, third and fifth fault of the specification's
// history. There is a directory for each protocol, it holds nothing but its store, and
// there is no other.
func TestEachProtocolHasItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	ok(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	s := open(t, dir, protocol.Options{})
	populate(t, s)
	ok(t, s.Close())
	var found []string
	ok(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rest, _ := filepath.Rel(dir, path)
		if err == nil && strings.Count(rest, string(filepath.Separator)) <= 1 && rest != "." {
			found = append(found, rest)
		}
		return err
	}))
	var want []string
	for p := range specified {
		want = append(want, p, filepath.Join(p, "rocksdb"))
	}
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(found, want) {
		t.Errorf("the directory holds %q, want %q", found, want)
	}
	for p := range specified {
		if names, err := os.ReadDir(filepath.Join(dir, p, "rocksdb")); err != nil || len(names) < 3 {
			t.Errorf("the store of %s has files %v, %v", p, names, err)
		}
	}
}

// TestColumnFamilies: each store has the families of the specification, and in each of them
// what was put there and nothing else: the first and the fourth fault of the history, where
// RocksDB was open and the data was elsewhere. Nothing crosses over.
func TestColumnFamilies(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, protocol.Options{})
	populate(t, s)
	ok(t, s.Close())
	keys := map[string]map[string][]string{}
	for p, families := range specified {
		all := contents(t, filepath.Join(dir, p, "rocksdb"))
		if len(all["default"]) != 0 {
			t.Errorf("%s: the default family holds %q", p, all["default"])
		}
		delete(all, "default")
		if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, families) {
			t.Errorf("%s has the families %q, want %q", p, got, families)
		}
		keys[p] = map[string][]string{}
		for name, entries := range all {
			keys[p][name] = slices.Sorted(maps.Keys(entries))
			for key, value := range entries {
				for other := range specified {
					if other != p && strings.Contains(value, other) {
						t.Errorf("%s: %s holds %s = %s", p, name, key, value)
					}
				}
			}
		}
	}
	for _, p := range []string{"postgresql", "mysql", "cql"} {
		if got := fmt.Sprint(keys[p]); got != "map[data:[row:x:1] extensions:[x] indexes:[x] schema_defs:[x] schemas:[schema:x] settings:[x] views:[x]]" {
			t.Errorf("%s: %s", p, got)
		}
	}
	expiry := keys["redis"]["redis_expiration"]
	if len(expiry) != 1 || !strings.HasSuffix(expiry[0], ":x") || len(expiry[0]) != 22 || len(keys["redis"]["redis_data"]) != 1 || keys["redis"]["redis_data"][0] != "x" {
		t.Errorf("redis: %q", keys["redis"])
	}
	for p, want := range map[string]string{
		"cypher":   "map[metadata:[x] nodes:[node:x] relationships:[from:x:x rel:x to:x:x]]",
		"aql":      "map[collections:[collection:e collection:x] documents:[doc:x:x] edges:[edge:e:x from:e:x/x:x to:e:x/y:x] graphs:[graph:x] metadata:[x]]",
		"graphrag": "map[embeddings:[embedding:x:x] entity_index:[text:x:x:x] metadata:[x] nodes:[node:x:x] rel_index:[from:x:x:x to:x:x:x] relationships:[rel:x:x]]",
	} {
		if got := fmt.Sprint(keys[p]); got != want {
			t.Errorf("%s: %s", p, got)
		}
	}
}

// TestLdbListsTheFamilies asks RocksDB's own tool, which knows nothing of this program.
func TestLdbListsTheFamilies(t *testing.T) {
	if !protocol.Available {
		t.Skip("SKIPPED, NOT VERIFIED HERE: built without the tag rocksdb")
	}
	ldb, err := exec.LookPath("ldb")
	if err != nil {
		t.Skip("SKIPPED, NOT VERIFIED HERE: ldb is not installed; it is in Debian's rocksdb-tools, which 'make deps-libraries' installs")
	}
	dir := t.TempDir()
	s := open(t, dir, protocol.Options{})
	populate(t, s)
	ok(t, s.Close())
	run := func(args ...string) string {
		out, err := exec.Command(ldb, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("ldb %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for p, families := range specified {
		out := run("list_column_families", "--db="+filepath.Join(dir, p, "rocksdb"))
		for _, name := range append(families, "default") {
			if !strings.Contains(out, name) {
				t.Errorf("ldb does not list %s of %s:\n%s", name, p, out)
			}
		}
	}
	for of, want := range map[string]string{
		"postgresql data scan":              `row:x:1 ==> {"of":"postgresql"}`,
		"redis redis_metadata scan":         "x ==> redis",
		"aql documents scan":                `doc:x:x ==> {"of":"aql"}`,
		"mysql schemas scan":                `schema:x ==> {"of":"mysql"}`,
		"cypher nodes scan":                 `node:x ==> {"labels":["L"]}`,
		"graphrag entity_index scan":        "text:x:x:x ==>",
		"redis redis_expiration scan --hex": "3A78 ==>", // ":x"
	} {
		words := strings.Fields(of)
		out := strings.ReplaceAll(run(append(words[2:], "--db="+filepath.Join(dir, words[0], "rocksdb"), "--column_family="+words[1])...), " : ", " ==> ")
		if !strings.Contains(out, want) {
			t.Errorf("ldb shows of %s:\n%s\nwant %s", of, out, want)
		}
	}
}

// TestWhatIsThereStays: directories and stores that are there are opened, families that are
// missing are made, and others stay.
func TestWhatIsThereStays(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	old := filepath.Join(dir, "redis", "rocksdb")
	ok(t, os.MkdirAll(old, 0o755))
	ok(t, os.WriteFile(filepath.Join(dir, "redis", "note"), []byte("mine"), 0o644))
	e, err := protocol.OpenRaw(ctx, old, "redis_metadata", "somebody_elses")
	ok(t, err)
	ids, err := e.(engine.FamilyStore).Families()
	ok(t, err)
	var b engine.Batch
	b.PutIn(ids["redis_metadata"], []byte("x"), []byte("old"))
	b.PutIn(ids["somebody_elses"], []byte("y"), []byte("theirs"))
	ok(t, e.Apply(ctx, &b, engine.Flushed))
	ok(t, e.Close())
	for range 2 {
		s := open(t, dir, protocol.Options{})
		if v, err := s.Redis.Metadata(ctx, "x"); err != nil || string(v) != "old" {
			t.Fatalf("%q, %v", v, err)
		}
		ok(t, s.Redis.Set(ctx, "k", []byte("v"), 0))
		ok(t, s.Close())
	}
	all := contents(t, old)
	if all["somebody_elses"]["y"] != "theirs" || len(all["redis_data"]) != 1 || len(all) != 5 {
		t.Errorf("the store holds %q", all)
	}
	if note, err := os.ReadFile(filepath.Join(dir, "redis", "note")); err != nil || string(note) != "mine" {
		t.Errorf("%q, %v", note, err)
	}
}

// TestOpening: a second opener is refused, and of seven stores of which one does not open
// none stays open.
func TestOpening(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, protocol.Options{})
	_, err := protocol.Open(ctx, dir, protocol.Options{})
	wants(t, engine.ErrLocked, err, "postgresql", "another process")
	ok(t, s.Close())
	if _, err := s.Redis.Get(ctx, "x"); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("get after close: %v", err)
	}
	if h := s.Health(ctx); h.State != providers.Unhealthy || len(h.Reasons) != 7 {
		t.Errorf("health after close: %v", h)
	}
	_, err = protocol.Open(ctx, "", protocol.Options{})
	wants(t, engine.ErrInvalid, err, "data_dir")
	_, err = protocol.Open(ctx, dir, protocol.Options{Durability: engine.Memory + 7})
	wants(t, engine.ErrUnsupported, err, "postgresql")

	broken := t.TempDir()
	ok(t, os.MkdirAll(filepath.Join(broken, "graphrag"), 0o755))
	ok(t, os.WriteFile(filepath.Join(broken, "graphrag", "rocksdb"), nil, 0o644))
	_, err = protocol.Open(ctx, broken, protocol.Options{})
	if err == nil || !strings.Contains(err.Error(), "graphrag") {
		t.Fatal(err)
	}
	ok(t, os.Remove(filepath.Join(broken, "graphrag", "rocksdb")))
	ok(t, open(t, broken, protocol.Options{}).Close())
}

func TestHealthAndMetrics(t *testing.T) {
	s := open(t, t.TempDir(), protocol.Options{})
	if h := s.Health(t.Context()); h.State == providers.Unhealthy {
		t.Errorf("%v", h)
	}
	before := s.Redis.Metrics()
	ok(t, s.Redis.Set(t.Context(), "x", nil, 0))
	_, err := s.Redis.Get(t.Context(), "x")
	ok(t, err)
	_, err = s.Redis.Delete(t.Context(), "x")
	ok(t, err)
	m := s.Redis.Metrics()
	if m.Provider != "protocol/redis" || m.WriteOperations-before.WriteOperations != 1 || m.DeleteOperations-before.DeleteOperations != 1 || m.ReadOperations == before.ReadOperations || m.ErrorCount != 0 || m.ReadLatency.Count != m.ReadOperations {
		t.Errorf("%+v", m)
	}
	if other := s.MySQL.Metrics(); other.WriteOperations != 0 {
		t.Errorf("%+v", other)
	}
}

// childDir has the test binary be a server that writes until it is killed.
const childDir = "ORBIT_TEST_PROTOCOL_DIR"

// written are the writes of child i, in their order.
func written(ctx context.Context, s *protocol.Stores, i int) []error {
	id := fmt.Sprint(i)
	return []error{
		s.PostgreSQL.PutRows(ctx, "t", protocol.Row{ID: id, Values: protocol.Object{"n": i}}),
		s.MySQL.PutRows(ctx, "t", protocol.Row{ID: id, Values: protocol.Object{"n": i}}),
		s.CQL.PutRows(ctx, "t", protocol.Row{ID: id, Values: protocol.Object{"n": i}}),
		s.Redis.Set(ctx, id, []byte(id), time.Hour),
		s.Cypher.PutNode(ctx, protocol.Node{ID: id, Properties: protocol.Object{"n": i}}),
		s.AQL.PutDocuments(ctx, "t", protocol.Document{Key: id, Values: protocol.Object{"n": i}}),
		s.GraphRAG.PutEntity(ctx, "t", protocol.Entity{ID: id, Text: "Text " + id}),
	}
}

func child(dir string) {
	ctx := context.Background()
	s, err := protocol.Open(ctx, dir, protocol.Options{CacheBytes: 1 << 20, WriteBufferBytes: 1 << 16})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, rows := range []*protocol.RowStore{s.PostgreSQL, s.MySQL, s.CQL} {
		err = errors.Join(err, rows.PutSchema(ctx, "t", []byte("{}")))
	}
	if err := errors.Join(err, s.AQL.CreateCollection(ctx, protocol.Collection{Name: "t"})); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		if err := errors.Join(written(ctx, s, i)...); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("done", i)
	}
}

// TestDurability: every store acknowledges in the class that it was opened with, which is
// flushed unless it is told otherwise. A kill does not show what a loss of power would.
func TestDurability(t *testing.T) {
	for _, want := range []engine.Durability{0, engine.Flushed, engine.Buffered} {
		s := open(t, t.TempDir(), protocol.Options{Durability: want})
		if want == 0 {
			want = engine.Flushed
		}
		seen := map[string]int{}
		for _, store := range s.List() {
			store.Before(func(d engine.Durability) {
				if seen[store.Name()]++; d != want {
					t.Errorf("%s applies in class %s, and should in %s", store.Name(), d, want)
				}
			})
		}
		for _, rows := range []*protocol.RowStore{s.PostgreSQL, s.MySQL, s.CQL} {
			ok(t, rows.PutSchema(t.Context(), "t", []byte("{}")))
		}
		ok(t, s.AQL.CreateCollection(t.Context(), protocol.Collection{Name: "t"}))
		ok(t, errors.Join(written(t.Context(), s, 1)...))
		if len(seen) != len(protocol.All()) {
			t.Errorf("batches were seen of %v", seen)
		}
		ok(t, s.Close())
	}
}

// TestKilled: what was acknowledged before a kill -9 is there in every store afterwards,
// the first fault of the history, where it was in memory alone.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	const wanted = 20
	var told bytes.Buffer
	buffer := make([]byte, 4096)
	for strings.Count(told.String(), "\n") < wanted {
		n, err := out.Read(buffer)
		told.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v\n%s", err, &told)
		}
	}
	ok(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	acknowledged := strings.Count(told.String(), "\n")
	if !strings.HasPrefix(told.String(), "done 0\n") {
		t.Fatal(told.String())
	}
	s := open(t, dir, protocol.Options{})
	ctx := t.Context()
	for i := range acknowledged {
		id := fmt.Sprint(i)
		for _, rows := range []*protocol.RowStore{s.PostgreSQL, s.MySQL, s.CQL} {
			row, err := rows.Row(ctx, "t", id)
			if err != nil || fmt.Sprint(row["n"]) != id {
				t.Fatalf("%s: row %s is %v, %v", rows.Protocol(), id, row, err)
			}
		}
		if v, err := s.Redis.Get(ctx, id); err != nil || string(v.Data) != id || v.ExpiresAt.IsZero() {
			t.Fatalf("redis: %s is %v, %v", id, v, err)
		}
		if n, err := s.Cypher.Node(ctx, id); err != nil || fmt.Sprint(n.Properties["n"]) != id {
			t.Fatalf("cypher: %v, %v", n, err)
		}
		if d, err := s.AQL.Document(ctx, "t", id); err != nil || fmt.Sprint(d.Values["n"]) != id {
			t.Fatalf("aql: %v, %v", d, err)
		}
		if found := collect(t, s.GraphRAG.WithText(ctx, "t", "TEXT "+id)); len(found) != 1 || found[0].ID != id {
			t.Fatalf("graphrag: %v", found)
		}
	}
}
