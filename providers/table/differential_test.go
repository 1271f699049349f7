package table_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/table"
	_ "modernc.org/sqlite" // the judge
)

// TestAnswersAreSQLites makes random tables, and asks the same of them here and in SQLite:
// every answer, count and refusal must be the same.
func TestAnswersAreSQLites(t *testing.T) {
	for name, from := range stores {
		t.Run(name, func(t *testing.T) {
			runs := 10
			if testing.Short() {
				runs = 3
			}
			const steps = 150
			answers, rows := 0, 0
			for seed := range runs {
				a, r := compareWithSQLite(t, from, uint64(seed)+1, steps)
				answers, rows = answers+a, rows+r
			}
			if answers < runs*steps/4 || rows < runs*steps/4 {
				t.Fatalf("only %d answers with %d rows in all were compared", answers, rows)
			}
		})
	}
}

func compareWithSQLite(t *testing.T, from opener, seed uint64, steps int) (answers, rows int) {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	ok(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(t.Context())
	ok(t, err)
	defer conn.Close()
	d := &duel{t: t, r: rand.New(rand.NewPCG(seed, 7)), seed: seed, s: open(t, from), db: conn, ctx: t.Context()}
	d.exec("PRAGMA case_sensitive_like = ON")
	d.create()
	for range steps {
		d.step()
	}
	if d.tx != nil {
		d.end(true)
	}
	return d.answers, d.rows
}

// duel is one table here and in SQLite.
type duel struct {
	t    *testing.T
	ctx  context.Context
	r    *rand.Rand
	seed uint64
	s    *table.Storage
	tx   *table.Tx
	db   *sql.Conn

	columns []table.Column
	key     []string
	indexes []table.Index
	names   int
	history []string

	answers, rows int
}

func (d *duel) failf(format string, args ...any) {
	d.t.Helper()
	d.t.Fatalf("seed %d: %s\nafter:\n%s", d.seed, fmt.Sprintf(format, args...), strings.Join(d.history, "\n"))
}

// exec runs a statement in SQLite alone, and returns how many rows it changed.
func (d *duel) exec(query string, args ...any) (int, error) {
	d.history = append(d.history, fmt.Sprintf("%s %v", query, args))
	r, err := d.db.ExecContext(d.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// both fails unless the two either did the same or refused both.
func (d *duel) both(ours error, theirs error) bool {
	d.t.Helper()
	if (ours == nil) != (theirs == nil) {
		d.failf("here it is %v, in SQLite %v", ours, theirs)
	}
	if ours != nil && !errors.Is(ours, table.ErrDuplicate) && !errors.Is(ours, table.ErrInvalid) {
		d.failf("%v", ours)
	}
	return ours == nil
}

func (d *duel) fresh(what string) string { d.names++; return fmt.Sprintf("%s%d", what, d.names) }

func (d *duel) column() table.Column {
	c := table.Column{Name: d.fresh("c"), Type: table.Type(1 + d.r.IntN(7)), NotNull: d.r.IntN(4) == 0}
	if d.r.IntN(2) == 0 {
		c.Default = d.value(c.Type)
	}
	return c
}

func (d *duel) sqlColumn(c table.Column) string {
	s := c.Name
	if c.NotNull || slices.Contains(d.key, c.Name) {
		s += " NOT NULL"
	}
	if !c.Default.IsNull() {
		s += " DEFAULT " + literal(c.Default)
	}
	return s
}

func (d *duel) create() {
	for range 2 + d.r.IntN(5) {
		d.columns = append(d.columns, d.column())
	}
	var ordered []string
	for _, c := range d.columns {
		if c.Type != table.JSONType && c.Type != table.BoolType {
			ordered = append(ordered, c.Name)
		}
	}
	if len(ordered) == 0 {
		d.columns = append(d.columns, table.Column{Name: "k", Type: table.IntType})
		ordered = []string{"k"}
	}
	d.key = d.some(ordered, 2)
	for range d.r.IntN(3) {
		d.indexes = append(d.indexes, d.index())
	}
	ok(d.t, d.s.CreateTable(d.ctx, &table.Schema{Name: "t", Columns: d.columns, PrimaryKey: d.key, Indexes: d.indexes}))
	var parts []string
	for _, c := range d.columns {
		parts = append(parts, d.sqlColumn(c))
	}
	if _, err := d.exec(fmt.Sprintf("CREATE TABLE t (%s, PRIMARY KEY (%s))", strings.Join(parts, ", "), strings.Join(d.key, ", "))); err != nil {
		d.failf("%v", err)
	}
	for _, x := range d.indexes {
		if _, err := d.exec(sqlIndex(x)); err != nil {
			d.failf("%v", err)
		}
	}
}

func sqlIndex(x table.Index) string {
	return fmt.Sprintf("CREATE %s INDEX %s ON t (%s)", map[bool]string{true: "UNIQUE"}[x.Unique], x.Name, strings.Join(x.Columns, ", "))
}

func (d *duel) index() table.Index {
	var ordered []string
	for _, c := range d.columns {
		if c.Type != table.JSONType {
			ordered = append(ordered, c.Name)
		}
	}
	return table.Index{Name: d.fresh("x"), Columns: d.some(ordered, 3), Unique: d.r.IntN(3) == 0}
}

// some returns between one and most of the names, in any order.
func (d *duel) some(names []string, most int) []string {
	names = slices.Clone(names)
	d.r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:1+d.r.IntN(min(most, len(names)))]
}

var letters = []string{"a", "b", "A", "é", "%", "_", `\`, "", "ab", "𝄞"}

func (d *duel) text() string {
	s := ""
	for range d.r.IntN(4) {
		s += letters[d.r.IntN(len(letters))]
	}
	return s
}

func pick[T any](d *duel, of ...T) T { return of[d.r.IntN(len(of))] }

// value returns a value of few that there are, so that they meet.
func (d *duel) value(of table.Type) table.Value {
	switch of {
	case table.BoolType:
		return table.Bool(d.r.IntN(2) == 0)
	case table.IntType:
		return table.Int(pick[int64](d, -2, -1, 0, 1, 2, 3, 4, 5, math.MinInt64, math.MaxInt64))
	case table.FloatType:
		return table.Float(pick(d, -1.5, math.Copysign(0, -1), 0, 1, 2.5, math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64))
	case table.TextType:
		return table.Text(d.text())
	case table.BytesType:
		return table.Bytes([]byte(pick(d, "", "a", "\x00", "\x00\xff", "\xff", "\x00\x01", "b")))
	case table.TimestampType:
		return table.Timestamp(time.Unix(pick[int64](d, -1, 0, 1, 1_700_000_000), pick[int64](d, 0, 1, 999_999_999)))
	}
	return table.JSON([]byte(pick(d, `{"a":1}`, `[]`, `null`, `"x"`)))
}

func (d *duel) nullable(of table.Type) table.Value {
	if d.r.IntN(5) == 0 {
		return table.Null()
	}
	return d.value(of)
}

// arg is a value as SQLite keeps it.
func arg(v table.Value) any {
	switch v.Type() {
	case table.BoolType:
		if v.Bool() {
			return int64(1)
		}
		return int64(0)
	case table.IntType:
		return v.Int()
	case table.FloatType:
		return v.Float()
	case table.TextType:
		return v.Text()
	case table.BytesType:
		return v.Bytes()
	case table.TimestampType:
		return v.Time().UnixNano()
	case table.JSONType:
		return string(v.JSON())
	}
	return nil
}

func literal(v table.Value) string {
	switch a := arg(v).(type) {
	case int64:
		return fmt.Sprintf("(%d)", a)
	case float64:
		if math.IsInf(a, 0) {
			return fmt.Sprintf("(%g9e999)", math.Copysign(1, a))
		}
		return fmt.Sprintf("(%.20e)", a)
	case string:
		return "'" + strings.ReplaceAll(a, "'", "''") + "'"
	case []byte:
		return fmt.Sprintf("x'%x'", a)
	}
	return "NULL"
}

func (d *duel) step() {
	switch n := d.r.IntN(100); {
	case n < 30:
		d.insert()
	case n < 40:
		d.update()
	case n < 45:
		d.delete()
	case n < 52 && d.tx == nil:
		d.begin()
	case n < 58 && d.tx != nil:
		d.end(d.r.IntN(2) == 0)
	case n < 62 && d.tx == nil:
		d.alter()
	default:
		d.query()
	}
}

func (d *duel) begin() {
	tx, err := d.s.Begin(d.ctx, providers.TxOptions{})
	ok(d.t, err)
	d.tx = tx
	if _, err := d.exec("BEGIN"); err != nil {
		d.failf("%v", err)
	}
}

func (d *duel) end(commit bool) {
	word := "ROLLBACK"
	if commit {
		word = "COMMIT"
		if err := d.tx.Commit(d.ctx); err != nil {
			d.failf("%v", err)
		}
	}
	d.tx.Rollback()
	d.tx = nil
	if _, err := d.exec(word); err != nil {
		d.failf("%v", err)
	}
}

// statements are what a storage and a transaction both have.
type statements interface {
	Insert(ctx context.Context, table string, rows ...table.Row) error
	Select(ctx context.Context, q table.Query) (*table.Result, error)
	Update(ctx context.Context, name string, set table.Row, f table.Filter) (int, error)
	Delete(ctx context.Context, name string, f table.Filter) (int, error)
}

func (d *duel) at() statements {
	if d.tx != nil {
		return d.tx
	}
	return d.s
}

func (d *duel) insert() {
	var rows []table.Row
	var theirs []string
	var args []any
	var names []string
	for _, c := range d.columns {
		if d.r.IntN(6) > 0 || slices.Contains(d.key, c.Name) {
			names = append(names, c.Name)
		}
	}
	for range 1 + d.r.IntN(4) {
		row := table.Row{}
		var marks []string
		for _, name := range names {
			v := d.nullable(d.typeOf(name))
			if slices.Contains(d.key, name) {
				v = d.value(d.typeOf(name))
			}
			row[name] = v
			marks, args = append(marks, "?"), append(args, arg(v))
		}
		rows = append(rows, row)
		theirs = append(theirs, "("+strings.Join(marks, ", ")+")")
	}
	_, theirErr := d.exec(fmt.Sprintf("INSERT INTO t (%s) VALUES %s", strings.Join(names, ", "), strings.Join(theirs, ", ")), args...)
	d.both(d.at().Insert(d.ctx, "t", rows...), theirErr)
}

func (d *duel) typeOf(name string) table.Type {
	return d.columns[slices.IndexFunc(d.columns, func(c table.Column) bool { return c.Name == name })].Type
}

func (d *duel) update() {
	set, f := table.Row{}, d.filter(2)
	var parts []string
	var args []any
	for range 1 + d.r.IntN(2) {
		c := pick(d, d.columns...)
		if _, twice := set[c.Name]; twice {
			continue
		}
		set[c.Name] = d.nullable(c.Type)
		parts, args = append(parts, c.Name+" = ?"), append(args, arg(set[c.Name]))
	}
	theirs, theirErr := d.exec("UPDATE t SET "+strings.Join(parts, ", ")+" WHERE "+f.sql, append(args, f.args...)...)
	ours, err := d.at().Update(d.ctx, "t", set, f.filter)
	if err != nil && theirErr == nil && theirs == 0 && errors.Is(err, table.ErrInvalid) {
		return // null where it may not be, in no row
	}
	if d.both(err, theirErr) && ours != theirs {
		d.failf("%d rows were updated, in SQLite %d", ours, theirs)
	}
}

func (d *duel) delete() {
	f := d.filter(3)
	theirs, theirErr := d.exec("DELETE FROM t WHERE "+f.sql, f.args...)
	ours, err := d.at().Delete(d.ctx, "t", f.filter)
	if d.both(err, theirErr) && ours != theirs {
		d.failf("%d rows were deleted, in SQLite %d", ours, theirs)
	}
}

// filter is a filter and what it is in SQL.
type filter struct {
	filter table.Filter
	sql    string
	args   []any
}

func (d *duel) filter(depth int) filter {
	if depth > 0 && d.r.IntN(2) == 0 {
		if d.r.IntN(4) == 0 {
			f := d.filter(depth - 1)
			return filter{table.Not(f.filter), "NOT (" + f.sql + ")", f.args}
		}
		var ours []table.Filter
		var theirs []string
		var args []any
		for range d.r.IntN(4) {
			f := d.filter(depth - 1)
			ours, theirs, args = append(ours, f.filter), append(theirs, "("+f.sql+")"), append(args, f.args...)
		}
		if d.r.IntN(2) == 0 {
			return filter{table.And(ours...), strings.Join(append(theirs, "1"), " AND "), args}
		}
		return filter{table.Or(ours...), strings.Join(append(theirs, "0"), " OR "), args}
	}
	c := pick(d, d.columns...)
	if c.Type == table.JSONType {
		return filter{table.IsNull(c.Name), c.Name + " IS NULL", nil}
	}
	v := d.value(c.Type)
	one := []any{arg(v)}
	switch d.r.IntN(9) {
	case 0, 1:
		return filter{table.Eq(c.Name, v), c.Name + " = ?", one}
	case 2:
		return filter{table.Ne(c.Name, v), c.Name + " <> ?", one}
	case 3:
		return filter{table.Lt(c.Name, v), c.Name + " < ?", one}
	case 4:
		return filter{table.Le(c.Name, v), c.Name + " <= ?", one}
	case 5:
		return filter{table.Gt(c.Name, v), c.Name + " > ?", one}
	case 6:
		return filter{table.Ge(c.Name, v), c.Name + " >= ?", one}
	case 7:
		if c.Type == table.TextType {
			pattern := d.text() + pick(d, "", "%", "_", "%b")
			if n := len(pattern) - len(strings.TrimRight(pattern, `\`)); n%2 == 1 {
				pattern += `\`
			}
			return filter{table.Like(c.Name, pattern), c.Name + ` LIKE ? ESCAPE '\'`, []any{pattern}}
		}
		return filter{table.IsNull(c.Name), c.Name + " IS NULL", nil}
	}
	var values []table.Value
	var marks []string
	var args []any
	for range d.r.IntN(4) {
		v := d.value(c.Type)
		values, marks, args = append(values, v), append(marks, "?"), append(args, arg(v))
	}
	return filter{table.In(c.Name, values...), fmt.Sprintf("%s IN (%s)", c.Name, strings.Join(marks, ", ")), args}
}

func (d *duel) query() {
	f := d.filter(3)
	q := table.Query{Table: "t", Filter: f.filter}
	var names, order []string
	for _, c := range d.columns {
		if d.r.IntN(4) > 0 {
			names = append(names, c.Name)
		}
	}
	if names == nil {
		for _, c := range d.columns {
			names = append(names, c.Name)
		}
	} else {
		q.Columns = names
	}
	for range d.r.IntN(3) {
		c := pick(d, d.columns...)
		if c.Type == table.JSONType {
			continue
		}
		o := table.Order{Column: c.Name, Desc: d.r.IntN(2) == 0}
		q.Order = append(q.Order, o)
		order = append(order, c.Name+map[bool]string{true: " DESC"}[o.Desc])
	}
	order = append(order, d.key...)
	text := fmt.Sprintf("SELECT %s FROM t WHERE %s ORDER BY %s", strings.Join(names, ", "), f.sql, strings.Join(order, ", "))
	theirs := d.sqlRows(text, f.args, len(names))
	if d.r.IntN(3) == 0 { // page by page
		q.Limit = 1 + d.r.IntN(5)
		var all [][]table.Value
		for {
			r, err := d.at().Select(d.ctx, q)
			if err != nil {
				d.failf("%v", err)
			}
			all = append(all, r.Rows...)
			if q.After = r.Next; q.After == "" {
				break
			}
		}
		d.compare(text, all, theirs)
		return
	}
	if d.r.IntN(2) == 0 {
		q.Limit, q.Offset = 1+d.r.IntN(5), d.r.IntN(4)
		theirs = theirs[min(q.Offset, len(theirs)):]
		theirs = theirs[:min(q.Limit, len(theirs))]
	}
	r, err := d.at().Select(d.ctx, q)
	if err != nil {
		d.failf("%v", err)
	}
	d.compare(fmt.Sprintf("%s; limit %d offset %d", text, q.Limit, q.Offset), r.Rows, theirs)
}

func (d *duel) sqlRows(query string, args []any, width int) (rows [][]any) {
	d.history = append(d.history, fmt.Sprintf("%s %v", query, args))
	r, err := d.db.QueryContext(d.ctx, query, args...)
	if err != nil {
		d.failf("%v", err)
	}
	defer r.Close()
	for r.Next() {
		row, to := make([]any, width), make([]any, width)
		for i := range row {
			to[i] = &row[i]
		}
		ok(d.t, r.Scan(to...))
		rows = append(rows, row)
	}
	ok(d.t, r.Err())
	return rows
}

func (d *duel) compare(what string, ours [][]table.Value, theirs [][]any) {
	d.t.Helper()
	d.answers++
	d.rows += len(theirs)
	var a, b []string
	for _, row := range ours {
		var of []any
		for _, v := range row {
			of = append(of, arg(v))
		}
		a = append(a, fmt.Sprintf("%#v", of))
	}
	for _, row := range theirs {
		for i := range row { // which SQLite's driver makes of an empty blob
			if v, isBytes := row[i].([]byte); isBytes && len(v) == 0 {
				row[i] = []byte{}
			}
		}
		b = append(b, fmt.Sprintf("%#v", row))
	}
	if !slices.Equal(a, b) {
		d.failf("%s\nhere:\n%s\nSQLite:\n%s", what, strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

func (d *duel) alter() {
	switch d.r.IntN(6) {
	case 0:
		c := d.column()
		if c.NotNull && c.Default.IsNull() || len(d.columns) > 10 {
			return
		}
		_, err := d.exec("ALTER TABLE t ADD COLUMN " + d.sqlColumn(c))
		if d.both(d.s.AlterTable(d.ctx, "t", table.AddColumn(c)), err) {
			d.columns = append(d.columns, c)
		}
	case 1:
		i := d.r.IntN(len(d.columns))
		name := d.columns[i].Name
		_, err := d.exec("ALTER TABLE t DROP COLUMN " + name)
		if d.both(d.s.AlterTable(d.ctx, "t", table.DropColumn(name)), err) {
			d.columns = slices.Delete(d.columns, i, i+1)
		}
	case 2:
		i, to := d.r.IntN(len(d.columns)), d.fresh("c")
		from := d.columns[i].Name
		_, err := d.exec(fmt.Sprintf("ALTER TABLE t RENAME COLUMN %s TO %s", from, to))
		if d.both(d.s.AlterTable(d.ctx, "t", table.RenameColumn(from, to)), err) {
			d.columns[i].Name = to
			for _, names := range append([][]string{d.key}, columnsOf(d.indexes)...) {
				if at := slices.Index(names, from); at >= 0 {
					names[at] = to
				}
			}
		}
	case 3, 4:
		x := d.index()
		_, err := d.exec(sqlIndex(x))
		if d.both(d.s.AlterTable(d.ctx, "t", table.AddIndex(x)), err) {
			d.indexes = append(d.indexes, x)
		}
	case 5:
		if len(d.indexes) == 0 {
			return
		}
		i := d.r.IntN(len(d.indexes))
		_, err := d.exec("DROP INDEX " + d.indexes[i].Name)
		if d.both(d.s.AlterTable(d.ctx, "t", table.DropIndex(d.indexes[i].Name)), err) {
			d.indexes = slices.Delete(d.indexes, i, i+1)
		}
	}
}

func columnsOf(indexes []table.Index) (all [][]string) {
	for _, x := range indexes {
		all = append(all, x.Columns)
	}
	return all
}
