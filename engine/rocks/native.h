//go:build rocksdb

// The calls that grocksdb does not have, or has only as several crossings from
// Go to C: see doc.go. A db is a rocksdb::DB*, a family a
// rocksdb::ColumnFamilyHandle*, a snapshot a const rocksdb::Snapshot* or NULL
// for the newest state. An error is NULL or the text of a rocksdb::Status, which
// the caller frees.
#ifndef ORBIT_ROCKS_NATIVE_H
#define ORBIT_ROCKS_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The C++ object behind a handle of RocksDB's C interface.
void *rocks_unwrap(void *handle);

// "7.8.3", for the caller to free.
char *rocks_version(void);
// Whether the library that is linked was built with assertions.
int rocks_assertions(void);

// A value: copied to dst if it has the room; else held in rest, from where
// rocks_value_rest copies and releases it.
typedef struct {
  size_t bytes;
  void *rest;
  char *err;
  int missing;
} rocks_value;

rocks_value rocks_get(void *db, void *family, const void *snapshot,
                      const char *key, size_t key_bytes, char *dst, size_t room);
void rocks_value_rest(void *rest, char *dst);

// Many values, one after the other. sizes[i] becomes the size of value i, or -1
// where the key is not there. If all have room in dst they are copied, else they
// are held in rest as above. An error is that of the key numbered failed.
typedef struct {
  size_t bytes;
  void *rest;
  char *err;
  size_t failed;
} rocks_values;

rocks_values rocks_multi_get(void *db, void *family, const void *snapshot,
                             size_t count, const char *keys,
                             const uint32_t *key_bytes, int64_t *sizes,
                             char *dst, size_t room);
void rocks_values_rest(void *rest, char *dst);

// A commit of a batch in RocksDB's own encoding. With sync, it is durable before
// it is visible; with flush, the kernel has it when the call returns. applied
// tells, beside an error, whether the batch is visible.
typedef struct {
  char *err;
  int applied;
} rocks_commit;

rocks_commit rocks_write(void *db, const char *batch, size_t bytes, int sync,
                         int flush);
char *rocks_flush_log(void *db, int sync);

const void *rocks_snapshot(void *db);
void rocks_release_snapshot(void *db, const void *snapshot);

// An iterator hands out entries in blocks: each is the two sizes as uint32_t in
// the machine's order, the key, the value.
typedef struct rocks_iterator rocks_iterator;

enum rocks_move {
  ROCKS_FIRST,
  ROCKS_LAST,
  ROCKS_SEEK_GE,
  ROCKS_SEEK_LT,
  ROCKS_NEXT,  // the entries after the last one handed out
  ROCKS_PREV,  // those before it
};

typedef struct {
  uint32_t count;
  int end;  // no entry follows those of this block
  // Where even the first entry does not fit into dst, it is handed out here, and
  // stays until the next move.
  const char *key, *value;
  size_t key_bytes, value_bytes;
  char *err;
} rocks_block;

// Bounds are copied; a NULL one is open.
rocks_iterator *rocks_iterator_new(void *db, void *family, const void *snapshot,
                                   const char *lower, size_t lower_bytes,
                                   const char *upper, size_t upper_bytes,
                                   int keys_only);
// Moves, and fills dst with up to most entries in the direction of the move.
rocks_block rocks_iterator_move(rocks_iterator *it, int move, const char *key,
                                size_t key_bytes, char *dst, size_t room,
                                uint32_t most);
void rocks_iterator_delete(rocks_iterator *it);

// A cancel flag of a compaction.
void *rocks_cancel_new(void);
void rocks_cancel(void *flag);
void rocks_cancel_delete(void *flag);
// Rewrites all tables that hold keys in [lower, upper]; a NULL bound is open.
char *rocks_compact(void *db, void *family, const char *lower,
                    size_t lower_bytes, const char *upper, size_t upper_bytes,
                    void *cancel);

// A property that is a map, as lines "name value\n", for the caller to free;
// NULL if there is none of that name.
char *rocks_map_property(void *db, void *family, const char *name);
// Block cache hits and misses; 0 and 0 without statistics.
typedef struct {
  uint64_t hits, misses;
} rocks_cache_counts;
rocks_cache_counts rocks_cache(void *db);

#ifdef __cplusplus
}
#endif

#endif
