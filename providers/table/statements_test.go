package table_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/lsmtree"
	"github.com/orbit-persistence/orbit/providers/table"
)

func each(t *testing.T, test func(t *testing.T, s *table.Storage)) {
	for name, from := range stores {
		t.Run(name, func(t *testing.T) { test(t, open(t, from)) })
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

func count(t testing.TB, s statements, f table.Filter) int {
	t.Helper()
	r, err := s.Select(t.Context(), table.Query{Table: "players", Filter: f})
	ok(t, err)
	return len(r.Rows)
}

// populate makes players 0 to n-1.
func populate(t testing.TB, s *table.Storage, n int) {
	t.Helper()
	ok(t, s.CreateTable(t.Context(), players))
	for at := 0; at < n; at += 200 {
		var rows []table.Row
		for i := at; i < min(at+200, n); i++ {
			rows = append(rows, player(i, n))
		}
		ok(t, s.Insert(t.Context(), "players", rows...))
	}
}

// TestRowsThatAreLookedAt: queries look at the rows and entries that they must, and at few
// more.
func TestRowsThatAreLookedAt(t *testing.T) {
	const n = 2000 // in 200 teams of 10
	each(t, func(t *testing.T, s *table.Storage) {
		populate(t, s, n)
		ok(t, s.AlterTable(t.Context(), "players", table.AddIndex(table.Index{Name: "by_name", Columns: []string{"name"}, Unique: true}),
			table.AddIndex(table.Index{Name: "by_team_score", Columns: []string{"team", "score"}})))
		id, team, name := func(i int64) table.Value { return table.Int(i) }, func(i int64) table.Filter { return table.Eq("team", table.Int(i)) }, func(i int) table.Value { return table.Text(fmt.Sprintf("player-%07d", i)) }
		for _, c := range []struct {
			what                string
			q                   table.Query
			rows, read, entries int
			plan                string
		}{
			{"a key", table.Query{Filter: table.Eq("id", id(7))}, 1, 1, 0, "primary key (id), 1 spans"},
			{"a key and more", table.Query{Filter: table.And(table.Eq("id", id(7)), team(8))}, 0, 1, 0, "primary key (id), 1 spans"},
			{"keys", table.Query{Filter: table.In("id", id(7), id(9), id(7), id(-1))}, 2, 2, 0, "primary key (id), 3 spans"},
			{"keys by or", table.Query{Filter: table.Or(table.Eq("id", id(7)), table.Eq("id", id(8)))}, 2, 2, 0, "primary key (id), 2 spans"},
			{"no key", table.Query{Filter: table.Eq("id", id(-1))}, 0, 0, 0, "primary key (id), 1 spans"},
			{"what cannot be", table.Query{Filter: table.And(table.Eq("id", id(1)), table.Gt("id", id(1)))}, 0, 0, 0, "no row can pass the filter"},
			{"a range of keys", table.Query{Filter: table.And(table.Ge("id", id(10)), table.Lt("id", id(20)))}, 10, 10, 0, "primary key (id), 1 spans"},
			{"not, of a range", table.Query{Filter: table.Not(table.Or(table.Lt("id", id(10)), table.Ge("id", id(20))))}, 10, 10, 0, "primary key (id), 1 spans"},
			{"an index", table.Query{Filter: team(3)}, 10, 10, 10, "index by_team (team), 1 spans"},
			{"two values of an index", table.Query{Filter: table.In("team", id(3), id(4))}, 20, 20, 20, "index by_team (team), 2 spans; then sorted"},
			{"an index of two columns", table.Query{Filter: table.And(team(3), table.Lt("score", table.Float(3.0/3+1)))}, 1, 1, 1, "index by_team_score (team, score), 1 spans; then sorted"},
			{"a unique index", table.Query{Filter: table.Eq("name", name(5))}, 1, 1, 1, "index by_name (name), 1 spans"},
			{"a beginning", table.Query{Filter: table.Like("name", "player-000001_")}, 10, 10, 10, "index by_name (name), 1 spans; then sorted"},
			{"a pattern of one text", table.Query{Filter: table.Like("name", "player-0000010")}, 1, 1, 1, "index by_name (name), 1 spans"},
			{"or over two indexes", table.Query{Filter: table.Or(team(3), table.Eq("name", name(3)))}, 10, 10, 11, "index by_team (team), 1 spans; index by_name (name), 1 spans; then sorted"},
			{"or with what has no index", table.Query{Filter: table.Or(team(3), table.IsNull("seen"))}, 10, n, 0, "all rows, by primary key"},
			{"the first by an index", table.Query{Order: []table.Order{{Column: "team"}}, Limit: 5}, 5, 5, 5, "all rows, by index by_team"},
			{"the first", table.Query{Limit: 5}, 5, 5, 0, "all rows, by primary key"},
			{"the last", table.Query{Order: []table.Order{{Column: "id", Desc: true}}, Limit: 5}, 5, n, 0, "all rows, by primary key; then sorted"},
			{"all", table.Query{}, n, n, 0, "all rows, by primary key"},
		} {
			c.q.Table = "players"
			plan, err := s.Explain(t.Context(), c.q)
			ok(t, err)
			if plan != c.plan {
				t.Errorf("%s: it goes by %q, not %q", c.what, plan, c.plan)
			}
			before := s.Metrics()
			r, err := s.Select(t.Context(), c.q)
			ok(t, err)
			if len(r.Rows) != c.rows || r.RowsRead != c.read || r.EntriesRead != c.entries {
				t.Errorf("%s: %d rows of %d read, by %d entries; want %d of %d by %d", c.what, len(r.Rows), r.RowsRead, r.EntriesRead, c.rows, c.read, c.entries)
			}
			after := s.Metrics()
			if after.RowsRead-before.RowsRead != uint64(c.read) || after.EntriesRead-before.EntriesRead != uint64(c.entries) {
				t.Errorf("%s: the metrics count %d rows, %d entries", c.what, after.RowsRead-before.RowsRead, after.EntriesRead-before.EntriesRead)
			}
		}
		// A limit that bounds nothing, and a sort that lets most rows go.
		for limit, want := range map[int]int{math.MaxInt: n, 3: 3} {
			r, err := s.Select(t.Context(), table.Query{Table: "players", Order: []table.Order{{Column: "score", Desc: true}}, Limit: limit})
			ok(t, err)
			if len(r.Rows) != want || r.Rows[2][0].Int() != n-3 {
				t.Errorf("limit %d: %d rows, %v", limit, len(r.Rows), r.Rows[2])
			}
		}
		// A page in the order of an index begins where the last one ended.
		q := table.Query{Table: "players", Order: []table.Order{{Column: "team"}}, Limit: 50}
		seen := 0
		for {
			r, err := s.Select(t.Context(), q)
			ok(t, err)
			if r.RowsRead > q.Limit {
				t.Fatalf("a page looked at %d rows", r.RowsRead)
			}
			seen += len(r.Rows)
			if q.After = r.Next; q.After == "" {
				break
			}
		}
		if seen != n {
			t.Errorf("the pages have %d rows", seen)
		}
		before := s.Metrics().RowsRead
		if changed, err := s.Update(t.Context(), "players", table.Row{"score": table.Float(1)}, team(3)); err != nil || changed != 10 {
			t.Errorf("%d, %v", changed, err)
		}
		if removed, err := s.Delete(t.Context(), "players", table.Eq("id", id(0))); err != nil || removed != 1 {
			t.Errorf("%d, %v", removed, err)
		}
		if read := s.Metrics().RowsRead - before; read != 11 {
			t.Errorf("an update and a delete looked at %d rows", read)
		}
	})
}

// TestWhatDoesNotFitIsRefused: each mistake is told, and nothing is changed by it.
func TestWhatDoesNotFitIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *table.Storage) {
		ctx := t.Context()
		populate(t, s, 3)
		ok(t, s.AlterTable(ctx, "players", table.AddIndex(table.Index{Name: "by_name", Columns: []string{"name"}, Unique: true}), table.AddColumn(table.Column{Name: "extra", Type: table.JSONType})))
		row := func(with table.Row) table.Row {
			r := player(10, 100)
			for name, v := range with {
				r[name] = v
			}
			return r
		}
		insert := func(rows ...table.Row) error { return s.Insert(ctx, "players", rows...) }
		selectBy := func(f table.Filter) error {
			_, err := s.Select(ctx, table.Query{Table: "players", Filter: f})
			return err
		}
		query := func(q table.Query) error { q.Table = "players"; _, err := s.Select(ctx, q); return err }
		update := func(set table.Row, f table.Filter) error { _, err := s.Update(ctx, "players", set, f); return err }
		create := func(s2 table.Schema) error { return s.CreateTable(ctx, &s2) }
		int1 := []table.Column{{Name: "id", Type: table.IntType}}
		alter := func(c ...table.Change) error { return s.AlterTable(ctx, "players", c...) }
		first := table.Eq("id", table.Int(0))
		for _, c := range []struct {
			what  string
			err   error
			kind  error
			words []string
		}{
			{"a wrong type", insert(row(table.Row{"team": table.Text("x")})), table.ErrInvalid, []string{"team", "text", "int"}},
			{"no name", insert(row(table.Row{"name": table.Null()})), table.ErrInvalid, []string{"name", "null"}},
			{"no key", insert(table.Row{"name": table.Text("x")}), table.ErrInvalid, []string{"id", "null"}},
			{"an unknown column", insert(row(table.Row{"nam": table.Text("x")})), table.ErrInvalid, []string{`"nam"`, "id, name, team"}},
			{"a key that is there", insert(row(nil), player(1, 3)), table.ErrDuplicate, []string{"row 1", "primary key", "id = 1"}},
			{"a key twice", insert(row(nil), row(nil)), table.ErrDuplicate, []string{"row 1", "id = 10"}},
			{"a unique value that is there", insert(row(table.Row{"name": table.Text("player-0000001")})), table.ErrDuplicate, []string{"by_name", "player-0000001"}},
			{"NaN", insert(row(table.Row{"score": table.Float(math.NaN())})), table.ErrInvalid, []string{"NaN"}},
			{"not UTF-8", insert(row(table.Row{"name": table.Text("\xff")})), table.ErrInvalid, []string{"UTF-8"}},
			{"not JSON", insert(row(table.Row{"extra": table.JSON([]byte("{"))})), table.ErrInvalid, []string{"JSON"}},
			{"the year 10000", insert(row(table.Row{"seen": table.Timestamp(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))})), table.ErrInvalid, []string{"9999"}},
			{"a float that is none", insert(row(table.Row{"score": table.Int(1<<53 + 1)})), table.ErrInvalid, []string{"float"}},
			{"an unknown table", s.Insert(ctx, "nobody", row(nil)), table.ErrNotFound, []string{`"nobody"`}},
			{"a select from an unknown table", func() error { _, err := s.Select(ctx, table.Query{Table: "nobody"}); return err }(), table.ErrNotFound, []string{`"nobody"`}},
			{"a filter on an unknown column", selectBy(table.Eq("nope", table.Int(1))), table.ErrInvalid, []string{`"nope"`}},
			{"a filter of another type", selectBy(table.Gt("team", table.Text("x"))), table.ErrInvalid, []string{"team >", "text"}},
			{"a filter deep in others", selectBy(table.Not(table.And(table.Or(table.Eq("team", table.Bool(true)))))), table.ErrInvalid, []string{"bool"}},
			{"equal to null", selectBy(table.Eq("team", table.Null())), table.ErrInvalid, []string{"IsNull"}},
			{"in null", selectBy(table.In("team", table.Null())), table.ErrInvalid, []string{"IsNull"}},
			{"like of a number", selectBy(table.Like("team", "x")), table.ErrInvalid, []string{"LIKE"}},
			{"like that ends with an escape", selectBy(table.Like("name", `x\`)), table.ErrInvalid, []string{"backslash"}},
			{"comparing JSON", selectBy(table.Eq("extra", table.JSON([]byte("1")))), table.ErrInvalid, []string{"json"}},
			{"a nil in an And", selectBy(table.And(nil)), table.ErrInvalid, []string{"nil"}},
			{"not nil", selectBy(table.Not(nil)), table.ErrInvalid, []string{"nil"}},
			{"too deep", selectBy(func() table.Filter {
				f := first
				for range 1000 {
					f = table.Not(f)
				}
				return f
			}()), table.ErrInvalid, []string{"deep"}},
			{"a limit below zero", query(table.Query{Limit: -1}), table.ErrInvalid, []string{"-1"}},
			{"an offset behind all numbers", query(table.Query{Limit: math.MaxInt, Offset: 1}), table.ErrInvalid, []string{"offset"}},
			{"no columns", query(table.Query{Columns: []string{}}), table.ErrInvalid, []string{"columns"}},
			{"an unknown column to select", query(table.Query{Columns: []string{"nope"}}), table.ErrInvalid, []string{`"nope"`}},
			{"an unknown column to order by", query(table.Query{Order: []table.Order{{Column: "nope"}}}), table.ErrInvalid, []string{`"nope"`}},
			{"an order by JSON", query(table.Query{Order: []table.Order{{Column: "extra"}}}), table.ErrInvalid, []string{"extra"}},
			{"a cursor from nowhere", query(table.Query{After: "AAAA"}), table.ErrInvalid, []string{"After"}},
			{"an update without a filter", update(table.Row{"team": table.Int(1)}, nil), table.ErrInvalid, []string{"All()"}},
			{"an update of nothing", update(nil, first), table.ErrInvalid, []string{"set"}},
			{"an update to null", update(table.Row{"name": table.Null()}, first), table.ErrInvalid, []string{"name"}},
			{"an update of an unknown column", update(table.Row{"nope": table.Null()}, first), table.ErrInvalid, []string{`"nope"`}},
			{"an update to a key that is there", update(table.Row{"id": table.Int(1)}, first), table.ErrDuplicate, []string{"id = 1"}},
			{"an update of all to one name", update(table.Row{"name": table.Text("x")}, table.All()), table.ErrDuplicate, []string{"by_name"}},
			{"a delete without a filter", func() error { _, err := s.Delete(ctx, "players", nil); return err }(), table.ErrInvalid, []string{"All()"}},
			{"a table that is there", create(*players), table.ErrDuplicate, []string{"players"}},
			{"no name of a table", create(table.Schema{Columns: int1, PrimaryKey: []string{"id"}}), table.ErrInvalid, []string{"name"}},
			{"no primary key", create(table.Schema{Name: "x", Columns: int1}), table.ErrInvalid, []string{"primary key"}},
			{"an unknown primary key", create(table.Schema{Name: "x", Columns: int1, PrimaryKey: []string{"y"}}), table.ErrInvalid, []string{`"y"`}},
			{"a primary key of JSON", create(table.Schema{Name: "x", Columns: []table.Column{{Name: "j", Type: table.JSONType}}, PrimaryKey: []string{"j"}}), table.ErrInvalid, []string{"json"}},
			{"no columns of a table", create(table.Schema{Name: "x"}), table.ErrInvalid, []string{"columns"}},
			{"a column twice", create(table.Schema{Name: "x", Columns: append(int1, int1...), PrimaryKey: []string{"id"}}), table.ErrInvalid, []string{"twice"}},
			{"a column of no type", create(table.Schema{Name: "x", Columns: []table.Column{{Name: "id"}}, PrimaryKey: []string{"id"}}), table.ErrInvalid, []string{"type"}},
			{"a default of another type", create(table.Schema{Name: "x", Columns: []table.Column{{Name: "id", Type: table.IntType, Default: table.Text("x")}}, PrimaryKey: []string{"id"}}), table.ErrInvalid, []string{"default"}},
			{"an index over nothing", create(table.Schema{Name: "x", Columns: int1, PrimaryKey: []string{"id"}, Indexes: []table.Index{{Name: "i"}}}), table.ErrInvalid, []string{"no columns"}},
			{"dropping what is not there", s.DropTable(ctx, "nobody"), table.ErrNotFound, []string{"nobody"}},
			{"dropping the key", alter(table.DropColumn("id")), table.ErrInvalid, []string{"primary key"}},
			{"dropping what an index has", alter(table.DropColumn("name")), table.ErrInvalid, []string{"by_name"}},
			{"adding what is there", alter(table.AddColumn(table.Column{Name: "name", Type: table.TextType})), table.ErrDuplicate, []string{"name"}},
			{"adding what may not be null", alter(table.AddColumn(table.Column{Name: "x", Type: table.TextType, NotNull: true})), table.ErrInvalid, []string{"default"}},
			{"an index that is there", alter(table.AddIndex(table.Index{Name: "by_name", Columns: []string{"team"}})), table.ErrDuplicate, []string{"by_name"}},
			{"dropping an index that is not there", alter(table.DropIndex("nope")), table.ErrNotFound, []string{"nope"}},
			{"the second of two changes", alter(table.RenameColumn("team", "club"), table.DropIndex("nope")), table.ErrNotFound, []string{"nope"}},
			{"an empty change", alter(table.Change{}), table.ErrInvalid, nil},
			{"not null where there are nulls", alter(table.SetNotNull("extra", true)), table.ErrInvalid, []string{"extra"}},
			{"a key that may be null", alter(table.SetNotNull("id", false)), table.ErrInvalid, []string{"primary key"}},
			{"the schema of no table", func() error { _, err := s.GetTableSchema(ctx, "nobody"); return err }(), table.ErrNotFound, []string{"nobody"}},
			{"a row that is too large", insert(row(table.Row{"name": table.Text(strings.Repeat("x", s.Provider().Capabilities().Limits.MaxKeyBytes))})), providers.ErrTooLarge, nil},
		} {
			t.Run(c.what, func(t *testing.T) { wants(t, c.kind, c.err, c.words...) })
		}
		if n, err := s.Verify(ctx, "players"); n != 3 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
		if names, err := s.Tables(ctx); len(names) != 1 || err != nil {
			t.Errorf("tables %v, %v", names, err)
		}
		if schema, err := s.GetTableSchema(ctx, "players"); err != nil || schema.Columns[2].Name != "team" || !schema.Indexes[1].Unique || schema.PrimaryKey[0] != "id" {
			t.Errorf("%+v, %v", schema, err)
		}
	})
}

// TestAFailedStatementChangesNothing: the transaction goes on as if it had not been.
func TestAFailedStatementChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *table.Storage) {
		ctx := t.Context()
		populate(t, s, 10)
		tx, err := s.Begin(ctx, providers.TxOptions{})
		ok(t, err)
		defer tx.Rollback()
		ok(t, tx.Insert(ctx, "players", player(20, 100)))
		wants(t, table.ErrDuplicate, tx.Insert(ctx, "players", player(21, 100), player(3, 100)))
		_, err = tx.Update(ctx, "players", table.Row{"id": table.Int(30)}, table.Gt("id", table.Int(5)))
		wants(t, table.ErrDuplicate, err)
		if n := count(t, tx, nil); n != 11 {
			t.Errorf("the transaction sees %d rows", n)
		}
		if n := count(t, s, nil); n != 10 {
			t.Errorf("others see %d rows", n)
		}
		ok(t, tx.Commit(ctx))
		if n, err := s.Verify(ctx, "players"); n != 11 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
		_, err = tx.Select(ctx, table.Query{Table: "players"})
		wants(t, providers.ErrClosed, err)
	})
}

// TestTransactionsAreSerializable: of two transactions each of which reads what the other
// writes, one is a conflict, whether they read keys, an index, or all rows, and also where
// the one that reads has written before.
func TestTransactionsAreSerializable(t *testing.T) {
	for what, read := range map[string]table.Filter{
		"keys": table.In("id", table.Int(0), table.Int(50)), "index": table.Eq("team", table.Int(1)), "all rows": table.IsNull("seen"),
	} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/read first=%t", what, first), func(t *testing.T) {
				each(t, func(t *testing.T, s *table.Storage) {
					ctx := t.Context()
					populate(t, s, 5)
					mine := func(i int) table.Row {
						r := player(i, 5)
						r["team"], r["seen"] = table.Int(1), table.Null()
						return r
					}
					var txs [2]*table.Tx
					var counts [2]int
					for i := range txs {
						tx, err := s.Begin(ctx, providers.TxOptions{})
						ok(t, err)
						defer tx.Rollback()
						txs[i] = tx
						id := 50 + i
						if what == "keys" {
							id = 50
							if i == 1 {
								_, err := tx.Update(ctx, "players", table.Row{"score": table.Float(9)}, table.Eq("id", table.Int(0)))
								ok(t, err)
							}
						}
						write := func() {
							if what != "keys" || i == 0 {
								ok(t, tx.Insert(ctx, "players", mine(id)))
							}
						}
						if !first {
							write()
						}
						counts[i] = count(t, tx, read)
						if first {
							write()
						}
					}
					ok(t, txs[0].Commit(ctx))
					wants(t, table.ErrConflict, txs[1].Commit(ctx))
				})
			})
		}
	}
}

// TestSnapshotsOfReaders: a read-only transaction sees one moment.
func TestSnapshotsOfReaders(t *testing.T) {
	each(t, func(t *testing.T, s *table.Storage) {
		ctx := t.Context()
		populate(t, s, 20)
		tx, err := s.Begin(ctx, providers.TxOptions{ReadOnly: true})
		ok(t, err)
		defer tx.Rollback()
		if n := count(t, tx, nil); n != 20 {
			t.Fatal(n)
		}
		wants(t, table.ErrInvalid, tx.Insert(ctx, "players", player(99, 1)), "read-only")
		ok(t, s.Insert(ctx, "players", player(50, 100)))
		n, err := s.Delete(ctx, "players", table.Lt("id", table.Int(10)))
		ok(t, err)
		if n != 10 {
			t.Fatalf("%d were deleted", n)
		}
		caps := s.Provider().Capabilities()
		if n := count(t, tx, table.Ge("id", table.Int(0))); caps.Snapshot && n != 20 {
			t.Errorf("the reader sees %d rows", n)
		}
		if err := tx.Commit(ctx); caps.Snapshot != (err == nil) || err != nil && !errors.Is(err, table.ErrConflict) {
			t.Errorf("with snapshots: %t; the reader ends with %v", caps.Snapshot, err)
		}
	})
}

// TestWhatIsStoredStays: values of all types come back as they were, after a restart too.
func TestWhatIsStoredStays(t *testing.T) {
	values := []table.Row{
		{"k": table.Bytes([]byte("\x00\x01\xff")), "b": table.Bool(true), "i": table.Int(math.MinInt64), "f": table.Float(math.Inf(-1)), "t": table.Text("é\x00%"), "y": table.Bytes(nil),
			"s": table.Timestamp(time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)), "j": table.JSON([]byte(` {"a" : [1, null]} `))},
		{"k": table.Bytes(nil), "s": table.Timestamp(time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 0)))},
	}
	for _, name := range []string{"cow_btree", "lsm_tree"} {
		t.Run(name, func(t *testing.T) {
			ctx, dir := t.Context(), t.TempDir()
			open := func() (*table.Storage, func()) {
				store, err := stores[name](ctx, dir)
				ok(t, err)
				p := providers.OpenStore(store, providers.Config{})
				return table.New(p), func() { ok(t, p.Close()) }
			}
			s, end := open()
			ok(t, s.CreateTable(ctx, &table.Schema{Name: "v", PrimaryKey: []string{"k"}, Columns: []table.Column{
				{Name: "b", Type: table.BoolType}, {Name: "i", Type: table.IntType, Default: table.Int(-7)}, {Name: "f", Type: table.FloatType}, {Name: "t", Type: table.TextType},
				{Name: "k", Type: table.BytesType}, {Name: "y", Type: table.BytesType}, {Name: "s", Type: table.TimestampType}, {Name: "j", Type: table.JSONType},
			}}))
			ok(t, s.Insert(ctx, "v", values...))
			end()
			s, end = open()
			defer end()
			r, err := s.Select(ctx, table.Query{Table: "v"})
			ok(t, err)
			var got []string
			for row := range r.All() {
				got = append(got, row.String())
			}
			want := []string{
				"(b = NULL, f = NULL, i = -7, j = NULL, k = x'', s = 0001-01-01T00:00:00Z, t = NULL, y = NULL)",
				`(b = true, f = -Inf, i = -9223372036854775808, j = {"a":[1,null]}, k = x'0001ff', s = 9999-12-31T23:59:59.999999999Z, t …`,
			}
			if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
				t.Errorf("got %q", got)
			}
			last := r.Rows[1]
			if !last[0].Bool() || last[1].Int() != math.MinInt64 || !math.IsInf(last[2].Float(), -1) || last[3].Text() != "é\x00%" || last[5].IsNull() || len(last[5].Bytes()) != 0 || last[6].Time().Year() != 9999 || string(last[7].JSON()) != `{"a":[1,null]}` {
				t.Errorf("got %v", last)
			}
		})
	}
}

// TestCheckpointIsATable: the copy opens, and has what the table had.
func TestCheckpointIsATable(t *testing.T) {
	ctx := t.Context()
	s := open(t, stores["lsm_tree"])
	populate(t, s, 100)
	dir := t.TempDir()
	ok(t, s.Checkpoint(ctx, dir))
	_, err := s.Delete(ctx, "players", table.All())
	ok(t, err)
	ok(t, s.Compact(ctx))
	copied := open(t, func(ctx context.Context, _ string) (driver.Store, error) { return openLSM(ctx, dir) })
	if n, err := copied.Verify(ctx, "players"); n != 100 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	wants(t, providers.ErrUnsupported, open(t, stores["cas"]).Checkpoint(ctx, t.TempDir()), "back it up")
}

func TestFactory(t *testing.T) {
	var f table.StorageBackendFactory
	c := lsmtree.Defaults()
	c.DataDir = t.TempDir()
	s, err := f.CreateBackend(t.Context(), table.StorageBackendConfig{Options: c, Provider: providers.Config{Name: "tables"}})
	ok(t, err)
	populate(t, s, 1)
	if m := s.Metrics().Provider; m.Provider != "tables" || m.Backend != "lsm_tree" || s.Provider().Capabilities().Durability != driver.SurvivesPower {
		t.Errorf("the provider is %q, of %s", m.Provider, m.Backend)
	}
	ok(t, s.Close())
	_, err = s.Select(t.Context(), table.Query{Table: "players"})
	wants(t, providers.ErrClosed, err)
	_, err = f.CreateBackend(t.Context(), table.StorageBackendConfig{Backend: "lsm_tre"})
	wants(t, table.ErrInvalid, err, `"lsm_tre"`, "lsm_tree")
}
