package report

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/orbit-persistence/orbit/bench/result"
)

// Markdown writes the tables in GitHub's Markdown.
func Markdown(r *result.Result) []byte {
	v := newView(r)
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }

	p("# Orbit bench\n\n")
	if s := v.banner(); s != "" {
		p("> **%s**\n\n", mdText(s))
	}

	p("## Claimed and measured\n\n%s\n\n", mdText(seedIntro))
	seed := v.seedTable()
	head := []string{""}
	for _, c := range seed.Columns {
		title := "**" + mdText(c.Title) + "**"
		if c.Absent != "" {
			title += "<br>" + c.Absent
		}
		head = append(head, title)
	}
	mdHead(&b, append(head, "Limit in this run"), len(head)+1)
	for _, row := range seed.Rows {
		cells := []string{"**" + mdText(row.Name) + "**<br>" + mdText(row.What)}
		for _, c := range row.Cells {
			lines := []string{"claim: " + mdText(c.Claim)}
			for _, l := range c.Lines {
				lines = append(lines, mdText(l.Label)+": "+mdText(l.text())+mdNote(l.Note))
			}
			cells = append(cells, strings.Join(lines, "<br>"))
		}
		mdRow(&b, append(cells, mdText(strings.Join(orDash(row.Limits), "\n"))))
	}

	p("\n## Machine\n\n")
	mdHead(&b, []string{"", ""}, 2)
	for _, f := range v.facts() {
		mdRow(&b, []string{f.Name, mdText(f.Text)})
	}
	if rows := v.limitRows(); len(rows) > 0 {
		p("\n### Limits, before and after the run\n\n")
		mdHead(&b, []string{"", "before", "after", "after ÷ before"}, 1)
		for _, l := range rows {
			mdRow(&b, []string{mdText(l.Name), l.Before, l.After, l.Drift})
		}
	}
	p("\n### Engines\n\n")
	mdHead(&b, []string{"engine", "version", "settings", "cells passed, failed"}, 4)
	for _, e := range v.engineRows() {
		mdRow(&b, []string{mdText(e.Title), mdText(orNone(e.Version)), mdText(e.Settings), fmt.Sprintf("%d, %d", e.Passed, e.Failed)})
	}
	p("\n### Data\n\n")
	mdHead(&b, []string{"data", "records", "key", "value", "keys and values", "source", "SHA-256"}, 1)
	for _, d := range v.dataRows() {
		mdRow(&b, []string{mdText(d.Name), d.Records, d.Key, d.Value, d.Size, mdText(d.Source), mdText(d.Hash)})
	}

	p("\n## Engines side by side\n\n%s\n", mdText(howToRead))
	for _, t := range v.comparisons() {
		mdTable(&b, &t)
	}
	p("\n## Memory, disk, load and recovery\n")
	for _, t := range v.footprints() {
		mdTable(&b, &t)
	}

	if notes := v.notes(); len(notes) > 0 {
		p("\n## Notes\n\n")
		for _, n := range notes {
			p("- %s\n", mdText(n))
		}
	}
	if len(v.errors.list) > 0 {
		p("\n## Errors\n\n")
		for _, f := range v.errors.list {
			p("- [%d] %s (%s)\n", f.Number, mdText(f.Text), mdText(f.Where()))
		}
	}
	return b.Bytes()
}

func mdTable(b *bytes.Buffer, t *table) {
	fmt.Fprintf(b, "\n### %s\n\n", mdText(t.Title))
	if t.Intro != "" {
		fmt.Fprintf(b, "%s\n\n", mdText(upperFirst(t.Intro)+"."))
	}
	head := []string{"", ""}
	for _, e := range t.Engines {
		head = append(head, mdText(e.Title))
	}
	if t.Limits {
		head = append(head, "limit")
	}
	mdHead(b, head, 2)
	for _, g := range t.Groups {
		limits := g.limitLines(60)
		for i, r := range g.Rows {
			name := ""
			if i == 0 {
				name = "**" + mdText(g.Name) + "**, " + mdText(g.Detail)
			}
			cells := []string{name, r.Metric}
			for _, c := range r.Cells {
				text := mdText(c.Text)
				if c.Best {
					text = "**" + text + "**"
				} else if c.Ratio != "" {
					text += " (" + c.Ratio + ")"
				}
				cells = append(cells, text+mdNote(c.Note))
			}
			if t.Limits {
				cells = append(cells, mdText(limits[i]))
			}
			mdRow(b, cells)
		}
	}
}

// limitLines spreads the limits of a group over its rows: figure, then name in
// lines of at most width. The last row takes what is left over.
func (g *group) limitLines(width int) []string {
	out := make([]string, len(g.Rows))
	i := 0
	add := func(s string) {
		switch {
		case i < len(out):
			out[i] = s
		case s != "":
			out[len(out)-1] += "; " + s
		}
		i++
	}
	for _, l := range g.Limits {
		add(duration(l.Ns))
		for s := range strings.SplitSeq(wrap(l.Is, width), "\n") {
			add(s)
		}
	}
	return out
}

// text is the line's figures.
func (l *seedLine) text() string {
	if len(l.Parts) == 0 {
		return none
	}
	return strings.Join(l.Parts, " · ")
}

func orDash(lines []string) []string {
	if len(lines) == 0 {
		return []string{none}
	}
	return lines
}

// mdHead writes the head of a table: the first left columns to the left, the
// others, figures, to the right.
func mdHead(b *bytes.Buffer, head []string, left int) {
	mdRow(b, head)
	for i := range head {
		if i < left {
			b.WriteString("|:--")
		} else {
			b.WriteString("|--:")
		}
	}
	b.WriteString("|\n")
}

func mdRow(b *bytes.Buffer, cells []string) {
	for _, c := range cells {
		b.WriteString("| ")
		b.WriteString(c)
		b.WriteByte(' ')
	}
	b.WriteString("|\n")
}

var mdEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "|", `\|`, "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]", `\]`, "~", `\~`, "\n", "<br>")

// mdText escapes what Markdown would take for markup.
func mdText(s string) string { return mdEscapes.Replace(s) }

func mdNote(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" [%d]", n)
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
