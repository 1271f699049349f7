package providermutants

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/torture/mutants"
)

const (
	intentCommit   = "providers/intent/commit.go"
	intentResolve  = "providers/intent/resolve.go"
	intentStore    = "providers/intent/store.go"
	intentRecent   = "providers/intent/recent.go"
	localWrite     = "providers/local/write.go"
	localRead      = "providers/local/read.go"
	localStore     = "providers/local/store.go"
	localLimits    = "providers/local/occupancy.go"
	memoryBackup   = "providers/memory/backup.go"
	guard          = "providers/guard.go"
	transaction    = "providers/transaction.go"
	leaseDirectory = "providers/lease/directory.go"
	leaseAcquire   = "providers/lease/acquire.go"
	leaseReference = "providers/lease/reference.go"
	nodeDirectory  = "providers/node/node.go"
)

// The packages whose tests judge.
var (
	intentTests    = []string{"providers/intent"}
	localTests     = []string{"providers/local"}
	memoryTests    = []string{"providers/memory"}
	providersTests = []string{"providers"}
	leaseTests     = []string{"providers/lease"}
	nodeTests      = []string{"providers/node"}
)

// All returns every mutant; Modes are the packages whose tests should find it. What is
// not of the core has a file of its own, and a line here.
func All() []mutants.Mutant {
	return slices.Concat(
		core(),
		backups(),
		composites(),
		etcd(),
		flash(),
		kubernetes(),
		migrating(),
		objects(),
		opening(),
		protocols(),
		redis(),
		tables(),
	)
}

// Select returns the mutants that a list names, with commas between: all, or whole names,
// or names as far as their slash. A word that names none is an error.
func Select(list string) ([]mutants.Mutant, error) {
	if list == "all" {
		return All(), nil
	}
	var selected []mutants.Mutant
	for word := range strings.SplitSeq(list, ",") {
		n := len(selected)
		for _, m := range All() {
			if area, _, _ := strings.Cut(m.Name, "/"); m.Name == word || area == word {
				selected = append(selected, m)
			}
		}
		if len(selected) == n {
			return nil, fmt.Errorf("there is no mutant %q", word)
		}
	}
	return selected, nil
}

// core are the mutants of the layers that all providers share.
func core() []mutants.Mutant {
	return []mutants.Mutant{
		// Transactions over compare-and-swap.
		{
			Name: "intent/reads-not-validated", Class: mutants.Isolation, File: intentCommit, Modes: intentTests,
			Breaks: "a commit does not look again at what was only read",
			Old:    "		if !shows(now, r.Revision) {\n",
			New:    "		if !MUTANT && !shows(now, r.Revision) {\n",
		},
		{
			Name: "intent/written-reads-not-validated", Class: mutants.Isolation, File: intentCommit, Modes: intentTests,
			Breaks: "an intent takes the place of another value than the one that was read",
			Old:    "		if wasRead && !shows(now, want) {\n",
			New:    "		if !MUTANT && wasRead && !shows(now, want) {\n",
		},
		{
			Name: "intent/reader-passes-an-intent", Class: mutants.Isolation, File: intentResolve, Modes: intentTests,
			Breaks: "a reader shows the old value of a transaction that is pending",
			Old:    "			return object{}, waiting, nil\n		}\n		if status, err =",
			New:    "			if MUTANT { return object{plain: o.intent.before, at: o.at}, settledNow, nil }; return object{}, waiting, nil\n		}\n		if status, err =",
		},
		{
			Name: "intent/list-passes-an-intent", Class: mutants.Isolation, File: intentStore, Modes: intentTests,
			Breaks: "a list shows the old value of every intent",
			Old:    "				if v = in.plain; in.intent != nil {\n",
			New:    "				if v = in.plain; MUTANT && in.intent != nil { v = in.intent.before } else if in.intent != nil {\n",
		},
		{
			Name: "intent/record-collected-before-its-intents", Class: mutants.Ordering, File: intentResolve, Modes: intentTests,
			Breaks: "the record of a committed transaction goes while its intents stand",
			Old:    "	err := s.each(ctx, len(keys), func(ctx context.Context, i int) error {\n",
			New:    "	if MUTANT { keys = nil }; err := s.each(ctx, len(keys), func(ctx context.Context, i int) error {\n",
		},
		{
			Name: "intent/missing-is-committed", Class: mutants.Replay, File: intentResolve, Modes: intentTests,
			Breaks: "an intent without a record counts as committed",
			Old:    "	if status == pendingStatus || status == missing {\n",
			New:    "	if MUTANT && status == missing { status = committed }; if status == pendingStatus || status == missing {\n",
		},
		{
			Name: "intent/no-second-look-at-intents", Class: mutants.Ordering, File: intentCommit, Modes: intentTests,
			Breaks: "an intent that was taken away before the record was there counts as standing",
			Old:    "	if o.intent == nil || o.intent.tx != t.id || o.at != t.at[i] {\n",
			New:    "	if !MUTANT && (o.intent == nil || o.intent.tx != t.id || o.at != t.at[i]) {\n",
		},
		{
			Name: "intent/commit-point-without-swap", Class: mutants.Isolation, File: intentCommit, Modes: intentTests,
			Breaks: "a transaction that was aborted makes itself committed",
			Old:    "encodeRecord(&done), driver.PutOptions{IfRevision: t.record.at})\n",
			New:    "encodeRecord(&done), PICK(driver.PutOptions{}, driver.PutOptions{IfRevision: t.record.at}))\n",
		},
		{
			Name: "intent/doubt-taken-for-failure", Class: mutants.Errors, File: intentCommit, Modes: intentTests,
			Breaks: "a commit point of unknown outcome is told as one that failed",
			Old:    "	settle, cancel := t.detached(ctx)\n",
			New:    "	if MUTANT { return notCommitted(err) }; settle, cancel := t.detached(ctx)\n",
		},
		{
			Name: "intent/doubt-and-certainty", Class: mutants.Errors, File: intentCommit, Modes: intentTests,
			Breaks: "a commit in doubt is told with a kind that says that nothing was applied, too",
			Old:    "		return fmt.Errorf(\"%w; and asking did not help: %v\", err, settleErr)",
			New:    "		return fmt.Errorf(PICK(\"%w; %w\", \"%w; and asking did not help: %v\"), err, settleErr)",
		},
		{
			Name: "intent/put-over-an-intent", Class: mutants.Isolation, File: intentStore, Modes: intentTests,
			Breaks: "a put takes the place of whatever is there",
			Old:    "	case v.needed():\n		return s.base.Put(ctx, key, encodePlain(v), driver.PutOptions{IfRevision: at})\n",
			New:    "	case v.needed():\n		return s.base.Put(ctx, key, encodePlain(v), PICK(driver.PutOptions{}, driver.PutOptions{IfRevision: at}))\n",
		},
		{
			Name: "intent/no-timeout", Class: mutants.Isolation, File: intentResolve, Modes: intentTests,
			Breaks: "whoever meets a pending transaction aborts it at once",
			Old:    "		s.dropOld(now)\n		return false\n",
			New:    "		s.dropOld(now)\n		return MUTANT\n",
		},
		{
			Name: "intent/fence-not-checked", Class: mutants.Isolation, File: intentStore, Modes: intentTests,
			Breaks: "a write with an old fencing token is let in",
			Old:    "	if w.Fence != 0 && w.Fence < seen {\n",
			New:    "	if !MUTANT && w.Fence != 0 && w.Fence < seen {\n",
		},
		{
			Name: "intent/remembered-bytes-shared", Class: mutants.Isolation, File: intentRecent, Modes: intentTests,
			Breaks: "what is remembered for the next swap is the caller's memory",
			Old:    "	copied.data = bytes.Clone(copied.data)\n",
			New:    "	copied.data = PICK(copied.data, bytes.Clone(copied.data))\n",
		},
		{
			Name: "intent/settles-the-callers-keys", Class: mutants.Isolation, File: intentCommit, Modes: intentTests,
			Breaks: "what is settled after a commit are the keys that the caller's memory has by then",
			Old:    "		t.record.keys = append(t.record.keys, bytes.Clone(t.commit.Writes[i].Key))\n",
			New:    "		t.record.keys = append(t.record.keys, PICK(t.commit.Writes[i].Key, bytes.Clone(t.commit.Writes[i].Key)))\n",
		},
		{
			Name: "intent/sweep-too-early", Class: mutants.Ordering, File: intentResolve, Modes: intentTests,
			Breaks: "Sweep removes records without settling what they name",
			Old:    "		if err := s.settleAll(ctx, t, r.keys, as); err != nil {\n",
			New:    "		if err := s.settleAll(ctx, t, PICK(nil, r.keys), as); err != nil {\n",
		},

		// Engines as stores.
		{
			Name: "local/reads-not-validated", Class: mutants.Isolation, File: localWrite, Modes: localTests,
			Breaks: "a commit does not look at what was read",
			Old:    "		if now != r.Revision.Number() || r.Revision.Tag() != \"\" {\n",
			New:    "		if !MUTANT && (now != r.Revision.Number() || r.Revision.Tag() != \"\") {\n",
		},
		{
			Name: "local/ranges-not-locked", Class: mutants.Isolation, File: localWrite, Modes: localTests,
			Breaks: "a commit that has read a range does not keep others from it",
			Old:    "		for i := range stripes {\n",
			New:    "		for i := range PICK(0, stripes) {\n",
		},
		{
			Name: "local/note-past-a-write", Class: mutants.Isolation, File: "providers/local/known.go", Modes: localTests,
			Breaks: "a slow reader notes a revision that a write has replaced",
			Old:    "	if p.turns.Load() == turns {\n",
			New:    "	if MUTANT || p.turns.Load() == turns {\n",
		},
		{
			Name: "local/note-within-a-write", Class: mutants.Isolation, File: "providers/local/known.go", Modes: localTests,
			Breaks: "a reader that began during a write notes, after its end, the revision that it has replaced",
			Old:    "	p.turns.Add(1)\n	p.slots[h/stripes%slots] = slot{",
			New:    "	if !MUTANT { p.turns.Add(1) }\n	p.slots[h/stripes%slots] = slot{",
		},
		{
			Name: "local/fence-not-checked", Class: mutants.Isolation, File: localWrite, Modes: localTests,
			Breaks: "a write with an old fencing token is let in",
			Old:    "	if w.Fence < seen {\n",
			New:    "	if !MUTANT && w.Fence < seen {\n",
		},
		{
			Name: "local/fence-not-kept", Class: mutants.Isolation, File: localWrite, Modes: localTests,
			Breaks: "the largest fencing token is not remembered",
			Old:    "	if w.Fence > seen {\n",
			New:    "	if !MUTANT && w.Fence > seen {\n",
		},
		{
			Name: "local/sweep-takes-the-living", Class: mutants.Replay, File: localWrite, Modes: localTests,
			Breaks: "an old expiry removes a row that was written again with a longer time",
			Old:    "		if r.expires != 0 && r.expires <= now {\n",
			New:    "		if MUTANT || r.expires != 0 && r.expires <= now {\n",
		},
		{
			Name: "local/revisions-not-reserved", Class: mutants.Replay, File: localStore, Modes: localTests,
			Breaks: "revisions are given before their block is written down",
			Old:    "	if err := s.writeHeader(ctx, r+reserve); err != nil {\n",
			New:    "	if MUTANT {} else if err := s.writeHeader(ctx, r+reserve); err != nil {\n",
		},
		{
			Name: "local/doubt-not-told", Class: mutants.Errors, File: localWrite, Modes: localTests,
			Breaks: "the commit whose flush failed counts as not applied",
			Old:    "	if errors.Is(err, engine.ErrReadOnly) {\n",
			New:    "	if !MUTANT && errors.Is(err, engine.ErrReadOnly) {\n",
		},
		{
			Name: "local/expired-is-shown", Class: mutants.Isolation, File: localRead, Modes: localTests,
			Breaks: "a get shows what has expired",
			Old:    "	if !s.alive(&r) {\n		return row{}, driver.ErrNotFound\n",
			New:    "	if !MUTANT && !s.alive(&r) {\n		return row{}, driver.ErrNotFound\n",
		},
		{
			Name: "local/condition-without-the-lock", Class: mutants.Isolation, File: localWrite, Modes: localTests,
			Breaks: "keys of one write are not kept from others",
			Old:    "		if err := s.locks.lock(ctx, of(hash)); err != nil {\n			return 0, err\n		}\n		revision, err = s.oneLocked(ctx, k, absent, at)\n		s.locks.unlock(of(hash))\n",
			New:    "		if MUTANT {} else if err := s.locks.lock(ctx, of(hash)); err != nil {\n			return 0, err\n		}\n		revision, err = s.oneLocked(ctx, k, absent, at)\n		if !MUTANT { s.locks.unlock(of(hash)) }\n",
		},
		{
			Name: "local/lost-lock-on-cancel", Class: mutants.Errors, File: "providers/local/lock.go", Modes: localTests,
			Breaks: "who gives up waiting for many keys keeps those that it has",
			Old:    "			l.unlockSet(&taken)\n",
			New:    "			if !MUTANT { l.unlockSet(&taken) }\n",
		},
		{
			Name: "memory/limit-not-kept", Class: mutants.Errors, File: localLimits, Modes: memoryTests,
			Breaks: "max_entries bounds nothing",
			Old:    "	case d.entries > 0 && l.MaxEntries > 0 && entries > l.MaxEntries:\n",
			New:    "	case !MUTANT && d.entries > 0 && l.MaxEntries > 0 && entries > l.MaxEntries:\n",
		},
		{
			Name: "memory/backup-checksum-not-checked", Class: mutants.Device, File: memoryBackup, Modes: memoryTests,
			Breaks: "a damaged backup is restored",
			Old:    "		case binary.BigEndian.Uint32(end[8:]) != r.hash.Sum32():\n",
			New:    "		case !MUTANT && binary.BigEndian.Uint32(end[8:]) != r.hash.Sum32():\n",
		},
		{
			Name: "memory/backup-not-flushed", Class: mutants.Durability, File: memoryBackup, Modes: memoryTests,
			Breaks: "the backup takes the place of the last one before it is durable",
			Old:    "	if err := errors.Join(file.Sync(), file.Close()); err != nil {\n",
			New:    "	if MUTANT { file.Close() } else if err := errors.Join(file.Sync(), file.Close()); err != nil {\n",
		},

		// The portable layer.
		{
			Name: "providers/unsafe-retry", Class: mutants.Errors, File: guard, Modes: providersTests,
			Breaks: "a call of unknown outcome is made again",
			Old:    "	return errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, driver.ErrOutcomeUnknown) &&",
			New:    "	return MUTANT && errors.Is(err, driver.ErrOutcomeUnknown) || errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, driver.ErrOutcomeUnknown) &&",
		},
		{
			Name: "providers/retry-without-end", Class: mutants.Errors, File: guard, Modes: providersTests,
			Breaks: "a call is repeated once more than it may be",
			Old:    "attempt >= g.retry.Count {\n",
			New:    "attempt >= g.retry.Count+PICK(1, 0) {\n",
		},
		{
			Name: "providers/circuit-never-opens", Class: mutants.Errors, File: guard, Modes: providersTests,
			Breaks: "failures in a row are let through for ever",
			Old:    "return !failure(err) },\n",
			New:    "return MUTANT || !failure(err) },\n",
		},
		{
			Name: "providers/one-deadline-opens-the-circuit", Class: mutants.Errors, File: guard, Modes: providersTests,
			Breaks: "each call that a deadline ends counts as a failure in a row",
			Old:    "		counts = errCounted\n",
			New:    "		if !MUTANT { counts = errCounted }\n",
		},
		{
			Name: "providers/answers-open-the-circuit", Class: mutants.Errors, File: guard, Modes: providersTests,
			Breaks: "what is not found counts as a failure of the backend",
			Old:    "	return errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrOutcomeUnknown) || errors.Is(err, context.DeadlineExceeded)\n",
			New:    "	return MUTANT && err != nil || errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrOutcomeUnknown) || errors.Is(err, context.DeadlineExceeded)\n",
		},
		{
			Name: "providers/reads-not-committed", Class: mutants.Isolation, File: transaction, Modes: providersTests,
			Breaks: "a transaction does not tell its commit what it has read",
			Old:    "		m.Reads = append(m.Reads, driver.Read{Key: []byte(key), Revision: e.Revision})\n",
			New:    "		if !MUTANT { m.Reads = append(m.Reads, driver.Read{Key: []byte(key), Revision: e.Revision}) }\n",
		},
		{
			Name: "providers/phantoms", Class: mutants.Isolation, File: transaction, Modes: providersTests,
			Breaks: "a transaction does not tell its commit what it has listed",
			Old:    "	if validated {\n",
			New:    "	if validated && !MUTANT {\n",
		},
		{
			Name: "providers/timeout-not-kept", Class: mutants.Isolation, File: transaction, Modes: providersTests,
			Breaks: "a transaction that nobody ends holds its snapshot until its context ends",
			Old:    "	t.ctx, t.cancel = context.WithTimeout(ctx, o.Timeout)\n",
			New:    "	t.ctx, t.cancel = context.WithTimeout(ctx, PICK(1<<40, o.Timeout))\n",
		},

		// Leases and nodes.
		{
			Name: "lease/client-clock", Class: mutants.Device, File: leaseDirectory, Modes: leaseTests,
			Breaks: "leases end by the clock of whoever looks",
			Old:    "	if d.p.Capabilities().Clock {\n		return d.p.Now(ctx)\n",
			New:    "	if d.p.Capabilities().Clock && !MUTANT {\n		return d.p.Now(ctx)\n",
		},
		{
			Name: "lease/taken-over-at-second-sight", Class: mutants.Device, File: leaseAcquire, Modes: leaseTests,
			Breaks: "a contender does not wait for the full TTL",
			Old:    "	} else if mono.Sub(seen.since) < ttl {\n",
			New:    "	} else if !MUTANT && mono.Sub(seen.since) < ttl {\n",
		},
		{
			Name: "lease/renewal-not-seen", Class: mutants.Device, File: leaseAcquire, Modes: leaseTests,
			Breaks: "a contender counts from its first sight, whatever was renewed since",
			Old:    "!ok || seen.revision != from.revision {\n",
			New:    "!ok || !MUTANT && seen.revision != from.revision {\n",
		},
		{
			Name: "lease/token-forgotten", Class: mutants.Replay, File: leaseDirectory, Modes: leaseTests,
			Breaks: "tokens begin again when a lease was removed",
			Old:    "	if s.token == 0 {\n",
			New:    "	if MUTANT || s.token == 0 {\n",
		},
		{
			Name: "lease/bulk-too-large-for-a-wire", Class: mutants.Errors, File: leaseDirectory, Modes: leaseTests,
			Breaks: "a bulk over a wire goes in commits that a slow service cannot end in time",
			Old:    "		size = remoteBulkSize\n",
			New:    "		if !MUTANT { size = remoteBulkSize }\n",
		},
		{
			Name: "lease/store-forgets-the-token", Class: mutants.Replay, File: leaseDirectory, Modes: leaseTests,
			Breaks: "tokens begin again when a lease was stored",
			Old:    "func(from *stored) (*record, bool, error) { return l.record(from.token), true, nil })\n",
			New:    "func(from *stored) (*record, bool, error) { return l.record(PICK(uint64(0), from.token)), true, nil })\n",
		},
		{
			Name: "lease/acquired-without-swap", Class: mutants.Isolation, File: leaseDirectory, Modes: leaseTests,
			Breaks: "an acquisition takes the place of whatever is there",
			Old:    "providers.PutOptions{IfRevision: from.revision, IfAbsent: from.revision.IsZero()})\n",
			New:    "PICK(providers.PutOptions{}, providers.PutOptions{IfRevision: from.revision, IfAbsent: from.revision.IsZero()}))\n",
		},
		{
			Name: "lease/renewed-by-anybody", Class: mutants.Isolation, File: leaseAcquire, Modes: leaseTests,
			Breaks: "a renewal does not look whether the lease is another's",
			Old:    "	case !from.held() || from.token != h.Token || from.node != h.Node:\n",
			New:    "	case !MUTANT && (!from.held() || from.token != h.Token || from.node != h.Node):\n",
		},
		{
			Name: "lease/renewed-too-late", Class: mutants.Device, File: leaseAcquire, Modes: leaseTests,
			Breaks: "a lease that has expired is renewed",
			Old:    "	case d.p.Capabilities().Clock && !from.live(now):\n",
			New:    "	case !MUTANT && d.p.Capabilities().Clock && !from.live(now):\n",
		},
		{
			Name: "lease/index-keeps-the-old-node", Class: mutants.Ordering, File: leaseDirectory, Modes: leaseTests,
			Breaks: "a lease that moves stays in the list of its old node's index",
			Old:    "	if from.held() && (!now || from.node != to.node) {\n",
			New:    "	if !MUTANT && from.held() && (!now || from.node != to.node) {\n",
		},
		{
			Name: "lease/cleanup-takes-the-living", Class: mutants.Isolation, File: leaseDirectory, Modes: leaseTests,
			Breaks: "cleanup removes leases that never expire",
			Old:    "		if !s.held() || s.live(now) {\n",
			New:    "		if !s.held() || !MUTANT && s.live(now) {\n",
		},
		{
			Name: "lease/keys-collide", Class: mutants.Replay, File: leaseReference, Modes: leaseTests,
			Breaks: "a 32-bit and a 64-bit number are one key",
			Old:    "		dst = append(dst, byte(r.Key.kind))\n",
			New:    "		dst = append(dst, byte(PICK(kindInt64, r.Key.kind)))\n",
		},
		{
			Name: "node/challenge-not-checked", Class: mutants.Isolation, File: nodeDirectory, Modes: nodeTests,
			Breaks: "a node of yesterday renews the lease of its successor",
			Old:    "n.Lease.ChallengeToken != lease.ChallengeToken {\n",
			New:    "n.Lease.ChallengeToken != lease.ChallengeToken && !MUTANT {\n",
		},
		{
			Name: "node/expired-is-renewed", Class: mutants.Isolation, File: nodeDirectory, Modes: nodeTests,
			Breaks: "the renewal of a node that has expired succeeds",
			Old:    "		if n.expired(now) && !d.o.IncludeExpired {\n			return fmt",
			New:    "		if !MUTANT && n.expired(now) && !d.o.IncludeExpired {\n			return fmt",
		},
	}
}
