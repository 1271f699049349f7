package protocol_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/providers/protocol"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "data")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := protocol.Open(ctx, dir, protocol.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	err = s.PostgreSQL.PutSchema(ctx, "players", []byte(`{"columns":["id","name"]}`))
	fmt.Println(err)
	err = s.PostgreSQL.PutRows(ctx, "players", protocol.Row{ID: "1", Values: protocol.Object{"name": "ada"}})
	fmt.Println(err)
	row, err := s.PostgreSQL.Row(ctx, "players", "1")
	fmt.Println(row["name"], err)

	err = s.Redis.Set(ctx, "session:1", []byte("ada"), time.Hour)
	fmt.Println(err)
	v, err := s.Redis.Get(ctx, "session:1")
	fmt.Println(string(v.Data), err)
	// Output:
	// <nil>
	// <nil>
	// ada <nil>
	// <nil>
	// ada <nil>
}

func ExampleGraphStore() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "data")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := protocol.Open(ctx, dir, protocol.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	for _, id := range []string{"ada", "bob"} {
		if err := s.Cypher.PutNode(ctx, protocol.Node{ID: id, Labels: []string{"Person"}}); err != nil {
			fmt.Println(err)
		}
	}
	err = s.Cypher.PutRelationship(ctx, protocol.Relationship{ID: "1", Type: "KNOWS", From: "ada", To: "bob"})
	fmt.Println(err)
	for r, err := range s.Cypher.From(ctx, "ada") {
		fmt.Println(r.From, r.Type, r.To, err)
	}
	// Output:
	// <nil>
	// ada KNOWS bob <nil>
}
