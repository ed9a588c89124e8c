package dashboards

import (
	"net/http"
	"net/url"

	"github.com/gnomon-llm/gnomon/schemas"
)

type requestsData struct {
	Filter   RequestFilter
	Values   url.Values // as they stand in the address
	Requests []requestRow
	Kept     []string // filters without a field, carried along
	More     string   // address of the next page; "" at the end
	Problem  *errorBody
	Filtered bool
	Names    []string // of workloads, for the list to choose from
	Statuses []string
	Arms     []string
	Rejects  []string
	SQL      string
}

func (s *server) requestsPage(w http.ResponseWriter, r *http.Request) {
	s.onPage(w, r, "requests", "Requests", "requests", func(project string) (any, error) {
		q := r.URL.Query()
		d := requestsData{Values: q, Statuses: []string{"ok", "provider_error", "client_abort", "truncated", "timeout", "refused", "lost"},
			Arms: []string{"none", "control", "treated"}, Rejects: rejectCodes()}
		f, err := parseFilter(project, q)
		if err != nil {
			_, body := statusOf(err)
			d.Problem = &body
			return d, nil
		}
		f.Workload = s.called(project, f.Workload)
		f.Recorded = s.recordedAs(project, f.Workload)
		d.Filter, d.SQL = f, sqlRequests(f)
		for _, k := range []string{"user", "session", "team", "trace", "provider", "served", "limit"} {
			if q.Get(k) != "" {
				d.Kept = append(d.Kept, k)
			}
		}
		f.Listed = true
		page, err := s.data(r.Context()).Requests(r.Context(), f)
		if err != nil {
			return nil, err
		}
		for _, ev := range page.Requests {
			d.Requests = append(d.Requests, requestRow{ev})
		}
		for k, v := range q {
			d.Filtered = d.Filtered || k != "cursor" && k != "project" && k != "limit" && len(v) > 0 && v[0] != ""
		}
		if page.Next != "" {
			next := url.Values{}
			for k, v := range q {
				if len(v) > 0 && v[0] != "" {
					next[k] = v
				}
			}
			next.Set("cursor", page.Next)
			d.More = "/requests?" + next.Encode()
		}
		if r.Header.Get("HX-Request") != "" {
			return d, nil // only the results are swapped: the filter's list stays
		}
		ws, err := s.workloads(r.Context(), project)
		for _, x := range ws {
			d.Names = append(d.Names, x.Workload)
		}
		return d, err
	})
}

// requestRow is a request event with what templates need of it.
type requestRow struct{ schemas.RequestEvent }

// MovedRoute is the would-be route when it is not what was asked for, else "".
func (r requestRow) MovedRoute() string {
	if r.WouldRoute == "" || r.WouldRoute == baselineOf(&r.RequestEvent) {
		return ""
	}
	return r.WouldRoute
}

func (r requestRow) In() uint64        { return uint64(r.InputTokens) }
func (r requestRow) Out() uint64       { return uint64(r.OutputTokens) }
func (r requestRow) CacheRead() uint64 { return uint64(r.CacheReadTokens) }
func (r requestRow) ReqBytes() uint64  { return uint64(r.RequestBytes) }
func (r requestRow) RespBytes() uint64 { return uint64(r.ResponseBytes) }

type requestData struct {
	Request     requestRow
	Explanation Explanation
	Limit       float64 // the largest contribution
	Needs       []string
}

func (s *server) requestPage(w http.ResponseWriter, r *http.Request) {
	s.onPage(w, r, "request", "Request", "requests", func(project string) (any, error) {
		a, err := s.request(r.Context(), project, r.PathValue("id"))
		if err != nil {
			return nil, err
		}
		d := requestData{Request: requestRow{a.Request}, Explanation: a.Explanation, Needs: gateNames(a.Request.Gates)}
		for _, c := range a.Explanation.Contributions {
			d.Limit = max(d.Limit, c.Effect, -c.Effect)
		}
		return d, nil
	})
}
