package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	said := false
	for {
		ask, cancel := context.WithTimeout(ctx, accountsEvery)
		a, err := s.Accounts(ask)
		cancel()
		if err == nil {
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

// diagnoseAccounts holds what is stored against what proxies say, and sums
// against rows.
func diagnoseAccounts(ctx context.Context, s *store.Store) []finding {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	a, err := s.Accounts(ctx)
	if err != nil {
		return []finding{checked("accounts", "", err, "gnomon serve brings the tables up to date")}
	}
	found := finding{
		Check: "accounts", OK: a.Missing == 0,
		Detail: fmt.Sprintf("%d accepted = %d stored + %d declared + %d on their way or missing", a.Accepted, a.Stored, a.Declared, a.Difference),
		Mend:   fmt.Sprintf("%d belong to proxies silent for ten minutes (SELECT * FROM gnomon.completeness WHERE difference != 0): start them, their spools hold the events", a.Missing),
	}
	const days = 2
	differ, err := s.RollupDiffers(ctx, time.Now().AddDate(0, 0, -days), 3*time.Second)
	sums := checked("sums", fmt.Sprintf("the rollup is what the rows give, in every hour of the last %d days; %d hours still to be summed", days, a.HoursBehind), err, "")
	if differ > 0 {
		sums = finding{Check: "sums", Detail: fmt.Sprintf("in %d hours of the last %d days the rollup is not what the rows give", differ, days),
			Mend: "SELECT * FROM gnomon.rollup_differences names them; docs/completeness.md says how to have them summed again. Please report it"}
	}
	return []finding{found, sums}
}
