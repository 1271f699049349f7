// Package fight lets clients in several processes fight for leases over one provider,
// while processes are stopped past the expiry of what they hold, their clocks are an hour
// off, the server is restarted and the wire is cut. Afterwards it judges what they tell:
//
//   - Every acquisition of a lease has a token of its own, and a later one a larger.
//   - Nobody acquires a lease before its holder had to stop, on the machine's one clock.
//   - Nobody renews what another has acquired.
//   - In the order of the store's revisions no write has an older token than the one before;
//     where revisions have no order, none that began when the other was acknowledged.
//   - Operations on plain keys are linearizable.
package fight

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/check"
)

// Options set up a fight.
type Options struct {
	// Place is given to Open, in every process.
	Place string
	// Server names the server, with its version; Emulator says that it is not the service
	// itself.
	Server   string
	Emulator bool
	// Acquisitions ends the fight when there are so many.
	Acquisitions int
	// Leases is how many there are to fight for, 12 if it is 0. A slow server needs few: else
	// nobody takes what another holds for too long, and no fence is tried.
	Leases int
	// Unordered says that the store's revisions have no order, as entity tags have none.
	Unordered bool
	// MayDeny says that a server which has just started denies what it allows later.
	MayDeny bool
	// Disturb are the ways to disturb all processes, one after the other: the server is
	// restarted, the wire is cut and mended. Each returns when it is over.
	Disturb []func()
}

// What `make fight` sets.
const (
	// forVariable is how long a fight goes on, whatever the number of acquisitions.
	forVariable = "ORBIT_TEST_FIGHT"
	// RecordVariable names a directory, for a Record of each fight.
	RecordVariable = "ORBIT_FIGHT_RECORD"
)

// Record is what a fight came to.
type Record struct {
	Provider     string // the name of the package
	Server       string
	Emulator     bool
	Acquisitions int
	Overlaps     int // acquisitions before another holder had to stop, tokens given twice, renewals of what was lost
	Writes       int // under a fence
	Refused      int // writes and renewals, for an older token
	Accepted     int // writes with an older token than one before: there must be none
	Registers    int // operations on plain keys, whose order was explained
	Stopped      int // how often a process was stopped past the expiry of what it held
	Disturbed    int // how often a wire was cut, or a server restarted
	Seconds      float64
	Failed       bool
}

const (
	processes = 4
	clients   = 2 // of each
	leases    = 12
	ttl       = 250 * time.Millisecond
)

// Run is a fight of eight clients in four processes, which are this program again.
func Run(t *testing.T, o Options) {
	begun := time.Now()
	r := &record{news: make(chan struct{}, 1), kinds: map[string]int{}}
	// On a busy machine it may take more of them until each kind of event has been.
	going := func() bool {
		n := r.count()
		return n < o.Acquisitions || n < 10*o.Acquisitions && !r.various()
	}
	if text := os.Getenv(forVariable); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", forVariable, err)
		}
		going = func() bool { return time.Since(begun) < d }
	}
	each := max(o.Acquisitions/12, 8) // between one disturbance and the next
	stopped, disturbed := 0, 0
	var running []*exec.Cmd
	var inputs []io.Closer
	var readers sync.WaitGroup
	for i := range processes {
		text, err := json.Marshal(order{
			Place: o.Place, Process: i, Clients: clients, Leases: cmp.Or(o.Leases, leases), Registers: 60, TTL: ttl,
			ClockOff: []time.Duration{0, time.Hour, -time.Hour, time.Minute}[i], Seed: 11, MayDeny: o.MayDeny,
		})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), variable+"="+string(text))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running, inputs = append(running, cmd), append(inputs, in)
		readers.Go(func() { r.listen(out) })
	}
	defer func() {
		for i, cmd := range running {
			_ = cmd.Process.Signal(syscall.SIGCONT)
			_ = inputs[i].Close()
		}
		readers.Wait()
		for _, cmd := range running {
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		}
		result := r.judge(t, o.Unordered)
		result.Provider, result.Server, result.Emulator = filepath.Base(workingDir(t)), o.Server, o.Emulator
		result.Stopped, result.Disturbed, result.Seconds = stopped, disturbed, time.Since(begun).Seconds()
		result.Failed = t.Failed()
		result.leave(t)
	}()
	shown := begun
	for n := 0; going(); n++ {
		if !r.wait(t, r.count()+each) {
			return
		}
		if i := n % (1 + len(o.Disturb)); i > 0 {
			o.Disturb[i-1]()
			disturbed++
		} else {
			process := running[stopped%processes].Process
			if err := process.Signal(syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
			time.Sleep(ttl + ttl/2) // past the expiry of what it holds; the others go on
			if err := process.Signal(syscall.SIGCONT); err != nil {
				t.Error(err)
			}
			stopped++
		}
		if time.Since(shown) > 10*time.Second {
			shown = time.Now()
			t.Logf("%d acquisitions after %s", r.count(), time.Since(begun).Round(time.Second))
		}
	}
}

func workingDir(t *testing.T) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// leave writes the record where it is wanted.
func (r *Record) leave(t *testing.T) {
	dir := os.Getenv(RecordVariable)
	if dir == "" {
		return
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, r.Provider+".json"), data, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

// record is what all clients have told.
type record struct {
	news chan struct{}

	mu           sync.Mutex // guards what follows
	events       []event
	acquisitions int
	ended        int
	kinds        map[string]int
}

// fenced is the kind of a write that was refused by its token.
const fenced = "fenced"

// various reports whether there has been all that a fight is to check.
func (r *record) various() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kinds[fenced] > 0 && r.kinds["renew"] > 0 && r.kinds["write"] > 0
}

func (r *record) listen(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e = event{Kind: "end", Error: fmt.Sprintf("%v in %q", err, lines.Text())}
		}
		r.mu.Lock()
		r.events = append(r.events, e)
		if e.Kind == "acquire" && e.Error == "" && !e.Fenced {
			r.acquisitions++
		}
		if e.Kind == "end" {
			r.ended++
		}
		kind := e.Kind
		if e.Fenced {
			kind = fenced
		}
		r.kinds[kind]++
		r.mu.Unlock()
		select {
		case r.news <- struct{}{}:
		default:
		}
	}
}

func (r *record) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acquisitions
}

// wait waits until there are so many acquisitions. It returns false, and fails the test,
// if there are none for long, or a process has ended.
func (r *record) wait(t *testing.T, n int) bool {
	t.Helper()
	patience := time.NewTimer(2 * time.Minute)
	defer patience.Stop()
	for {
		r.mu.Lock()
		have, ended := r.acquisitions, r.ended
		r.mu.Unlock()
		switch {
		case ended > 0:
			t.Error("a process has ended by itself")
			return false
		case have >= n:
			return true
		}
		select {
		case <-r.news:
		case <-patience.C:
			t.Errorf("%d acquisitions of %d in two minutes", have, n)
			return false
		}
	}
}

// judge fails the test with what must not be, and counts.
func (r *record) judge(t *testing.T, unordered bool) (result Record) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var h check.History
	byLease := map[int][]event{}
	counts := map[string]int{}
	complaints := 0
	complain := func(format string, args ...any) {
		if complaints++; complaints <= 10 {
			t.Errorf(format, args...)
		}
	}
	for _, e := range r.events {
		switch {
		case e.Error != "":
			complain("client %d: %s: %s", e.Client, e.Kind, e.Error)
		case e.Operation != nil:
			h.Operations = append(h.Operations, *e.Operation)
		case e.Fenced:
			counts[fenced]++
		default:
			counts[e.Kind]++
			byLease[e.Lease] = append(byLease[e.Lease], e)
		}
	}
	for number, events := range byLease {
		counted := func(n *int) func(format string, args ...any) {
			return func(format string, args ...any) {
				*n++
				complain("lease %d: %s", number, fmt.Sprintf(format, args...))
			}
		}
		judgeLease(events, counted(&result.Overlaps))
		judgeWrites(events, unordered, counted(&result.Accepted))
	}
	verdict, err := check.Referee{Timeout: 30 * time.Second}.Keys(&h)
	if err != nil {
		t.Errorf("plain keys: %v", err)
	}
	if counts[fenced] == 0 || counts["renew"] == 0 || counts["write"] == 0 || len(h.Operations) == 0 {
		t.Errorf("the fight has checked too little: %v", counts)
	}
	t.Logf("%v, and %d operations on plain keys, %d undecided", counts, len(h.Operations), verdict.Unknown)
	result.Acquisitions, result.Writes, result.Refused, result.Registers = counts["acquire"], counts["write"], counts["fenced"], len(h.Operations)
	return result
}

// judgeLease judges the events of one lease; see the package comment.
func judgeLease(events []event, complain func(format string, args ...any)) {
	var acquired, renewed []event
	released := map[uint64]int64{} // by token: when it was asked to be released, first
	valid := map[uint64]int64{}    // by token: until when its holder might go on
	for _, e := range events {
		switch e.Kind {
		case "acquire":
			acquired = append(acquired, e)
			valid[e.Token] = max(valid[e.Token], e.Valid)
		case "renew":
			renewed = append(renewed, e)
			valid[e.Token] = max(valid[e.Token], e.Valid)
		case "release":
			if at, ok := released[e.Token]; !ok || e.Call < at {
				released[e.Token] = e.Call
			}
		}
	}
	slices.SortFunc(acquired, func(a, b event) int { return cmp.Compare(a.Token, b.Token) })
	for i := 1; i < len(acquired); i++ {
		a, b := acquired[i-1], acquired[i]
		switch {
		case a.Token == b.Token:
			complain("clients %d and %d both have token %d", a.Client, b.Client, a.Token)
			continue
		case b.Return < a.Call:
			complain("token %d was given after token %d", a.Token, b.Token)
		}
		if at, free := released[a.Token]; a.Client != b.Client && b.Return < valid[a.Token] && !(free && at <= b.Return) {
			complain("client %d acquires token %d, %s before client %d, with token %d, had to stop", b.Client, b.Token, time.Duration(valid[a.Token]-b.Return), a.Client, a.Token)
		}
	}
	// Who renews must not have lost the lease, to anybody, before it asked.
	slices.SortFunc(acquired, func(a, b event) int { return cmp.Compare(a.Return, b.Return) })
	newest := make([]uint64, len(acquired)+1) // the largest token of the first ones
	for i, a := range acquired {
		newest[i+1] = max(newest[i], a.Token)
	}
	for _, e := range renewed {
		n, _ := slices.BinarySearchFunc(acquired, e.Call, func(a event, call int64) int { return cmp.Compare(a.Return, call) })
		if newest[n] > e.Token {
			complain("client %d renews token %d after token %d was acquired", e.Client, e.Token, newest[n])
		}
	}
}

// judgeWrites judges the writes that one lease protects.
func judgeWrites(events []event, unordered bool, complain func(format string, args ...any)) {
	writes := slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.Kind != "write" })
	// Whatever the revisions: a write began before all that were acknowledged with larger tokens were.
	ended := slices.SortedFunc(slices.Values(writes), func(a, b event) int { return cmp.Compare(a.Return, b.Return) })
	slices.SortFunc(writes, func(a, b event) int { return cmp.Compare(a.Call, b.Call) })
	var newest event
	next := 0
	for _, w := range writes {
		for ; next < len(ended) && ended[next].Return < w.Call; next++ {
			if ended[next].Token > newest.Token {
				newest = ended[next]
			}
		}
		if w.Token < newest.Token {
			complain("client %d writes with token %d after client %d with token %d", w.Client, w.Token, newest.Client, newest.Token)
		}
	}
	slices.SortFunc(writes, func(a, b event) int { return cmp.Compare(a.Revision, b.Revision) })
	for i := 1; i < len(writes); i++ {
		a, b := writes[i-1], writes[i]
		if a.Revision == b.Revision || b.Revision == "" {
			complain("two writes are at revision %q", b.Revision)
		}
		if !unordered && b.Token < a.Token {
			complain("client %d writes with token %d at revision %s, after client %d with token %d at %s", b.Client, b.Token, b.Revision, a.Client, a.Token, a.Revision)
		}
	}
}
