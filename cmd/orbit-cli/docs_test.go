package main

import "testing"

// TestPages runs the commands of the pages as they are printed, each page in an empty
// directory, from the top to the bottom.
func TestPages(t *testing.T) {
	for _, name := range []string{"migrate.md", "backup.md"} {
		t.Run(name, func(t *testing.T) {
			blocks := readPage(t, name).blocks(t, "sh", "")
			if len(blocks) < 5 {
				t.Fatalf("%d blocks of commands", len(blocks))
			}
			s := newConsole(t)
			for _, block := range blocks {
				s.run(t, block)
			}
		})
	}
}
