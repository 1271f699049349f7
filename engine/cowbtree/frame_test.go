package cowbtree

import "testing"

// TestSettleLooksAgain: between the look of a checkpoint at a frame and its lock, a
// commit may let go of the page, whose place it knows already, and the frame become
// another page's.
func TestSettleLooksAgain(t *testing.T) {
	c, err := newCache(MinCacheBytes, true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.empty(true)
	page := func() (*frame, ref) {
		f, err := c.take(minPageBytes)
		if err != nil {
			t.Fatal(err)
		}
		build(f.page(), kindLeaf, 0, nil)
		return f, c.born(f, 1)
	}
	f, first := page()
	place := extent{at: 64, n: 8}.id()
	f.place.Store(place)
	c.drop(first.hint, place)
	g, second := page()
	if f != g {
		t.Fatal("the frame was not used again")
	}
	c.settle(f, first.id)
	if f.id.Load() != second.id || c.unwritten.Load() != minPageBytes {
		t.Errorf("the page is %#x, not %#x; %d bytes are not written", f.id.Load(), second.id, c.unwritten.Load())
	}
	f.place.Store(place)
	c.settle(f, second.id)
	if f.id.Load() != place || c.unwritten.Load() != 0 {
		t.Errorf("the page is %#x, not %#x; %d bytes are not written", f.id.Load(), place, c.unwritten.Load())
	}
}
