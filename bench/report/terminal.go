package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/orbit-persistence/orbit/bench/result"
)

// Terminal writes the tables for a terminal of width columns; 0 or less is as
// wide as they come. A table that is wider is shown in parts, a few engines at
// a time. It uses no colours and no escapes, so that the output can be kept.
func Terminal(w io.Writer, r *result.Result, width int) error {
	v := newView(r)
	t := &terminal{w: bufio.NewWriter(w), width: width}
	if s := v.banner(); s != "" {
		t.paragraph("! ", s)
		t.line("")
	}

	t.heading("Claimed and measured")
	t.paragraph("", seedIntro)
	seed := v.seedTable()
	g := grid{fixed: 1}
	head := []string{""}
	for _, c := range seed.Columns {
		if c.Absent != "" {
			head = append(head, c.Title+"\n"+c.Absent)
		} else {
			head = append(head, c.Title)
		}
	}
	g.head = append(head, "limit in this run")
	for _, row := range seed.Rows {
		cells := []string{row.Name + "\n" + wrap(row.What, 20)}
		for _, c := range row.Cells {
			cells = append(cells, "claim "+c.Claim+"\n"+alignLines(c.Lines))
		}
		g.rows = append(g.rows, gridRow{cells: append(cells, wrap(strings.Join(orDash(row.Limits), "\n"), 28)), rule: true})
	}
	t.grid(&g)

	t.heading("Machine")
	g = grid{fixed: 1}
	for _, f := range v.facts() {
		g.rows = append(g.rows, gridRow{cells: []string{f.Name, wrap(f.Text, t.rest(12))}})
	}
	t.grid(&g)
	if rows := v.limitRows(); len(rows) > 0 {
		g = grid{fixed: 1, right: 1, head: []string{"limits of the machine", "before", "after", "drift"}}
		for _, l := range rows {
			g.rows = append(g.rows, gridRow{cells: []string{l.Name, l.Before, l.After, l.Drift}})
		}
		t.grid(&g)
	}
	g = grid{fixed: 1, head: []string{"engine", "version and settings", "cells"}}
	for _, e := range v.engineRows() {
		about := wrap(orNone(e.Version), t.rest(40)) + "\n" + wrap(e.Settings, t.rest(40))
		cells := fmt.Sprintf("%d passed", e.Passed)
		if e.Failed > 0 {
			cells += fmt.Sprintf(", %d failed", e.Failed)
		}
		g.rows = append(g.rows, gridRow{cells: []string{e.Title, about, cells}})
	}
	t.grid(&g)
	g = grid{fixed: 1, right: 1, head: []string{"data", "records", "key", "value", "keys and values", "SHA-256"}}
	for _, d := range v.dataRows() {
		hash := d.Hash
		if len(hash) > 12 {
			hash = hash[:12] + "…"
		}
		g.rows = append(g.rows, gridRow{cells: []string{d.Name, d.Records, d.Key, d.Value, d.Size, hash}})
	}
	t.grid(&g)
	for _, d := range v.dataRows() {
		t.paragraph("  ", d.Name+": "+d.Source)
	}

	t.line("")
	t.heading("Engines side by side")
	t.paragraph("", howToRead)
	for _, tab := range v.comparisons() {
		t.table(&tab)
	}
	t.heading("Memory, disk, load and recovery")
	for _, tab := range v.footprints() {
		t.table(&tab)
	}

	if notes := v.notes(); len(notes) > 0 {
		t.heading("Notes")
		for _, n := range notes {
			t.paragraph("- ", n)
		}
		t.line("")
	}
	if len(v.errors.list) > 0 {
		t.heading("Errors")
		for _, f := range v.errors.list {
			t.paragraph(fmt.Sprintf("[%d] ", f.Number), f.Text+" ("+f.Where()+")")
		}
		t.line("")
	}
	return t.w.Flush()
}

// terminal lays text out in a width. Errors of the writer are those of Flush.
type terminal struct {
	w     *bufio.Writer
	width int
}

func (t *terminal) line(s string) { fmt.Fprintln(t.w, strings.TrimRight(s, " ")) }

func (t *terminal) heading(s string) {
	t.line(strings.ToUpper(s))
	t.line("")
}

// rest is the room beside columns that take n.
func (t *terminal) rest(n int) int {
	if t.width <= 0 {
		return 100
	}
	return max(t.width-n, 20)
}

// paragraph writes text behind a mark, wrapped below itself.
func (t *terminal) paragraph(mark, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(mark))
	for i, l := range strings.Split(wrap(text, min(t.rest(len(indent)), 100)), "\n") {
		if i == 0 {
			t.line(mark + l)
		} else {
			t.line(indent + l)
		}
	}
}

func (t *terminal) table(tab *table) {
	t.line("")
	t.line(tab.Title)
	if tab.Intro != "" {
		t.paragraph("", "("+tab.Intro+")")
	}
	g := grid{fixed: 2, right: 2, head: []string{"", ""}}
	for _, e := range tab.Engines {
		g.head = append(g.head, e.Title)
	}
	if tab.Limits {
		g.head = append(g.head, "limit")
	}
	for _, gr := range tab.Groups {
		limits := gr.limitLines(16)
		for i, r := range gr.Rows {
			name := ""
			switch i {
			case 0:
				name = gr.Name
			case 1:
				name = "  " + gr.Detail
			}
			if len(gr.Rows) == 1 {
				name += ", " + gr.Detail
			}
			cells := []string{name, r.Metric}
			for _, c := range r.Cells {
				text := c.Text
				if c.Note > 0 {
					text = fmt.Sprintf("%s [%d]", wrap(text, 14), c.Note)
				} else if c.Text != "" {
					text += fmt.Sprintf(" %6s", c.Ratio)
				}
				cells = append(cells, text)
			}
			if tab.Limits {
				cells = append(cells, limits[i])
			}
			g.rows = append(g.rows, gridRow{cells: cells, rule: i == len(gr.Rows)-1})
		}
	}
	t.grid(&g)
}

// grid is a table of cells of several lines. The first fixed columns stand at
// the left of each part; the columns from right on are set to the right, if it
// is not 0.
type grid struct {
	fixed, right int
	head         []string
	rows         []gridRow
}

type gridRow struct {
	cells []string
	rule  bool // draw a rule below
}

const gap = "  "

func (t *terminal) grid(g *grid) {
	columns := len(g.head)
	for _, r := range g.rows {
		columns = max(columns, len(r.cells))
	}
	widths := make([]int, columns)
	measure := func(cells []string) {
		for i, c := range cells {
			for l := range strings.SplitSeq(c, "\n") {
				widths[i] = max(widths[i], utf8.RuneCountInString(l))
			}
		}
	}
	measure(g.head)
	for _, r := range g.rows {
		measure(r.cells)
	}

	fixed := 0
	for _, w := range widths[:min(g.fixed, columns)] {
		fixed += w + len(gap)
	}
	// part gives the end of the part that begins at from, and how wide it is.
	part := func(from, most int) (to, total int) {
		to, total = from, fixed
		for to < columns && to-from < most && (to == from || t.width <= 0 || total+widths[to] <= t.width) {
			total += widths[to] + len(gap)
			to++
		}
		return to, total
	}
	parts := 0
	for from := g.fixed; from < columns; parts++ {
		from, _ = part(from, columns)
	}
	// As many columns in each part, so that none is left with a single one.
	most := columns
	if parts > 1 {
		most = (columns - g.fixed + parts - 1) / parts
	}
	for from := g.fixed; from < columns; {
		to, total := part(from, most)
		show := make([]int, 0, columns)
		for i := range g.fixed {
			show = append(show, i)
		}
		for i := from; i < to; i++ {
			show = append(show, i)
		}
		rule := strings.Repeat("─", total-len(gap))
		if g.head != nil {
			t.gridLines(g, widths, show, g.head)
			t.line(rule)
		}
		for i, r := range g.rows {
			t.gridLines(g, widths, show, r.cells)
			if r.rule && i < len(g.rows)-1 {
				t.line(strings.Repeat("┄", total-len(gap)))
			}
		}
		t.line("")
		from = to
	}
}

func (t *terminal) gridLines(g *grid, widths, show []int, cells []string) {
	height := 1
	split := make([][]string, len(cells))
	for i, c := range cells {
		split[i] = strings.Split(c, "\n")
	}
	for _, i := range show {
		if i < len(cells) {
			height = max(height, len(split[i]))
		}
	}
	for l := range height {
		var b strings.Builder
		for n, i := range show {
			if n > 0 {
				b.WriteString(gap)
			}
			text := ""
			if i < len(cells) && l < len(split[i]) {
				text = split[i][l]
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if g.right > 0 && i >= g.right {
				text = pad + text
			} else {
				text += pad
			}
			b.WriteString(text)
		}
		t.line(b.String())
	}
}

// alignLines sets the lines of a cell in columns.
func alignLines(lines []seedLine) string {
	var widths []int
	cells := make([][]string, len(lines))
	for i, l := range lines {
		parts := l.Parts
		if len(parts) == 0 {
			parts = []string{none}
		}
		if l.Note > 0 {
			parts = []string{fmt.Sprintf("%s [%d]", parts[0], l.Note)}
		}
		cells[i] = append([]string{l.Label}, parts...)
		for j, c := range cells[i] {
			if j == len(widths) {
				widths = append(widths, 0)
			}
			if l.Note == 0 || j == 0 {
				widths[j] = max(widths[j], utf8.RuneCountInString(c))
			}
		}
	}
	out := make([]string, len(lines))
	for i, row := range cells {
		for j, c := range row {
			pad := strings.Repeat(" ", max(0, widths[j]-utf8.RuneCountInString(c)))
			if j == 0 {
				out[i] = c + pad
			} else if lines[i].Note > 0 {
				out[i] += " " + c
			} else {
				out[i] += " " + pad + c
			}
		}
	}
	return strings.Join(out, "\n")
}

// wrap breaks the lines of s between words so that they fit in width, where
// words do.
func wrap(s string, width int) string {
	var out []string
	for para := range strings.SplitSeq(s, "\n") {
		line, n := "", 0
		for word := range strings.FieldsSeq(para) {
			w := utf8.RuneCountInString(word)
			if n > 0 && n+1+w > width {
				out = append(out, line)
				line, n = "", 0
			}
			if n > 0 {
				line += " "
				n++
			}
			line += word
			n += w
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
