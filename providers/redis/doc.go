// Package redis keeps a store in Redis, version 7 or newer: in a server of its own, or in a
// cluster.
//
// # What is stored
//
// Keys are spread over partitions, of which a server has one and a cluster 64 unless it is
// told otherwise, by the FNV-1a hash of the key. The braces make a partition one hash slot:
//
//	prefix ":format"                   "1 partitions=" and how many
//	prefix ":{" n "}:value:" key       a head of 24 bytes, see script.go, and the value
//	prefix ":{" n "}:index"            a sorted set of the keys, whose scores are 0
//	prefix ":{" n "}:expiries"         a sorted set of the keys that expire, by when
//	prefix ":{" n "}:fences"           a hash of the largest fencing token of each key
//	prefix ":{" n "}:changes"          the channel on which changes are published
//
// An empty prefix has no colon after it. Every change is one script: it compares what was
// read, and changes value, index, expiry and fence, and publishes. A list merges the
// partitions. Redis removes by itself what has expired; it stays in the index, unseen,
// until Expire, which tells those who watch.
//
// A revision is the server's time in microseconds, made greater than the one before, and 64
// bits at random. It does not come back where a failover has lost writes, or a clock was
// set back.
// The order of revisions of a key is that of its writes, by which the fight for leases is judged.
//
// A put therefore is no bare SET, and takes up to twice as long. Over one connection, with
// 430 bytes and one client, medians of three and four runs on a machine with other work: SET
// 23 µs, a script that does nothing 27, SET, ZADD, ZREM and SPUBLISH in MULTI 32, this script
// 36, of which each of its four calls of Redis is about 1.5. No atomic change of value, index
// and channel comes near the SET.
//
// # Transactions
//
// Where all keys are in one slot the store is a Committer, by the same script, of keys and
// of ranges: in a server of its own, and in a cluster with one partition. Elsewhere package
// intent makes transactions of it: those of one slot by one script, others by intents.
// Every client must then go through it, entries have no TTL and are not watched; a cluster
// that needs these has one partition, or is used without transactions.
//
// # What can be lost
//
// Redis acknowledges before it replicates: see Capabilities.Caveat. With Config.WaitReplicas
// a write is acknowledged when so many replicas have it.
//
// # Time
//
// A server's clock is the Clock of its store. A cluster has a clock in each master, which
// need not agree, so that its store is none; an entry expires by its master's.
//
// A call ends when its context's deadline has passed. A context that is cancelled is seen
// before a call, and in a call only when the server has answered, or after 5 s.
//
// # Rights
//
// A user needs no more than what Rights returns.
package redis

// Rights returns the rules of Redis's access control that a user needs for a prefix.
func Rights(prefix string) []any {
	if prefix != "" {
		prefix += ":"
	}
	return []any{
		"resetkeys", "~" + prefix + "*", "resetchannels", "&" + prefix + "*", "-@all",
		"+info", "+ping", "+time", "+exists", "+get", "+mget", "+set", "+setnx", "+del", "+getrange",
		"+eval", "+evalsha", "+zadd", "+zrem", "+zrangebylex", "+zrangebyscore", "+hget", "+hset",
		"+spublish", "+ssubscribe", "+sunsubscribe", "+wait", "+select", "+asking", "+readonly", "+cluster|slots", "+cluster|shards", "+command",
	}
}
