package backup

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	for _, c := range []struct {
		perSecond   int64
		share       float64
		read        int64
		busy, waits time.Duration
	}{
		{share: 1, busy: time.Second},
		{share: 0.2, busy: 10 * time.Millisecond, waits: 40 * time.Millisecond},
		{share: 0.5, busy: time.Second, waits: time.Second},
		{share: 1, perSecond: 100, read: 300, busy: time.Second, waits: 2 * time.Second},
		{share: 0.2, perSecond: 100, read: 300, busy: time.Second, waits: 4 * time.Second},
	} {
		p := newPace(c.perSecond, c.share)
		p.read = c.read
		if got := p.wait(p.start.Add(c.busy)).Round(time.Microsecond); got != c.waits {
			t.Errorf("%+v: it waits %s", c, got)
		}
	}
}
