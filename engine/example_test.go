package engine_test

import (
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
)

func Example() {
	ctx := context.Background()
	store := memory.Open()
	defer store.Close()

	var b engine.Batch
	b.Put([]byte("lease/07"), []byte("node-2"))
	b.Put([]byte("lease/42"), []byte("node-1"))
	b.Put([]byte("node/1"), []byte("10.0.0.1:50056"))
	if err := store.Apply(ctx, &b, engine.Memory); err != nil {
		fmt.Println(err)
		return
	}

	value, err := store.Get([]byte("lease/42"), nil)
	fmt.Printf("%s %v\n", value, err)

	it, err := store.NewIterator(engine.IterOptions{Lower: []byte("lease/"), Upper: []byte("lease0")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		fmt.Printf("%s = %s %v\n", it.Key(), value, err)
	}
	// Output:
	// node-1 <nil>
	// lease/07 = node-2 <nil>
	// lease/42 = node-1 <nil>
}
