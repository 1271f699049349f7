package protocol

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
)

// KnowledgeStore is the store of graphrag: knowledge graphs of entities, relations between
// them, and embeddings of entities. A relation has both of its entities at all times, and
// an embedding its entity.
type KnowledgeStore struct{ *Store }

// Entity is what a text is about.
type Entity struct {
	ID         string  `json:"-"`
	Text       string  `json:"text"`
	Type       string  `json:"type,omitempty"`
	Confidence float64 `json:"confidence,omitempty"`
	Properties Object  `json:"properties,omitempty"`
}

// Relation leads from one entity to another.
type Relation struct {
	ID         string  `json:"-"`
	Type       string  `json:"type"`
	From       string  `json:"from"`
	To         string  `json:"to"`
	Confidence float64 `json:"confidence,omitempty"`
	Properties Object  `json:"properties,omitempty"`
}

// textKey is the key by which an entity is found by its text, in any case.
func textKey(graph string, e *Entity) (string, error) {
	return keyOf("text", graph, strings.ToLower(e.Text), e.ID)
}

// PutEntity sets an entity of a knowledge graph.
func (s *KnowledgeStore) PutEntity(ctx context.Context, graph string, e Entity) error {
	key, err := keyOf("node", graph, e.ID)
	if err != nil {
		return err
	}
	text, err := textKey(graph, &e)
	if err != nil {
		return fmt.Errorf("entity %q: %w", e.ID, err)
	}
	data, err := encodeJSON(e)
	if err != nil {
		return fmt.Errorf("entity %q: %w", e.ID, err)
	}
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	b := s.batch()
	old, err := s.Entity(ctx, graph, e.ID)
	switch {
	case err == nil:
		oldText, err := textKey(graph, &old)
		if err != nil {
			return err
		}
		b.remove(entityIndexFamily, oldText)
	case !errors.Is(err, engine.ErrNotFound):
		return err
	}
	b.put(nodesFamily, key, data)
	b.put(entityIndexFamily, text, nil)
	return b.write(ctx)
}

// Entity returns an entity; ErrNotFound if it is not there.
func (s *KnowledgeStore) Entity(ctx context.Context, graph, id string) (Entity, error) {
	key, err := keyOf("node", graph, id)
	e := Entity{ID: id}
	if err == nil {
		err = s.getJSON(ctx, nodesFamily, key, &e)
	}
	if err != nil {
		return Entity{}, err
	}
	return e, nil
}

// Entities yields the entities of a graph, in the order of their ids.
func (s *KnowledgeStore) Entities(ctx context.Context, graph string) iter.Seq2[Entity, error] {
	return func(yield func(Entity, error) bool) {
		prefix, err := prefixOf("node", graph)
		if err != nil {
			yield(Entity{}, err)
			return
		}
		listJSON(ctx, s.Store, nodesFamily, prefix, func(rest string, e Entity) (Entity, error) { e.ID = rest; return e, nil })(yield)
	}
}

// WithText yields the entities of a graph whose text is this one, in any case.
func (s *KnowledgeStore) WithText(ctx context.Context, graph, text string) iter.Seq2[Entity, error] {
	return followed(ctx, s.Store, entityIndexFamily, "text", []string{graph, strings.ToLower(text)}, func(id string) (Entity, error) { return s.Entity(ctx, graph, id) })
}

// DeleteEntity removes an entity with its embedding and its relations, at one moment;
// ErrNotFound if it is not there.
func (s *KnowledgeStore) DeleteEntity(ctx context.Context, graph, id string) error {
	key, err := keyOf("node", graph, id)
	if err != nil {
		return err
	}
	release, err := s.locks.holdAll(ctx)
	if err != nil {
		return err
	}
	defer release()
	e, err := s.Entity(ctx, graph, id)
	if err != nil {
		return fmt.Errorf("delete entity %q of %q: %w", id, graph, err)
	}
	text, err := textKey(graph, &e)
	if err != nil {
		return err
	}
	embedding, err := keyOf("embedding", graph, id)
	if err != nil {
		return err
	}
	b := s.batch()
	b.remove(nodesFamily, key)
	b.remove(entityIndexFamily, text)
	b.remove(embeddingsFamily, embedding)
	for _, kind := range []string{"from", "to"} {
		for r, err := range s.of(ctx, kind, graph, id) {
			if err == nil {
				err = removeRelation(b, graph, &r)
			}
			if err != nil {
				return err
			}
		}
	}
	return b.writeDelete(ctx)
}

// relationKeys returns the keys of a relation: its own, and one at each entity.
func relationKeys(graph string, r *Relation) (key, from, to string, err error) {
	if key, err = keyOf("rel", graph, r.ID); err != nil {
		return "", "", "", err
	}
	if from, err = keyOf("from", graph, r.From, r.ID); err != nil {
		return "", "", "", err
	}
	to, err = keyOf("to", graph, r.To, r.ID)
	return key, from, to, err
}

func removeRelation(b *batch, graph string, r *Relation) error {
	key, from, to, err := relationKeys(graph, r)
	if err != nil {
		return err
	}
	b.remove(relationshipsFamily, key)
	b.remove(relIndexFamily, from)
	b.remove(relIndexFamily, to)
	return nil
}

// PutRelation sets a relation; ErrNotFound if one of its entities is not there.
func (s *KnowledgeStore) PutRelation(ctx context.Context, graph string, r Relation) error {
	key, from, to, err := relationKeys(graph, &r)
	if err != nil {
		return err
	}
	data, err := encodeJSON(r)
	if err != nil {
		return fmt.Errorf("relation %q: %w", r.ID, err)
	}
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	for _, id := range []string{r.From, r.To} {
		if _, err := s.Entity(ctx, graph, id); err != nil {
			return fmt.Errorf("relation %q: entity %q of %q: %w", r.ID, id, graph, err)
		}
	}
	b := s.batch()
	old, err := s.Relation(ctx, graph, r.ID)
	switch {
	case err == nil:
		if err := removeRelation(b, graph, &old); err != nil {
			return err
		}
	case !errors.Is(err, engine.ErrNotFound):
		return err
	}
	b.put(relationshipsFamily, key, data)
	b.put(relIndexFamily, from, nil)
	b.put(relIndexFamily, to, nil)
	return b.write(ctx)
}

// Relation returns a relation; ErrNotFound if it is not there.
func (s *KnowledgeStore) Relation(ctx context.Context, graph, id string) (Relation, error) {
	key, err := keyOf("rel", graph, id)
	r := Relation{ID: id}
	if err == nil {
		err = s.getJSON(ctx, relationshipsFamily, key, &r)
	}
	if err != nil {
		return Relation{}, err
	}
	return r, nil
}

// DeleteRelation removes a relation; ErrNotFound if it is not there.
func (s *KnowledgeStore) DeleteRelation(ctx context.Context, graph, id string) error {
	key, err := keyOf("rel", graph, id)
	if err != nil {
		return err
	}
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	r, err := s.Relation(ctx, graph, id)
	if err != nil {
		return fmt.Errorf("delete relation %q of %q: %w", id, graph, err)
	}
	b := s.batch()
	if err := removeRelation(b, graph, &r); err != nil {
		return err
	}
	return b.writeDelete(ctx)
}

// From yields the relations that lead from an entity, in the order of their ids.
func (s *KnowledgeStore) From(ctx context.Context, graph, entity string) iter.Seq2[Relation, error] {
	return s.of(ctx, "from", graph, entity)
}

// To yields the relations that lead to an entity, in the order of their ids.
func (s *KnowledgeStore) To(ctx context.Context, graph, entity string) iter.Seq2[Relation, error] {
	return s.of(ctx, "to", graph, entity)
}

func (s *KnowledgeStore) of(ctx context.Context, kind, graph, entity string) iter.Seq2[Relation, error] {
	return followed(ctx, s.Store, relIndexFamily, kind, []string{graph, entity}, func(id string) (Relation, error) { return s.Relation(ctx, graph, id) })
}

const embeddingVersion = 1

func encodeEmbedding(vector []float32) []byte {
	data := []byte{embeddingVersion}
	for _, x := range vector {
		data = binary.BigEndian.AppendUint32(data, math.Float32bits(x))
	}
	return data
}

func decodeEmbedding(data []byte) ([]float32, error) {
	if len(data) < 5 || len(data)%4 != 1 || data[0] != embeddingVersion {
		return nil, fmt.Errorf("%w: %d bytes are no embedding of version %d", engine.ErrCorrupt, len(data), embeddingVersion)
	}
	vector := make([]float32, len(data)/4)
	for i := range vector {
		vector[i] = math.Float32frombits(binary.BigEndian.Uint32(data[1+4*i:]))
		if x := float64(vector[i]); math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%w: number %d of an embedding is %g", engine.ErrCorrupt, i, x)
		}
	}
	return vector, nil
}

// PutEmbedding sets the embedding of an entity, which is ErrNotFound if it is not there.
// Its numbers are finite, and one at least.
func (s *KnowledgeStore) PutEmbedding(ctx context.Context, graph, entity string, vector []float32) error {
	data := encodeEmbedding(vector)
	if _, err := decodeEmbedding(data); err != nil {
		return fmt.Errorf("embedding of %q: %w: an embedding has finite numbers, and one at least", entity, engine.ErrInvalid)
	}
	key, err := keyOf("embedding", graph, entity)
	if err != nil {
		return err
	}
	release, err := s.locks.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.Entity(ctx, graph, entity); err != nil {
		return fmt.Errorf("embedding of %q of %q: %w", entity, graph, err)
	}
	b := s.batch()
	b.put(embeddingsFamily, key, data)
	return b.write(ctx)
}

// Embedding returns the embedding of an entity; ErrNotFound if it has none.
func (s *KnowledgeStore) Embedding(ctx context.Context, graph, entity string) ([]float32, error) {
	key, err := keyOf("embedding", graph, entity)
	if err != nil {
		return nil, err
	}
	data, err := s.get(ctx, embeddingsFamily, key)
	if err != nil {
		return nil, err
	}
	vector, err := decodeEmbedding(data)
	return vector, engine.KeyError("decode", []byte(key), err)
}

// Near is an entity with the cosine of the angle between its embedding and another.
type Near struct {
	Entity string
	Cosine float64
}

// Nearest returns the k entities of a graph whose embeddings are nearest to a vector by
// their angles, the nearest first, of those with as many numbers. It reads all embeddings
// of the graph.
func (s *KnowledgeStore) Nearest(ctx context.Context, graph string, vector []float32, k int) ([]Near, error) {
	prefix, err := prefixOf("embedding", graph)
	if err != nil {
		return nil, err
	}
	if k <= 0 || dot(vector, vector) == 0 {
		return nil, fmt.Errorf("nearest %d: %w: it wants a vector that is not nothing, and one entity at least", k, engine.ErrInvalid)
	}
	var all []Near
	for e, err := range s.list(ctx, embeddingsFamily, prefix, "") {
		if err != nil {
			return nil, err
		}
		other, err := decodeEmbedding(e.value)
		if err != nil {
			return nil, engine.KeyError("decode", []byte(e.key), err)
		}
		length := math.Sqrt(dot(other, other) * dot(vector, vector))
		if len(other) != len(vector) || length == 0 {
			continue
		}
		all = append(all, Near{e.key[len(prefix):], dot(vector, other) / length})
		if len(all) >= 2*k+1024 {
			all = nearest(all, k)
		}
	}
	return nearest(all, k), nil
}

func nearest(all []Near, k int) []Near {
	slices.SortStableFunc(all, func(a, b Near) int { return cmp.Compare(b.Cosine, a.Cosine) })
	return all[:min(k, len(all))]
}

func dot(a, b []float32) (sum float64) {
	for i := range min(len(a), len(b)) {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// Graphs returns the names of the knowledge graphs that have entities, in order. It reads
// the keys of all entities.
func (s *KnowledgeStore) Graphs(ctx context.Context) ([]string, error) {
	var names []string
	for e, err := range s.list(ctx, nodesFamily, "node:", "") {
		if err != nil {
			return nil, err
		}
		name, _, err := firstName(e.key[len("node:"):])
		if err != nil {
			return nil, err
		}
		if n := len(names); n == 0 || names[n-1] != name {
			names = append(names, name)
		}
	}
	return names, nil
}

// SetMetadata sets a named thing beside the graphs, of the caller's making.
func (s *KnowledgeStore) SetMetadata(ctx context.Context, name string, value []byte) error {
	return s.setMetadata(ctx, metadataFamily, name, value)
}

// Metadata returns what SetMetadata was given; ErrNotFound if it is not there.
func (s *KnowledgeStore) Metadata(ctx context.Context, name string) ([]byte, error) {
	return s.get(ctx, metadataFamily, name)
}
