package protocol

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/rocks"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers"
)

// Available tells whether this program was built with RocksDB, without which Open is
// ErrUnsupported.
const Available = rocks.Available

// Protocol is one of the seven; its text is the name of its directory.
type Protocol string

// The protocols.
const (
	PostgreSQL Protocol = "postgresql"
	MySQL      Protocol = "mysql"
	CQL        Protocol = "cql"
	Redis      Protocol = "redis"
	Cypher     Protocol = "cypher"
	AQL        Protocol = "aql"
	GraphRAG   Protocol = "graphrag"
)

// The column families. Most have the names of what they hold.
const (
	schemasFamily       = "schemas"
	rowsFamily          = "data"
	redisDataFamily     = "redis_data"
	redisExpiryFamily   = "redis_expiration"
	redisMetadataFamily = "redis_metadata"
	nodesFamily         = "nodes"
	relationshipsFamily = "relationships"
	metadataFamily      = "metadata"
	collectionsFamily   = "collections"
	documentsFamily     = "documents"
	edgesFamily         = "edges"
	graphsFamily        = "graphs"
	embeddingsFamily    = "embeddings"
	entityIndexFamily   = "entity_index"
	relIndexFamily      = "rel_index"
)

var rowFamilies = []string{schemasFamily, rowsFamily, string(Indexes), string(Views), string(SchemaDefs), string(Extensions), string(Settings)}

var families = map[Protocol][]string{
	PostgreSQL: rowFamilies, MySQL: rowFamilies, CQL: rowFamilies,
	Redis:    {redisDataFamily, redisExpiryFamily, redisMetadataFamily},
	Cypher:   {nodesFamily, relationshipsFamily, metadataFamily},
	AQL:      {collectionsFamily, documentsFamily, edgesFamily, graphsFamily, metadataFamily},
	GraphRAG: {nodesFamily, relationshipsFamily, metadataFamily, embeddingsFamily, entityIndexFamily, relIndexFamily},
}

// All returns the protocols, in the order of the specification.
func All() []Protocol { return []Protocol{PostgreSQL, MySQL, CQL, Redis, Cypher, AQL, GraphRAG} }

// Families returns the column families of a protocol's store, beside RocksDB's own
// "default", which stays empty.
func (p Protocol) Families() []string { return slices.Clone(families[p]) }

// Dir returns the directory of a protocol's store below a server's: p/rocksdb.
func (p Protocol) Dir(dataDir string) string { return filepath.Join(dataDir, string(p), "rocksdb") }

// Options set up the stores. The zero value commits Flushed.
type Options struct {
	// Durability is what an acknowledged write survives: engine.Flushed unless set, or
	// engine.Buffered.
	Durability engine.Durability
	// CacheBytes is the block cache of each store; 0 is 64 MiB.
	CacheBytes uint64
	// WriteBufferBytes is one memtable of one family; 0 is 16 MiB.
	WriteBufferBytes uint64
	// SweepInterval is how often values of redis that have expired are removed; 0 is 60 s,
	// below 0 is never. They are not shown in the meantime.
	SweepInterval time.Duration
	// Now is the clock by which values of redis expire; nil is the system's.
	Now func() time.Time
}

// Stores are the seven stores, open.
type Stores struct {
	PostgreSQL, MySQL, CQL *RowStore
	Redis                  *RedisStore
	Cypher                 *GraphStore
	AQL                    *DocumentStore
	GraphRAG               *KnowledgeStore

	stores []*Store
	end    context.CancelFunc
	sweeps sync.WaitGroup
}

// openEngine opens the engine of a store; tests without RocksDB have another.
var openEngine = func(_ context.Context, dir string, families []string, o Options) (engine.Engine, error) {
	return rocks.Open(dir, rocks.Options{CacheBytes: o.CacheBytes, WriteBufferBytes: o.WriteBufferBytes, Statistics: true, Families: families})
}

// Open opens the seven stores below a server's directory, each in Protocol.Dir. Directories,
// stores and column families that are not there are made; what is there stays. ErrLocked
// if another process has one open. If one cannot be opened, none stays open.
func Open(ctx context.Context, dataDir string, o Options) (*Stores, error) {
	if dataDir == "" {
		return nil, fmt.Errorf("open protocol stores: %w: data_dir is empty", engine.ErrInvalid)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.WriteBufferBytes == 0 {
		o.WriteBufferBytes = 16 << 20
	}
	if o.SweepInterval == 0 {
		o.SweepInterval = 60 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Stores{end: func() {}}
	opened := map[Protocol]*Store{}
	for _, p := range All() {
		store, err := openStore(ctx, p, p.Dir(dataDir), o)
		if errors.Is(err, engine.ErrLocked) {
			err = fmt.Errorf("another process has it locked, stop that first: %w", err)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open the store of %s: %w", p, err), s.Close())
		}
		opened[p], s.stores = store, append(s.stores, store)
	}
	s.PostgreSQL, s.MySQL, s.CQL = &RowStore{opened[PostgreSQL]}, &RowStore{opened[MySQL]}, &RowStore{opened[CQL]}
	s.Redis, s.Cypher, s.AQL, s.GraphRAG = &RedisStore{opened[Redis]}, &GraphStore{opened[Cypher]}, &DocumentStore{opened[AQL]}, &KnowledgeStore{opened[GraphRAG]}
	if o.SweepInterval > 0 {
		var life context.Context
		life, s.end = context.WithCancel(context.Background())
		s.sweeps.Go(func() { s.sweep(life, o.SweepInterval) })
	}
	return s, nil
}

// sweep removes what has expired, until life ends.
func (s *Stores) sweep(life context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-life.Done():
			return
		case <-tick.C:
		}
		if _, err := s.Redis.Sweep(life); err != nil && life.Err() == nil {
			text := err.Error()
			s.Redis.sweepFailure.Store(&text)
		} else {
			s.Redis.sweepFailure.Store(nil)
		}
	}
}

// List returns the stores, in the order of All.
func (s *Stores) List() []*Store { return slices.Clone(s.stores) }

// Health asks every store whether it works, and looks at the metrics. The reasons name
// the stores.
func (s *Stores) Health(ctx context.Context) providers.Health {
	var all providers.Health
	for _, store := range s.stores {
		h := store.Health(ctx)
		all.State = max(all.State, h.State)
		for _, reason := range h.Reasons {
			all.Reasons = append(all.Reasons, store.Name()+": "+reason)
		}
	}
	return all
}

// Close waits for calls under way, and closes all stores. Every later call is ErrClosed.
func (s *Stores) Close() error {
	s.end()
	s.sweeps.Wait()
	var errs []error
	for _, store := range s.stores {
		if err := store.close(); err != nil {
			errs = append(errs, fmt.Errorf("close the store of %s: %w", store.protocol, err))
		}
	}
	return errors.Join(errs...)
}

func openStore(ctx context.Context, p Protocol, dir string, o Options) (*Store, error) {
	parent := filepath.Dir(dir)
	for _, d := range []string{filepath.Dir(parent), parent, dir} { // each name durable
		if err := vfs.MakeDir(vfs.OS(), d); err != nil {
			return nil, err
		}
	}
	e, err := openEngine(ctx, dir, families[p], o)
	if err != nil {
		return nil, err
	}
	s := &Store{protocol: p, dir: dir, engine: e, o: o, families: map[string]family{}, locks: newLocks()}
	if err := s.findFamilies(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return s, nil
}

func (s *Store) findFamilies() error {
	of, ok := s.engine.(engine.FamilyStore)
	if !ok {
		return fmt.Errorf("%w: %s has no column families", engine.ErrUnsupported, s.engine.Traits().Name)
	}
	if err := engine.CheckDurability(s.engine.Traits().Durability, s.o.Durability); err != nil {
		return err
	}
	ids, err := of.Families()
	if err != nil {
		return err
	}
	for _, name := range families[s.protocol] {
		id, ok := ids[name]
		if !ok {
			return fmt.Errorf("%w: the column family %s was not made", engine.ErrNotFound, name)
		}
		reader, err := of.In(id)
		if err != nil {
			return err
		}
		s.families[name] = family{id, reader}
	}
	return nil
}
