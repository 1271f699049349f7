package fight

import (
	"fmt"
	"strings"
	"testing"
)

// TestJudge: each thing that must not be is found, and what may be is not complained of.
func TestJudge(t *testing.T) {
	acquire := func(client int, token uint64, call, end, valid int64) event {
		return event{Kind: "acquire", Client: client, Token: token, Call: call, Return: end, Valid: valid}
	}
	write := func(token uint64, call, end int64, revision string) event {
		return event{Kind: "write", Token: token, Call: call, Return: end, Revision: revision}
	}
	for _, c := range []struct {
		name      string
		unordered bool
		events    []event
		want      string // "" for nothing
	}{
		{"one after the other", false, []event{acquire(1, 1, 0, 10, 50), write(1, 11, 20, "1"), acquire(2, 2, 40, 60, 90), write(2, 61, 70, "2")}, ""},
		{"released", false, []event{acquire(1, 1, 0, 10, 50), {Kind: "release", Token: 1, Call: 15, Return: 16}, acquire(2, 2, 12, 20, 90)}, ""},
		{"two at once", false, []event{acquire(1, 1, 0, 10, 50), acquire(2, 2, 12, 20, 90)}, "before client 1"},
		{"renewed", false, []event{acquire(1, 1, 0, 10, 50), {Kind: "renew", Client: 1, Token: 1, Call: 30, Return: 40, Valid: 80}, acquire(2, 2, 55, 60, 90)}, "before client 1"},
		{"one token", false, []event{acquire(1, 1, 0, 10, 20), acquire(2, 1, 30, 40, 50)}, "both have token 1"},
		{"a token that is smaller", false, []event{acquire(1, 2, 0, 10, 20), acquire(2, 1, 30, 40, 50)}, "was given after"},
		{"renewed too late", false, []event{acquire(1, 1, 0, 10, 20), acquire(2, 2, 25, 30, 50), {Kind: "renew", Token: 1, Call: 40, Return: 45, Valid: 60}}, "renews token 1 after"},
		{"an older fence, by revisions", false, []event{write(2, 0, 50, "1"), write(1, 10, 60, "2")}, "writes with token 1"},
		{"the same at once, without order", true, []event{write(2, 0, 50, "x"), write(1, 10, 60, "y")}, ""},
		{"an older fence, by time", true, []event{write(2, 0, 50, "y"), write(3, 0, 70, "z"), write(1, 51, 60, "x")}, "writes with token 1"},
		{"the same revision", true, []event{write(1, 0, 50, "x"), write(1, 51, 60, "x")}, "two writes"},
	} {
		var said strings.Builder
		complain := func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
		judgeLease(c.events, complain)
		judgeWrites(c.events, c.unordered, complain)
		if (c.want == "") != (said.Len() == 0) || !strings.Contains(said.String(), c.want) {
			t.Errorf("%s: %q, want %q", c.name, said.String(), c.want)
		}
	}
}
