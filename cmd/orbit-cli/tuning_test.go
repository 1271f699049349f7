package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTuningIsMeasured: each figure of the page on tuning stands in the result that its
// paragraph, or its row, names, and the commands run as they are printed.
func TestTuningIsMeasured(t *testing.T) {
	p := readPage(t, "tuning.md")
	text, _, _ := strings.Cut(p.text, "\n## See for yourself")
	figure := regexp.MustCompile("`([0-9][^`]*)`")
	result := regexp.MustCompile(`\]\(\.\./results/([a-z-]+\.md)\)`)
	figures := 0
	var waiting []string // for the name of their result
	for _, section := range strings.Split(text, "\n## ")[1:] {
		for _, m := range regexp.MustCompile(figure.String()+"|"+result.String()).FindAllStringSubmatch(section, -1) {
			if m[1] != "" {
				waiting = append(waiting, m[1])
				continue
			}
			measured, err := os.ReadFile(filepath.Join("../../results", m[2]))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range waiting {
				figures++
				if !strings.Contains(string(measured), " "+f+" |") && !strings.Contains(string(measured), " "+f+", ") { // a goal follows
					t.Errorf("%s is not in %s", f, m[2])
				}
			}
			waiting = nil
		}
		if len(waiting) > 0 {
			t.Errorf("no result is named for %q", waiting)
		}
	}
	if figures < 20 {
		t.Errorf("%d figures", figures)
	}
	s := newConsole(t)
	for _, block := range p.blocks(t, "sh", "See for yourself") {
		if out := s.run(t, block); !strings.Contains(out, "get-uniform") {
			t.Errorf("%s\n%s", block, out)
		}
	}
}
