package table_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/table"
)

// players is a table of five columns with one index.
var players = &table.Schema{
	Name: "players",
	Columns: []table.Column{
		{Name: "id", Type: table.IntType}, {Name: "name", Type: table.TextType, NotNull: true}, {Name: "team", Type: table.IntType},
		{Name: "score", Type: table.FloatType}, {Name: "seen", Type: table.TimestampType},
	},
	PrimaryKey: []string{"id"},
	Indexes:    []table.Index{{Name: "by_team", Columns: []string{"team"}}},
}

// playersInTeam is how many rows a select by the index finds.
const playersInTeam = 10

// player returns row i of n; each team has its rows all over the table.
func player(i, n int) table.Row {
	return table.Row{
		"id": table.Int(int64(i)), "name": table.Text(fmt.Sprintf("player-%07d", i)), "team": table.Int(int64(i % max(n/playersInTeam, 1))),
		"score": table.Float(float64(i) / 3), "seen": table.Timestamp(time.Unix(1_700_000_000+int64(i), 0)),
	}
}

func fill(b *testing.B, s *table.Storage, n int) {
	b.Helper()
	ok(b, s.CreateTable(b.Context(), players))
	rows := make([]table.Row, 0, 1000)
	for i := range n {
		if rows = append(rows, player(i*7919%n, n)); len(rows) == cap(rows) || i == n-1 {
			ok(b, s.Insert(b.Context(), "players", rows...))
			rows = rows[:0]
		}
	}
}

// BenchmarkInsert inserts batches of 100 rows, in no order of their keys.
func BenchmarkInsert(b *testing.B) {
	for _, name := range []string{"memory", "lsm_tree", "cow_btree"} {
		b.Run("provider="+name, func(b *testing.B) {
			s := open(b, stores[name])
			ok(b, s.CreateTable(b.Context(), players))
			const batch, wrap = 100, 1 << 22
			rows := make([]table.Row, batch)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				b.StopTimer()
				for i := range rows {
					rows[i] = player(n*7919%wrap, wrap)
					n++
				}
				b.StartTimer()
				ok(b, s.Insert(b.Context(), "players", rows...))
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkSelect selects one row by its key, and ten by an index, of 1,000,000.
func BenchmarkSelect(b *testing.B) {
	for _, name := range []string{"memory", "lsm_tree"} {
		const n = 1_000_000
		s := open(b, stores[name])
		fill(b, s, n)
		b.Run("by=key/provider="+name, func(b *testing.B) {
			median(b, func(i int) {
				r, err := s.Select(b.Context(), table.Query{Table: "players", Filter: table.Eq("id", table.Int(int64(i*104729%n)))})
				ok(b, err)
				if len(r.Rows) != 1 {
					b.Fatal(len(r.Rows))
				}
			})
		})
		b.Run("by=index/provider="+name, func(b *testing.B) {
			median(b, func(i int) {
				r, err := s.Select(b.Context(), table.Query{Table: "players", Filter: table.Eq("team", table.Int(int64(i*104729%(n/playersInTeam))))})
				ok(b, err)
				if len(r.Rows) != playersInTeam || r.RowsRead != playersInTeam {
					b.Fatal(len(r.Rows), r.RowsRead)
				}
			})
		})
	}
}

// median reports the median of the calls beside their mean.
func median(b *testing.B, call func(i int)) {
	b.ReportAllocs()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		call(i)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
}
