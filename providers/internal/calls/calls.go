// Package calls counts the calls of a store that are under way, so that Close can wait
// for them and refuse the later ones.
package calls

import (
	"context"
	"sync"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// Calls are the calls of one store. The zero value is open.
type Calls struct {
	mu     sync.Mutex // guards closed, and that no call begins once it is set
	closed bool
	group  sync.WaitGroup
}

// Begin counts a call, which must end with Done: unless ctx has ended, whose error it
// then returns, or the store was closed, which is ErrClosed.
func (c *Calls) Begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return driver.ErrClosed
	}
	c.group.Add(1)
	return nil
}

// Done ends a call.
func (c *Calls) Done() { c.group.Done() }

// Close lets no further call begin, and waits for those under way. The second Close is
// ErrClosed.
func (c *Calls) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return driver.ErrClosed
	}
	c.closed = true
	c.mu.Unlock()
	c.group.Wait()
	return nil
}
