package report

import (
	"slices"
	"strings"
)

// grid is the table on its way to lines.
type grid struct {
	heads  []string
	right  []bool
	names  int // the first columns hold names, which may be cut
	widths []int
	rows   [][]string
	gap    int
}

const (
	wideGap, narrowGap = 3, 2
	leastName          = 10 // columns left of a name that must be cut
	pairsColumn        = 6
)

func (p *printer) table(r *Report) {
	g := grid{
		heads: []string{"workload", "asked for", "candidate", "routed", "would save a month", "quality", "graded", "verdict"},
		right: []bool{false, false, false, true, false, true, true, false}, names: 3, gap: wideGap,
	}
	savings := savingCells(r.Verdicts)
	for i := range r.Verdicts {
		v := &r.Verdicts[i]
		g.rows = append(g.rows, []string{clean(v.Workload), clean(v.RequestModel), clean(candidateName(v)), Percent(v.Savings.RoutedShare),
			savings[i], Quality(v), pairsCell(v.Quality), verdictWords(v)})
	}
	g.measure()
	below := p.o.Width > 0 && g.width() > p.o.Width // then the brief gets a line of its own
	if below {
		for i, row := range g.rows {
			row[len(row)-1] = string(r.Verdicts[i].Readiness)
		}
		g.fit(p.o.Width)
	}
	p.line("")
	p.line(p.paint(grey, "  "+g.line(g.heads)))
	for i, row := range g.rows {
		v := &r.Verdicts[i]
		color, last := colors[v.Readiness], len(row)-1
		text := g.line(row)
		p.line(p.paint(color, Glyph(v.Readiness)) + " " + strings.TrimSuffix(text, row[last]) + p.paint(color, row[last]))
		if below && v.Brief != "" {
			p.line("    " + p.paint(color, v.Brief))
		}
	}
}

func (g *grid) measure() {
	g.widths = make([]int, len(g.heads))
	for j, h := range g.heads {
		g.widths[j] = width(h)
		for _, row := range g.rows {
			g.widths[j] = max(g.widths[j], width(row[j]))
		}
	}
}

// width is that of a whole line, the glyph included.
func (g *grid) width() int {
	n := 2 + g.gap*(len(g.widths)-1)
	for _, w := range g.widths {
		n += w
	}
	return n
}

// fit narrows the gaps, then cuts the longest names, then gives up the pairs.
func (g *grid) fit(room int) {
	g.gap = narrowGap
	g.measure()
	for g.width() > room {
		longest := 0
		for j := range g.names {
			if g.widths[j] > g.widths[longest] {
				longest = j
			}
		}
		if g.widths[longest] <= leastName {
			break
		}
		g.widths[longest]--
	}
	if g.width() > room {
		g.drop(pairsColumn)
	}
	for _, row := range g.rows {
		for j := range g.names {
			row[j] = cut(row[j], g.widths[j])
		}
	}
}

func (g *grid) drop(j int) {
	g.heads, g.right, g.widths = slices.Delete(g.heads, j, j+1), slices.Delete(g.right, j, j+1), slices.Delete(g.widths, j, j+1)
	for i := range g.rows {
		g.rows[i] = slices.Delete(g.rows[i], j, j+1)
	}
}

// line joins a row; its last cell is not padded.
func (g *grid) line(row []string) string {
	var b strings.Builder
	last := len(row) - 1
	for j, cell := range row[:last] {
		b.WriteString(pad(cell, g.widths[j], g.right[j]))
		b.WriteString(strings.Repeat(" ", g.gap))
	}
	b.WriteString(row[last])
	return b.String()
}
