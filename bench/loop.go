package bench

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/orbit-persistence/orbit/engine"
)

const (
	// chunk is how many operations are prepared, or recorded, at a time.
	chunk = 128 // see runClosed
	// openShare is the rate of the open loop as a share of the closed loop's: a
	// store that is busy, but not so busy that queueing is all that is seen.
	openShare = 0.3
	// openMost bounds the operations of one open loop, which are all prepared
	// before it starts.
	openMost = 400_000
	// longestNs is the highest latency that histograms tell apart.
	longestNs = int64(10 * time.Minute)
	// stallNs is the duration from which a call counts as a stall.
	stallNs = int64(10 * time.Millisecond)
)

// epoch is where the bench's clock starts; a reading is about 30 ns.
var epoch = time.Now()

func nanotime() int64 { return int64(time.Since(epoch)) }

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longestNs, 3) }

// record counts a call that took ns as so many operations, each of which has its
// share of the time.
func record(h *hdrhistogram.Histogram, ns int64, operations int) {
	// A value out of range cannot occur below longestNs; above it counts there.
	_ = h.RecordValues(min(max(ns/int64(operations), 1), longestNs), int64(operations))
}

// closedResult is what a closed loop found.
type closedResult struct {
	ops      int64
	rate     float64 // operations a second, all clients
	cpuPerOp float64 // ns, the whole process
	putBytes int64
	stallNs  int64
	service  *hdrhistogram.Histogram
}

// runClosed lets each client do one operation after the other for the given
// time, all at once.
//
// One client prepares its operations a chunk at a time, and the time that takes
// is taken off the rate and the CPU. Of many clients on few cores it could not be
// told whose time it was, so they prepare a store of operations beforehand. What
// only reads goes through it again and again; what inserts prepares more, on the
// clock, when it has used it up.
func runClosed(ctx context.Context, clients []*client, d time.Duration) (closedResult, error) {
	stretch := chunk
	if len(clients) > 1 {
		stretch = max(chunk, preparedMost/len(clients))
	}
	for _, c := range clients {
		c.putBytes = 0
		c.prepare(stretch)
	}
	loops := make([]closedLoop, len(clients))
	cpu := processCPU()
	start := nanotime()
	var wg sync.WaitGroup
	for i, c := range clients {
		loops[i] = closedLoop{client: c, alone: len(clients) == 1, service: newHistogram()}
		wg.Go(func() { loops[i].run(ctx, start+int64(d)) })
	}
	wg.Wait()
	wall := nanotime() - start
	cpu = processCPU() - cpu
	r := closedResult{service: newHistogram()}
	for i := range loops {
		l := &loops[i]
		if l.err != nil {
			return r, l.err
		}
		r.ops += l.ops
		r.stallNs += l.stallNs
		r.service.Merge(l.service)
		r.putBytes += l.client.putBytes
		wall -= l.preparedNs
		cpu -= time.Duration(l.preparedNs)
	}
	if r.ops > 0 {
		r.rate = float64(r.ops) / (float64(wall) / 1e9)
		r.cpuPerOp = max(0, float64(cpu)/float64(r.ops))
	}
	return r, ctx.Err()
}

// preparedMost is the number of operations that many clients prepare in all.
const preparedMost = 200_000

// closedLoop is one client's part of a closed loop.
type closedLoop struct {
	client *client
	alone  bool
	// ops were carried out; preparedNs was spent on preparing, by a client alone.
	ops, preparedNs, stallNs int64
	service                  *hdrhistogram.Histogram
	err                      error
}

func (l *closedLoop) run(ctx context.Context, deadline int64) {
	c := l.client
	var took [chunk]int64
	at := 0
	// At least one operation, however late the goroutine came to run.
	for last := nanotime(); ; {
		n := 0
		for n < chunk && at < len(c.kinds) {
			if l.err = c.do(ctx, at); l.err != nil {
				return
			}
			end := nanotime()
			took[n] = end - last
			last = end
			at++
			n++
			if end >= deadline {
				break
			}
		}
		l.ops += int64(n * c.workload.perCall())
		for _, ns := range took[:n] {
			record(l.service, ns, c.workload.perCall())
			if ns >= stallNs {
				l.stallNs += ns
			}
		}
		if at == len(c.kinds) {
			at = 0
			if l.alone || c.workload.inserts() {
				c.prepare(len(c.kinds))
			}
		}
		now := nanotime()
		if l.alone {
			l.preparedNs += now - last // recording is the bench's own work too
		}
		last = now
		if last >= deadline || ctx.Err() != nil {
			return
		}
	}
}

// openResult is what an open loop found.
type openResult struct {
	ops      int64
	rate     float64 // reached, operations a second
	putBytes int64
	latency  *hdrhistogram.Histogram
}

// runOpen starts operations at a fixed rate, whether or not those before have
// ended, and measures each from the moment when it should have started, so that
// a stall is seen by all whom it held up (no coordinated omission).
func runOpen(ctx context.Context, clients []*client, rate float64, d time.Duration) (openResult, error) {
	per := clients[0].workload.perCall()
	calls := max(1, min(int(rate*d.Seconds()), openMost)/per)
	interval := 1e9 / rate * float64(per)
	for _, c := range clients {
		c.putBytes = 0
	}
	if len(clients) == 1 {
		return openAlone(ctx, clients[0], calls, interval)
	}
	return openMany(ctx, clients, calls, interval)
}

func openAlone(ctx context.Context, c *client, calls int, interval float64) (openResult, error) {
	r := openResult{latency: newHistogram()}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	precise := preciseSleep()
	c.prepare(calls)
	start := nanotime() + 1000
	for i := range calls {
		intended := start + int64(float64(i)*interval)
		if !waitUntil(ctx, intended, precise) {
			return r, ctx.Err()
		}
		if err := c.do(ctx, i); err != nil {
			return r, err
		}
		record(r.latency, nanotime()-intended, c.workload.perCall())
	}
	r.ops = int64(calls * c.workload.perCall())
	r.rate = float64(r.ops) / (float64(nanotime()-start) / 1e9)
	r.putBytes = c.putBytes
	return r, nil
}

// openMany hands intended start times to the clients from a thread of its own.
// The time that a client takes to wake is part of what is measured.
func openMany(ctx context.Context, clients []*client, calls int, interval float64) (openResult, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := openResult{latency: newHistogram()}
	starts := make(chan int64, calls) // never blocks: the load does not wait for the store
	hist := make([]*hdrhistogram.Histogram, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		hist[i] = newHistogram()
		wg.Go(func() {
			c.prepare(chunk)
			n := 0
			for intended := range starts {
				if n == chunk {
					c.prepare(chunk)
					n = 0
				}
				if err := c.do(ctx, n); err != nil {
					cancel(err)
					return
				}
				record(hist[i], nanotime()-intended, c.workload.perCall())
				n++
			}
		})
	}
	start := nanotime() + 1000
	paced := make(chan struct{})
	go func() {
		defer close(paced)
		defer close(starts)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		precise := preciseSleep()
		for i := range calls {
			intended := start + int64(float64(i)*interval)
			if !waitUntil(ctx, intended, precise) {
				return
			}
			starts <- intended
		}
	}()
	<-paced
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return r, err
	}
	wall := float64(nanotime()-start) / 1e9
	for i, h := range hist {
		r.latency.Merge(h)
		r.putBytes += clients[i].putBytes
	}
	r.ops = r.latency.TotalCount()
	r.rate = float64(r.ops) / wall
	return r, nil
}

// waitUntil returns at the given time, false if the context ended before. It
// sleeps through long waits and spins through the end of each.
func waitUntil(ctx context.Context, at int64, sleep func(time.Duration)) bool {
	const spin = int64(60 * time.Microsecond)
	for {
		wait := at - nanotime()
		switch {
		case wait <= 0:
			return true
		case wait > spin:
			if ctx.Err() != nil {
				return false
			}
			sleep(time.Duration(min(wait-spin, int64(50*time.Millisecond))))
		}
	}
}

// harnessNs returns what an operation costs that does nothing.
func harnessNs(d dataset) (float64, error) {
	s := newStore(nothing{}, d)
	c := newClient(s, workload{mix: []share{{opGet, 100}}}, engine.Memory, 1, 0, 1)
	var best float64
	for range 3 {
		r, err := runClosed(context.Background(), []*client{c}, 50*time.Millisecond)
		if err != nil {
			return 0, err
		}
		if ns := 1e9 / r.rate; best == 0 || ns < best {
			best = ns
		}
	}
	return best, nil
}

// nothing is an engine that answers at once.
type nothing struct{ engine.Engine }

func (nothing) Get(_, dst []byte) ([]byte, error) { return dst, nil }
