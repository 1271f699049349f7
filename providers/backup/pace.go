package backup

import (
	"context"
	"io"
	"time"
)

// pace bounds how fast something is read, by bytes and by the part of the time in which
// it is: what else the processors and the device have to do goes before.
type pace struct {
	perSecond int64   // 0 is no bound
	share     float64 // of the time; 1 is all
	start     time.Time
	read      int64
	// rested is when the last rest ended.
	rested time.Time
	// between, unless it is nil, is done every so often, last at done.
	between func(ctx context.Context) error
	every   time.Duration
	done    time.Time
}

func newPace(perSecond int64, share float64) *pace {
	now := time.Now()
	return &pace{perSecond: perSecond, share: share, start: now, rested: now, done: now}
}

// reader returns what reads no faster, together with all other readers of the pace.
func (p *pace) reader(ctx context.Context, r io.Reader) io.Reader { return &paced{p, ctx, r} }

type paced struct {
	pace *pace
	ctx  context.Context
	r    io.Reader
}

func (p *paced) Read(b []byte) (int, error) {
	if err := p.pace.rest(p.ctx); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	p.pace.read += int64(n)
	return n, err
}

// rest waits until more may be read.
func (p *pace) rest(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if wait := p.wait(time.Now()); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if p.between != nil && time.Since(p.done) >= p.every {
		if err := p.between(ctx); err != nil {
			return err
		}
		p.done = time.Now()
	}
	p.rested = time.Now()
	return nil
}

// wait is how long to rest before more is read.
func (p *pace) wait(now time.Time) time.Duration {
	wait := time.Duration(float64(now.Sub(p.rested)) * (1/p.share - 1))
	if p.perSecond > 0 {
		due := p.start.Add(time.Duration(float64(p.read) / float64(p.perSecond) * float64(time.Second)))
		wait = max(wait, due.Sub(now))
	}
	return wait
}
