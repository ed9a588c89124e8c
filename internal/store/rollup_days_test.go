package store

import (
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// A report over days reads sums of days where they stand, and hours and rows where
// they do not: the same, whatever comes late and wherever the span cuts.
func TestDaysSayWhatTheirHoursSayWhateverComesLate(t *testing.T) {
	s, project := open(t)
	evs := shapes(project, 400, 31)
	day := evs[0].Ts.Truncate(24*time.Hour).AddDate(0, 0, -6)
	for i := range evs { // four days, and some hours of the last
		evs[i].Ts = day.Add(time.Duration(i) * 14 * time.Minute)
	}
	late := shapes(project, 40, 32)
	for i := range late {
		late[i].Ts = day.Add(24*time.Hour + time.Duration(i)*time.Minute)
	}
	from, to := day.Add(-time.Hour), day.AddDate(0, 0, 7)
	summed := "SELECT countIf(hours_summed = summed), count() FROM gnomon.days WHERE project = '" + project + "'"
	differences := "SELECT count() FROM gnomon.rollup_differences WHERE project = '" + project + "'"
	held := func(when string) {
		t.Helper()
		for _, span := range [][2]time.Time{{from, to}, {day.Add(5 * time.Hour), to}, {day, day.AddDate(0, 0, 2)}, {from, day.Add(30*time.Hour + time.Millisecond)}} {
			if d := differ(t, s, project, span[0], span[1]); d != "" {
				t.Errorf("%s, %v: %s", when, span, d)
			}
		}
	}
	for i, step := range []struct {
		name string
		rows []schemas.RequestEvent
		days string
	}{
		{"the first", evs, "3 4"},
		{"rows of a day that is summed", late, "3 4"},
		{"them again", late[:20], "3 4"},
	} {
		if err := s.InsertRequests(t.Context(), step.name+project, step.rows); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			held(step.name + ", behind")
			behind, err := s.HoursBehind(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range behind { // a process that ends between hours and days
				if err := s.rollup(t.Context(), []HourBehind{h}); err != nil {
					t.Fatal(err)
				}
			}
			if n := rowsOf(t, s, summed); n != "2 4" {
				t.Errorf("a day whose hours have changed is still used: %s", n)
			}
			held(step.name + ", their hours summed")
		}
		settle(t, s)
		if n := rowsOf(t, s, summed); n != step.days {
			t.Errorf("%s: days %s, not %s", step.name, n, step.days)
		}
		held(step.name + ", summed")
		if d := rowsOf(t, s, differences); d != "0" {
			t.Errorf("%s: %s days or hours differ", step.name, d)
		}
	}
	if n := rowsOf(t, s, "SELECT sum(requests) FROM gnomon.spend_daily WHERE project = '"+project+"'"); n != "440" {
		t.Errorf("the view of days has %s requests of 440", n)
	}
	if err := s.conn.Exec(t.Context(), "INSERT INTO gnomon.requests_1d (project, day, summed) SELECT project, day, hours_summed FROM gnomon.days WHERE project = '"+project+"'"); err != nil {
		t.Fatal(err)
	}
	if d := differ(t, s, project, from, to); d == "" {
		t.Error("days without cells change nothing: they are not read, and this test shows nothing")
	}
	if d := rowsOf(t, s, differences); d != "4" {
		t.Errorf("of four days without cells %s are told", d)
	}
}
