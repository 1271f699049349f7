package torture

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// writeTable writes rows with their columns aligned: the first left columns to the
// left, the others, which are numbers, to the right.
func writeTable(b *strings.Builder, indent string, left int, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		line := indent
		for i, cell := range row {
			if i > 0 {
				line += "  "
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < left {
				line += cell + pad
			} else {
				line += pad + cell
			}
		}
		fmt.Fprintln(b, strings.TrimRight(line, " "))
	}
}
