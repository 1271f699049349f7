package backup

import (
	"context"
	"io"
	"time"
)

// pace bounds how fast something is read.
type pace struct {
	perSecond int64 // 0 is no bound
	start     time.Time
	read      int64
}

func newPace(perSecond int64) *pace { return &pace{perSecond: perSecond, start: time.Now()} }

// reader returns what reads no faster, together with all other readers of the pace.
func (p *pace) reader(ctx context.Context, r io.Reader) io.Reader { return &paced{p, ctx, r} }

type paced struct {
	pace *pace
	ctx  context.Context
	r    io.Reader
}

func (p *paced) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	if p.pace.perSecond > 0 {
		due := p.pace.start.Add(time.Duration(float64(p.pace.read) / float64(p.pace.perSecond) * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-p.ctx.Done():
				return 0, p.ctx.Err()
			}
		}
	}
	n, err := p.r.Read(b)
	p.pace.read += int64(n)
	return n, err
}
