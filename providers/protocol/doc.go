// Package protocol keeps the data of the seven protocols, each in a RocksDB store of its
// own below the server's directory, with column families of its own:
//
//	data/postgresql/rocksdb/
//	data/mysql/rocksdb/
//	data/cql/rocksdb/
//	data/redis/rocksdb/
//	data/cypher/rocksdb/
//	data/aql/rocksdb/
//	data/graphrag/rocksdb/
//
// Open opens all seven; what is not there is made, and nothing else is. It needs the build
// tag rocksdb. Each store has typed methods for what its protocol keeps; everything that
// one method changes is changed at one moment, in all families that it concerns, and is on
// the device when the method returns, unless Options say otherwise.
//
// # What is stored
//
// A key is a kind and names, with colons between them; in all names but the last, a colon
// is %3A and a percent sign %25. Values are JSON unless something else is said.
//
//	postgresql, mysql, cql
//	schemas         schema:{table}            the caller's
//	data            row:{table}:{id}          the row, an object
//	indexes, views, schema_defs, extensions, settings
//	                {name}                    the caller's
//
//	redis
//	redis_data        {key}                   u8 1, u64 expiry, the value
//	redis_expiration  {time}:{key}            nothing
//	redis_metadata    {name}                  the caller's bytes
//
//	cypher
//	nodes           node:{id}                 {labels, properties}
//	relationships   rel:{id}                  {type, from, to, properties}
//	                from:{node}:{id}, to:{node}:{id}    nothing
//	metadata        {name}                    the caller's bytes
//
//	aql
//	collections     collection:{name}         {edges, properties}
//	documents       doc:{collection}:{key}    the document, an object
//	edges           edge:{collection}:{key}   {from, to, values}
//	                from:{collection}:{vertex}:{key}, to:{collection}:{vertex}:{key}    nothing
//	graphs          graph:{name}              the caller's object
//	metadata        {name}                    the caller's bytes
//
//	graphrag
//	nodes           node:{kg}:{id}            {text, type, confidence, properties}
//	relationships   rel:{kg}:{id}             {type, from, to, confidence, properties}
//	embeddings      embedding:{kg}:{id}       u8 1, { u32 IEEE 754 }
//	entity_index    text:{kg}:{text in lower case}:{id}    nothing
//	rel_index       from:{kg}:{entity}:{id}, to:{kg}:{entity}:{id}    nothing
//	metadata        {name}                    the caller's bytes
//
// Numbers are big-endian. An expiry is in nanoseconds since 1970, 0 for never; the time in
// a key is the same in twenty decimal digits. An entry of redis_expiration goes when its
// value is set again, and says nothing by itself: the sweep looks at the value.
//
// # Who waits for whom
//
// A method that writes what depends on what it has read holds a lock of the thing, one of
// 256; what removes many things that it must find first (a table, a node, a collection, an
// entity) holds all of them, so that nothing is added to it meanwhile. Reads take none.
package protocol
