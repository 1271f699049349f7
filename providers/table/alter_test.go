package table_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/intent"
	"github.com/orbit-persistence/orbit/providers/table"
)

// TestOldRowsStayReadable: rows show what a column was when it was added, whatever
// becomes of its default, and nothing of a column of the same name that was dropped.
func TestOldRowsStayReadable(t *testing.T) {
	each(t, func(t *testing.T, s *table.Storage) {
		ctx := t.Context()
		ok(t, s.CreateTable(ctx, &table.Schema{Name: "t", PrimaryKey: []string{"k"}, Columns: []table.Column{{Name: "k", Type: table.IntType}, {Name: "a", Type: table.TextType}}}))
		insert := func(k int64, with table.Row) {
			row := table.Row{"k": table.Int(k)}
			for name, v := range with {
				row[name] = v
			}
			ok(t, s.Insert(ctx, "t", row))
		}
		insert(1, table.Row{"a": table.Text("old")})
		ok(t, s.AlterTable(ctx, "t", table.AddColumn(table.Column{Name: "n", Type: table.IntType, NotNull: true, Default: table.Int(7)}), table.AddColumn(table.Column{Name: "m", Type: table.TextType})))
		insert(2, nil)
		ok(t, s.AlterTable(ctx, "t", table.SetDefault("n", table.Int(8))))
		insert(3, nil)
		ok(t, s.AlterTable(ctx, "t", table.DropColumn("a")))
		ok(t, s.AlterTable(ctx, "t", table.AddColumn(table.Column{Name: "a", Type: table.FloatType})))
		insert(4, table.Row{"a": table.Float(1)})
		ok(t, s.AlterTable(ctx, "t", table.RenameColumn("k", "key"), table.RenameColumn("n", "num"), table.SetNotNull("num", false), table.RenameTable("u")))
		ok(t, s.Insert(ctx, "u", table.Row{"key": table.Int(5), "num": table.Null()}))
		_, err := s.Select(ctx, table.Query{Table: "t"})
		wants(t, table.ErrNotFound, err)
		r, err := s.Select(ctx, table.Query{Table: "u"})
		ok(t, err)
		var got []string
		for row := range r.All() {
			got = append(got, row.String())
		}
		if want := []string{
			"(a = NULL, key = 1, m = NULL, num = 7)", "(a = NULL, key = 2, m = NULL, num = 7)", "(a = NULL, key = 3, m = NULL, num = 8)",
			"(a = 1, key = 4, m = NULL, num = 8)", "(a = NULL, key = 5, m = NULL, num = NULL)",
		}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		// A transaction that began before a change of the schema does not go past it.
		tx, err := s.Begin(ctx, providers.TxOptions{})
		ok(t, err)
		defer tx.Rollback()
		ok(t, tx.Insert(ctx, "u", table.Row{"key": table.Int(6)}))
		ok(t, s.AlterTable(ctx, "u", table.AddIndex(table.Index{Name: "i", Columns: []string{"num"}})))
		wants(t, table.ErrConflict, tx.Commit(ctx))
		if n, err := s.Verify(ctx, "u"); n != 5 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
	})
}

// TestDroppedIsGone: nothing is left of it, and a table of the same name is another one.
func TestDroppedIsGone(t *testing.T) {
	each(t, func(t *testing.T, s *table.Storage) {
		ctx := t.Context()
		populate(t, s, 1500)
		ok(t, s.AlterTable(ctx, "players", table.DropIndex("by_team")))
		if left := keysOf(t, s, "table/i"); len(left) != 0 {
			t.Errorf("%d entries are left of the index", len(left))
		}
		ok(t, s.DropTable(ctx, "players"))
		if left := keysOf(t, s, "table/"); len(left) != 1 || left[0] != "table/n" {
			t.Errorf("left are %q", left)
		}
		populate(t, s, 3)
		if n := count(t, s, nil); n != 3 {
			t.Errorf("%d rows", n)
		}
	})
}

func keysOf(t *testing.T, s *table.Storage, prefix string) (keys []string) {
	t.Helper()
	for e, err := range s.Provider().List(t.Context(), providers.ListOptions{Prefix: []byte(prefix), KeysOnly: true}) {
		ok(t, err)
		keys = append(keys, string(e.Key))
	}
	return keys
}

// TestKilledAtEveryCall kills the client at each of its calls in turn, before it and after
// it: what it was about is then done whole or not at all, and done again it succeeds.
func TestKilledAtEveryCall(t *testing.T) {
	ctx := t.Context()
	for what, do := range map[string]func(s *table.Storage) error{
		"insert": func(s *table.Storage) error {
			return s.Insert(ctx, "players", player(100, 40), player(101, 40), player(102, 40))
		},
		"update": func(s *table.Storage) error {
			_, err := s.Update(ctx, "players", table.Row{"team": table.Int(77), "name": table.Text("x")}, table.In("id", table.Int(1), table.Int(2)))
			return err
		},
		"delete": func(s *table.Storage) error {
			_, err := s.Delete(ctx, "players", table.Lt("id", table.Int(5)))
			return err
		},
		"add index": func(s *table.Storage) error {
			return s.AlterTable(ctx, "players", table.AddIndex(table.Index{Name: "by_name", Columns: []string{"name"}}))
		},
		"drop index": func(s *table.Storage) error { return s.AlterTable(ctx, "players", table.DropIndex("by_team")) },
		"drop table": func(s *table.Storage) error { return s.DropTable(ctx, "players") },
	} {
		t.Run(what, func(t *testing.T) {
			const most = 3000
			step := int64(1)
			if testing.Short() || what == "drop table" || what == "add index" {
				step = 7
			}
			for n := int64(1); n < most; n += step {
				if done := killAt(t, n, do, what); done {
					return
				}
			}
			t.Fatalf("not done after %d calls", most)
		})
	}
}

func killAt(t *testing.T, n int64, do func(s *table.Storage) error, what string) (done bool) {
	ctx := t.Context()
	base, err := openMemory(ctx, "")
	ok(t, err)
	defer base.Close()
	shared := keepOpen{drivertest.CASOnly(base)}
	// Whoever waits for the timeout of the dead lets a minute pass on a clock of its own.
	var passed atomic.Int64
	o := intent.Options{
		Now:   func() time.Time { return time.Unix(1000+60*passed.Load(), 0) },
		Sleep: func(ctx context.Context, _ time.Duration) error { passed.Add(1); return ctx.Err() },
	}
	healthy := func() (*table.Storage, func()) {
		p := providers.OpenStore(intent.Wrap(shared, o), providers.Config{})
		return table.New(p), func() { ok(t, p.Close()) }
	}
	s, end := healthy()
	populate(t, s, 40)
	end()
	p := providers.OpenStore(drivertest.Kill(shared, n, n%2 == 0), providers.Config{})
	err = do(table.New(p))
	if closeErr := p.Close(); closeErr != nil && err == nil {
		t.Fatal(closeErr)
	}
	s, end = healthy()
	defer end()
	names, listErr := s.Tables(ctx)
	ok(t, listErr)
	if len(names) == 1 {
		rows, err := s.Verify(ctx, "players")
		if err != nil {
			t.Fatalf("killed at call %d: %v", n, err)
		}
		for i := range 40 {
			if what == "add index" && count(t, s, table.Eq("name", player(i, 40)["name"])) != 1 {
				t.Fatalf("killed at call %d: row %d is not found by what is to be an index", n, i)
			}
		}
		if whole := map[string]int{"insert": 43, "delete": 35}[what]; rows != 40 && rows != whole {
			t.Fatalf("killed at call %d: %d rows", n, rows)
		}
	}
	if err == nil {
		return true
	}
	if again := do(s); again != nil && !errors.Is(again, table.ErrDuplicate) && !errors.Is(again, table.ErrNotFound) {
		t.Fatalf("killed at call %d, done again: %v", n, again)
	}
	ok(t, s.Compact(ctx))
	names, listErr = s.Tables(ctx)
	ok(t, listErr)
	switch {
	case what == "drop table":
		if left := keysOf(t, s, "table/"); len(left) != 1 {
			t.Fatalf("killed at call %d: left are %q", n, left)
		}
	case len(names) != 1:
		t.Fatalf("killed at call %d: the table is gone", n)
	default:
		if _, err := s.Verify(ctx, "players"); err != nil {
			t.Fatalf("killed at call %d, done again: %v", n, err)
		}
		if what == "drop index" && len(keysOf(t, s, "table/i")) != 0 {
			t.Fatalf("killed at call %d: entries of the index are left", n)
		}
		if what == "add index" {
			plan, err := s.Explain(ctx, table.Query{Table: "players", Filter: table.Eq("name", table.Text("x"))})
			ok(t, err)
			if plan != "index by_name (name), 1 spans" {
				t.Fatalf("killed at call %d: the index is not used: %s", n, plan)
			}
		}
	}
	return false
}

// keepOpen is a store that its first user's Close leaves open for the next.
type keepOpen struct{ driver.Store }

func (keepOpen) Close() error { return nil }

// TestIndexIsBuiltUnderWriters: writers go on while an index is built, and none of their
// rows is missing from it.
func TestIndexIsBuiltUnderWriters(t *testing.T) {
	for _, name := range []string{"memory", "lsm_tree", "cas"} {
		t.Run(name, func(t *testing.T) {
			s, ctx := open(t, stores[name]), t.Context()
			const n, writers = 600, 3
			populate(t, s, n)
			var wait sync.WaitGroup
			built := make(chan struct{})
			for w := range writers {
				wait.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-built:
							return
						default:
						}
						id := n + w + writers*(i%50)
						row := player(id, n)
						row["name"] = table.Text(fmt.Sprint("new", id, "-", i))
						_, err := s.Delete(ctx, "players", table.Eq("id", row["id"]))
						if err == nil {
							err = s.Insert(ctx, "players", row)
						}
						if err == nil {
							_, err = s.Update(ctx, "players", table.Row{"name": table.Text(fmt.Sprint("again", id, "-", i))}, table.Eq("id", table.Int(int64((id*31)%n))))
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			err := s.AlterTable(ctx, "players", table.AddIndex(table.Index{Name: "by_name", Columns: []string{"name"}, Unique: true}))
			close(built)
			wait.Wait()
			ok(t, err)
			if rows, err := s.Verify(ctx, "players"); rows < n || err != nil {
				t.Errorf("%d rows, %v", rows, err)
			}
		})
	}
}

// crowded is a store on which a commit that writes more than one key always conflicts, as
// if writers were everywhere at once. After the first it refuses one of more than twice as
// many keys as the last.
type crowded struct {
	driver.Store
	driver.Committer
	on   *bool
	last *int
}

func (s crowded) Commit(ctx context.Context, c *driver.Commit) error {
	n, last := len(c.Writes), *s.last
	if !*s.on {
		return s.Committer.Commit(ctx, c)
	}
	if last > 0 && n > 2*last {
		return fmt.Errorf("%d writes are tried after %d", n, last)
	}
	if n > 1 {
		*s.last = n
		return fmt.Errorf("%w: it is crowded", driver.ErrConflict)
	}
	if last > 0 {
		*s.last = 1
	}
	return s.Committer.Commit(ctx, c)
}

// TestIndexIsBuiltInACrowd: where only one row at a time can be entered into an index, the
// rows are entered one at a time, and a try at two never becomes one at all of them.
func TestIndexIsBuiltInACrowd(t *testing.T) {
	on, last := false, 0
	s := open(t, func(ctx context.Context, dir string) (driver.Store, error) {
		store, err := openMemory(ctx, dir)
		if err != nil {
			return nil, err
		}
		return crowded{store, store.(driver.Committer), &on, &last}, nil
	})
	populate(t, s, 300)
	on = true
	ok(t, s.AlterTable(t.Context(), "players", table.AddIndex(table.Index{Name: "by_name", Columns: []string{"name"}})))
	if rows, err := s.Verify(t.Context(), "players"); rows != 300 || err != nil {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// TestManyWritersOfOneTable: amounts are moved between rows by many at once, and none is
// lost or made; two never insert the same.
func TestManyWritersOfOneTable(t *testing.T) {
	for _, name := range []string{"memory", "lsm_tree", "cas"} {
		t.Run(name, func(t *testing.T) {
			s, ctx := open(t, stores[name]), t.Context()
			const accounts, writers, moves = 8, 4, 25
			ok(t, s.CreateTable(ctx, &table.Schema{Name: "a", PrimaryKey: []string{"id"}, Columns: []table.Column{{Name: "id", Type: table.IntType}, {Name: "amount", Type: table.IntType}},
				Indexes: []table.Index{{Name: "by_amount", Columns: []string{"amount"}}}}))
			for i := range accounts {
				ok(t, s.Insert(ctx, "a", table.Row{"id": table.Int(int64(i)), "amount": table.Int(100)}))
			}
			var wait sync.WaitGroup
			var mu sync.Mutex
			inserted := 0
			for w := range writers {
				wait.Go(func() {
					for i := range moves {
						from, to := int64((w+i)%accounts), int64((w*3+i*5+1)%accounts)
						if from == to {
							continue
						}
						err := s.Transact(ctx, func(tx *table.Tx) error {
							return move(ctx, tx, from, to)
						})
						if err != nil {
							t.Error(err)
							return
						}
						err = s.Insert(ctx, "a", table.Row{"id": table.Int(int64(1000 + i)), "amount": table.Int(0)})
						if err == nil {
							mu.Lock()
							inserted++
							mu.Unlock()
						} else if !errors.Is(err, table.ErrDuplicate) {
							t.Error(err)
							return
						}
					}
				})
			}
			wait.Wait()
			r, err := s.Select(ctx, table.Query{Table: "a"})
			ok(t, err)
			sum := int64(0)
			for row := range r.All() {
				sum += row["amount"].Int()
			}
			if sum != accounts*100 || len(r.Rows) != accounts+inserted || inserted == 0 || inserted > moves {
				t.Errorf("%d in %d rows, %d of them inserted", sum, len(r.Rows), inserted)
			}
			if _, err := s.Verify(ctx, "a"); err != nil {
				t.Error(err)
			}
		})
	}
}

func move(ctx context.Context, tx *table.Tx, from, to int64) error {
	for id, by := range map[int64]int64{from: -1, to: 1} {
		r, err := tx.Select(ctx, table.Query{Table: "a", Columns: []string{"amount"}, Filter: table.Eq("id", table.Int(id))})
		if err != nil {
			return err
		}
		n, err := tx.Update(ctx, "a", table.Row{"amount": table.Int(r.Rows[0][0].Int() + by)}, table.Eq("id", table.Int(id)))
		if err != nil || n != 1 {
			return fmt.Errorf("%d rows updated: %w", n, err)
		}
	}
	return nil
}
