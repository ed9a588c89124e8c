package dashboards

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

type workloadData struct {
	*workload
	Verdict  *schemas.Verdict
	Others   []schemas.Verdict // further verdicts of the workload
	Steps    []step
	Savings  []savingDay
	Quality  []qualityDay
	Routed   uint64 // would-be, of the verdict's requests
	Refused  []schemas.Count
	Plan     activation
	Limit    schemas.NanoUSD
	From, To time.Time
	Now      time.Time
	SQL      string
	RejSQL   string
	CanAct   bool
	Recorded []string    // the discovered names that a person has replaced by this one
	CanName  bool        // give it a name, or take one back
	Naming   naming      // the form for that
	CanAsk   bool        // what would have been
	Done     *doneAction // an action that was just taken
}

// savingDay is a row of the savings chart and its table, in dollars.
type savingDay struct {
	Day              time.Time
	Cost             *float64 // what was spent; nil when only the verdict knows the day
	Baseline, Would  float64
	Lo, Hi           float64 // of the would-be cost: the mean saving's interval laid on this day
	HasInterval      bool
	Requests, Routed uint64
}

type qualityDay struct {
	Day         time.Time
	Mean, Lower float64
}

// doneAction is shown after an action, with its undo.
type doneAction struct {
	Sentence string
	Undo     string
	Rollback bool // the undo is the roll-back button on this page
}

func (s *server) workloadPage(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("w")
	if now := s.called(s.Project, name); now != name {
		to := workloadPath(now)
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		http.Redirect(w, r, to, http.StatusFound) // a name can be taken back
		return
	}
	s.onPage(w, r, "workload", name, "workloads", func(project string) (any, error) {
		return s.workloadData(r.Context(), project, name, r.URL.Query())
	})
}

func (s *server) workloadData(ctx context.Context, project, name string, q url.Values) (*workloadData, error) {
	x, err := s.workload(ctx, project, name)
	if err != nil {
		return nil, err
	}
	from, to := s.window()
	d := &workloadData{workload: x, Steps: life(x), From: from, To: to, Now: s.Now(), SQL: sqlDays(project, s.recordedAs(project, name), from, to), Recorded: s.recordedAs(project, name)[1:], RejSQL: sqlRejects(project, name, from, to),
		CanAct: s.Actions != nil, CanName: s.Names != nil, CanAsk: s.WhatIf != nil, Limit: widest([]*workload{x})}
	d.Verdict = x.Best()
	if c := q.Get("candidate"); c != "" {
		for i := range x.Verdicts {
			if v := &x.Verdicts[i]; v.Candidate == c && (q.Get("model") == "" || q.Get("model") == v.RequestModel) {
				d.Verdict = v
			}
		}
	}
	d.Savings = savingDays(x.Days, d.Verdict)
	if v := d.Verdict; v != nil {
		d.Quality = qualityDays(v)
		d.Refused, d.Routed = v.Savings.RejectRequests, v.Savings.RoutedRequests
		for _, o := range x.Verdicts {
			if o.Candidate != v.Candidate || o.RequestModel != v.RequestModel {
				d.Others = append(d.Others, o)
			}
		}
	}
	d.Plan = planOf(x, d.Verdict, activationForm{Share: "5"})
	return d, nil
}

// savingDays lays the verdict's days beside what was really spent.
func savingDays(days []Traffic, v *schemas.Verdict) []savingDay {
	spent := map[string]Traffic{}
	for _, d := range days {
		t := spent[d.Day.Format(time.DateOnly)]
		t.add(d)
		spent[d.Day.Format(time.DateOnly)] = t
	}
	var out []savingDay
	if v == nil || len(v.Savings.DailyDates) == 0 {
		for _, d := range days {
			c := d.Cost.USD()
			out = append(out, savingDay{Day: d.Day, Cost: &c, Baseline: d.Baseline.USD(), Would: d.Would.USD(), Requests: d.Requests, Routed: d.WouldRoute})
		}
		return out
	}
	f := v.Savings
	for i, date := range f.DailyDates {
		day, err := time.Parse(time.DateOnly, date)
		if err != nil || i >= len(f.DailyBaseline) || i >= len(f.DailyWould) {
			continue
		}
		row := savingDay{Day: day, Baseline: f.DailyBaseline[i], Would: f.DailyWould[i]}
		if t, ok := spent[date]; ok {
			c := t.Cost.USD()
			row.Cost, row.Requests, row.Routed = &c, t.Requests, t.WouldRoute
		}
		if f.Share != nil {
			row.HasInterval = true
			row.Lo, row.Hi = row.Baseline*(1-f.Share.Hi), row.Baseline*(1-f.Share.Lo)
		}
		out = append(out, row)
	}
	return out
}

func qualityDays(v *schemas.Verdict) []qualityDay {
	var out []qualityDay
	q := v.Quality
	for i, date := range q.DailyDates {
		day, err := time.Parse(time.DateOnly, date)
		if err != nil || i >= len(q.DailyLower) || i >= len(q.DailyMean) {
			continue
		}
		out = append(out, qualityDay{day, q.DailyMean[i], q.DailyLower[i]})
	}
	return out
}

// activationForm is the form as a person filled it in.
type activationForm struct {
	Candidate, RequestModel, Share, Threshold, Reason, Actor string
	Override                                                 bool
}

// activation is the form and what it would do.
type activation struct {
	Form     activationForm
	Workload string
	Choices  []schemas.Verdict
	Verdict  *schemas.Verdict // for the chosen candidate
	Shares   []string
	Control  schemas.BasisPoints
	// What will happen.
	PerDay      uint64  // requests of the workload a day, by the verdict's period
	MovedPerDay uint64  // of them, about
	MovedShare  float64 // of the workload's requests
	Sessions    string  // the share, in words
	Saving      schemas.NanoUSD
	Lo, Hi      *schemas.NanoUSD
	Supported   bool
	Why         string // why the verdict does not support it
	Problem     *errorBody
}

// control is the arm that never moves while no policy says otherwise.
const control schemas.BasisPoints = 500

// planOf says what an activation would move and save. Shares multiply: of the
// sessions that are not control, the share; of their requests, those that the
// decision routes.
func planOf(w *workload, v *schemas.Verdict, f activationForm) activation {
	a := activation{Form: f, Workload: w.Workload, Choices: w.Verdicts, Shares: []string{"1", "5", "25", "50", "100"}, Control: control}
	if w.Policy != nil && len(w.History) > 0 && w.Policy.Control > 0 {
		a.Control = w.Policy.Control
	}
	if f.Candidate != "" {
		v = nil
		for i := range w.Verdicts {
			if c := &w.Verdicts[i]; c.Candidate == f.Candidate && (f.RequestModel == "" || f.RequestModel == c.RequestModel) {
				v = c
				break
			}
		}
	}
	a.Verdict = v
	if v == nil {
		a.Why = "There is no verdict for this candidate yet."
		return a
	}
	a.Form.Candidate, a.Form.RequestModel = v.Candidate, v.RequestModel
	a.Supported = v.Readiness == schemas.Ready
	if !a.Supported {
		a.Why = "The verdict is " + string(v.Readiness) + ": " + firstReason(v)
	}
	share, err := strconv.ParseFloat(f.Share, 64)
	if err != nil || !(share >= 0 && share <= 100) { // also NaN
		share = 0
	}
	dialled := schemas.Policy{Share: schemas.BasisPoints(math.Round(100 * share)), Control: a.Control}
	moving := dialled.Treated()
	a.Sessions = dialled.ShareInWords()
	a.MovedShare = moving * v.Savings.RoutedShare
	if v.Savings.Days > 0 {
		a.PerDay = v.Savings.Requests / uint64(v.Savings.Days)
		a.MovedPerDay = uint64(moving*float64(v.Savings.RoutedRequests)/float64(v.Savings.Days) + .5)
	}
	scale := func(n schemas.NanoUSD) schemas.NanoUSD { return schemas.NanoUSD(moving * float64(n)) }
	a.Saving = scale(v.Savings.SavingMonth)
	if lo, hi := v.Savings.SavingMonthLo, v.Savings.SavingMonthHi; lo != nil && hi != nil {
		l, h := scale(*lo), scale(*hi)
		a.Lo, a.Hi = &l, &h
	}
	return a
}

// formOf reads the activation form; candidate and model travel in one field.
func formOf(q url.Values) activationForm {
	f := activationForm{Candidate: q.Get("candidate"), RequestModel: q.Get("request_model"), Share: q.Get("share"), Threshold: q.Get("threshold"),
		Reason: q.Get("reason"), Actor: q.Get("actor"), Override: q.Get("override") != ""}
	if model, candidate, ok := strings.Cut(q.Get("choice"), "→"); ok {
		f.Candidate, f.RequestModel = candidate, model
	}
	if f.Share == "" {
		f.Share = "5"
	}
	return f
}

// activationFragment says again what would happen, for another choice in the form.
func (s *server) activationFragment(w http.ResponseWriter, r *http.Request) {
	x, err := s.workload(r.Context(), s.Project, r.URL.Query().Get("workload"))
	if err == nil {
		s.renderPart(w, http.StatusOK, "workload", "plan", planOf(x, x.Best(), formOf(r.URL.Query())))
		return
	}
	status, body := statusOf(err)
	s.renderPart(w, status, "workload", "problem", body)
}

// workloadAction takes the forms of a workload's page. It answers with the page
// itself: the error beside what was typed, or what was done and how to undo it.
func (s *server) workloadAction(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxActionBody)
	project := s.Project
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, project, &Error{Message: "The form could not be read.", Hint: "Go back and send it again."})
		return
	}
	if action := r.PostForm.Get("action"); action == "name" || action == "unname" {
		s.nameAction(w, r, project, action)
		return
	}
	name, form := r.PathValue("w"), formOf(r.PostForm)
	done, err := s.act(r.Context(), project, name, r.PostForm.Get("action"), form)
	forget(r.Context())
	d, dataErr := s.workloadData(r.Context(), project, name, url.Values{})
	if dataErr != nil {
		s.fail(w, r, project, errors.Join(err, dataErr))
		return
	}
	status := http.StatusOK
	if err != nil {
		code, body := statusOf(err)
		status = code
		d.Plan = planOf(d.workload, d.Verdict, form)
		d.Plan.Problem = &body
	} else {
		d.Done = done
	}
	f := s.newFrame(r.Context(), r, project, name, "workloads")
	f.Status, f.Page = s.status(r.Context(), project), d
	s.render(w, status, "workload", f)
}

func (s *server) act(ctx context.Context, project, name, action string, f activationForm) (*doneAction, error) {
	if s.Actions == nil {
		return nil, errReadOnly
	}
	if err := checkReason(f.Reason); err != nil {
		return nil, err
	}
	switch action {
	case "rollback":
		res, err := s.Actions.Rollback(ctx, RollbackRequest{Project: project, Workload: name, Reason: strings.TrimSpace(f.Reason), Actor: orWord(f.Actor, "console")})
		if err != nil {
			return nil, err
		}
		return &doneAction{Sentence: name + " is rolled back: every request goes to the model that was asked for.", Undo: undo(res)}, nil
	case "activate":
		share, err := parseShare([]byte(strconv.Quote(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(f.Share), "%")) + "%")))
		if err != nil {
			return nil, err
		}
		req := ActivateRequest{Project: project, Workload: name, Candidate: f.Candidate, RequestModel: f.RequestModel, Share: share, Override: f.Override,
			Reason: strings.TrimSpace(f.Reason), Actor: orWord(f.Actor, "console")}
		if t := strings.TrimSpace(f.Threshold); t != "" {
			v, err := strconv.ParseFloat(t, 64)
			if err != nil {
				v = -1
			}
			req.Threshold = &v
		}
		if err := checkActivate(req); err != nil {
			return nil, err
		}
		res, err := s.Actions.Activate(ctx, req)
		if err != nil {
			return nil, err
		}
		return &doneAction{Sentence: name + " is active: " + res.Policy.ShareInWords() + " may go to " + res.Policy.Candidate + ".", Undo: undo(res), Rollback: true}, nil
	}
	return nil, &Error{Code: "unknown_action", Message: "The form asks for " + strconv.Quote(action) + ".", Hint: "Activate or roll back."}
}
