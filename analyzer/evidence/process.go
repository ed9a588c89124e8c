package evidence

import "math"

// Bettor is a way to choose the stakes.
type Bettor uint8

// The bettors. All stakes are predictable: they use what came before, never the
// observation they bet on.
const (
	// Aimed mixes half and full bets aimed at D = 0 with the Adaptive bet. It is
	// the default: it decides about as fast as a test of fixed size.
	Aimed Bettor = iota
	// Adaptive bets by running mean and variance alone.
	Adaptive
	// Fixed mixes eight constant stakes. It is slower, and provably valid also
	// when only the running average of the means stays below the margin.
	Fixed
)

// Constants of the bettors (see Process).
const (
	adaptiveCap = 0.5    // stakes stay at most this share of 1/m
	aimedCap    = 0.9    // likewise, of the aimed bets
	aimedV0     = 0.0625 // prior variance of the aimed bets, of weight 1
	fixedCap    = 0.95   // binds only where weights are unequal
)

// fixedShares are the stakes of Fixed, as shares of 1/m.
var fixedShares = [...]float64{.01, .02, .04, .08, .15, .3, .5, .75}

// aimedShares are the parts of the aimed stake that Aimed mixes.
var aimedShares = [...]float64{.5, 1}

// Process is a sequence of bets prepared for any margin: running mean and
// variance do not depend on the margin that is bet against.
//
// With X = (D+1)/2 and m the mean bet against, wealth is multiplied by
// 1 + λ u (X − m), where u is the unit's weight relative to those before it (1
// when all were sampled with one probability) and λu is held to its cap.
type Process struct {
	bettor Bettor
	warm   int       // bets before this index only teach
	x      []float64 // (D+1)/2
	u      []float64 // relative weights; nil: all 1
	mu, v  []float64 // before each bet: mean and variance as Adaptive sees them
	va     []float64 // before each bet: variance around ½ as the aimed bets see it
}

// New prepares bets on differences d, each from −1 to 1, in the order they were
// made. Weights are inverse sampling probabilities, in any common unit; nil when
// all are equal. The first warm bets are not staked on: they belong to something
// that has since changed, and only teach the bettor.
func New(b Bettor, d, weights []float64, warm int) *Process {
	n := len(d)
	p := &Process{bettor: b, warm: min(warm, n), x: make([]float64, n), mu: make([]float64, n), v: make([]float64, n), va: make([]float64, n)}
	if weights != nil {
		p.u = relative(weights)
	}
	s, q, qa, w := 0.5, 0.25, aimedV0, 1.0
	for i, di := range d {
		x := (di + 1) / 2
		u := 1.0
		if p.u != nil {
			u = p.u[i]
		}
		mu := s / w
		p.x[i], p.mu[i], p.v[i], p.va[i] = x, mu, q/w, qa/w
		s += u * x
		q += u * (x - mu) * (x - mu)
		qa += u * (x - .5) * (x - .5)
		w += u
	}
	return p
}

// relative turns weights into multiples of their running mean, the present one
// included: a weight is known before its observation, so this stays predictable.
func relative(weights []float64) []float64 {
	u := make([]float64, len(weights))
	sum := 0.0
	for i, w := range weights {
		sum += w
		u[i] = w * float64(i+1) / sum
	}
	return u
}

// Len returns how many bets were staked on.
func (p *Process) Len() int { return len(p.x) - p.warm }

// mean is the tested mean of X for a difference d.
func mean(d float64) float64 { return (1 + d) / 2 }

// walk plays the first n staked bets against mean m. It stops when the wealth's
// logarithm reaches bar, and returns when that was, from 1 (0: never), and the
// logarithm where it stopped.
func (p *Process) walk(m float64, n int, bar float64) (first int, last float64) {
	k := open(p.bettor)
	enough := k.scaled(bar)
	for i := p.warm; i < p.warm+n; i++ {
		p.bet(&k, i, m)
		total := k.total()
		if total >= enough {
			return i - p.warm + 1, k.log(total)
		}
		if total > 1e100 || total < 1e-100 {
			k.rescale(total)
			enough = k.scaled(bar)
		}
	}
	return 0, k.log(k.total())
}

// trace plays all bets against mean m and tells visit the logarithm of the
// wealth after each.
func (p *Process) trace(m float64, visit func(logK float64)) {
	k := open(p.bettor)
	for i := p.warm; i < len(p.x); i++ {
		p.bet(&k, i, m)
		total := k.total()
		visit(k.log(total))
		if total > 1e100 || total < 1e-100 {
			k.rescale(total)
		}
	}
}

// bet multiplies each part of the mixture by what bet i brings it.
func (p *Process) bet(k *wallet, i int, m float64) {
	u := 1.0
	if p.u != nil {
		u = p.u[i]
	}
	gain := u * (p.x[i] - m)
	switch p.bettor {
	case Fixed:
		for j, f := range fixedShares {
			k.part[j] *= 1 + math.Min(f, fixedCap/u)/m*gain
		}
	case Adaptive:
		k.part[0] *= 1 + p.adaptive(i, m, u)*gain
	default:
		a, c := p.aimed(i, m), aimedCap/(m*u)
		k.part[0] *= 1 + math.Min(aimedShares[0]*a, c)*gain
		k.part[1] *= 1 + math.Min(aimedShares[1]*a, c)*gain
		k.part[2] *= 1 + p.adaptive(i, m, u)*gain
	}
}

// adaptive is λ of bet i against m: the mean's distance over the second moment,
// never negative.
func (p *Process) adaptive(i int, m, u float64) float64 {
	g := p.mu[i] - m
	if g <= 0 {
		return 0
	}
	return math.Min(g/(p.v[i]+g*g), adaptiveCap/(m*u))
}

// aimed is the stake that would be best if D were 0 on average.
func (p *Process) aimed(i int, m float64) float64 {
	h := .5 - m
	if h <= 0 {
		return 0
	}
	return h / (p.va[i] + h*h)
}

// wallet holds the wealth of each part of a mixture, as multiples of a common
// scale so that thousands of bets neither overflow nor vanish.
type wallet struct {
	part [len(fixedShares)]float64
	n    int
	off  float64 // logarithm of the scale
}

func open(b Bettor) wallet {
	k := wallet{n: 1}
	switch b {
	case Aimed:
		k.n = len(aimedShares) + 1
	case Fixed:
		k.n = len(fixedShares)
	}
	for j := range k.n {
		k.part[j] = 1
	}
	return k
}

func (k *wallet) total() float64 {
	sum := 0.0
	for _, v := range k.part[:k.n] {
		sum += v
	}
	return sum
}

func (k *wallet) log(total float64) float64 {
	return math.Log(total/float64(k.n)) + k.off
}

// scaled is the total at which the wealth's logarithm reaches bar.
func (k *wallet) scaled(bar float64) float64 {
	return float64(k.n) * math.Exp(bar-k.off)
}

// rescale keeps the parts in the range of floats. A part that is 200 orders of
// magnitude below the total is given up, which can only lower the wealth.
func (k *wallet) rescale(total float64) {
	k.off += math.Log(total)
	for j := range k.part[:k.n] {
		k.part[j] /= total
		if k.part[j] < 1e-200 {
			k.part[j] = 0
		}
	}
}
