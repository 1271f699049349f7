package protocol

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/orbit-persistence/orbit/engine"
)

// DocumentStore is the store of aql: collections of documents, collections of edges
// between vertices, and named graphs.
type DocumentStore struct{ *Store }

// Collection is a collection of documents, or of edges.
type Collection struct {
	Name       string `json:"-"`
	Edges      bool   `json:"edges,omitempty"`
	Properties Object `json:"properties,omitempty"`
}

// Document is a document of a collection.
type Document struct {
	Key    string
	Values Object
}

// Edge leads from one vertex to another. A vertex is named as "collection/key"; it need
// not be there.
type Edge struct {
	Key    string `json:"-"`
	From   string `json:"from"`
	To     string `json:"to"`
	Values Object `json:"values,omitempty"`
}

// CreateCollection makes a collection; ErrConflict if there is one of that name.
func (s *DocumentStore) CreateCollection(ctx context.Context, c Collection) error {
	key, err := keyOf("collection", c.Name)
	if err != nil {
		return err
	}
	data, err := encodeJSON(c)
	if err != nil {
		return fmt.Errorf("collection %q: %w", c.Name, err)
	}
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	if there, err := s.has(ctx, collectionsFamily, key); err != nil {
		return err
	} else if there {
		return fmt.Errorf("create collection %q: %w: it is there", c.Name, engine.ErrConflict)
	}
	b := s.batch()
	b.put(collectionsFamily, key, data)
	return b.write(ctx)
}

// Collection returns a collection; ErrNotFound if it is not there.
func (s *DocumentStore) Collection(ctx context.Context, name string) (Collection, error) {
	key, err := keyOf("collection", name)
	c := Collection{Name: name}
	if err == nil {
		err = s.getJSON(ctx, collectionsFamily, key, &c)
	}
	if err != nil {
		return Collection{}, err
	}
	return c, nil
}

// Collections yields all collections, in the order of their names.
func (s *DocumentStore) Collections(ctx context.Context) iter.Seq2[Collection, error] {
	return listJSON(ctx, s.Store, collectionsFamily, "collection:", func(rest string, c Collection) (Collection, error) { c.Name = rest; return c, nil })
}

// DropCollection removes a collection with all that it holds, at one moment; ErrNotFound
// if it is not there.
func (s *DocumentStore) DropCollection(ctx context.Context, name string) error {
	key, err := keyOf("collection", name)
	if err != nil {
		return err
	}
	release, err := s.locks.holdAll(ctx)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.get(ctx, collectionsFamily, key); err != nil {
		return fmt.Errorf("drop collection %q: %w", name, err)
	}
	b := s.batch()
	b.remove(collectionsFamily, key)
	for kind, of := range map[string]string{"doc": documentsFamily, "edge": edgesFamily, "from": edgesFamily, "to": edgesFamily} {
		prefix, err := prefixOf(kind, name)
		if err != nil {
			return err
		}
		b.removePrefix(of, prefix)
	}
	return b.writeDelete(ctx)
}

// in returns an error unless a collection is there and is one of edges, or of documents.
func (s *DocumentStore) in(ctx context.Context, collection string, edges bool) error {
	c, err := s.Collection(ctx, collection)
	if err != nil {
		return fmt.Errorf("collection %q: %w", collection, err)
	}
	if c.Edges != edges {
		return fmt.Errorf("collection %q: %w: it is one of %s", collection, engine.ErrInvalid, map[bool]string{true: "edges", false: "documents"}[c.Edges])
	}
	return nil
}

// PutDocuments sets documents of a collection, at one moment; ErrNotFound if the
// collection is not there.
func (s *DocumentStore) PutDocuments(ctx context.Context, collection string, documents ...Document) error {
	release, err := s.locks.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.in(ctx, collection, false); err != nil {
		return err
	}
	b := s.batch()
	for _, d := range documents {
		key, err := keyOf("doc", collection, d.Key)
		if err != nil {
			return err
		}
		data, err := encodeJSON(d.Values)
		if err != nil {
			return fmt.Errorf("document %q of collection %q: %w", d.Key, collection, err)
		}
		b.put(documentsFamily, key, data)
	}
	return b.write(ctx)
}

// Document returns a document; ErrNotFound if it is not there.
func (s *DocumentStore) Document(ctx context.Context, collection, document string) (Document, error) {
	key, err := keyOf("doc", collection, document)
	d := Document{Key: document}
	if err == nil {
		err = s.getJSON(ctx, documentsFamily, key, &d.Values)
	}
	if err != nil {
		return Document{}, err
	}
	return d, nil
}

// Documents yields the documents of a collection, in the order of their keys.
func (s *DocumentStore) Documents(ctx context.Context, collection string) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		prefix, err := prefixOf("doc", collection)
		if err != nil {
			yield(Document{}, err)
			return
		}
		for e, err := range s.list(ctx, documentsFamily, prefix, "") {
			var d Document
			if err == nil {
				d.Key = e.key[len(prefix):]
				err = decodeJSON(e.key, e.value, &d.Values)
			}
			if err != nil {
				yield(Document{}, err)
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

// DeleteDocument removes a document; one that is not there is no error.
func (s *DocumentStore) DeleteDocument(ctx context.Context, collection, document string) error {
	key, err := keyOf("doc", collection, document)
	if err != nil {
		return err
	}
	b := s.batch()
	b.remove(documentsFamily, key)
	return b.writeDelete(ctx)
}

// edgeKeys returns the keys of an edge: its own, and one at each vertex.
func edgeKeys(collection string, e *Edge) (key, from, to string, err error) {
	if key, err = keyOf("edge", collection, e.Key); err != nil {
		return "", "", "", err
	}
	if from, err = keyOf("from", collection, e.From, e.Key); err != nil {
		return "", "", "", err
	}
	to, err = keyOf("to", collection, e.To, e.Key)
	return key, from, to, err
}

func removeEdge(b *batch, collection string, e *Edge) error {
	key, from, to, err := edgeKeys(collection, e)
	if err != nil {
		return err
	}
	b.remove(edgesFamily, key)
	b.remove(edgesFamily, from)
	b.remove(edgesFamily, to)
	return nil
}

// PutEdge sets an edge of a collection; ErrNotFound if the collection is not there.
func (s *DocumentStore) PutEdge(ctx context.Context, collection string, e Edge) error {
	key, from, to, err := edgeKeys(collection, &e)
	if err != nil {
		return err
	}
	data, err := encodeJSON(e)
	if err != nil {
		return fmt.Errorf("edge %q of collection %q: %w", e.Key, collection, err)
	}
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	if err := s.in(ctx, collection, true); err != nil {
		return err
	}
	b := s.batch()
	old, err := s.Edge(ctx, collection, e.Key)
	switch {
	case err == nil:
		if err := removeEdge(b, collection, &old); err != nil {
			return err
		}
	case !errors.Is(err, engine.ErrNotFound):
		return err
	}
	b.put(edgesFamily, key, data)
	b.put(edgesFamily, from, nil)
	b.put(edgesFamily, to, nil)
	return b.write(ctx)
}

// Edge returns an edge; ErrNotFound if it is not there.
func (s *DocumentStore) Edge(ctx context.Context, collection, edge string) (Edge, error) {
	key, err := keyOf("edge", collection, edge)
	e := Edge{Key: edge}
	if err == nil {
		err = s.getJSON(ctx, edgesFamily, key, &e)
	}
	if err != nil {
		return Edge{}, err
	}
	return e, nil
}

// DeleteEdge removes an edge; ErrNotFound if it is not there.
func (s *DocumentStore) DeleteEdge(ctx context.Context, collection, edge string) error {
	key, err := keyOf("edge", collection, edge)
	if err != nil {
		return err
	}
	release, err := s.locks.hold(ctx, key)
	if err != nil {
		return err
	}
	defer release()
	e, err := s.Edge(ctx, collection, edge)
	if err != nil {
		return fmt.Errorf("delete edge %q of collection %q: %w", edge, collection, err)
	}
	b := s.batch()
	if err := removeEdge(b, collection, &e); err != nil {
		return err
	}
	return b.writeDelete(ctx)
}

// From yields the edges of a collection that lead from a vertex, in the order of their
// keys.
func (s *DocumentStore) From(ctx context.Context, collection, vertex string) iter.Seq2[Edge, error] {
	return s.of(ctx, "from", collection, vertex)
}

// To yields the edges of a collection that lead to a vertex, in the order of their keys.
func (s *DocumentStore) To(ctx context.Context, collection, vertex string) iter.Seq2[Edge, error] {
	return s.of(ctx, "to", collection, vertex)
}

func (s *DocumentStore) of(ctx context.Context, kind, collection, vertex string) iter.Seq2[Edge, error] {
	return followed(ctx, s.Store, edgesFamily, kind, []string{collection, vertex}, func(key string) (Edge, error) { return s.Edge(ctx, collection, key) })
}

// PutGraph sets the definition of a named graph, of the caller's making.
func (s *DocumentStore) PutGraph(ctx context.Context, name string, definition Object) error {
	key, err := keyOf("graph", name)
	if err != nil {
		return err
	}
	data, err := encodeJSON(definition)
	if err != nil {
		return fmt.Errorf("graph %q: %w", name, err)
	}
	b := s.batch()
	b.put(graphsFamily, key, data)
	return b.write(ctx)
}

// Graph returns the definition of a graph; ErrNotFound if it is not there.
func (s *DocumentStore) Graph(ctx context.Context, name string) (Object, error) {
	key, err := keyOf("graph", name)
	if err != nil {
		return nil, err
	}
	var definition Object
	if err := s.getJSON(ctx, graphsFamily, key, &definition); err != nil {
		return nil, err
	}
	return definition, nil
}

// Graphs returns the names of the graphs, in order.
func (s *DocumentStore) Graphs(ctx context.Context) ([]string, error) {
	return s.names(ctx, graphsFamily, "graph:")
}

// DropGraph removes the definition of a graph, and nothing else; one that is not there is
// no error.
func (s *DocumentStore) DropGraph(ctx context.Context, name string) error {
	key, err := keyOf("graph", name)
	if err != nil {
		return err
	}
	b := s.batch()
	b.remove(graphsFamily, key)
	return b.writeDelete(ctx)
}

// SetMetadata sets a named thing beside the collections, of the caller's making.
func (s *DocumentStore) SetMetadata(ctx context.Context, name string, value []byte) error {
	return s.setMetadata(ctx, metadataFamily, name, value)
}

// Metadata returns what SetMetadata was given; ErrNotFound if it is not there.
func (s *DocumentStore) Metadata(ctx context.Context, name string) ([]byte, error) {
	return s.get(ctx, metadataFamily, name)
}
