// Package table keeps tables in any provider: typed columns, a primary key, secondary and
// unique indexes, filters that use them, and serializable transactions.
//
//	s, err := table.StorageBackendFactory{}.CreateBackend(ctx, table.StorageBackendConfig{}) // lsm_tree
//	err = s.CreateTable(ctx, &table.Schema{
//		Name:       "players",
//		Columns:    []table.Column{{Name: "id", Type: table.IntType}, {Name: "team", Type: table.TextType}},
//		PrimaryKey: []string{"id"},
//		Indexes:    []table.Index{{Name: "by_team", Columns: []string{"team"}}},
//	})
//	err = s.Insert(ctx, "players", table.Row{"id": table.Int(1), "team": table.Text("red")})
//	r, err := s.Select(ctx, table.Query{Table: "players", Filter: table.Eq("team", table.Text("red"))})
//
// # Statements and transactions
//
// Each statement is a transaction of its own: it is done whole or not at all, and run
// again after a conflict. Begin and Transact make transactions of many. All of them are
// serializable on every provider. A transaction is bounded by the provider's Limits, and
// an Update or a Delete of more rows than a commit may have is ErrTooLarge.
//
// A provider whose Capabilities have RangeReads validates what was listed. On the others
// (object stores, ConfigMaps) each table has a guard key, which every writer of the table
// writes and every list reads: there writers of one table go one after the other, those of
// different tables do not meet, and neither do reads by the primary key or by all columns
// of a unique index. A Select is of one moment everywhere: it reads a snapshot, or
// it is validated and run again.
//
// # How rows are found
//
// A filter is brought to conjunctions of comparisons. Of the primary key and the indexes
// that one is taken of which most columns in a row, from the first, have one value, then
// most are bounded at all, a range of the last included; between equals the one that has
// the order that a Limit wants. An Or goes by several if each part has one. What is found
// is asked the whole filter. Explain tells what is done, Result and Metrics how many rows
// and entries were looked at.
//
// Rows come in the order of Query.Order and then of the primary key. Where the path that
// was taken has that order, a Limit reads no further than it must; else the rows are
// sorted, of which no more than twice Offset and Limit are held. Lists run forward, so
// a descending order is always sorted.
//
// # What is stored
//
// Numbers are big-endian, tables and indexes have numbers that are never given again, and
// every key begins with "table/":
//
//	table/s name                       schema, as JSON
//	table/n                            u32 the last number that a table has got
//	table/r u32 table, key, 01         row
//	table/i u32 table, u32 index, entry    entry of an index
//	table/g u32 table                  guard: nothing; its revision counts
//	table/d u32 table, u32 index       nothing; this index, or the table if 0, was dropped
//	                                   and is to be removed
//
//	key    = { value of a column of the primary key }
//	entry  = { column } key 01         nothing
//	       | { column } 01             key 01: of a unique index, no column being null
//	column = 01                        null
//	       | 02 value
//
// Values in keys are ordered as their bytes, and none begins another:
//
//	bool       u8 0 or 1
//	int        u64, the sign bit turned around
//	float      u64 of IEEE 754: positive ones with the sign bit turned around, negative
//	           ones with all bits; -0 is written as 0, and there is no NaN
//	timestamp  the seconds since 1970 as an int, u32 nanoseconds
//	text, bytes, name   a byte 00 is 00 ff, and 00 01 ends it
//
// A row has its columns but those of the primary key, in the order of their numbers:
//
//	row    = u8 1, { uvarint number of the column, cell }
//	cell   = 00                        null
//	       | 01 u8 | 02 varint         bool, int
//	       | 03 u64                    float, IEEE 754
//	       | 04 uvarint length, bytes  text
//	       | 05 uvarint length, bytes  bytes
//	       | 06 varint u32             timestamp: seconds since 1970, nanoseconds
//	       | 07 uvarint length, bytes  JSON, without space
//
// uvarint and varint are those of encoding/binary in their shortest form. In a schema,
// values are cells in base64. What is written otherwise is ErrCorrupt, and Verify finds
// it.
//
// # Schema changes
//
// A row names its columns by their numbers, so no change of a schema touches a row. A
// column that a row does not have shows the default that the column was added with; a
// number that the schema does not have was dropped. Every transaction reads the schema
// and fails to commit if it has changed. An index is written by all from the moment that
// the schema names it, filled in small transactions, and used when it is full.
package table
