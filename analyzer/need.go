package analyzer

import (
	"math"

	"github.com/gnomon-llm/gnomon/analyzer/evidence"
)

// Assumptions of the forecast of pairs still needed.
const (
	power          = 0.8
	mixtureCost    = 1.1    // of the bets against a test of fixed size, in the median
	unknownDiscord = 0.1    // share of pairs that differ, until there are enough to measure it
	enoughUnits    = 30     // units from which discordance is measured
	shrinkUnits    = 100    // the mean counts as much as this many pairs without a difference
	leastDiscord   = 0.005  // below it a measured discordance is luck
	outOfSight     = 200000 // pairs beyond which no number is named
)

// need forecasts how many more pairs, days and dollars it takes until the bets
// decide, if quality stays as it looks now.
func (q *quality) need(s Settings, alpha, logWealth float64) {
	f := &q.finding
	if q.proved || q.lost {
		return
	}
	n := float64(f.Clusters)
	discordance, d := unknownDiscord, 0.0
	if f.Clusters >= enoughUnits {
		discordance = math.Max(f.Discordance, leastDiscord)
		d = f.Mean * n / (n + shrinkUnits)
	}
	total := mixtureCost * evidence.SampleSize(alpha, power, discordance, d, s.Margin)
	if d < -s.Margin { // heading for worse: the mirrored bets decide
		total = mixtureCost * evidence.SampleSize(alpha, power, discordance, -d-2*s.Margin, s.Margin)
	}
	// Where luck has been bad the sample size alone would say "none".
	bar := math.Log(1 / alpha)
	missing := math.Max(total-n, total*math.Min(1, (bar-logWealth)/bar))
	more := missing * q.perUnit
	if more > outOfSight {
		f.PairsNeeded = outOfSight
		return
	}
	f.PairsNeeded = max(1, int(math.Ceil(more)))
	f.USDNeeded = nano(more * q.cost)
	if q.rate > 0 {
		f.DaysNeeded = max(f.DaysNeeded, int(math.Ceil(more/q.rate)))
	}
}
