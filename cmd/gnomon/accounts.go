package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/store"
)

// accountsEvery is how often what is accounted for is published.
const accountsEvery = time.Minute

// keepAccounts publishes gnomon.completeness as metrics until ctx ends: what an
// alarm is set on.
func (n *node) keepAccounts(ctx context.Context, s *store.Store) {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		n.registry.MustRegister(g)
		return g
	}
	accepted := gauge("gnomon_accounts_accepted", "Requests that proxies say they accepted, over all that is kept.")
	stored := gauge("gnomon_accounts_stored", "Of those, stored.")
	declared := gauge("gnomon_accounts_declared", "Of those, declared lost with a reason.")
	difference := gauge("gnomon_accounts_difference", "Of those, neither stored nor declared: on their way, or missing.")
	missing := gauge("gnomon_accounts_missing", "The part of the difference that belongs to proxies silent for ten minutes. Anything but 0 needs a person.")
	behind := gauge("gnomon_rollup_hours_behind", "Hours whose rollup is still to be computed. They are read from their rows, which is slower.")
	file := filepath.Join(n.c.DataDir, "silence.json")
	said, watched := false, readSilence(file)
	for {
		ask, cancel := context.WithTimeout(ctx, accountsEvery)
		a, err := s.Accounts(ask)
		var lives []store.Life
		if err == nil {
			lives, err = s.SilentLives(ask, time.Now().AddDate(1, 0, 0)) // all that owe something: no clock of theirs is believed
		}
		cancel()
		if err == nil {
			a.Missing = watched.missing(lives, time.Now())
			if err := watched.keep(file); err != nil {
				n.log.Warn("how long proxies have been silent is not kept: a restart begins to count anew", "err", err)
			}
			accepted.Set(float64(a.Accepted))
			stored.Set(float64(a.Stored))
			declared.Set(float64(a.Declared))
			difference.Set(float64(a.Difference))
			missing.Set(float64(a.Missing))
			behind.Set(float64(a.HoursBehind))
			if a.Missing != 0 && !said {
				n.log.Error("requests are missing: a proxy accepted them, has been silent for ten minutes, and nobody has them. If it is gone for good its spool is, too; else start it",
					"missing", a.Missing, "see", "SELECT * FROM gnomon.completeness")
			}
			said = a.Missing != 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(accountsEvery):
		}
	}
}

// silence is what was last heard of the proxy lives that owe something, and how long
// nothing has come of them: a history that is sent again, and a log that is caught up
// with, bring old heartbeats before the rows they speak of. Only time in which ingest
// watched counts, so that a restart neither forgets it nor takes its own absence for
// a proxy's.
type silence struct {
	Lives  map[uint64]heard `json:"lives"`
	looked time.Time        // zero before the first look of this process
}

type heard struct {
	Beat  time.Time     `json:"beat"` // of its own clock
	Owing int64         `json:"owing"`
	Quiet time.Duration `json:"quiet_ns"` // watched since either was last seen to change
}

// missing is how much is owed by lives of which nothing has come for store.Silent,
// neither heartbeat nor row. A life that is not among lives owes nothing any more.
func (w *silence) missing(lives []store.Life, now time.Time) (n int64) {
	passed := time.Duration(0)
	if !w.looked.IsZero() {
		passed = min(now.Sub(w.looked), 2*accountsEvery)
	}
	was := w.Lives
	w.Lives, w.looked = make(map[uint64]heard, len(lives)), now
	for _, l := range lives {
		h, ok := was[l.BootID]
		if ok && h.Beat.Equal(l.LastHeard) && h.Owing == l.Missing {
			h.Quiet += passed
		} else {
			h = heard{l.LastHeard, l.Missing, 0}
		}
		if w.Lives[l.BootID] = h; h.Quiet >= store.Silent {
			n += l.Missing
		}
	}
	return n
}

// readSilence is the silence that a process before this one watched, as far as it is
// kept: without it the watch begins anew.
func readSilence(path string) *silence {
	w := &silence{}
	if raw, err := os.ReadFile(path); err != nil || json.Unmarshal(raw, w) != nil {
		return &silence{}
	}
	return w
}

// keep writes it down for the next process.
func (w *silence) keep(path string) error {
	raw, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// diagnoseAccounts holds what is stored against what proxies say, and sums
// against rows.
func diagnoseAccounts(ctx context.Context, c *config.Config, s *store.Store) []finding {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	const again = 3 * time.Second
	a, err := s.Accounts(ctx)
	if noTables(err) {
		return []finding{tablesMissing}
	}
	if err != nil {
		return []finding{checked("accounts", "", err, "gnomon serve brings the tables up to date")}
	}
	alarm, known := int64(0), false
	if a.Missing > 0 {
		if alarm, known = alarmOf(ctx, c); !known {
			alarm = stillMissing(ctx, s, a.Missing, again)
		}
	}
	found := accountsFinding(a, alarm)
	const days = 2
	differ, err := s.RollupDiffers(ctx, time.Now().AddDate(0, 0, -days), again)
	if noTables(err) {
		return []finding{found, tablesMissing}
	}
	sums := checked("sums", fmt.Sprintf("the rollup is what the rows give, in every hour of the last %d days; hours still to be summed: %d", days, a.HoursBehind), err, "")
	if differ > 0 {
		sums = finding{Check: "sums", Detail: fmt.Sprintf("in %d hours of the last %d days the rollup is not what the rows give", differ, days),
			Mend: "SELECT * FROM gnomon.rollup_differences names them; docs/completeness.md says how to have them summed again. Please report it"}
	}
	return []finding{found, sums}
}

// accountsFinding is what the accounts come to. By its own clock a proxy may have
// been silent for long while what it sent is still coming in: of a history that is
// sent again, of a log that is caught up with. alarm is how much of that nothing comes
// of any more.
func accountsFinding(a store.Accounts, alarm int64) finding {
	f := finding{Check: "accounts", OK: alarm == 0, Detail: fmt.Sprintf("%d accepted = %d stored + %d declared + %d on their way", a.Accepted, a.Stored, a.Declared, a.Difference)}
	switch {
	case alarm > 0:
		f.Detail = fmt.Sprintf("%d accepted = %d stored + %d declared + %d missing or on their way", a.Accepted, a.Stored, a.Declared, a.Difference)
		f.Mend = fmt.Sprintf("%d belong to proxies of which nothing comes (SELECT * FROM gnomon.completeness WHERE difference != 0): start them, their spools hold the events", alarm)
	case a.Missing > 0:
		f.Notice = true
		f.Detail += fmt.Sprintf(", of which %d were accepted over ten minutes ago and are being read back", a.Missing)
		f.Mend = "nothing, while the number falls: gnomon doctor calls them missing, and gnomon_accounts_missing alarms, once nothing has come of a proxy for ten minutes"
	}
	return f
}

// alarmOf is gnomon_accounts_missing of the gnomon at admin.addr, if it has ingest:
// it has watched what comes, and need not believe a proxy's clock.
func alarmOf(ctx context.Context, c *config.Config) (missing int64, known bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, newClient(c).base+"/metrics", nil)
	if err != nil {
		return 0, false
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "gnomon_accounts_missing "); ok {
			f, err := strconv.ParseFloat(text, 64)
			return int64(f), err == nil
		}
	}
	return 0, false
}

// stillMissing is what a second look finds missing, and nothing if it has changed: then
// it is coming in.
func stillMissing(ctx context.Context, s *store.Store, first int64, again time.Duration) int64 {
	select {
	case <-ctx.Done():
		return first
	case <-time.After(again):
	}
	if a, err := s.Accounts(ctx); err == nil && a.Missing != first {
		return 0
	}
	return first
}
