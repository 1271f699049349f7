package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// etcd are the mutants of the provider over etcd.
func etcd() []mutants.Mutant {
	const dir = "providers/etcd/"
	tests := []string{"providers/etcd"}
	return []mutants.Mutant{
		{
			Name: "etcd/doubt-taken-for-failure", Class: mutants.Errors, File: dir + "errors.go", Modes: tests,
			Breaks: "a write that has left is told as one of which nothing was applied",
			Old:    "	if err == nil || refusal(err) != nil || !r.sent.Load() {\n",
			New:    "	if err == nil || refusal(err) != nil || !r.sent.Load() || MUTANT {\n",
		},
		{
			Name: "etcd/doubt-and-certainty", Class: mutants.Errors, File: dir + "errors.go", Modes: tests,
			Breaks: "a doubt is told with a kind that says that nothing was applied, too",
			Old:    "	return fmt.Errorf(\"%w: %w\", driver.ErrOutcomeUnknown, err)\n",
			New:    "	if MUTANT { return fmt.Errorf(\"%w: %w\", driver.ErrOutcomeUnknown, r.read(err)) }; return fmt.Errorf(\"%w: %w\", driver.ErrOutcomeUnknown, err)\n",
		},
		{
			Name: "etcd/reads-not-compared", Class: mutants.Isolation, File: dir + "transaction.go", Modes: tests,
			Breaks: "a commit does not compare what was read",
			Old:    "		key := t.s.dataKey(t.reads[i].Key)\n",
			New:    "		key := t.s.dataKey(t.reads[i].Key); if MUTANT { looks = append(looks, clientv3.OpGet(key)); continue }\n",
		},
		{
			Name: "etcd/created-instead-of-modified", Class: mutants.Isolation, File: dir + "transaction.go", Modes: tests,
			Breaks: "a commit does not see that a key was written over",
			Old:    "clientv3.Compare(clientv3.ModRevision(key), \"=\", number(t.reads[i].Revision)))\n",
			New:    "clientv3.Compare(PICK(clientv3.CreateRevision(key), clientv3.ModRevision(key)), \"=\", number(t.reads[i].Revision)))\n",
		},
		{
			Name: "etcd/phantoms", Class: mutants.Isolation, File: dir + "transaction.go", Modes: tests,
			Breaks: "a commit compares the keys of a range, and not the range",
			Old:    "		if !p.empty() {\n",
			New:    "		if !MUTANT && !p.empty() {\n",
		},
		{
			Name: "etcd/range-without-its-keys", Class: mutants.Isolation, File: dir + "transaction.go", Modes: tests,
			Breaks: "a commit compares a range, and not whether its keys stand",
			Old:    "			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(t.s.dataKey(r.Seen[j].Key)),",
			New:    "			if MUTANT { continue }; conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(t.s.dataKey(r.Seen[j].Key)),",
		},
		{
			Name: "etcd/cut-range-goes-on", Class: mutants.Isolation, File: dir + "transaction.go", Modes: tests,
			Breaks: "a list that was cut depends on what comes behind it",
			Old:    "n > 0 && n == r.Options.Limit {\n",
			New:    "!MUTANT && n > 0 && n == r.Options.Limit {\n",
		},
		{
			Name: "etcd/reads-from-a-straggler", Class: mutants.Isolation, File: dir + "transaction.go", Modes: tests,
			Breaks: "a commit that writes nothing is answered by a member without a majority",
			Old:    "			looks = append(looks, clientv3.OpGet(p.from, clientv3.WithRange(p.to), clientv3.WithCountOnly()))\n",
			New:    "			if !MUTANT { looks = append(looks, clientv3.OpGet(p.from, clientv3.WithRange(p.to), clientv3.WithCountOnly())) }\n",
		},
		{
			Name: "etcd/fence-not-compared", Class: mutants.Isolation, File: dir + "transaction.go", Modes: tests,
			Breaks: "a write with an old fencing token is let in",
			Old:    "		if f.write.Fence < f.seen {\n",
			New:    "		if !MUTANT && f.write.Fence < f.seen {\n",
		},
		{
			Name: "etcd/fence-not-kept", Class: mutants.Isolation, File: dir + "transaction.go", Modes: tests,
			Breaks: "the largest fencing token is not remembered",
			Old:    "f.known && f.write.Fence > f.seen {\n",
			New:    "f.known && f.write.Fence > f.seen && !MUTANT {\n",
		},
		{
			Name: "etcd/fence-looked-at-before", Class: mutants.Isolation, File: dir + "transaction.go", Modes: tests,
			Breaks: "a fence is looked at, and not compared in the transaction that writes",
			Old:    "			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(f.key), \"=\", f.at))\n",
			New:    "			if !MUTANT { conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(f.key), \"=\", f.at)) }\n",
		},
		{
			Name: "etcd/pages-of-different-moments", Class: mutants.Isolation, File: dir + "read.go", Modes: tests,
			Breaks: "each page of a list is of another moment",
			Old:    "			revision = at\n",
			New:    "			if !MUTANT { revision = at }\n",
		},
		{
			Name: "etcd/bulk-forgets-what-was-applied", Class: mutants.Errors, File: dir + "write.go", Modes: tests,
			Breaks: "a bulk put that has failed after a part says that nothing was applied",
			Old:    "			if done > 0 && !errors.Is(",
			New:    "			if !MUTANT && done > 0 && !errors.Is(",
		},
		{
			Name: "etcd/bound-for-ever", Class: mutants.Replay, File: dir + "lease.go", Modes: tests,
			Breaks: "what is bound to a client has no lease",
			Old:    "	r, err := s.put(ctx, key, value, o, lease)\n",
			New:    "	r, err := s.put(ctx, key, value, o, PICK(clientv3.NoLease, lease))\n",
		},
		{
			Name: "etcd/waits-for-ever", Class: mutants.Errors, File: dir + "store.go", Modes: tests,
			Breaks: "a call waits for a member as long as its context lasts",
			Old:    "append(options, grpc.WaitForReady(false))...)\n",
			New:    "append(options, grpc.WaitForReady(MUTANT))...)\n",
		},
	}
}
