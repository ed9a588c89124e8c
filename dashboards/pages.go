package dashboards

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/schemas"
)

//go:embed templates/*.html
var templates embed.FS

type page struct{ *template.Template }

// frame is what every page's layout needs.
type frame struct {
	Title     string
	Nav       string // the page that is marked
	Project   string
	Version   string
	Proxy     string
	Simulated bool
	Login     bool
	CanAct    bool
	Query     string
	Now       time.Time
	Status    *statusLight
	Flash     string
	Page      any
}

// statusLight is the top bar's summary.
type statusLight struct {
	Mode     string
	Light    string // ok, waiting, lost, unknown
	Words    string
	Complete completeness
}

func (s *server) loadPages() (map[string]*page, error) {
	base, err := template.New("layout.html").Funcs(s.funcs()).ParseFS(templates, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	out := map[string]*page{}
	for _, n := range []string{"overview", "workloads", "workload", "requests", "request", "health", "search", "message", "named", "login"} {
		t, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if _, err := t.ParseFS(templates, "templates/"+n+".html"); err != nil {
			return nil, err
		}
		out[n] = &page{t}
	}
	return out, nil
}

func (s *server) funcs() template.FuncMap {
	return template.FuncMap{
		"money": money, "optmoney": optMoney, "bounds": bounds, "percent": percent, "points": points, "atleast": atLeast, "atmost": atMost, "quality": quality, "pairs": pairs, "qualityof": func(v schemas.Verdict) string { return quality(&v) },
		"group": group[uint64], "groupi": group[int], "basis": basis, "period": period, "glyph": glyph, "class": class,
		"millis": func(ms uint32) string { return millis(float64(ms)) },
		"micros": func(us uint32) string { return millis(float64(us) / 1000) },
		"plural": plural[uint64], "plurali": plural[int],
		"workloadpath": workloadPath, "short": shortModel, "query": queryEscape,
		"whisker": whisker, "sharebar": shareBar, "effectbar": effectBar,
		"share": func(n, of uint64) string {
			if of == 0 {
				return "–"
			}
			return percent(float64(n) / float64(of))
		},
		"asset":   func(n string) string { return "/assets/" + n + "?v=" + s.static[n].hash },
		"usd":     func(n schemas.NanoUSD) float64 { return n.USD() },
		"dollars": func(v float64) string { return money(schemas.NanoUSD(math.Round(v * 1e9))) },
		"projected": func(v any) bool {
			if x, ok := v.(schemas.Verdict); ok {
				return projected(&x)
			}
			return projected(v.(*schemas.Verdict))
		},
		"signed":      signed,
		"sentence":    rejectSentence,
		"collective":  collective,
		"gates":       gateNames,
		"candidateof": func(v *schemas.Verdict) string { return shortModel(v.Candidate) },
		"undo":        undo, "shell": shellWord, "upper": strings.ToUpper,
		"deref": func(f *float64) float64 { return *f }, "fixed": func(n uint16) float64 { return float64(n) / 65535 }, "derefp": func(f *float32) float64 { return float64(*f) }, "derefu": func(u *uint32) uint32 { return *u },
		"dayof": func(d time.Time) string {
			if d.Equal(s.Now().UTC().Truncate(24 * time.Hour)) {
				return d.Format("2 Jan") + " so far"
			}
			return d.Format("2 Jan")
		},
		"plus1": func(i int) int { return i + 1 },
		"dict":  dict,
		"hex":   func(u uint64) string { return fmt.Sprintf("%016x", u) },
	}
}

// dict passes several values to a nested template.
func dict(kv ...any) (map[string]any, error) {
	if len(kv)%2 != 0 {
		return nil, fmt.Errorf("dict needs pairs, has %d values", len(kv))
	}
	m := make(map[string]any, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		k, ok := kv[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict key %v is no string", kv[i])
		}
		m[k] = kv[i+1]
	}
	return m, nil
}

// newFrame reads what the layout shows of a project. A store that does not
// answer must not take the frame down: the light says so.
func (s *server) newFrame(ctx context.Context, r *http.Request, project, title, nav string) frame {
	f := frame{Title: title, Nav: nav, Project: project, Version: s.Version, Proxy: s.Proxy, Simulated: s.Simulated, Login: s.Token != "",
		CanAct: s.Actions != nil, Now: s.Now().UTC(), Query: r.URL.Query().Get("q")}
	return f
}

func (s *server) status(ctx context.Context, project string) *statusLight {
	l := &statusLight{Light: "unknown", Words: "no proxy has spoken yet"}
	if ps, err := s.data(ctx).Policies(ctx, project, ""); err == nil {
		l.Mode = modeOfWhole(ps)
	}
	c, err := s.data(ctx).Completeness(ctx, project)
	if err != nil {
		l.Light, l.Words = "down", "the store does not answer"
		return l
	}
	l.Complete = sumLives(c)
	l.Light = l.Complete.State
	l.Words = completeWords(l.Complete)
	return l
}

// completeWords says in a sentence whether every request is accounted for.
func completeWords(c completeness) string {
	switch c.State {
	case "complete":
		return "all " + plural(c.Accepted-c.InFlight, "request", "requests") + " accounted for"
	case "waiting":
		return plural(c.Waiting, "request", "requests") + " on the way to the store"
	case "lost":
		return "all accounted for, " + group(c.Declared) + " declared lost"
	default:
		return "no proxy has spoken yet"
	}
}

func modeOfWhole(ps []schemas.Policy) string {
	n := 0
	for _, p := range ps {
		if p.Mode == schemas.ModeCanary || p.Mode == schemas.ModeLive {
			n++
		}
	}
	if n == 0 {
		return "observing"
	}
	return plural(n, "workload", "workloads") + " live"
}

// render writes a whole page. It renders before it writes, so that an error in
// a template is an error page and never half a page.
func (s *server) render(w http.ResponseWriter, status int, name string, f frame) {
	s.renderPart(w, status, name, "layout.html", f)
}

func (s *server) renderPart(w http.ResponseWriter, status int, name, part string, data any) {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, part, data); err != nil {
		s.Log.Error("console page failed", "page", name, "err", err)
		text(w, http.StatusInternalServerError, "This page could not be drawn. The log says why.\n")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// logFailure writes what went wrong to the log. That the reader has gone is no error.
func (s *server) logFailure(r *http.Request, what string, err error) {
	level := slog.LevelError
	if r.Context().Err() != nil {
		level, what = slog.LevelDebug, what+": the reader has gone"
	}
	s.Log.Log(context.WithoutCancel(r.Context()), level, what, "path", r.URL.Path, "err", err)
}

// fail shows an error inside the frame.
func (s *server) fail(w http.ResponseWriter, r *http.Request, project string, err error) {
	status, body := statusOf(err)
	if status >= 500 {
		s.logFailure(r, "console page failed", err)
	}
	f := s.newFrame(r.Context(), r, project, "Not shown", "")
	f.Page = body
	s.render(w, status, "message", f)
}

// onPage draws a page of the configured project. Other projects are the API's:
// a console shows one, so that no figure is ever taken for another's.
func (s *server) onPage(w http.ResponseWriter, r *http.Request, name, title, nav string, fill func(project string) (any, error)) {
	project := s.Project
	light := make(chan *statusLight, 1)
	go func() { // while the page's own reads are on their way
		l := &statusLight{Light: "down", Words: "the store does not answer"}
		defer func() { light <- l }()
		_ = safely(func() error { l = s.status(r.Context(), project); return nil })()
	}()
	v, err := fill(project)
	status := <-light
	if err != nil {
		s.fail(w, r, project, err)
		return
	}
	f := s.newFrame(r.Context(), r, project, title, nav)
	f.Status, f.Page = status, v
	s.render(w, http.StatusOK, name, f)
}

type overviewData struct {
	Totals       totals
	Needs        []need
	Workloads    []*workload
	Limit        schemas.NanoUSD // of the whiskers' scale
	Days         []Traffic       // all workloads together
	Completeness Completeness
	Saved        schemas.NanoUSD // by what was routed, before verification
	SQL          string
	DaySQL       string
}

func (s *server) overviewPage(w http.ResponseWriter, r *http.Request) {
	s.onPage(w, r, "overview", "Overview", "overview", func(project string) (any, error) {
		from, to := s.window()
		days, err := s.data(r.Context()).Traffic(r.Context(), project, from, to)
		if err != nil {
			return nil, err
		}
		ws, err := s.workloads(r.Context(), project)
		if err != nil {
			return nil, err
		}
		c, err := s.data(r.Context()).Completeness(r.Context(), project)
		if err != nil {
			return nil, err
		}
		d := overviewData{Totals: s.totals(ws), Needs: needs(ws, c), Workloads: ws, Limit: widest(ws), Days: byDay(days), Completeness: c,
			SQL: sqlWorkloads(project, s.named(project), from, to), DaySQL: sqlDays(project, nil, from, to)}
		if s.Report != nil { // one figure for what a month costs, the report's
			if got, err := s.Report(r.Context(), project); err == nil {
				if rep, ok := got.(*report.Report); ok {
					d.Totals.SpendMonth = rep.SpendMonth
				}
			}
		}
		d.Saved = d.Totals.Traffic.RoutedBaseline - d.Totals.Traffic.RoutedCost
		return d, nil
	})
}

// byDay sums all workloads by day, oldest first.
func byDay(days []Traffic) []Traffic {
	all := make([]Traffic, len(days))
	for i, d := range days {
		d.Workload = "all"
		all[i] = d
	}
	ws := gather(all, nil, nil)
	if len(ws) == 0 {
		return nil
	}
	var out []Traffic
	for _, d := range ws[0].Days {
		if n := len(out); n > 0 && out[n-1].Day.Equal(d.Day) {
			out[n-1].add(d)
			continue
		}
		out = append(out, d)
	}
	return out
}

// widest is the scale on which all whiskers of a table are drawn.
func widest(ws []*workload) schemas.NanoUSD {
	var m schemas.NanoUSD
	for _, w := range ws {
		for _, v := range w.Verdicts {
			if hi := v.Savings.SavingMonthHi; hi != nil && *hi > m {
				m = *hi
			}
		}
	}
	return m
}

// earliest is the first day with traffic: where there is less than the window,
// a page speaks of the days that there are.
func earliest(ws []*workload, from time.Time) time.Time {
	first := time.Time{}
	for _, w := range ws {
		if !w.First.IsZero() && (first.IsZero() || w.First.Before(first)) {
			first = w.First
		}
	}
	if first.After(from) {
		return first
	}
	return from
}

type workloadsData struct {
	Workloads []*workload
	Limit     schemas.NanoUSD
	From, To  time.Time
	SQL       string
}

func (s *server) workloadsPage(w http.ResponseWriter, r *http.Request) {
	s.onPage(w, r, "workloads", "Workloads", "workloads", func(project string) (any, error) {
		ws, err := s.workloads(r.Context(), project)
		if err != nil {
			return nil, err
		}
		from, to := s.window()
		return workloadsData{ws, widest(ws), earliest(ws, from), to, sqlWorkloads(project, s.named(project), from, to)}, nil
	})
}

type healthData struct {
	Complete     completeness
	Words        string
	Completeness Completeness
	Parts        []Part
	SQL          string
}

func (s *server) healthPage(w http.ResponseWriter, r *http.Request) {
	s.onPage(w, r, "health", "Health", "health", func(project string) (any, error) {
		c, err := s.data(r.Context()).Completeness(r.Context(), project)
		if err != nil {
			return nil, err
		}
		t := sumLives(c)
		d := healthData{Complete: t, Words: completeWords(t), Completeness: c, SQL: sqlLives}
		if s.Health != nil {
			d.Parts = s.Health.Parts(r.Context())
		}
		return d, nil
	})
}

func (s *server) statusFragment(w http.ResponseWriter, r *http.Request) {
	s.renderPart(w, http.StatusOK, "message", "status", s.status(r.Context(), s.Project))
}

func (s *server) searchPage(w http.ResponseWriter, r *http.Request) {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	if _, err := uuid.Parse(q); err == nil {
		http.Redirect(w, r, "/requests/"+url.PathEscape(q), http.StatusSeeOther)
		return
	}
	s.onPage(w, r, "search", "Search", "", func(project string) (any, error) {
		ws, err := s.workloads(r.Context(), project)
		if err != nil {
			return nil, err
		}
		var hits []*workload
		for _, x := range ws {
			if strings.Contains(strings.ToLower(x.Workload), strings.ToLower(q)) {
				hits = append(hits, x)
			}
		}
		return map[string]any{"Query": q, "Workloads": hits}, nil
	})
}

func (s *server) notFoundPage(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, s.Project, &Error{Kind: NotFound, Message: "There is no page at " + r.URL.Path + ".", Hint: "The pages are on the left."})
}

func (s *server) loginPage(w http.ResponseWriter, r *http.Request) {
	if s.Token == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	s.renderLogin(w, http.StatusOK, localPath(r.URL.Query().Get("next")), "")
}

func (s *server) renderLogin(w http.ResponseWriter, status int, next, problem string) {
	s.renderPart(w, status, "login", "login", map[string]any{"Next": next, "Problem": problem, "Simulated": s.Simulated})
}
