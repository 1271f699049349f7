// Package etcd keeps a store in an etcd cluster, version 3.4 or newer.
//
// # What is stored
//
//	prefix "/data/" key     the value, as it is
//	prefix "/fence/" key    the largest fencing token that was seen, 8 bytes, big-endian
//
// An empty prefix has no slash after it. The revision of an entry is its modification
// revision, which counts the changes of the whole cluster and so never comes back, as
// long as the cluster is not restored from a backup.
//
// # Conditions
//
// Every condition is a comparison in the same etcd transaction as the write: absent is
// "modified at revision 0", a fence is the token that was seen. What a commit has read
// is compared the same way. A range is compared as a whole: none of its keys is newer
// than the newest that was seen, and those that were seen stand; List shows one moment,
// so there is no other way for a range to have changed.
//
// # The server's limits
//
// A transaction takes as many operations as the server lets through, 128 by default, and
// 1.5 MiB. Each read, each key of a range and each fence is a comparison, each write and
// each fence that grows an operation. A commit beyond that is ErrTooLarge, and nothing is
// applied. Package intent is no way around it here: it would need every write of the
// store to go through it, so that the others would pay for the large ones.
//
// # Time
//
// An entry with a TTL is bound to a lease of its own; etcd counts in whole seconds, from
// its least lease time, which is about two. etcd removes what has expired within a second
// or so, and a new leader gives each lease its full time anew, so that an entry may live
// longer than its TTL, and never shorter. etcd tells no time of day, so that the store is
// no Clock: package lease then believes nobody's. Entry.ExpiresAt is by the reader's
// clock, from the time that the lease has left.
//
// # Snapshots
//
// etcd could read at an old revision, but shows there what has expired since, and only
// until somebody compacts it. The store is therefore no Snapshotter.
package etcd
