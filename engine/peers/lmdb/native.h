//go:build lmdb

// One crossing from Go to C for each call of the engine. An int that is returned
// is 0, an error of LMDB's (negative) or an errno.
#ifndef ORBIT_LMDB_NATIVE_H
#define ORBIT_LMDB_NATIVE_H

#include <lmdb.h>
#include <stddef.h>
#include <stdint.h>

// An environment with one database and a pool of read transactions.
typedef struct lmdb_store lmdb_store;

int lmdb_open(const char *dir, size_t map_bytes, unsigned flags,
              lmdb_store **out);
// Every reader must have been given back.
void lmdb_close(lmdb_store *s);
int lmdb_sync(lmdb_store *s);
int lmdb_copy(lmdb_store *s, const char *dir);

typedef struct {
  size_t page_bytes, depth, branch_pages, leaf_pages, overflow_pages, entries;
  size_t map_bytes, used_pages;
  unsigned readers;
} lmdb_info;
void lmdb_get_info(lmdb_store *s, lmdb_info *info);

// A read transaction, fixed at the newest commit when it is taken. One thread at
// a time may use it.
typedef struct lmdb_reader lmdb_reader;
int lmdb_reader_take(lmdb_store *s, lmdb_reader **out);
void lmdb_reader_give(lmdb_store *s, lmdb_reader *r);

// A value, copied to dst if it has the room; else only its size is told. With a
// NULL reader it is the newest commit's.
typedef struct {
  size_t bytes;
  int rc;
} lmdb_value;
lmdb_value lmdb_get(lmdb_store *s, lmdb_reader *r, const char *key,
                    size_t key_bytes, char *dst, size_t room);

// Many values of one commit, one after the other in dst if there is room for all
// of them; sizes[i] becomes the size of value i, -1 where there is none.
lmdb_value lmdb_multi_get(lmdb_store *s, size_t count, const char *keys,
                          const uint32_t *key_bytes, int64_t *sizes, char *dst,
                          size_t room);

// For benches alone: as many gets in one read transaction, by keys of one size
// that stand one after the other, each value copied to dst. bytes is the sum of
// their sizes; a key that is not there is an error.
lmdb_value lmdb_bench_gets(lmdb_store *s, size_t count, const char *keys,
                           size_t key_bytes, char *dst, size_t room);

// Commits an encoded engine.Batch without families, which the caller serialises.
// at is the offset of the operation that failed, the batch's size if it was the
// commit.
typedef struct {
  size_t at;
  int rc;
} lmdb_outcome;
lmdb_outcome lmdb_apply(lmdb_store *s, const uint8_t *batch, size_t bytes,
                        int sync);

// A cursor within bounds, which are copied; a NULL one is open.
typedef struct lmdb_iterator lmdb_iterator;
int lmdb_iterator_new(lmdb_store *s, lmdb_reader *r, const char *lower,
                      size_t lower_bytes, const char *upper, size_t upper_bytes,
                      lmdb_iterator **out);
void lmdb_iterator_delete(lmdb_iterator *it);

enum lmdb_move {
  LMDB_FIRST,
  LMDB_LAST,
  LMDB_SEEK_GE,
  LMDB_SEEK_LT,
  LMDB_NEXT,  // the entries after the last one handed out
  LMDB_PREV,  // those before it
};

// An entry. Its bytes lie in the map, and stay while the reader is taken.
typedef struct {
  const char *key, *value;
  size_t key_bytes, value_bytes;
} lmdb_entry;

// The entries stay until the next move.
typedef struct {
  const lmdb_entry *entries;
  size_t count;
  int rc;  // MDB_NOTFOUND: no entry follows these
} lmdb_block;

enum { lmdb_block_entries = 64 };

// Moves, and hands out up to most entries, of which there are at most
// lmdb_block_entries, in the direction of the move.
lmdb_block lmdb_iterator_move(lmdb_iterator *it, int move, const char *key,
                              size_t key_bytes, size_t most);

#endif
