// Command providers stores leases in one provider, moves them to another in a
// transaction, and reads them back.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/cowbtree"
	"github.com/orbit-persistence/orbit/providers/lease"
	_ "github.com/orbit-persistence/orbit/providers/memory"
	"github.com/orbit-persistence/orbit/providers/node"
)

func main() {
	ctx := context.Background()
	from, err := providers.Open(ctx, providers.Config{Backend: "memory"})
	check(err)
	defer from.Close()
	tree := cowbtree.Defaults()
	tree.DataDir = os.Args[1]
	to, err := providers.Open(ctx, providers.Config{Backend: cowbtree.Backend, Options: tree})
	check(err)
	defer to.Close()

	home := node.ID{Namespace: "default", Key: "node-1"}
	for _, name := range []string{"ada", "grace"} {
		player := lease.Reference{Type: "Player", Key: lease.StringKey(name)}
		check(lease.New(from, lease.Options{}).Store(ctx, lease.Lease{Reference: player, Node: home, ExpiresAt: time.Now().Add(lease.DefaultTTL)}))
	}
	check(to.Update(ctx, func(tx *providers.Tx) error {
		for entry, err := range from.List(ctx, providers.ListOptions{Prefix: []byte("lease")}) {
			if err != nil {
				return err
			}
			if err := tx.Put(ctx, entry.Key, entry.Value, providers.PutOptions{}); err != nil {
				return err
			}
		}
		return nil
	}))
	for l, err := range lease.New(to, lease.Options{}).ListNode(ctx, home) {
		check(err)
		fmt.Println(l.Reference, "is held by", l.Node)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
