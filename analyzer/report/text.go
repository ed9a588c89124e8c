package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Options say where a report is read.
type Options struct {
	Width   int    // of the terminal in columns; 0: not a terminal, lines as long as they are
	Color   bool   // ANSI colours
	Console string // address of the console, named at the end; may be empty
}

// WriteText writes the report for people.
func WriteText(w io.Writer, r *Report, o Options) error {
	b := bufio.NewWriter(w)
	p := printer{w: b, o: o}
	p.head(r)
	if len(r.Verdicts) == 0 {
		p.line("")
		p.line("  " + withoutVerdicts(r))
	} else {
		p.table(r)
	}
	p.foot(r)
	return b.Flush()
}

type printer struct {
	w *bufio.Writer
	o Options
}

func (p *printer) line(s string) { fmt.Fprintln(p.w, strings.TrimRight(s, " ")) }

const (
	green = "\x1b[32m"
	amber = "\x1b[33m"
	red   = "\x1b[31m"
	grey  = "\x1b[90m"
	bold  = "\x1b[1m"
	plain = "\x1b[0m"
)

func (p *printer) paint(color, s string) string {
	if !p.o.Color || s == "" {
		return s
	}
	return color + s + plain
}

var colors = map[schemas.Readiness]string{schemas.Ready: green, schemas.Collecting: grey, schemas.NotWorthwhile: amber, schemas.Worse: red}

func (p *printer) head(r *Report) {
	parts := []string{clean(r.Project), fmt.Sprintf("%d of %d days observed", r.DaysObserved, r.DaysPlanned)}
	if r.DaysObserved > r.DaysPlanned {
		parts[1] = Plural(r.DaysObserved, "day", "days") + " observed"
	}
	requests := Plural(r.Requests, "request", "requests")
	if a := r.Accounted(); a != "" {
		requests += ", " + a
	}
	parts = append(parts, requests)
	if r.SpendMonth != nil {
		parts = append(parts, "spend "+Money(*r.SpendMonth)+" a month")
	}
	if r.Unpriced > 0 {
		parts = append(parts, Percent(float64(r.Unpriced)/float64(r.Requests))+" unpriced")
	}
	text := strings.Join(parts, " · ")
	if !r.Simulated {
		p.line(text)
		return
	}
	const mark = "SIMULATED"
	if space := p.o.Width - width(text) - len(mark); p.o.Width == 0 || space >= 2 {
		p.line(text + strings.Repeat(" ", max(2, space)) + p.paint(bold, mark))
		return
	}
	p.line(p.paint(bold, mark))
	for _, l := range p.wrap(text, 0) {
		p.line(l)
	}
}

// candidateName drops the provider where it is the baseline's.
func candidateName(v *schemas.Verdict) string {
	if rest, same := strings.CutPrefix(v.Candidate, v.Provider+"/"); same {
		return rest
	}
	return v.Candidate
}

func verdictWords(v *schemas.Verdict) string {
	if v.Brief == "" {
		return string(v.Readiness)
	}
	return string(v.Readiness) + ": " + v.Brief
}

// savingCells writes "$4,120 [3,480 … 4,760]" with its three numbers aligned.
func savingCells(vs []schemas.Verdict) []string {
	type cell struct{ point, lo, hi string }
	cells := make([]cell, len(vs))
	var wp, wl, wh int
	for i := range vs {
		var c cell
		c.point, c.lo, c.hi = saving(&vs[i].Savings)
		wp, wl, wh = max(wp, width(c.point)), max(wl, width(c.lo)), max(wh, width(c.hi))
		cells[i] = c
	}
	out := make([]string, len(vs))
	for i, c := range cells {
		out[i] = pad(c.point, wp, true)
		if c.lo != "" {
			out[i] += " [" + pad(c.lo, wl, true) + " … " + pad(c.hi, wh, true) + "]"
		} else {
			out[i] += " no interval yet"
		}
	}
	return out
}

func (p *printer) foot(r *Report) {
	p.line("")
	if r.Ready.Baselines > 1 {
		p.line("  Ready together: " + totalWords(r.Ready) + ".")
	}
	text := fmt.Sprintf("Margin %s, α %s, looked at as often as you like (anytime-valid).", Points(-r.Margin), Percent(r.Alpha))
	if len(r.NotRouted) > 0 {
		text += " " + countWords(r.NotRouted, "request could not be routed", "requests could not be routed") + "."
	}
	p.para(text)
	for _, line := range warningLines(r.Verdicts) {
		p.para(line)
	}
	next := "Nothing to activate yet."
	if v := r.Best(); v != nil {
		next = "Next: gnomon activate " + shellWord(v.Workload) + " --candidate " + shellWord(v.Candidate) + ` --reason "…"`
		if r.severalModels(v) {
			next += " --request-model " + shellWord(v.RequestModel)
		}
	}
	if p.o.Console != "" {
		console, gap := "console: "+p.o.Console, strings.Repeat(" ", 8)
		if p.o.Width > 0 && 2+width(next+gap+console) > p.o.Width {
			gap = "\n  "
		}
		next += gap + console
	}
	p.line("  " + next)
}

// severalModels reports whether v's workload asks for more than one model.
func (r *Report) severalModels(v *schemas.Verdict) bool {
	return slices.ContainsFunc(r.Verdicts, func(o schemas.Verdict) bool { return o.Workload == v.Workload && o.RequestModel != v.RequestModel })
}

func totalWords(t Total) string {
	text := Money(t.Saving) + " a month"
	if iv := MoneyInterval(t.Lo, t.Hi); iv != "" {
		text += " " + iv
	}
	return text
}

// countWords writes "1,204 requests could not be routed: tools 610, context 192".
func countWords(counts []schemas.Count, one, many string) string {
	var total uint64
	parts := make([]string, 0, len(counts))
	for _, c := range counts {
		total += c.N
		parts = append(parts, strings.ReplaceAll(c.Name, "_", " ")+" "+Count(c.N))
	}
	return Plural(total, one, many) + ": " + strings.Join(parts, ", ")
}

// shown are the warnings that the table's reader should not miss, in few words.
var shown = []struct{ code, words string }{
	{"unpriced_share", "partly unpriced"},
	{"coverage", "not seen at all hours"},
	{"early", "interval from fewer than 14 days"},
	{"output_length_unmeasured", "candidate's output length not measured, taken as the baseline's"},
	{"graded_share", "graded in part only"},
	{"bounds_cross", "quality has drifted"},
	{"ended_early", "observation ended early"},
	{"other_weights", "weights have changed, evidence begun anew"},
	{"forecast_off", "p_adequate is off by more than 2 points"},
}

func warningLines(vs []schemas.Verdict) (lines []string) {
	for _, s := range shown {
		var names []string
		for i := range vs {
			if slices.ContainsFunc(vs[i].Warnings, func(w schemas.Warning) bool { return w.Code == s.code }) && !slices.Contains(names, clean(vs[i].Workload)) {
				names = append(names, clean(vs[i].Workload))
			}
		}
		switch n := len(names); {
		case n == 0:
		case n > 4:
			lines = append(lines, fmt.Sprintf("Note: %s: %s and %d more.", s.words, strings.Join(names[:3], ", "), n-3))
		default:
			lines = append(lines, "Note: "+s.words+": "+strings.Join(names, ", ")+".")
		}
	}
	return lines
}

// para writes a paragraph indented by two, wrapped on a terminal.
func (p *printer) para(text string) {
	for _, l := range p.wrap(text, 2) {
		p.line("  " + l)
	}
}

// leastWrap is the narrowest column that text is wrapped into.
const leastWrap = 18

// wrap breaks text into lines that fit beside before columns.
func (p *printer) wrap(text string, before int) []string {
	room := p.o.Width - before
	if p.o.Width == 0 || width(text) <= room {
		return []string{text}
	}
	room = max(room, leastWrap)
	var lines []string
	line := ""
	for _, word := range strings.Split(text, " ") {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) > room:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

func width(s string) int { return utf8.RuneCountInString(s) }

func pad(s string, n int, right bool) string {
	space := strings.Repeat(" ", max(0, n-width(s)))
	if right {
		return space + s
	}
	return s + space
}

func cut(s string, most int) string {
	if width(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// clean takes out what could move a terminal's cursor: names come from callers.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, s)
}

// shellWord quotes a word for a shell where it must be.
func shellWord(s string) string {
	s = clean(s)
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./:@", r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// withoutVerdicts says why there are none.
func withoutVerdicts(r *Report) string {
	switch {
	case r.Requests == 0:
		return "No request is stored yet. Send traffic through the proxy; gnomon doctor says what is wrong where some was sent."
	case r.WouldRoute == 0:
		return "No verdict: of the requests seen none has a cheaper candidate it could have gone to. gnomon sql \"SELECT * FROM gnomon.rejects\" says why."
	default:
		return fmt.Sprintf("No verdict yet: %s of %s requests have a cheaper candidate, and the analyzer has not looked since they came. It does so within a minute.", Count(int64(r.WouldRoute)), Count(int64(r.Requests)))
	}
}
