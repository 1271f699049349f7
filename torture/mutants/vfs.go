package mutants

const (
	vfsDeadline = "engine/vfs/deadline.go"
	vfsReadRing = "engine/vfs/readring_linux.go"
	vfsURing    = "engine/vfs/uring_linux.go"
)

// vfsMutants are the defects of reads through a ring, and of calls with a deadline.
var vfsMutants = []Mutant{
	{
		Name: "vfs/completion-of-another", Class: Device, File: vfsURing, Modes: []string{Tests},
		Breaks: "a completion is taken for that of another request",
		Old:    "		slot := int(e.userData)\n",
		New:    "		slot := PICK(int(e.userData)^1, int(e.userData))\n",
	},
	{
		Name: "vfs/short-read-is-whole", Class: Device, File: vfsURing, Modes: []string{Tests},
		Breaks: "a read that ended early is taken for a whole one",
		Old:    "	case n == len(r.Data):\n",
		New:    "	case n == len(r.Data), MUTANT && result > 0:\n",
	},
	{
		Name: "vfs/error-of-completion-dropped", Class: Errors, File: vfsURing, Modes: []string{Tests},
		Breaks: "a read that the kernel refused has no error",
		Old:    "		return q.progress[slot], NewError(r.op(), f.name, at, errno), false\n",
		New:    "		return q.progress[slot], PICK(error(nil), NewError(r.op(), f.name, at, errno)), false\n",
	},
	{
		Name: "vfs/memory-of-lost-read-kept", Class: Device, File: vfsReadRing, Modes: []string{Tests},
		Breaks: "memory is used again that the kernel may still write to",
		Old:    "		q.Data, q.N, q.Err = nil, 0, err\n",
		New:    "		q.Data, q.N, q.Err = PICK(q.Data, nil), 0, err\n",
	},
	{
		Name: "vfs/ring-released-under-reads", Class: Isolation, File: vfsReadRing, Modes: []string{Tests},
		Breaks: "Close gives the ring back while reads are in flight",
		Old:    "	r.closed = true\n	if r.callers == 0 {\n",
		New:    "	r.closed = true\n	if r.callers == 0 || MUTANT {\n",
	},
	{
		Name: "vfs/deadline-not-honoured", Class: Errors, File: vfsDeadline, Modes: []string{Tests},
		Breaks: "a call of a path that hangs is waited for",
		Old:    "	case <-timer.C:\n",
		New:    "	case <-PICK((<-chan time.Time)(nil), timer.C):\n",
	},
	{
		Name: "vfs/late-file-kept", Class: Errors, File: vfsDeadline, Modes: []string{Tests},
		Breaks: "a file that is opened too late stays open, and nobody can unmount what hung",
		Old:    "			if err == nil && undo != nil {\n",
		New:    "			if err == nil && undo != nil && !MUTANT {\n",
	},
	{
		Name: "vfs/late-write-of-the-callers", Class: Device, File: vfsDeadline, Modes: []string{Tests},
		Breaks: "a write that lands late has what the caller's memory holds by then",
		Old:    "return f.file.WriteAt(own, off, flags)",
		New:    "return f.file.WriteAt(PICK(p, own), off, flags)",
	},
	{
		Name: "vfs/late-call-forgotten", Class: Ordering, File: vfsDeadline, Modes: []string{Tests},
		Breaks: "a path is brought level while a call of it can still take effect",
		Old:    "		close(given)\n		var none T\n",
		New:    "		close(given); if MUTANT { pending.Add(-1) }\n		var none T\n",
	},
}
