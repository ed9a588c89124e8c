package training

import (
	"math"
	"slices"
)

// sparse is a matrix of few non-zero cells, by rows.
type sparse struct {
	start []int // of each row, and of the end
	col   []int32
	val   []float64
}

func (m *sparse) rows() int { return len(m.start) - 1 }

// begin starts a row; put adds a cell to it.
func (m *sparse) begin() {
	if m.start == nil {
		m.start = []int{0}
	}
	m.start = append(m.start, len(m.col))
}

func (m *sparse) put(col int, val float64) {
	m.col = append(m.col, int32(col))
	m.val = append(m.val, val)
	m.start[len(m.start)-1] = len(m.col)
}

// The products are rounded one by one: a compiler that fuses them would give
// other weights on other machines.

func (m *sparse) times(v, out []float64) {
	for i := range out {
		sum := 0.0
		for k := m.start[i]; k < m.start[i+1]; k++ {
			sum += float64(m.val[k] * v[m.col[k]])
		}
		out[i] = sum
	}
}

func (m *sparse) transposed(v, out []float64) {
	clear(out)
	for i, x := range v {
		for k := m.start[i]; k < m.start[i+1]; k++ {
			out[m.col[k]] += float64(m.val[k] * x)
		}
	}
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += float64(a[i] * b[i])
	}
	return sum
}

// problem is a penalised regression: b of least
// Σ weight·loss(y, Xb) + Σ penalty·b²/2.
type problem struct {
	x       *sparse
	y       []float64
	weight  []float64 // nil: 1 each
	penalty []float64
}

// weighted scales a value of each row by the row's weight.
func (p *problem) weighted(v []float64) []float64 {
	for i, w := range p.weight {
		v[i] *= w
	}
	return v
}

// ridge solves it for squared loss.
func (p *problem) ridge() []float64 {
	b, curvature := make([]float64, len(p.penalty)), make([]float64, len(p.y))
	for i := range curvature {
		curvature[i] = 1
	}
	p.step(b, p.weighted(slices.Clone(p.y)), p.weighted(curvature))
	return b
}

// logistic solves it for log loss, by Newton's method.
func (p *problem) logistic() []float64 {
	n := len(p.y)
	b, z, residual, curvature := make([]float64, len(p.penalty)), make([]float64, n), make([]float64, n), make([]float64, n)
	for range 12 {
		p.x.times(b, z)
		for i, v := range z {
			q := 1 / (1 + exp(-v))
			residual[i], curvature[i] = p.y[i]-q, max(float64(q*(1-q)), 1e-6)
		}
		if p.step(b, p.weighted(residual), p.weighted(curvature)) < 1e-4 {
			break
		}
	}
	return b
}

// step adds to b the solution of (XᵀHX + P)s = Xᵀr − Pb, by conjugate gradients
// with the diagonal as preconditioner, and returns the greatest change.
func (p *problem) step(b, residual, curvature []float64) (most float64) {
	d := len(b)
	res, diagonal := make([]float64, d), make([]float64, d)
	p.x.transposed(residual, res)
	for j := range res {
		res[j] -= float64(p.penalty[j] * b[j])
		diagonal[j] = p.penalty[j]
	}
	for i := range p.x.rows() {
		for k := p.x.start[i]; k < p.x.start[i+1]; k++ {
			diagonal[p.x.col[k]] += float64(float64(curvature[i]*p.x.val[k]) * p.x.val[k])
		}
	}
	s, precond, dir, hd, xd := make([]float64, d), make([]float64, d), make([]float64, d), make([]float64, d), make([]float64, len(residual))
	for j := range res {
		precond[j] = res[j] / diagonal[j]
	}
	copy(dir, precond)
	rho := dot(res, precond)
	for stop, n := rho*1e-6, 0; n < 80 && rho > stop; n++ {
		p.x.times(dir, xd)
		for i := range xd {
			xd[i] *= curvature[i]
		}
		p.x.transposed(xd, hd)
		for j := range hd {
			hd[j] += float64(p.penalty[j] * dir[j])
		}
		along := rho / dot(dir, hd)
		for j := range s {
			s[j] += float64(along * dir[j])
			res[j] -= float64(along * hd[j])
			precond[j] = res[j] / diagonal[j]
		}
		before := rho
		rho = dot(res, precond)
		for j := range dir {
			dir[j] = precond[j] + float64(rho/before*dir[j])
		}
	}
	for j := range b {
		b[j] += s[j]
		most = max(most, math.Abs(s[j]))
	}
	return most
}

// exp is e^x with every product rounded: math.Exp has assembly that differs
// between machines in the last bit. Off by less than 1e-14 of the value.
func exp(x float64) float64 {
	x = max(-700, min(x, 700))
	k := math.Floor(x/math.Ln2 + 0.5)
	r := x - float64(k*math.Ln2)
	sum, term := 1.0, 1.0
	for n := 1.0; n <= 16; n++ {
		term = float64(term * r / n)
		sum += term
	}
	return math.Ldexp(sum, int(k))
}
