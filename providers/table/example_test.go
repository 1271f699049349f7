package table_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/lsmtree"
	"github.com/orbit-persistence/orbit/providers/table"
)

// openExample opens a storage in a directory that goes with it.
func openExample(ctx context.Context) (s *table.Storage, end func()) {
	dir, err := os.MkdirTemp("", "table")
	if err != nil {
		panic(err)
	}
	c := lsmtree.Defaults()
	c.DataDir = dir
	s, err = table.StorageBackendFactory{}.CreateBackend(ctx, table.StorageBackendConfig{Options: c}) // lsm_tree
	if err != nil {
		panic(err)
	}
	err = s.CreateTable(ctx, &table.Schema{
		Name: "players",
		Columns: []table.Column{
			{Name: "id", Type: table.IntType},
			{Name: "name", Type: table.TextType, NotNull: true},
			{Name: "team", Type: table.TextType, Default: table.Text("red")},
			{Name: "score", Type: table.FloatType},
		},
		PrimaryKey: []string{"id"},
		Indexes:    []table.Index{{Name: "by_name", Columns: []string{"name"}, Unique: true}, {Name: "by_team_score", Columns: []string{"team", "score"}}},
	})
	if err != nil {
		panic(err)
	}
	err = s.Insert(ctx, "players",
		table.Row{"id": table.Int(1), "name": table.Text("ada"), "score": table.Float(7)},
		table.Row{"id": table.Int(2), "name": table.Text("bob"), "team": table.Text("blue"), "score": table.Float(5)},
		table.Row{"id": table.Int(3), "name": table.Text("eve"), "score": table.Float(9)},
	)
	if err != nil {
		panic(err)
	}
	return s, func() { _, _ = s.Close(), os.RemoveAll(dir) }
}

func Example() {
	ctx := context.Background()
	s, end := openExample(ctx)
	defer end()

	q := table.Query{
		Table: "players", Columns: []string{"name", "score"},
		Filter: table.And(table.Eq("team", table.Text("red")), table.Ge("score", table.Int(7))),
		Order:  []table.Order{{Column: "score"}},
		Limit:  10,
	}
	r, err := s.Select(ctx, q)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range r.Rows {
		fmt.Println(row[0].Text(), row[1].Float())
	}
	plan, _ := s.Explain(ctx, q)
	fmt.Printf("%d rows read by %s\n", r.RowsRead, plan)

	n, err := s.Update(ctx, "players", table.Row{"team": table.Text("blue")}, table.Like("name", "e%"))
	fmt.Println(n, err)
	err = s.Insert(ctx, "players", table.Row{"id": table.Int(4), "name": table.Text("ada")})
	fmt.Println(errors.Is(err, table.ErrDuplicate), err)
	// Output:
	// ada 7
	// eve 9
	// 2 rows read by index by_team_score (team, score), 1 spans
	// 1 <nil>
	// true insert into players: row 0: duplicate: index by_name has (name = "ada")
}

func ExampleStorage_Transact() {
	ctx := context.Background()
	s, end := openExample(ctx)
	defer end()

	// Run again if another transaction has changed what it read.
	err := s.Transact(ctx, func(tx *table.Tx) error {
		r, err := tx.Select(ctx, table.Query{Table: "players", Columns: []string{"score"}, Filter: table.Eq("id", table.Int(1))})
		if err != nil {
			return err
		}
		_, err = tx.Update(ctx, "players", table.Row{"score": table.Float(r.Rows[0][0].Float() + 1)}, table.Eq("id", table.Int(1)))
		return err
	})
	fmt.Println(err)

	// Or by hand.
	tx, err := s.Begin(ctx, providers.TxOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Rollback()
	n, err := tx.Delete(ctx, "players", table.All())
	fmt.Println(n, err)
	tx.Rollback()
	r, err := s.Select(ctx, table.Query{Table: "players", Filter: table.Eq("score", table.Float(8))})
	fmt.Println(len(r.Rows), err)
	// Output:
	// <nil>
	// 3 <nil>
	// 1 <nil>
}

func ExampleStorage_AlterTable() {
	ctx := context.Background()
	s, end := openExample(ctx)
	defer end()

	err := s.AlterTable(ctx, "players",
		table.AddColumn(table.Column{Name: "level", Type: table.IntType, NotNull: true, Default: table.Int(1)}),
		table.AddIndex(table.Index{Name: "by_level", Columns: []string{"level"}}),
	)
	fmt.Println(err)
	r, err := s.Select(ctx, table.Query{Table: "players", Filter: table.Eq("level", table.Int(1))})
	fmt.Println(len(r.Rows), r.EntriesRead, err)
	// Output:
	// <nil>
	// 3 3 <nil>
}

// Pages are read one after the other, each beginning where the last one ended.
func ExampleQuery_pages() {
	ctx := context.Background()
	s, end := openExample(ctx)
	defer end()

	q := table.Query{Table: "players", Columns: []string{"name"}, Limit: 2}
	for {
		r, err := s.Select(ctx, q)
		if err != nil {
			fmt.Println(err)
			return
		}
		for row := range r.All() {
			fmt.Println(row["name"].Text())
		}
		fmt.Println("--")
		if q.After = r.Next; q.After == "" {
			return
		}
	}
	// Output:
	// ada
	// bob
	// --
	// eve
	// --
}
