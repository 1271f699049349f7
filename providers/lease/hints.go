package lease

import "sync"

// hints remember the records that were written last, so that a renewal need not read
// first. A hint is only ever a guess: every change is a compare-and-swap at its
// revision, which fails where it is not the newest.
type hints struct {
	mu sync.Mutex // guards of
	of map[Reference]stored
}

// maxHints bounds them; some 200 bytes each.
const maxHints = 1 << 16

func (h *hints) put(r Reference, s stored) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of = map[Reference]stored{}
	}
	if len(h.of) >= maxHints {
		for old := range h.of { // an order of nobody's choosing
			delete(h.of, old)
			break
		}
	}
	h.of[r] = s
}

// take returns the hint for a reference, once.
func (h *hints) take(r Reference) (stored, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.of[r]
	if ok {
		delete(h.of, r)
	}
	return s, ok
}
