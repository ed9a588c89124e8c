package rehearsal

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Floor is the least probability of a draw while the day's budget lasts: no
// weighting repairs a probability of zero, and small ones repair it badly.
const Floor = 0.02

// Plan bounds what rehearsal of one workload may spend.
type Plan struct {
	Daily       schemas.NanoUSD // cap for a UTC day, over candidate, baseline checks and grading
	Probability float64         // most of what is drawn, Floor to 1; 0: only the cap bounds it
}

// Draw is the sampler's decision about one request.
type Draw struct {
	Taken       bool
	Probability float64 // with which it was, or would have been, taken
	Stratum     string  // within which Probability is constant
}

// Sampler draws requests of one workload under its plan.
//
// Time is cut into strata: an hour, or a part of one. The probability of a
// stratum is fixed when it opens, from the money left, from what the rest of
// the day costs at yesterday's volume, and from nothing that its own requests
// bring. When a stratum has used its allowance the next one opens in the same
// hour at half the probability, down to Floor. Only when the whole day's cap is
// reached is nothing drawn any more; Stopped says so.
//
// The draw is a keyed hash of the request's id: one that is delivered twice is
// drawn the same way. A Sampler is not safe for concurrent use.
type Sampler struct {
	key  uint64
	plan Plan
	s    pace
}

// pace is the sampler's memory; it survives restarts as JSON.
type pace struct {
	Day       int64           `json:"day"`      // days since the epoch, UTC
	Hour      int64           `json:"hour"`     // hours since the epoch
	Part      int             `json:"part"`     // of the hour
	E         float64         `json:"e"`        // of the open stratum
	Most      float64         `json:"most"`     // Plan.Probability when it opened
	Allowance schemas.NanoUSD `json:"allowed"`  // money for the open stratum
	Used      schemas.NanoUSD `json:"used"`     // by it
	Spent     schemas.NanoUSD `json:"spent"`    // today, settled
	Reserved  schemas.NanoUSD `json:"reserved"` // today, on its way
	Offered   schemas.NanoUSD `json:"offered"`  // this hour's whole cost, had everything been drawn
	Price     float64         `json:"price"`    // of one request, smoothed
	Rhythm    [24]float64     `json:"rhythm"`   // Offered by hour of the day, smoothed over days
	Known     [24]bool        `json:"known"`
	Stopped   uint64          `json:"stopped"` // requests not drawn because the cap was reached
}

// NewSampler returns a sampler of a workload; name keys its draws apart from
// those of other workloads and uses.
func NewSampler(name string, plan Plan) *Sampler {
	s := &Sampler{key: xxhash.Sum64String("gnomon rehearsal draw\x00" + name)}
	s.SetPlan(plan)
	return s
}

// Draw decides about a request that would cost price to rehearse, and reserves
// the price when it is taken: Settle must follow. limit bounds the probability
// further (1: no bound) and must not depend on the request.
func (s *Sampler) Draw(requestID string, price schemas.NanoUSD, limit float64, now time.Time) Draw {
	s.turn(now, limit)
	s.s.Offered += price
	s.s.Price += (float64(price) - s.s.Price) / 64
	if s.s.Used >= s.s.Allowance && s.s.E > Floor {
		s.open(s.s.Part+1, max(Floor, s.s.E/2))
	}
	d := Draw{Probability: s.s.E, Stratum: stratum(s.s.Hour, s.s.Part)}
	if s.s.Spent+s.s.Reserved+price > s.plan.Daily {
		s.s.Stopped++
		return d
	}
	if uniform(s.key, requestID) < d.Probability {
		d.Taken = true
		s.s.Reserved += price
		s.s.Used += price
	}
	return d
}

// Settle replaces a reservation by what was really spent.
func (s *Sampler) Settle(reserved, spent schemas.NanoUSD) {
	s.s.Reserved = max(0, s.s.Reserved-reserved)
	s.s.Spent += spent
	s.s.Used += spent - reserved
}

// SpentToday returns what has been spent on the UTC day of now.
func (s *Sampler) SpentToday(now time.Time) schemas.NanoUSD {
	if days(now) != s.s.Day {
		return 0
	}
	return s.s.Spent
}

// AtLeast raises today's spending to what another road knows of it: after a
// restart without memory, or beside other rehearsers.
func (s *Sampler) AtLeast(spent schemas.NanoUSD, now time.Time) {
	if days(now) == s.s.Day || s.s.Day == 0 {
		s.s.Day = days(now)
		s.s.Spent = max(s.s.Spent, spent)
	}
}

// turn opens the hour's first stratum when now is in another hour than before.
// Time does not run backwards here: a late request belongs to the open hour.
func (s *Sampler) turn(now time.Time, limit float64) {
	hour := now.Unix() / 3600
	if hour <= s.s.Hour {
		if s.s.Most != s.plan.Probability { // somebody changed it: that holds from now on
			s.open(s.s.Part+1, s.fair(s.s.Hour, limit))
		}
		return
	}
	s.remember(hour)
	if d := days(now); d != s.s.Day {
		s.s.Day, s.s.Spent, s.s.Reserved = d, 0, 0
	}
	s.s.Hour = hour
	s.open(0, s.fair(hour, limit))
}

// remember takes the finished hour into the rhythm; hours without any request
// count as empty.
func (s *Sampler) remember(hour int64) {
	if s.s.Hour == 0 {
		return
	}
	for h := s.s.Hour; h < hour && h < s.s.Hour+24; h++ {
		offered := 0.0
		if h == s.s.Hour {
			offered = float64(s.s.Offered)
		}
		i := h % 24
		if s.s.Known[i] {
			s.s.Rhythm[i] = (s.s.Rhythm[i] + offered) / 2
		} else {
			s.s.Rhythm[i], s.s.Known[i] = offered, true
		}
	}
	s.s.Offered = 0
}

// fair is the probability at which the money left lasts until the day's end, at
// the rhythm known so far: over the hour's own share and over the whole rest of
// the day, whichever is less.
func (s *Sampler) fair(hour int64, limit float64) float64 {
	most := max(Floor, min(s.plan.Probability, limit))
	rest := s.forecast(hour)
	if rest <= 0 {
		return most
	}
	left := float64(max(0, s.plan.Daily-s.s.Spent-s.s.Reserved))
	// Two standard deviations are left for the luck of the draw, which must not
	// empty the day's budget.
	left = max(left/2, left-2*math.Sqrt(left*s.s.Price))
	return math.Max(Floor, math.Min(most, left/rest))
}

// forecast is what the rest of the day would cost if every request were drawn;
// hours not yet known are taken as the mean of those that are.
func (s *Sampler) forecast(hour int64) float64 {
	sum, n := 0.0, 0
	for i, known := range s.s.Known {
		if known {
			sum += s.s.Rhythm[i]
			n++
		}
	}
	if n == 0 {
		return 0
	}
	rest := 0.0
	for i := int(hour % 24); i < 24; i++ {
		if s.s.Known[i] {
			rest += s.s.Rhythm[i]
		} else {
			rest += sum / float64(n)
		}
	}
	return rest
}

// open begins a stratum. Its allowance is what its probability would spend at
// the rhythm known, and three standard deviations more; an even share of the
// money left where the rhythm is not known, or has proved wrong.
func (s *Sampler) open(part int, e float64) {
	left := float64(max(0, s.plan.Daily-s.s.Spent-s.s.Reserved))
	allowance := left / float64(24-s.s.Hour%24)
	if i := s.s.Hour % 24; part == 0 && s.s.Known[i] {
		usual := e * s.s.Rhythm[i]
		allowance = max(allowance/4, usual+3*math.Sqrt(usual*s.s.Price))
	} else if part > 0 {
		allowance /= 2
	}
	s.s.Part, s.s.E, s.s.Most, s.s.Used = part, e, s.plan.Probability, 0
	s.s.Allowance = schemas.NanoUSD(min(allowance, left))
}

func stratum(hour int64, part int) string {
	return fmt.Sprintf("%s.%d", time.Unix(hour*3600, 0).UTC().Format("2006-01-02T15"), part)
}

func days(t time.Time) int64 { return t.Unix() / 86400 }

// uniform maps an id to [0, 1) by a keyed hash. xxhash is no cipher, and need
// not be: ids are UUIDs that gnomon made, not a caller's choice.
func uniform(key uint64, id string) float64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], key)
	h := xxhash.NewWithSeed(key)
	_, _ = h.Write(b[:])
	_, _ = h.WriteString(id)
	x := h.Sum64()
	// A last mix: neighbouring ids (UUIDv7 of one millisecond) must not be
	// neighbours here.
	x ^= x >> 31
	x *= 0x9e3779b97f4a7c15
	x ^= x >> 29
	return float64(x>>11) / (1 << 53)
}

// SetPlan changes the bounds; another probability opens a stratum of its own with
// the next draw.
func (s *Sampler) SetPlan(plan Plan) {
	if plan.Probability <= 0 || plan.Probability > 1 {
		plan.Probability = 1
	}
	plan.Probability = max(plan.Probability, Floor)
	s.plan = plan
}
