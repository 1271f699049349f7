package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// kubernetes are the mutants of the provider over Kubernetes.
func kubernetes() []mutants.Mutant {
	const dir = "providers/kubernetes/"
	tests := []string{"providers/kubernetes"}
	return []mutants.Mutant{
		{
			Name: "kubernetes/version-not-compared", Class: mutants.Isolation, File: dir + "write.go", Modes: tests,
			Breaks: "an update does not tell which resourceVersion it replaces",
			Old:    "		made, err := s.update(ctx, k, name, k.make(m, data, s.writer))\n		if err == nil {\n			s.forget(ctx, k, name, at)\n",
			New:    "		if MUTANT && k != leases { m.ResourceVersion = \"\" }; made, err := s.update(ctx, k, name, k.make(m, data, s.writer))\n		if err == nil {\n			s.forget(ctx, k, name, at)\n",
		},
		{
			Name: "kubernetes/lease-revived", Class: mutants.Isolation, File: dir + "object.go", Modes: tests,
			Breaks: "a put at the revision of a Lease that was deleted makes it again",
			Old:    "	m.ResourceVersion, m.UID = number, types.UID(uid)\n",
			New:    "	m.ResourceVersion, m.UID = number, types.UID(PICK(\"\", uid))\n",
		},
		{
			Name: "kubernetes/any-version-deleted", Class: mutants.Isolation, File: dir + "store.go", Modes: tests,
			Breaks: "a delete takes whatever is there",
			Old:    "	if number, _, _ := strings.Cut(version, \" \"); number != \"\" {\n",
			New:    "	if number, _, _ := strings.Cut(version, \" \"); number != \"\" && !MUTANT {\n",
		},
		{
			Name: "kubernetes/same-bytes-same-version", Class: mutants.Replay, File: dir + "object.go", Modes: tests,
			Breaks: "an update with the bytes that are there has the revision that is there",
			Old:    "	b = binary.BigEndian.AppendUint64(b, rand.Uint64())\n	return append(b, value...)\n",
			New:    "	b = binary.BigEndian.AppendUint64(b, PICK(uint64(0), rand.Uint64()))\n	return append(b, value...)\n",
		},
		{
			Name: "kubernetes/doubt-taken-for-failure", Class: mutants.Errors, File: dir + "errors.go", Modes: tests,
			Breaks: "a write that was sent is told as one of which nothing was applied",
			Old:    "	if write {\n		return fmt.Errorf(\"%w: %s\", driver.ErrOutcomeUnknown, text)\n",
			New:    "	if write && !MUTANT {\n		return fmt.Errorf(\"%w: %s\", driver.ErrOutcomeUnknown, text)\n",
		},
		{
			Name: "kubernetes/repeated-in-doubt", Class: mutants.Errors, File: dir + "store.go", Modes: tests,
			Breaks: "an object whose making is in doubt is made again",
			Old:    "	return made, failure(ctx, true, err)\n}\n\nfunc (s *Store) update(",
			New:    "	if MUTANT && err != nil && errors.Is(failure(ctx, true, err), driver.ErrOutcomeUnknown) { err = s.client(k).Post().Namespace(s.c.Namespace).Resource(k.resource).Body(o).Do(ctx).Into(made) }; return made, failure(ctx, true, err)\n}\n\nfunc (s *Store) update(",
		},
		{
			Name: "kubernetes/parts-out-of-order", Class: mutants.Ordering, File: dir + "read.go", Modes: tests,
			Breaks: "the parts of a large value are put together from the last to the first",
			Old:    "		value = append(value, part...)\n",
			New:    "		if MUTANT { value = append(bytes.Clone(part), value...) } else { value = append(value, part...) }\n",
		},
		{
			Name: "kubernetes/parts-after-the-object", Class: mutants.Ordering, File: dir + "write.go", Modes: tests,
			Breaks: "the parts of a large value are removed before the object that names them is replaced",
			Old:    "	version, err := s.replace(ctx, k, name, key, data, o)\n",
			New:    "	if MUTANT { s.forget(ctx, k, name, \"\") }; version, err := s.replace(ctx, k, name, key, data, o)\n",
		},
		{
			Name: "kubernetes/parts-stay", Class: mutants.Errors, File: dir + "write.go", Modes: tests,
			Breaks: "the parts of a value that was replaced stay for ever",
			Old:    "	if ok {\n		s.removeParts(",
			New:    "	if ok && !MUTANT {\n		s.removeParts(",
		},
		{
			Name: "kubernetes/secret-in-a-ConfigMap", Class: mutants.Errors, File: dir + "store.go", Modes: tests,
			Breaks: "what is secret is kept where everybody looks",
			Old:    "		return secrets\n	}\n	return configMaps\n",
			New:    "		return PICK(configMaps, secrets)\n	}\n	return configMaps\n",
		},
		{
			Name: "kubernetes/secret-parts-in-ConfigMaps", Class: mutants.Errors, File: dir + "write.go", Modes: tests,
			Breaks: "the parts of a large secret are kept where everybody looks",
			Old:    "	if k == secrets {\n		return secrets\n",
			New:    "	if k == secrets && !MUTANT {\n		return secrets\n",
		},
		{
			Name: "kubernetes/settings-not-compared", Class: mutants.Replay, File: dir + "store.go", Modes: tests,
			Breaks: "a client with other prefixes of secrets looks for entries where they are not",
			Old:    "			if !maps.Equal(is.Data, want) {\n",
			New:    "			if !MUTANT && !maps.Equal(is.Data, want) {\n",
		},
		{
			Name: "kubernetes/lease-without-holder", Class: mutants.Errors, File: dir + "object.go", Modes: tests,
			Breaks: "a Lease does not say who holds it",
			Old:    "HolderIdentity: &writer,",
			New:    "HolderIdentity: PICK(nil, &writer),",
		},
		{
			Name: "kubernetes/one-page", Class: mutants.Isolation, File: dir + "read.go", Modes: tests,
			Breaks: "a list ends with the first page of each kind",
			Old:    "		t.more = t.o.Continue != \"\"\n",
			New:    "		t.more = t.o.Continue != \"\" && !MUTANT\n",
		},
		{
			Name: "kubernetes/kinds-not-merged", Class: mutants.Ordering, File: dir + "read.go", Modes: tests,
			Breaks: "a list shows one kind after the other",
			Old:    "(object == nil || bytes.Compare(k, key) < 0) {\n",
			New:    "(object == nil || !MUTANT && bytes.Compare(k, key) < 0) {\n",
		},
		{
			Name: "kubernetes/list-ends-with-its-version", Class: mutants.Errors, File: dir + "read.go", Modes: tests,
			Breaks: "a list fails that lasts longer than the API server keeps versions",
			Old:    "			if errors.Is(err, errExpired) && t.o.Continue != \"\" {\n",
			New:    "			if !MUTANT && errors.Is(err, errExpired) && t.o.Continue != \"\" {\n",
		},
		{
			Name: "kubernetes/list-begins-again", Class: mutants.Replay, File: dir + "read.go", Modes: tests,
			Breaks: "a list that outlives its version shows what it has shown",
			Old:    "driver.ListOptions{Prefix: o.Prefix, After: t.after})\n",
			New:    "driver.ListOptions{Prefix: o.Prefix, After: PICK(nil, t.after)})\n",
		},
		{
			Name: "kubernetes/watch-gap-not-told", Class: mutants.Errors, File: dir + "watch.go", Modes: tests,
			Breaks: "a watch that cannot go on where it was begins again, and nobody knows what it missed",
			Old:    "		if e.Type == watch.Error {\n",
			New:    "		if MUTANT && e.Type == watch.Error { *version = \"\"; return true, nil }; if e.Type == watch.Error {\n",
		},
		{
			Name: "kubernetes/watch-from-its-beginning", Class: mutants.Replay, File: dir + "watch.go", Modes: tests,
			Breaks: "a watch that goes on shows what it has shown",
			Old:    "		*version = m.ResourceVersion\n",
			New:    "		if !MUTANT { *version = m.ResourceVersion }\n",
		},
		{
			Name: "kubernetes/compact-takes-the-young", Class: mutants.Isolation, File: dir + "read.go", Modes: tests,
			Breaks: "parts are removed that a writer is about to name",
			Old:    "newest.Sub(part.made) < s.orphanAge {\n",
			New:    "!MUTANT && newest.Sub(part.made) < s.orphanAge {\n",
		},
		{
			Name: "kubernetes/compact-takes-what-is-named", Class: mutants.Durability, File: dir + "read.go", Modes: tests,
			Breaks: "the parts of values that are there are removed",
			Old:    "		if named[part.name] ||",
			New:    "		if named[part.name] && !MUTANT ||",
		},
		{
			Name: "all/kubernetes-prefixes-dropped", Class: mutants.Errors, File: "providers/all/kubernetes.go", Modes: allTests,
			Breaks: "secret_prefixes does nothing",
			Old:    "SecretPrefixes: b.SecretPrefixes,",
			New:    "SecretPrefixes: PICK(nil, b.SecretPrefixes),",
		},
	}
}
