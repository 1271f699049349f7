package protocol

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/orbit-persistence/orbit/engine"
)

// GraphStore is the store of cypher: nodes, and relationships between them. A
// relationship has both of its nodes at all times.
type GraphStore struct{ *Store }

// Node is a node of a graph.
type Node struct {
	ID         string   `json:"-"`
	Labels     []string `json:"labels,omitempty"`
	Properties Object   `json:"properties,omitempty"`
}

// Relationship leads from one node to another.
type Relationship struct {
	ID         string `json:"-"`
	Type       string `json:"type"`
	From       string `json:"from"`
	To         string `json:"to"`
	Properties Object `json:"properties,omitempty"`
}

// PutNode sets a node.
func (s *GraphStore) PutNode(ctx context.Context, n Node) error {
	key, err := keyOf("node", n.ID)
	if err != nil {
		return err
	}
	data, err := encodeJSON(n)
	if err != nil {
		return fmt.Errorf("node %q: %w", n.ID, err)
	}
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	b := s.batch()
	b.put(nodesFamily, key, data)
	return b.write(ctx)
}

// Node returns a node; ErrNotFound if it is not there.
func (s *GraphStore) Node(ctx context.Context, id string) (Node, error) {
	key, err := keyOf("node", id)
	n := Node{ID: id}
	if err == nil {
		err = s.getJSON(ctx, nodesFamily, key, &n)
	}
	if err != nil {
		return Node{}, err
	}
	return n, nil
}

// Nodes yields all nodes, in the order of their ids.
func (s *GraphStore) Nodes(ctx context.Context) iter.Seq2[Node, error] {
	return listJSON(ctx, s.Store, nodesFamily, "node:", func(rest string, n Node) (Node, error) { n.ID = rest; return n, nil })
}

// DeleteNode removes a node. Where it has relationships these go with it if detach is set,
// at one moment, and it is ErrConflict if not. ErrNotFound if there is no such node.
func (s *GraphStore) DeleteNode(ctx context.Context, id string, detach bool) error {
	key, err := keyOf("node", id)
	if err != nil {
		return err
	}
	release, err := s.locks.holdAll(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.get(ctx, nodesFamily, key); err != nil {
		return fmt.Errorf("delete node %q: %w", id, err)
	}
	b := s.batch()
	b.remove(nodesFamily, key)
	for _, kind := range []string{"from", "to"} {
		for r, err := range s.of(ctx, kind, id) {
			if err != nil {
				return err
			}
			if !detach {
				return fmt.Errorf("delete node %q: %w: it has relationships, such as %q; remove them, or detach it", id, engine.ErrConflict, r.ID)
			}
			if err := removeRelationship(b, &r); err != nil {
				return err
			}
		}
	}
	return b.writeDelete(ctx)
}

// relationshipKeys returns the keys of a relationship: its own, and one at each node.
func relationshipKeys(r *Relationship) (key, from, to string, err error) {
	if key, err = keyOf("rel", r.ID); err != nil {
		return "", "", "", err
	}
	if from, err = keyOf("from", r.From, r.ID); err != nil {
		return "", "", "", err
	}
	to, err = keyOf("to", r.To, r.ID)
	return key, from, to, err
}

func removeRelationship(b *batch, r *Relationship) error {
	key, from, to, err := relationshipKeys(r)
	if err != nil {
		return err
	}
	b.remove(relationshipsFamily, key)
	b.remove(relationshipsFamily, from)
	b.remove(relationshipsFamily, to)
	return nil
}

// PutRelationship sets a relationship; ErrNotFound if one of its nodes is not there.
func (s *GraphStore) PutRelationship(ctx context.Context, r Relationship) error {
	key, from, to, err := relationshipKeys(&r)
	if err != nil {
		return err
	}
	data, err := encodeJSON(r)
	if err != nil {
		return fmt.Errorf("relationship %q: %w", r.ID, err)
	}
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	for _, node := range []string{r.From, r.To} {
		if _, err := s.Node(ctx, node); err != nil {
			return fmt.Errorf("relationship %q: node %q: %w", r.ID, node, err)
		}
	}
	b := s.batch()
	old, err := s.Relationship(ctx, r.ID)
	switch {
	case err == nil:
		if err := removeRelationship(b, &old); err != nil {
			return err
		}
	case !errors.Is(err, engine.ErrNotFound):
		return err
	}
	b.put(relationshipsFamily, key, data)
	b.put(relationshipsFamily, from, nil)
	b.put(relationshipsFamily, to, nil)
	return b.write(ctx)
}

// Relationship returns a relationship; ErrNotFound if it is not there.
func (s *GraphStore) Relationship(ctx context.Context, id string) (Relationship, error) {
	key, err := keyOf("rel", id)
	r := Relationship{ID: id}
	if err == nil {
		err = s.getJSON(ctx, relationshipsFamily, key, &r)
	}
	if err != nil {
		return Relationship{}, err
	}
	return r, nil
}

// DeleteRelationship removes a relationship; ErrNotFound if it is not there.
func (s *GraphStore) DeleteRelationship(ctx context.Context, id string) error {
	key, err := keyOf("rel", id)
	if err != nil {
		return err
	}
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	r, err := s.Relationship(ctx, id)
	if err != nil {
		return fmt.Errorf("delete relationship %q: %w", id, err)
	}
	b := s.batch()
	if err := removeRelationship(b, &r); err != nil {
		return err
	}
	return b.writeDelete(ctx)
}

// From yields the relationships that lead from a node, in the order of their ids.
func (s *GraphStore) From(ctx context.Context, node string) iter.Seq2[Relationship, error] {
	return s.of(ctx, "from", node)
}

// To yields the relationships that lead to a node, in the order of their ids.
func (s *GraphStore) To(ctx context.Context, node string) iter.Seq2[Relationship, error] {
	return s.of(ctx, "to", node)
}

func (s *GraphStore) of(ctx context.Context, kind, node string) iter.Seq2[Relationship, error] {
	return followed(ctx, s.Store, relationshipsFamily, kind, []string{node}, func(id string) (Relationship, error) { return s.Relationship(ctx, id) })
}

// followed yields what the entries of an index lead to. What has gone since the entry was
// read is left out.
func followed[T any](ctx context.Context, s *Store, of, kind string, names []string, get func(id string) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		prefix, err := prefixOf(kind, names...)
		if err != nil {
			yield(none, err)
			return
		}
		for e, err := range s.list(ctx, of, prefix, "") {
			if err != nil {
				yield(none, err)
				return
			}
			v, err := get(e.key[len(prefix):])
			if errors.Is(err, engine.ErrNotFound) {
				continue
			}
			if err != nil {
				yield(none, err)
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// SetMetadata sets a named thing beside the graph, of the caller's making.
func (s *GraphStore) SetMetadata(ctx context.Context, name string, value []byte) error {
	return s.setMetadata(ctx, metadataFamily, name, value)
}

// Metadata returns what SetMetadata was given; ErrNotFound if it is not there.
func (s *GraphStore) Metadata(ctx context.Context, name string) ([]byte, error) {
	return s.get(ctx, metadataFamily, name)
}
