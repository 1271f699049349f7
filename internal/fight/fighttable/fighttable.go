// Command fighttable prints what fights for leases came to, in Markdown, from the records
// that they have left in a directory; `make fight` does both.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/orbit-persistence/orbit/internal/fight"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: fighttable DIR")
		os.Exit(2)
	}
	text, err := table(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "fighttable:", err)
		os.Exit(1)
	}
	fmt.Print(text)
}

func table(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("no record of a fight in %s", dir)
	}
	var b strings.Builder
	b.WriteString(`# The fight for leases

Eight clients in four processes fight for a few leases of 250 ms over one provider. Processes
are stopped past the expiry of what they hold, their clocks are an hour ahead, an hour behind
and a minute ahead, wires are cut, and servers restarted if what they have acknowledged
survives that. An overlap is an acquisition before another holder had to stop, a token given
twice, or a renewal of what another has acquired. Made by ` + "`make fight`" + `.

| provider | server | acquisitions | overlaps | writes under a fence | refused for an older fence | accepted with an older fence | processes stopped | cuts and restarts | seconds | |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|
`)
	acquisitions, overlaps, accepted := 0, 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		var r fight.Record
		if err := json.Unmarshal(data, &r); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		server, verdict := r.Server, "passed"
		if r.Emulator {
			server += " (an emulator)"
		}
		if r.Failed {
			verdict = "**failed**"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d | %d | %d | %d | %d | %d | %d | %.0f | %s |\n", r.Provider, server, r.Acquisitions, r.Overlaps, r.Writes, r.Refused, r.Accepted, r.Stopped, r.Disturbed, r.Seconds, verdict)
		acquisitions, overlaps, accepted = acquisitions+r.Acquisitions, overlaps+r.Overlaps, accepted+r.Accepted
	}
	fmt.Fprintf(&b, "| all | | %d | %d | | | %d | | | | |\n", acquisitions, overlaps, accepted)
	return b.String(), nil
}
