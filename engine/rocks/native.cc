//go:build rocksdb

#include "native.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <rocksdb/db.h>
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>
#include <rocksdb/statistics.h>
#include <rocksdb/status.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

// rocks_unwrap and the encoding of batches hold for the version that the binding
// is made for; another one is to be looked at first.
static_assert(ROCKSDB_MAJOR == 7 && ROCKSDB_MINOR == 8,
              "grocksdb v1.7.14 is made for RocksDB 7.8");

using rocksdb::ColumnFamilyHandle;
using rocksdb::DB;
using rocksdb::Iterator;
using rocksdb::PinnableSlice;
using rocksdb::ReadOptions;
using rocksdb::Slice;
using rocksdb::Status;

// Defined by a library with assertions only (test_util/sync_point.cc stands
// inside #ifndef NDEBUG), and there referred to from every part of it, so that
// it is present in a static program too.
extern "C" void orbit_sync_point(void)
    __asm__("_ZN7rocksdb9SyncPoint11GetInstanceEv") __attribute__((weak));

namespace {

DB *db_of(void *db) { return static_cast<DB *>(db); }

ColumnFamilyHandle *family_of(void *family) {
  return static_cast<ColumnFamilyHandle *>(family);
}

char *text(const Status &s) {
  return s.ok() ? nullptr : strdup(s.ToString().c_str());
}

ReadOptions at(const void *snapshot) {
  ReadOptions options;
  options.snapshot = static_cast<const rocksdb::Snapshot *>(snapshot);
  return options;
}

// A file that is gone is an error, not an absent key.
bool absent(const Status &s) { return s.IsNotFound() && !s.IsPathNotFound(); }

using Values = std::vector<PinnableSlice>;

void copy(const Values &values, char *dst) {
  for (const PinnableSlice &value : values) {
    memcpy(dst, value.data(), value.size());
    dst += value.size();
  }
}

}  // namespace

struct rocks_iterator {
  std::string lower, upper;
  Slice lower_slice, upper_slice;
  std::unique_ptr<Iterator> it;
  bool keys_only;
  // The iterator stands on an entry that was not handed out: it did not fit.
  bool ahead = false;
};

// In RocksDB's db/c.cc, rocksdb_t and rocksdb_column_family_handle_t are structs
// whose only member is a pointer to the object.
void *rocks_unwrap(void *handle) { return *static_cast<void **>(handle); }

char *rocks_version(void) {
  return strdup(rocksdb::GetRocksVersionAsString().c_str());
}

int rocks_assertions(void) { return orbit_sync_point != nullptr; }

rocks_value rocks_get(void *db, void *family, const void *snapshot,
                      const char *key, size_t key_bytes, char *dst,
                      size_t room) {
  rocks_value got = {};
  PinnableSlice value;
  Status s = db_of(db)->Get(at(snapshot), family_of(family),
                            Slice(key, key_bytes), &value);
  if (absent(s)) {
    got.missing = 1;
  } else if (!s.ok()) {
    got.err = text(s);
  } else {
    got.bytes = value.size();
    if (value.size() <= room) {
      memcpy(dst, value.data(), value.size());
    } else {
      got.rest = new PinnableSlice(std::move(value));
    }
  }
  return got;
}

void rocks_value_rest(void *rest, char *dst) {
  std::unique_ptr<PinnableSlice> value(static_cast<PinnableSlice *>(rest));
  memcpy(dst, value->data(), value->size());
}

rocks_values rocks_multi_get(void *db, void *family, const void *snapshot,
                             size_t count, const char *keys,
                             const uint32_t *key_bytes, int64_t *sizes,
                             char *dst, size_t room) {
  rocks_values got = {};
  std::vector<Slice> slices(count);
  std::vector<Status> statuses(count);
  Values values(count);
  for (size_t i = 0; i < count; i++) {
    slices[i] = Slice(keys, key_bytes[i]);
    keys += key_bytes[i];
  }
  db_of(db)->MultiGet(at(snapshot), family_of(family), count, slices.data(),
                      values.data(), statuses.data());
  for (size_t i = 0; i < count; i++) {
    if (statuses[i].ok()) {
      sizes[i] = static_cast<int64_t>(values[i].size());
      got.bytes += values[i].size();
    } else if (absent(statuses[i])) {
      sizes[i] = -1;
      values[i].Reset();
    } else {
      got.err = text(statuses[i]);
      got.failed = i;
      return got;
    }
  }
  if (got.bytes <= room) {
    copy(values, dst);
  } else {
    got.rest = new Values(std::move(values));
  }
  return got;
}

void rocks_values_rest(void *rest, char *dst) {
  std::unique_ptr<Values> values(static_cast<Values *>(rest));
  copy(*values, dst);
}

rocks_commit rocks_write(void *db, const char *batch, size_t bytes, int sync,
                         int flush) {
  rocks_commit done = {};
  rocksdb::WriteBatch writes(std::string(batch, bytes));
  rocksdb::WriteOptions options;
  options.sync = sync != 0;
  done.err = text(db_of(db)->Write(options, &writes));
  if (done.err == nullptr && flush) {
    done.applied = 1;
    done.err = text(db_of(db)->FlushWAL(false));
  }
  return done;
}

char *rocks_flush_log(void *db, int sync) {
  return text(db_of(db)->FlushWAL(sync != 0));
}

const void *rocks_snapshot(void *db) { return db_of(db)->GetSnapshot(); }

void rocks_release_snapshot(void *db, const void *snapshot) {
  db_of(db)->ReleaseSnapshot(static_cast<const rocksdb::Snapshot *>(snapshot));
}

rocks_iterator *rocks_iterator_new(void *db, void *family, const void *snapshot,
                                   const char *lower, size_t lower_bytes,
                                   const char *upper, size_t upper_bytes,
                                   int keys_only) {
  auto it = std::make_unique<rocks_iterator>();
  it->keys_only = keys_only != 0;
  ReadOptions options = at(snapshot);
  if (lower != nullptr) {
    it->lower.assign(lower, lower_bytes);
    it->lower_slice = it->lower;
    options.iterate_lower_bound = &it->lower_slice;
  }
  if (upper != nullptr) {
    it->upper.assign(upper, upper_bytes);
    it->upper_slice = it->upper;
    options.iterate_upper_bound = &it->upper_slice;
  }
  it->it.reset(db_of(db)->NewIterator(options, family_of(family)));
  return it.release();
}

rocks_block rocks_iterator_move(rocks_iterator *ri, int move, const char *key,
                                size_t key_bytes, char *dst, size_t room,
                                uint32_t most) {
  Iterator *it = ri->it.get();
  Slice target(key, key_bytes);
  bool forward = true;
  switch (move) {
    case ROCKS_FIRST:
      it->SeekToFirst();
      break;
    case ROCKS_SEEK_GE:
      it->Seek(target);
      break;
    case ROCKS_NEXT:
      if (!ri->ahead) it->Next();
      break;
    case ROCKS_LAST:
      forward = false;
      it->SeekToLast();
      break;
    case ROCKS_SEEK_LT:
      forward = false;
      it->SeekForPrev(target);
      if (it->Valid() && it->key() == target) it->Prev();
      break;
    case ROCKS_PREV:
      forward = false;
      if (!ri->ahead) it->Prev();
      break;
  }
  ri->ahead = false;
  rocks_block block = {};
  while (it->Valid()) {
    Slice k = it->key();
    Slice v = ri->keys_only ? Slice() : it->value();
    size_t need = 2 * sizeof(uint32_t) + k.size() + v.size();
    if (need > room) {
      if (block.count == 0) {
        block.count = 1;
        block.key = k.data();
        block.key_bytes = k.size();
        block.value = v.data();
        block.value_bytes = v.size();
      } else {
        ri->ahead = true;
      }
      return block;
    }
    uint32_t sizes[2] = {static_cast<uint32_t>(k.size()),
                         static_cast<uint32_t>(v.size())};
    memcpy(dst, sizes, sizeof sizes);
    memcpy(dst + sizeof sizes, k.data(), k.size());
    memcpy(dst + sizeof sizes + k.size(), v.data(), v.size());
    dst += need;
    room -= need;
    if (++block.count == most) return block;
    if (forward) {
      it->Next();
    } else {
      it->Prev();
    }
  }
  block.end = 1;
  block.err = text(it->status());
  return block;
}

void rocks_iterator_delete(rocks_iterator *it) { delete it; }

void *rocks_cancel_new(void) { return new std::atomic<bool>(false); }

void rocks_cancel(void *flag) {
  static_cast<std::atomic<bool> *>(flag)->store(true);
}

void rocks_cancel_delete(void *flag) {
  delete static_cast<std::atomic<bool> *>(flag);
}

char *rocks_compact(void *db, void *family, const char *lower,
                    size_t lower_bytes, const char *upper, size_t upper_bytes,
                    void *cancel) {
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  // The last level holds the dead entries that a snapshot kept at the time.
  options.bottommost_level_compaction =
      rocksdb::BottommostLevelCompaction::kForceOptimized;
  options.canceled = static_cast<std::atomic<bool> *>(cancel);
  Slice from(lower, lower_bytes), to(upper, upper_bytes);
  return text(db_of(db)->CompactRange(options, family_of(family),
                                      lower == nullptr ? nullptr : &from,
                                      upper == nullptr ? nullptr : &to));
}

char *rocks_map_property(void *db, void *family, const char *name) {
  std::map<std::string, std::string> properties;
  if (!db_of(db)->GetMapProperty(family_of(family), name, &properties)) {
    return nullptr;
  }
  std::string lines;
  for (const auto &p : properties) {
    lines += p.first + " " + p.second + "\n";
  }
  return strdup(lines.c_str());
}

rocks_cache_counts rocks_cache(void *db) {
  rocks_cache_counts counts = {};
  if (auto statistics = db_of(db)->GetDBOptions().statistics) {
    counts.hits = statistics->getTickerCount(rocksdb::BLOCK_CACHE_HIT);
    counts.misses = statistics->getTickerCount(rocksdb::BLOCK_CACHE_MISS);
  }
  return counts;
}
