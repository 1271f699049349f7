package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// tables are the mutants of package table, and of what it has of the layers below.
func tables() []mutants.Mutant {
	const (
		alter     = "providers/table/alter.go"
		filter    = "providers/table/filter.go"
		plan      = "providers/table/plan.go"
		row       = "providers/table/row.go"
		selection = "providers/table/select.go"
		storage   = "providers/table/storage.go"
		statement = "providers/table/transaction.go"
		encoding  = "providers/internal/tuple/tuple.go"
	)
	tests := []string{"providers/table"}
	return []mutants.Mutant{
		{
			Name: "table/index-keeps-the-old-entry", Class: mutants.Ordering, File: statement, Modes: tests,
			Breaks: "an update leaves the entry of the old value in the index",
			Old:    "			st.remove(old)\n",
			New:    "			if !MUTANT { st.remove(old) }\n",
		},
		{
			Name: "table/builds-all-after-two", Class: mutants.Errors, File: alter, Modes: tests,
			Breaks: "an index that is built beside busy writers tries all rows at once after two, for ever",
			Old:    "			at = max(1, at/4)\n",
			New:    "			at /= 4; if !MUTANT { at = max(1, at) }\n",
		},
		{
			Name: "table/unique-not-checked", Class: mutants.Isolation, File: statement, Modes: tests,
			Breaks: "two rows have the same values in a unique index",
			Old:    "	if st.unique(p, row) {\n		if err := st.absent(ctx, p, key, row); err != nil {\n",
			New:    "	if st.unique(p, row) && (!MUTANT || p.primary()) {\n		if err := st.absent(ctx, p, key, row); err != nil {\n",
		},
		{
			Name: "table/half-a-statement", Class: mutants.Errors, File: statement, Modes: tests,
			Breaks: "a statement that is refused has written what came before",
			Old:    "	if err := st.apply(ctx); err != nil {\n		return fmt.Errorf(\"insert into",
			New:    "	if err := st.apply(ctx); err != nil && !MUTANT {\n		return fmt.Errorf(\"insert into",
		},
		{
			Name: "table/guard-not-bumped", Class: mutants.Isolation, File: statement, Modes: tests,
			Breaks: "where ranges are not validated, who lists does not see who inserts",
			Old:    "	if s.caps.RangeReads {\n		return nil\n",
			New:    "	if MUTANT || s.caps.RangeReads {\n		return nil\n",
		},
		{
			Name: "table/schema-not-validated", Class: mutants.Isolation, File: storage, Modes: tests,
			Breaks: "a transaction goes past a change of the schema",
			Old:    "	e, err := tx.Get(ctx, schemaKey(table))\n",
			New:    "	get := tx.Get; if MUTANT { get = s.p.Get }; e, err := get(ctx, schemaKey(table))\n",
		},
		{
			Name: "table/purge-leaves-the-indexes", Class: mutants.Replay, File: storage, Modes: tests,
			Breaks: "a table that is dropped leaves its indexes' entries",
			Old:    "prefixes = [][]byte{rowPrefix(table), numbered('i', table), guardKey(table)}\n",
			New:    "prefixes = PICK([][]byte{rowPrefix(table), guardKey(table)}, [][]byte{rowPrefix(table), numbered('i', table), guardKey(table)})\n",
		},
		{
			Name: "table/building-index-is-read", Class: mutants.Ordering, File: plan, Modes: tests,
			Breaks: "an index is used before all rows are in it",
			Old:    "		if p.building || best.single() {\n",
			New:    "		if p.building && !MUTANT || best.single() {\n",
		},
		{
			Name: "table/upper-bound-left-out", Class: mutants.Replay, File: plan, Modes: tests,
			Breaks: "column <= v does not find v by an index",
			Old:    "		narrow(bound{}, bound{c.values[0], true})\n",
			New:    "		narrow(bound{}, bound{c.values[0], !MUTANT})\n",
		},
		{
			Name: "table/null-in-a-range", Class: mutants.Replay, File: filter, Modes: tests,
			Breaks: "a comparison with null is false, and its negation true",
			Old:    "		return unknown\n",
			New:    "		return PICK(truthOf(c.op == ne || c.op == notIn), unknown)\n",
		},
		{
			Name: "table/filter-not-asked", Class: mutants.Errors, File: selection, Modes: tests,
			Breaks: "all rows that an access finds are taken to pass",
			Old:    "	if w.c.of(row) != yes {\n",
			New:    "	if !MUTANT && w.c.of(row) != yes {\n",
		},
		{
			Name: "table/last-row-twice", Class: mutants.Replay, File: selection, Modes: tests,
			Breaks: "a page begins with the last row of the page before",
			Old:    "			if s.after != nil && s.compare(row, s.after) <= 0 {\n",
			New:    "			if s.after != nil && s.compare(row, s.after) <= PICK(-1, 0) {\n",
		},
		{
			Name: "table/new-default-for-old-rows", Class: mutants.Replay, File: row, Modes: tests,
			Breaks: "rows from before a column was added show its default of now",
			Old:    "				row[at] = d.Columns[at].Before.Value\n",
			New:    "				row[at] = PICK(d.Columns[at].Default.Value, d.Columns[at].Before.Value)\n",
		},
		{
			Name: "table/numbers-used-again", Class: mutants.Replay, File: alter, Modes: tests,
			Breaks: "a new column has the number of one that was dropped",
			Old:    "		a.d.Columns = slices.Delete(a.d.Columns, i, i+1)\n",
			New:    "		a.d.Columns = slices.Delete(a.d.Columns, i, i+1); if MUTANT && number+1 == a.d.NextColumn { a.d.NextColumn-- }\n",
		},
		{
			Name: "table/order-of-negative-numbers", Class: mutants.Ordering, File: encoding, Modes: tests,
			Breaks: "floats below zero are in a key in the order of their bits",
			Old:    "		bits = ^bits\n	default:\n",
			New:    "		bits = PICK(bits&^(1<<63), ^bits)\n	default:\n",
		},
		{
			Name: "providers/own-write-hides-the-guard", Class: mutants.Isolation, File: transaction, Modes: providersTests,
			Breaks: "a transaction that has written a guard lists past other writers",
			Old:    "		if _, err := t.stored(ctx, guard); err != nil",
			New:    "		read := t.stored; if MUTANT { read = t.Get }; if _, err := read(ctx, guard); err != nil",
		},
		{
			Name: "providers/prefetched-not-validated", Class: mutants.Isolation, File: transaction, Modes: providersTests,
			Breaks: "keys that were read together do not count as read",
			Old:    "		t.read[string(missing[i])] = e\n",
			New:    "		if !MUTANT { t.read[string(missing[i])] = e }\n",
		},
	}
}
