package protocol_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/protocol"
)

func TestRows(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, protocol.Options{})
	rows := s.PostgreSQL
	wants(t, engine.ErrNotFound, rows.PutRows(ctx, "t", protocol.Row{ID: "1"}), `"t"`)
	wants(t, engine.ErrInvalid, rows.PutSchema(ctx, "t", []byte("{")), "JSON")
	wants(t, engine.ErrInvalid, rows.PutSchema(ctx, "", []byte("{}")))
	// Names with colons are other tables than those that look like them.
	tables := []string{"t", "t:1", "t%3A1", "t;", "u"}
	for _, name := range tables {
		ok(t, rows.PutSchema(ctx, name, []byte(`{"n":1}`)))
		var all []protocol.Row
		for i := range 600 {
			all = append(all, protocol.Row{ID: fmt.Sprintf("%d:%03d", i%2, i), Values: protocol.Object{"table": name, "big": math.MaxInt64, "n": nil}})
		}
		ok(t, rows.PutRows(ctx, name, all...))
	}
	wants(t, engine.ErrInvalid, rows.PutRows(ctx, "t", protocol.Row{ID: ""}))
	wants(t, engine.ErrInvalid, rows.PutRows(ctx, "t", protocol.Row{ID: "1", Values: protocol.Object{"x": math.NaN()}}), "JSON")
	row, err := rows.Row(ctx, "t:1", "0:000")
	ok(t, err)
	if row["table"] != "t:1" || row["big"] != json.Number("9223372036854775807") {
		t.Errorf("row %v", row)
	}
	if got := collect(t, rows.Rows(ctx, "t", "1:595")); len(got) != 2 || got[0].ID != "1:597" {
		t.Errorf("the last rows are %v", got)
	}
	ok(t, rows.DeleteRows(ctx, "t", "0:000", "none"))
	_, err = rows.Row(ctx, "t", "0:000")
	wants(t, engine.ErrNotFound, err)
	ok(t, rows.DropTable(ctx, "t"))
	wants(t, engine.ErrNotFound, rows.DropTable(ctx, "t"), `"t"`)
	ok(t, s.Close())
	s = open(t, dir, protocol.Options{})
	rows = s.PostgreSQL
	names, err := rows.Tables(ctx)
	ok(t, err)
	if want := []string{"t%3A1", "t:1", "t;", "u"}; !slices.Equal(slices.Sorted(slices.Values(names)), want) {
		t.Errorf("tables %q", names)
	}
	for _, name := range tables[1:] {
		got := collect(t, rows.Rows(ctx, name, ""))
		if len(got) != 600 || got[599].Values["table"] != name {
			t.Errorf("%q has %d rows", name, len(got))
		}
	}
	if got := collect(t, rows.Rows(ctx, "t", "")); len(got) != 0 {
		t.Errorf("%d rows are left of a table that was dropped", len(got))
	}
	ok(t, rows.Put(ctx, protocol.Views, "v", []byte(`{"sql":"x"}`)))
	wants(t, engine.ErrInvalid, rows.Put(ctx, "data", "row:u:1", []byte("{}")), "data")
	wants(t, engine.ErrInvalid, rows.Put(ctx, protocol.Views, "v", []byte("x")))
	if v, err := rows.Get(ctx, protocol.Views, "v"); err != nil || string(v) != `{"sql":"x"}` {
		t.Errorf("%s, %v", v, err)
	}
	if names, err := rows.Names(ctx, protocol.Views); err != nil || len(names) != 1 {
		t.Errorf("%q, %v", names, err)
	}
	ok(t, rows.Delete(ctx, protocol.Views, "v"))
	_, err = rows.Get(ctx, protocol.Views, "v")
	wants(t, engine.ErrNotFound, err)
}

// clock is a clock that tests set.
type clock struct{ nanos atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.nanos.Load()) }

func (c *clock) pass(d time.Duration) { c.nanos.Add(int64(d)) }

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(1_700_000_000_000_000_000)
	return c
}

// TestSetAgainLives: the bug of the first implementation, where a key that was set again
// kept the entry of its old time, and the sweep removed the new value.
func TestSetAgainLives(t *testing.T) {
	for what, again := range map[string]time.Duration{"longer": time.Hour, "for ever": 0, "shorter": time.Second} {
		t.Run(what, func(t *testing.T) {
			ctx, c, dir := t.Context(), newClock(), t.TempDir()
			s := open(t, dir, protocol.Options{Now: c.now})
			ok(t, s.Redis.Set(ctx, "k", []byte("old"), time.Minute))
			ok(t, s.Redis.Set(ctx, "k", []byte("new"), again))
			entries := map[time.Duration]int{time.Hour: 1, 0: 0, time.Second: 1}[again]
			ok(t, s.Close())
			if got := contents(t, filepath.Join(dir, "redis", "rocksdb"))["redis_expiration"]; len(got) != entries {
				t.Errorf("the expirations are %q", got)
			}
			s = open(t, dir, protocol.Options{Now: c.now})
			c.pass(2 * time.Minute)
			removed, err := s.Redis.Sweep(ctx)
			ok(t, err)
			v, err := s.Redis.Get(ctx, "k")
			if again == time.Second {
				if removed != 1 || !errors.Is(err, engine.ErrNotFound) {
					t.Errorf("%d were removed, and there is %v, %v", removed, v, err)
				}
				return
			}
			if removed != 0 || err != nil || string(v.Data) != "new" {
				t.Errorf("%d were removed, and there is %q, %v", removed, v.Data, err)
			}
		})
	}
}

// TestSweepLooksAtTheValue: an entry of a time that is not the value's says nothing, as
// stores have it that another program has written.
func TestSweepLooksAtTheValue(t *testing.T) {
	ctx, c, dir := t.Context(), newClock(), t.TempDir()
	s := open(t, dir, protocol.Options{Now: c.now})
	ok(t, s.Redis.Set(ctx, "k", []byte("v"), time.Hour))
	ok(t, s.Close())
	raw := filepath.Join(dir, "redis", "rocksdb")
	e, err := protocol.OpenRaw(ctx, raw)
	ok(t, err)
	ids, err := e.(engine.FamilyStore).Families()
	ok(t, err)
	var b engine.Batch
	for _, key := range []string{"k", "none"} {
		b.PutIn(ids["redis_expiration"], fmt.Appendf(nil, "%020d:%s", c.now().UnixNano()+1, key), nil)
	}
	ok(t, e.Apply(ctx, &b, engine.Flushed))
	ok(t, e.Close())
	s = open(t, dir, protocol.Options{Now: c.now})
	c.pass(time.Minute)
	if removed, err := s.Redis.Sweep(ctx); removed != 0 || err != nil {
		t.Errorf("%d, %v", removed, err)
	}
	if _, err := s.Redis.Get(ctx, "k"); err != nil {
		t.Error(err)
	}
	ok(t, s.Close())
	if got := contents(t, raw)["redis_expiration"]; len(got) != 1 {
		t.Errorf("the expirations are %q", got)
	}
}

// TestRedisAgainstAMap does random things here and to a map.
func TestRedisAgainstAMap(t *testing.T) {
	ctx, c, dir := t.Context(), newClock(), t.TempDir()
	o := protocol.Options{Now: c.now, Durability: engine.Buffered}
	s := open(t, dir, o)
	type held struct {
		data    string
		expires time.Time
	}
	model := map[string]held{}
	live := func(key string) (held, bool) {
		h, ok := model[key]
		return h, ok && (h.expires.IsZero() || h.expires.After(c.now()))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		key := "k" + strconv.Itoa(r.IntN(12))
		ttl := time.Duration(r.IntN(3)) * time.Duration(r.IntN(20)) * time.Second
		until := time.Time{}
		if ttl > 0 {
			until = c.now().Add(ttl)
		}
		before, there := live(key)
		switch n := r.IntN(100); {
		case n < 40:
			data := strconv.Itoa(i)
			ok(t, s.Redis.Set(ctx, key, []byte(data), ttl))
			model[key] = held{data, until}
		case n < 55:
			found, err := s.Redis.Expire(ctx, key, ttl)
			if err != nil || found != there {
				t.Fatalf("step %d: expire is %t, %v", i, found, err)
			}
			if found {
				model[key] = held{before.data, until}
			}
		case n < 65:
			found, err := s.Redis.Delete(ctx, key)
			if err != nil || found != there {
				t.Fatalf("step %d: delete is %t, %v", i, found, err)
			}
			delete(model, key)
		case n < 75:
			c.pass(time.Duration(r.IntN(10)) * time.Second)
		case n < 85:
			want := 0
			for key := range model {
				if _, there := live(key); !there {
					want++
					delete(model, key)
				}
			}
			if removed, err := s.Redis.Sweep(ctx); removed != want || err != nil {
				t.Fatalf("step %d: the sweep removed %d, %v; want %d", i, removed, err, want)
			}
		case n < 86 && i%4 == 0:
			ok(t, s.Close())
			s = open(t, dir, o)
		}
		v, err := s.Redis.Get(ctx, key)
		h, there := live(key)
		if there != (err == nil) || there && (string(v.Data) != h.data || !v.ExpiresAt.Equal(h.expires)) {
			t.Fatalf("step %d: %s is %q until %s, %v; want %t %q until %s", i, key, v.Data, v.ExpiresAt, err, there, h.data, h.expires)
		}
		n := 0
		for key := range model {
			if _, there := live(key); there {
				n++
			}
		}
		if got := collect(t, s.Redis.Keys(ctx, "k")); len(got) != n {
			t.Fatalf("step %d: keys %q, want %d", i, got, n)
		}
	}
	c.pass(time.Hour)
	_, err := s.Redis.Sweep(ctx)
	ok(t, err)
	ok(t, s.Close())
	if all := contents(t, filepath.Join(dir, "redis", "rocksdb")); len(all["redis_expiration"]) != 0 {
		t.Errorf("expirations are left: %q", all["redis_expiration"])
	}
	s = open(t, dir, o)
	wants(t, engine.ErrInvalid, s.Redis.Set(ctx, "k", nil, -1), "TTL")
	wants(t, engine.ErrInvalid, s.Redis.Set(ctx, "k", nil, math.MaxInt64), "2262")
	wants(t, engine.ErrInvalid, s.Redis.Set(ctx, "", nil, 0))
}

// TestSweeper: values that have expired go by themselves.
func TestSweeper(t *testing.T) {
	ctx, c := t.Context(), newClock()
	s := open(t, t.TempDir(), protocol.Options{Now: c.now, SweepInterval: time.Millisecond})
	ok(t, s.Redis.Set(ctx, "k", nil, time.Second))
	c.pass(time.Minute)
	for before := s.Redis.Metrics().DeleteOperations; before == 0; { // a sweep counts as one
		before = s.Redis.Metrics().DeleteOperations
	}
	if removed, err := s.Redis.Sweep(ctx); removed != 0 || err != nil {
		t.Errorf("%d were left, %v", removed, err)
	}
}

func ids[T any](t *testing.T, seq iter.Seq2[T, error], id func(T) string) string {
	t.Helper()
	var all []string
	for _, v := range collect(t, seq) {
		all = append(all, id(v))
	}
	return strings.Join(all, " ")
}

func TestGraph(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, protocol.Options{})
	id := func(r protocol.Relationship) string { return r.ID }
	for _, n := range []string{"a", "b", "a:b", "c"} {
		ok(t, s.Cypher.PutNode(ctx, protocol.Node{ID: n, Labels: []string{"Person"}, Properties: protocol.Object{"name": n}}))
	}
	put := func(id, from, to string) {
		ok(t, s.Cypher.PutRelationship(ctx, protocol.Relationship{ID: id, Type: "KNOWS", From: from, To: to}))
	}
	put("1", "a", "b")
	put("2", "a", "c")
	put("b:3", "a", "a")
	put("3", "a:b", "a")
	wants(t, engine.ErrNotFound, s.Cypher.PutRelationship(ctx, protocol.Relationship{ID: "4", From: "a", To: "nobody"}), `"nobody"`)
	if got := ids(t, s.Cypher.From(ctx, "a"), id); got != "1 2 b:3" {
		t.Errorf("from a: %s", got)
	}
	if got := ids(t, s.Cypher.To(ctx, "a"), id); got != "3 b:3" {
		t.Errorf("to a: %s", got)
	}
	put("2", "b", "c") // it moves
	if got := ids(t, s.Cypher.From(ctx, "a"), id) + "|" + ids(t, s.Cypher.From(ctx, "b"), id); got != "1 b:3|2" {
		t.Errorf("from a and b: %s", got)
	}
	wants(t, engine.ErrConflict, s.Cypher.DeleteNode(ctx, "a", false), "detach")
	ok(t, s.Cypher.DeleteNode(ctx, "a", true))
	wants(t, engine.ErrNotFound, s.Cypher.DeleteNode(ctx, "a", true))
	ok(t, s.Cypher.DeleteRelationship(ctx, "2"))
	wants(t, engine.ErrNotFound, s.Cypher.DeleteRelationship(ctx, "2"))
	ok(t, s.Close())
	if all := contents(t, filepath.Join(dir, "cypher", "rocksdb")); len(all["relationships"]) != 0 || len(all["nodes"]) != 3 {
		t.Errorf("left are %q", all)
	}
	s = open(t, dir, protocol.Options{})
	if got := ids(t, s.Cypher.Nodes(ctx), func(n protocol.Node) string { return n.ID }); got != "a:b b c" {
		t.Errorf("nodes %s", got)
	}
}

func TestDocuments(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, protocol.Options{})
	a := s.AQL
	ok(t, a.CreateCollection(ctx, protocol.Collection{Name: "d", Properties: protocol.Object{"shards": 1}}))
	ok(t, a.CreateCollection(ctx, protocol.Collection{Name: "e", Edges: true}))
	wants(t, engine.ErrConflict, a.CreateCollection(ctx, protocol.Collection{Name: "d"}), `"d"`)
	wants(t, engine.ErrNotFound, a.PutDocuments(ctx, "x", protocol.Document{Key: "1"}), `"x"`)
	wants(t, engine.ErrInvalid, a.PutDocuments(ctx, "e", protocol.Document{Key: "1"}), "edges")
	wants(t, engine.ErrInvalid, a.PutEdge(ctx, "d", protocol.Edge{Key: "1", From: "d/1", To: "d/2"}), "documents")
	ok(t, a.PutDocuments(ctx, "d", protocol.Document{Key: "1", Values: protocol.Object{"n": 1}}, protocol.Document{Key: "2", Values: protocol.Object{}}))
	ok(t, a.PutEdge(ctx, "e", protocol.Edge{Key: "1", From: "d/1", To: "d/2", Values: protocol.Object{"w": 1.5}}))
	ok(t, a.PutEdge(ctx, "e", protocol.Edge{Key: "2", From: "d/1", To: "d/1"}))
	ok(t, a.PutEdge(ctx, "e", protocol.Edge{Key: "2", From: "d/2", To: "d/1"}))
	key := func(e protocol.Edge) string { return e.Key }
	if got := ids(t, a.From(ctx, "e", "d/1"), key) + "|" + ids(t, a.To(ctx, "e", "d/1"), key) + "|" + ids(t, a.From(ctx, "e", "d/2"), key); got != "1|2|2" {
		t.Errorf("edges %s", got)
	}
	ok(t, a.DeleteEdge(ctx, "e", "2"))
	wants(t, engine.ErrNotFound, a.DeleteEdge(ctx, "e", "2"))
	ok(t, a.PutGraph(ctx, "g", protocol.Object{"edges": "e"}))
	ok(t, a.DeleteDocument(ctx, "d", "2"))
	ok(t, s.Close())
	s = open(t, dir, protocol.Options{})
	a = s.AQL
	if docs := collect(t, a.Documents(ctx, "d")); len(docs) != 1 || docs[0].Values["n"] != json.Number("1") {
		t.Errorf("documents %v", docs)
	}
	if e, err := a.Edge(ctx, "e", "1"); err != nil || e.To != "d/2" || e.Values["w"] != json.Number("1.5") {
		t.Errorf("edge %v, %v", e, err)
	}
	if names, err := a.Graphs(ctx); err != nil || len(names) != 1 {
		t.Errorf("graphs %q, %v", names, err)
	}
	if g, err := a.Graph(ctx, "g"); err != nil || g["edges"] != "e" {
		t.Errorf("graph %v, %v", g, err)
	}
	ok(t, a.DropGraph(ctx, "g"))
	if c := collect(t, a.Collections(ctx)); len(c) != 2 || !c[1].Edges || c[0].Name != "d" {
		t.Errorf("collections %v", c)
	}
	ok(t, a.DropCollection(ctx, "e"))
	ok(t, a.DropCollection(ctx, "d"))
	wants(t, engine.ErrNotFound, a.DropCollection(ctx, "d"))
	ok(t, s.Close())
	for name, entries := range contents(t, filepath.Join(dir, "aql", "rocksdb")) {
		if len(entries) != 0 {
			t.Errorf("%s holds %q", name, entries)
		}
	}
}

func TestKnowledge(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, protocol.Options{})
	k := s.GraphRAG
	for _, e := range []protocol.Entity{{ID: "1", Text: "Ada"}, {ID: "2", Text: "ADA", Confidence: 0.5}, {ID: "3", Text: "Bob"}} {
		for _, graph := range []string{"g", "g:1"} {
			ok(t, k.PutEntity(ctx, graph, e))
		}
	}
	wants(t, engine.ErrInvalid, k.PutEntity(ctx, "g", protocol.Entity{ID: "4"}), "letter")
	id := func(e protocol.Entity) string { return e.ID }
	if got := ids(t, k.WithText(ctx, "g", "aDa"), id); got != "1 2" {
		t.Errorf("with the text: %s", got)
	}
	ok(t, k.PutEntity(ctx, "g", protocol.Entity{ID: "2", Text: "Eve"})) // no longer
	if got := ids(t, k.WithText(ctx, "g", "ada"), id) + "|" + ids(t, k.WithText(ctx, "g:1", "ada"), id); got != "1|1 2" {
		t.Errorf("with the text: %s", got)
	}
	ok(t, k.PutRelation(ctx, "g", protocol.Relation{ID: "r", Type: "KNOWS", From: "1", To: "2"}))
	ok(t, k.PutRelation(ctx, "g", protocol.Relation{ID: "q", Type: "KNOWS", From: "2", To: "3"}))
	wants(t, engine.ErrNotFound, k.PutRelation(ctx, "g", protocol.Relation{ID: "x", From: "1", To: "9"}), `"9"`)
	wants(t, engine.ErrNotFound, k.PutEmbedding(ctx, "g", "9", []float32{1}), `"9"`)
	wants(t, engine.ErrInvalid, k.PutEmbedding(ctx, "g", "1", nil))
	wants(t, engine.ErrInvalid, k.PutEmbedding(ctx, "g", "1", []float32{float32(math.NaN())}))
	for id, v := range map[string][]float32{"1": {1, 0}, "2": {1, 1}, "3": {-1, 0}} {
		ok(t, k.PutEmbedding(ctx, "g", id, v))
	}
	ok(t, k.PutEmbedding(ctx, "g:1", "3", []float32{1, 0}))
	ok(t, s.Close())
	s = open(t, dir, protocol.Options{})
	k = s.GraphRAG
	near, err := k.Nearest(ctx, "g", []float32{2, 0.5}, 2)
	if err != nil || len(near) != 2 || near[0].Entity != "1" || near[1].Entity != "2" || near[0].Cosine < near[1].Cosine {
		t.Errorf("nearest %v, %v", near, err)
	}
	_, err = k.Nearest(ctx, "g", []float32{0}, 1)
	wants(t, engine.ErrInvalid, err)
	if v, err := k.Embedding(ctx, "g", "2"); err != nil || !slices.Equal(v, []float32{1, 1}) {
		t.Errorf("embedding %v, %v", v, err)
	}
	if names, err := k.Graphs(ctx); err != nil || !slices.Equal(slices.Sorted(slices.Values(names)), []string{"g", "g:1"}) {
		t.Errorf("graphs %q, %v", names, err)
	}
	rid := func(r protocol.Relation) string { return r.ID }
	if got := ids(t, k.From(ctx, "g", "2"), rid) + ids(t, k.To(ctx, "g", "2"), rid); got != "qr" {
		t.Errorf("relations %s", got)
	}
	ok(t, k.DeleteEntity(ctx, "g", "2"))
	wants(t, engine.ErrNotFound, k.DeleteEntity(ctx, "g", "2"))
	if got := ids(t, k.Entities(ctx, "g"), id); got != "1 3" {
		t.Errorf("entities %s", got)
	}
	ok(t, s.Close())
	all := contents(t, filepath.Join(dir, "graphrag", "rocksdb"))
	if len(all["relationships"]) != 0 || len(all["rel_index"]) != 0 || len(all["embeddings"]) != 3 || len(all["entity_index"]) != 5 {
		t.Errorf("left are %q", all)
	}
}

// TestNothingDangles: relationships are put while their nodes are removed by others, rows
// while their table is. At the end each has what it needs.
func TestNothingDangles(t *testing.T) {
	ctx := t.Context()
	s := open(t, t.TempDir(), protocol.Options{Durability: engine.Buffered})
	var wait sync.WaitGroup
	for w := range 4 {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range 150 {
				id, other := strconv.Itoa(r.IntN(4)), strconv.Itoa(r.IntN(4))
				var err error
				switch r.IntN(6) {
				case 0:
					err = s.Cypher.PutNode(ctx, protocol.Node{ID: id})
				case 1:
					err = s.Cypher.DeleteNode(ctx, id, true)
				case 2, 3:
					err = s.Cypher.PutRelationship(ctx, protocol.Relationship{ID: strconv.Itoa(i % 7), From: id, To: other})
				case 4:
					err = errors.Join(s.MySQL.PutSchema(ctx, id, []byte("{}")), s.MySQL.PutRows(ctx, id, protocol.Row{ID: other}))
				case 5:
					err = s.MySQL.DropTable(ctx, id)
				}
				if err != nil && !errors.Is(err, engine.ErrNotFound) {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	rels := 0
	for i := range 7 {
		r, err := s.Cypher.Relationship(ctx, strconv.Itoa(i))
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		ok(t, err)
		rels++
		for node, seq := range map[string]iter.Seq2[protocol.Relationship, error]{r.From: s.Cypher.From(ctx, r.From), "to " + r.To: s.Cypher.To(ctx, r.To)} {
			if !slices.ContainsFunc(collect(t, seq), func(other protocol.Relationship) bool { return other.ID == r.ID }) {
				t.Errorf("relationship %v is not at %s", r, node)
			}
		}
		for _, node := range []string{r.From, r.To} {
			if _, err := s.Cypher.Node(ctx, node); err != nil {
				t.Errorf("node %s of relationship %v: %v", node, r, err)
			}
		}
	}
	for i := range 4 {
		name := strconv.Itoa(i)
		if _, err := s.MySQL.Schema(ctx, name); errors.Is(err, engine.ErrNotFound) && len(collect(t, s.MySQL.Rows(ctx, name, ""))) > 0 {
			t.Errorf("table %s is gone, and its rows are not", name)
		}
	}
}

// TestNodeStaysUnderARelationship: while a relationship is being put, its nodes cannot be
// removed. The removal is tried when the relationship's batch is about to be applied,
// after its nodes were looked at.
func TestNodeStaysUnderARelationship(t *testing.T) {
	ctx := t.Context()
	s := open(t, t.TempDir(), protocol.Options{Durability: engine.Buffered})
	ok(t, s.Cypher.PutNode(ctx, protocol.Node{ID: "a"}))
	ok(t, s.Cypher.PutNode(ctx, protocol.Node{ID: "b"}))
	first := true
	s.Cypher.Before(func(engine.Durability) {
		if !first {
			return
		}
		first = false
		soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if err := s.Cypher.DeleteNode(soon, "a", true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the node is removed meanwhile: %v", err)
		}
	})
	ok(t, s.Cypher.PutRelationship(ctx, protocol.Relationship{ID: "r", From: "a", To: "b"}))
	if first {
		t.Fatal("no batch was seen")
	}
	_, err := s.Cypher.Node(ctx, "a")
	ok(t, err)
	ok(t, s.Cypher.DeleteNode(ctx, "a", true))
	if _, err := s.Cypher.Relationship(ctx, "r"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("the relationship of a node that was removed: %v", err)
	}
}

// TestContexts: a call whose context has ended does nothing, also where it would wait.
func TestContexts(t *testing.T) {
	s := open(t, t.TempDir(), protocol.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"set":  s.Redis.Set(ctx, "k", nil, 0),
		"get":  func() error { _, err := s.Redis.Get(ctx, "k"); return err }(),
		"drop": s.MySQL.DropTable(ctx, "t"),
		"list": func() error {
			for _, err := range s.MySQL.Rows(ctx, "t", "") {
				return err
			}
			return nil
		}(),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
