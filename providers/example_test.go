package providers_test

import (
	"context"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/memory"
	"github.com/orbit-persistence/orbit/providers/node"
)

func Example() {
	ctx := context.Background()
	p, err := providers.Open(ctx, providers.Config{Backend: memory.Backend, Options: memory.Config{MaxEntries: 100_000}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	err = p.Update(ctx, func(tx *providers.Tx) error { // runs again on a conflict
		if err := tx.Put(ctx, []byte("account/1"), []byte("90"), providers.PutOptions{}); err != nil {
			return err
		}
		return tx.Put(ctx, []byte("account/2"), []byte("10"), providers.PutOptions{})
	})
	fmt.Println(err)
	for entry, err := range p.List(ctx, providers.ListOptions{Prefix: []byte("account/")}) {
		fmt.Printf("%s = %s %v\n", entry.Key, entry.Value, err)
	}

	leases := lease.New(p, lease.Options{})
	player := lease.Reference{Type: "Player", Key: lease.StringKey("ada")}
	held, err := leases.Acquire(ctx, player, node.ID{Namespace: "default", Key: "node-1"}, 30*time.Second)
	fmt.Println(held.Token, err)
	_, err = p.Put(ctx, []byte("state/ada"), []byte("alive"), providers.PutOptions{Fence: held.Token})
	fmt.Println(err)
	fmt.Println(p.Health(ctx).State)
	// Output:
	// <nil>
	// account/1 = 90 <nil>
	// account/2 = 10 <nil>
	// 1 <nil>
	// <nil>
	// healthy
}
