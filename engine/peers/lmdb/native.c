//go:build lmdb

#include "native.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// Readers that are kept, each with its slot in LMDB's table of readers. A get
// holds one for about a microsecond, an iterator or a snapshot while it is open;
// beyond this number they are made anew.
enum { kept_readers = 64, max_readers = 4096 };

struct lmdb_reader {
  atomic_int taken;
  int kept;
  MDB_txn *txn;  // reset while the reader is not taken; NULL before its first use
};

struct lmdb_store {
  MDB_env *env;
  MDB_dbi db;
  atomic_ulong commits;  // begun; for begin_read
  lmdb_reader readers[kept_readers];
};

struct lmdb_iterator {
  MDB_cursor *cursor;
  MDB_val lower, upper;  // mv_data NULL: open
  lmdb_entry entries[lmdb_block_entries];
};

static MDB_val val(const void *data, size_t bytes) {
  MDB_val v = {bytes, (void *)data};
  return v;
}

// The order of LMDB's keys, and of bytes.Compare.
static int compare(MDB_val a, MDB_val b) {
  size_t n = a.mv_size < b.mv_size ? a.mv_size : b.mv_size;
  int c = n == 0 ? 0 : memcmp(a.mv_data, b.mv_data, n);
  if (c != 0) return c;
  return a.mv_size < b.mv_size ? -1 : a.mv_size > b.mv_size;
}

static int open_database(lmdb_store *s) {
  MDB_txn *txn;
  int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
  if (rc != 0) return rc;
  rc = mdb_dbi_open(txn, NULL, 0, &s->db);
  if (rc != 0) {
    mdb_txn_abort(txn);
    return rc;
  }
  return mdb_txn_commit(txn);
}

int lmdb_open(const char *dir, size_t map_bytes, unsigned flags,
              lmdb_store **out) {
  lmdb_store *s = calloc(1, sizeof *s);
  if (s == NULL) return ENOMEM;
  int rc = mdb_env_create(&s->env);
  if (rc != 0) {
    free(s);
    return rc;
  }
  rc = mdb_env_set_mapsize(s->env, map_bytes);
  if (rc == 0) rc = mdb_env_set_maxreaders(s->env, max_readers);
  // Without MDB_NOTLS a reader would be bound to its thread.
  if (rc == 0) rc = mdb_env_open(s->env, dir, flags | MDB_NOTLS, 0644);
  if (rc == 0) rc = open_database(s);
  if (rc != 0) {
    mdb_env_close(s->env);
    free(s);
    return rc;
  }
  *out = s;
  return 0;
}

void lmdb_close(lmdb_store *s) {
  for (int i = 0; i < kept_readers; i++) {
    if (s->readers[i].txn != NULL) mdb_txn_abort(s->readers[i].txn);
  }
  mdb_env_close(s->env);
  free(s);
}

int lmdb_sync(lmdb_store *s) { return mdb_env_sync(s->env, 1); }

int lmdb_copy(lmdb_store *s, const char *dir) {
  return mdb_env_copy2(s->env, dir, MDB_CP_COMPACT);
}

void lmdb_get_info(lmdb_store *s, lmdb_info *info) {
  MDB_stat stat;
  MDB_envinfo env;
  mdb_env_stat(s->env, &stat);
  mdb_env_info(s->env, &env);
  info->page_bytes = stat.ms_psize;
  info->depth = stat.ms_depth;
  info->branch_pages = stat.ms_branch_pages;
  info->leaf_pages = stat.ms_leaf_pages;
  info->overflow_pages = stat.ms_overflow_pages;
  info->entries = stat.ms_entries;
  info->map_bytes = env.me_mapsize;
  info->used_pages = env.me_last_pgno + 1;
  info->readers = env.me_numreaders;
}

// Begins a read transaction, anew if *txn is NULL, of the newest commit or one that
// is under way.
//
// LMDB takes the number of the newest commit, and then copies the roots from that of
// its two meta pages which has the number's parity. A thread that is stopped between
// the two meets a page that two commits later writes, whose number is not known yet:
// it reads what comes, perhaps half of it, and its next transaction reads what was
// before. So a transaction during whose beginning a commit began is begun again.
static int begin_read(lmdb_store *s, MDB_txn **txn) {
  for (;;) {
    unsigned long before = atomic_load(&s->commits);
    int rc = *txn != NULL ? mdb_txn_renew(*txn)
                          : mdb_txn_begin(s->env, NULL, MDB_RDONLY, txn);
    if (rc != 0) return rc;
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load(&s->commits) == before) return 0;
    mdb_txn_reset(*txn);
  }
}

int lmdb_reader_take(lmdb_store *s, lmdb_reader **out) {
  // A thread begins with the one that it took last.
  static _Thread_local unsigned hint;
  for (unsigned tries = 0; tries < kept_readers; tries++) {
    lmdb_reader *r = &s->readers[hint % kept_readers];
    if (atomic_load_explicit(&r->taken, memory_order_relaxed) == 0 &&
        atomic_exchange_explicit(&r->taken, 1, memory_order_acquire) == 0) {
      r->kept = 1;
      int rc = begin_read(s, &r->txn);
      if (rc != 0) {
        atomic_store_explicit(&r->taken, 0, memory_order_release);
        return rc;
      }
      *out = r;
      return 0;
    }
    hint++;
  }
  lmdb_reader *r = calloc(1, sizeof *r);
  if (r == NULL) return ENOMEM;
  int rc = begin_read(s, &r->txn);
  if (rc != 0) {
    free(r);
    return rc;
  }
  *out = r;
  return 0;
}

void lmdb_reader_give(lmdb_store *s, lmdb_reader *r) {
  (void)s;
  if (r->kept) {
    mdb_txn_reset(r->txn);
    atomic_store_explicit(&r->taken, 0, memory_order_release);
  } else {
    mdb_txn_abort(r->txn);
    free(r);
  }
}

static int get(lmdb_store *s, lmdb_reader *r, const char *key, size_t key_bytes,
               MDB_val *value) {
  // LMDB has no empty key, and takes it for an error.
  if (key_bytes == 0) return MDB_NOTFOUND;
  MDB_val k = val(key, key_bytes);
  return mdb_get(r->txn, s->db, &k, value);
}

lmdb_value lmdb_get(lmdb_store *s, lmdb_reader *r, const char *key,
                    size_t key_bytes, char *dst, size_t room) {
  lmdb_value got = {0};
  lmdb_reader *own = NULL;
  if (r == NULL) {
    got.rc = lmdb_reader_take(s, &own);
    if (got.rc != 0) return got;
    r = own;
  }
  MDB_val value;
  got.rc = get(s, r, key, key_bytes, &value);
  if (got.rc == 0) {
    got.bytes = value.mv_size;
    if (value.mv_size <= room) memcpy(dst, value.mv_data, value.mv_size);
  }
  if (own != NULL) lmdb_reader_give(s, own);
  return got;
}

lmdb_value lmdb_multi_get(lmdb_store *s, size_t count, const char *keys,
                          const uint32_t *key_bytes, int64_t *sizes, char *dst,
                          size_t room) {
  lmdb_value got = {0};
  lmdb_reader *r;
  got.rc = lmdb_reader_take(s, &r);
  if (got.rc != 0) return got;
  for (size_t i = 0; i < count; i++) {
    MDB_val value;
    int rc = get(s, r, keys, key_bytes[i], &value);
    keys += key_bytes[i];
    if (rc == MDB_NOTFOUND) {
      sizes[i] = -1;
      continue;
    }
    if (rc != 0) {
      got.rc = rc;
      break;
    }
    sizes[i] = (int64_t)value.mv_size;
    if (got.bytes + value.mv_size <= room) {
      memcpy(dst + got.bytes, value.mv_data, value.mv_size);
    }
    got.bytes += value.mv_size;
  }
  lmdb_reader_give(s, r);
  return got;
}

lmdb_value lmdb_bench_gets(lmdb_store *s, size_t count, const char *keys,
                           size_t key_bytes, char *dst, size_t room) {
  lmdb_value got = {0};
  lmdb_reader *r;
  got.rc = lmdb_reader_take(s, &r);
  if (got.rc != 0) return got;
  for (size_t i = 0; i < count && got.rc == 0; i++, keys += key_bytes) {
    MDB_val k = val(keys, key_bytes), value;
    got.rc = mdb_get(r->txn, s->db, &k, &value);
    if (got.rc != 0) break;
    if (value.mv_size <= room) memcpy(dst, value.mv_data, value.mv_size);
    got.bytes += value.mv_size;
  }
  lmdb_reader_give(s, r);
  return got;
}

// Reads a length and as many bytes at *p of an encoded batch, which the caller
// knows to be whole.
static MDB_val take_bytes(const uint8_t **p) {
  size_t n = 0;
  for (int shift = 0;; shift += 7) {
    uint8_t c = *(*p)++;
    n |= (size_t)(c & 0x7f) << shift;
    if (c < 0x80) break;
  }
  MDB_val v = val(*p, n);
  *p += n;
  return v;
}

static int delete_range(MDB_txn *txn, MDB_dbi db, MDB_val lower,
                        MDB_val upper) {
  if (compare(lower, upper) >= 0) return 0;
  MDB_cursor *cursor;
  int rc = mdb_cursor_open(txn, db, &cursor);
  if (rc != 0) return rc;
  MDB_val key = lower, value;
  rc = mdb_cursor_get(cursor, &key, &value,
                      lower.mv_size == 0 ? MDB_FIRST : MDB_SET_RANGE);
  while (rc == 0 && compare(key, upper) < 0) {
    rc = mdb_cursor_del(cursor, 0);
    // After a deletion the next entry is the one that moved up.
    if (rc == 0) rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  mdb_cursor_close(cursor);
  return rc == MDB_NOTFOUND ? 0 : rc;
}

// engine.OpKind.
enum { op_put = 1, op_delete = 2, op_delete_range = 3 };

lmdb_outcome lmdb_apply(lmdb_store *s, const uint8_t *batch, size_t bytes,
                        int sync) {
  lmdb_outcome done = {0};
  MDB_txn *txn;
  // Safe here: no other write transaction is under way.
  done.rc = mdb_env_set_flags(s->env, MDB_NOSYNC, !sync);
  if (done.rc == 0) done.rc = mdb_txn_begin(s->env, NULL, 0, &txn);
  if (done.rc != 0) return done;
  const uint8_t *p = batch;
  while (done.rc == 0 && p < batch + bytes) {
    done.at = (size_t)(p - batch);
    uint8_t kind = *p++;
    MDB_val key = take_bytes(&p), second;
    switch (kind) {
      case op_put:
        second = take_bytes(&p);
        done.rc = mdb_put(txn, s->db, &key, &second, 0);
        break;
      case op_delete:
        done.rc = mdb_del(txn, s->db, &key, NULL);
        if (done.rc == MDB_NOTFOUND) done.rc = 0;
        break;
      case op_delete_range:
        second = take_bytes(&p);
        done.rc = delete_range(txn, s->db, key, second);
        break;
      default:
        done.rc = EINVAL;
    }
  }
  if (done.rc != 0) {
    mdb_txn_abort(txn);
    return done;
  }
  done.at = bytes;
  atomic_fetch_add(&s->commits, 1);
  done.rc = mdb_txn_commit(txn);
  return done;
}

static int copy_bound(MDB_val *bound, const char *data, size_t bytes) {
  if (data == NULL) return 0;
  bound->mv_data = malloc(bytes == 0 ? 1 : bytes);
  if (bound->mv_data == NULL) return ENOMEM;
  memcpy(bound->mv_data, data, bytes);
  bound->mv_size = bytes;
  return 0;
}

int lmdb_iterator_new(lmdb_store *s, lmdb_reader *r, const char *lower,
                      size_t lower_bytes, const char *upper, size_t upper_bytes,
                      lmdb_iterator **out) {
  lmdb_iterator *it = calloc(1, sizeof *it);
  if (it == NULL) return ENOMEM;
  int rc = copy_bound(&it->lower, lower, lower_bytes);
  if (rc == 0) rc = copy_bound(&it->upper, upper, upper_bytes);
  if (rc == 0) rc = mdb_cursor_open(r->txn, s->db, &it->cursor);
  if (rc != 0) {
    lmdb_iterator_delete(it);
    return rc;
  }
  *out = it;
  return 0;
}

void lmdb_iterator_delete(lmdb_iterator *it) {
  if (it->cursor != NULL) mdb_cursor_close(it->cursor);
  free(it->lower.mv_data);
  free(it->upper.mv_data);
  free(it);
}

static int seek_ge(lmdb_iterator *it, MDB_val target, MDB_val *key,
                   MDB_val *value) {
  if (it->lower.mv_data != NULL && compare(target, it->lower) < 0) {
    target = it->lower;
  }
  *key = target;
  return mdb_cursor_get(it->cursor, key, value,
                        target.mv_size == 0 ? MDB_FIRST : MDB_SET_RANGE);
}

static int seek_lt(lmdb_iterator *it, MDB_val target, MDB_val *key,
                   MDB_val *value) {
  if (it->upper.mv_data != NULL && compare(target, it->upper) > 0) {
    target = it->upper;
  }
  if (target.mv_size == 0) return MDB_NOTFOUND;
  *key = target;
  int rc = mdb_cursor_get(it->cursor, key, value, MDB_SET_RANGE);
  if (rc == MDB_NOTFOUND) {
    return mdb_cursor_get(it->cursor, key, value, MDB_LAST);
  }
  return rc != 0 ? rc : mdb_cursor_get(it->cursor, key, value, MDB_PREV);
}

lmdb_block lmdb_iterator_move(lmdb_iterator *it, int move, const char *key,
                              size_t key_bytes, size_t most) {
  lmdb_block block = {.entries = it->entries};
  MDB_val target = val(key, key_bytes), k, v;
  int forward = 1;
  switch (move) {
    case LMDB_FIRST:
      block.rc = seek_ge(it, val("", 0), &k, &v);
      break;
    case LMDB_SEEK_GE:
      block.rc = seek_ge(it, target, &k, &v);
      break;
    case LMDB_NEXT:
      block.rc = mdb_cursor_get(it->cursor, &k, &v, MDB_NEXT);
      break;
    case LMDB_LAST:
      forward = 0;
      block.rc = it->upper.mv_data != NULL
                     ? seek_lt(it, it->upper, &k, &v)
                     : mdb_cursor_get(it->cursor, &k, &v, MDB_LAST);
      break;
    case LMDB_SEEK_LT:
      forward = 0;
      block.rc = seek_lt(it, target, &k, &v);
      break;
    case LMDB_PREV:
      forward = 0;
      block.rc = mdb_cursor_get(it->cursor, &k, &v, MDB_PREV);
      break;
  }
  const MDB_val *bound = forward ? &it->upper : &it->lower;
  while (block.rc == 0) {
    if (bound->mv_data != NULL) {
      int c = compare(k, *bound);
      if (forward ? c >= 0 : c < 0) {
        block.rc = MDB_NOTFOUND;
        return block;
      }
    }
    lmdb_entry *e = &it->entries[block.count++];
    e->key = k.mv_data;
    e->key_bytes = k.mv_size;
    e->value = v.mv_data;
    e->value_bytes = v.mv_size;
    if (block.count == most || block.count == lmdb_block_entries) return block;
    block.rc = mdb_cursor_get(it->cursor, &k, &v, forward ? MDB_NEXT : MDB_PREV);
  }
  return block;
}
