package training

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The diagrams stand in docs/classifier.md: light, and told apart without colour.
var (
	blue      = color.NRGBA{0x1f, 0x6f, 0xb4, 0xff}
	lightBlue = color.NRGBA{0xbf, 0xd9, 0xee, 0xff}
	grey      = color.NRGBA{0x9a, 0x9a, 0x9a, 0xff}
	lightGrey = color.NRGBA{0xe8, 0xe8, 0xe8, 0xff}
)

// panel is one reliability diagram.
type panel struct {
	title string
	rows  []Forecast
}

// wilson is the 95 % interval of a share of n (Wilson 1927): it holds near 0 and
// 1 and for few, where the normal one does not.
func wilson(share, n float64) (low, high float64) {
	const z = 1.959964
	centre, half := share+z*z/(2*n), z*math.Sqrt(share*(1-share)/n+z*z/(4*n*n))
	return max(0, (centre-half)/(1+z*z/n)), min(1, (centre+half)/(1+z*z/n))
}

func TestWilson(t *testing.T) {
	for _, row := range []struct{ share, n, low, high float64 }{
		{0, 10, 0, .2775}, {.5, 10, .2366, .7634}, {1, 10, .7225, 1}, {.81, 263, .7585, .8530}, // Newcombe 1998 for the last
	} {
		if low, high := wilson(row.share, row.n); math.Abs(low-row.low) > 2e-3 || math.Abs(high-row.high) > 2e-3 {
			t.Errorf("%v of %v: %.4f to %.4f, want %.4f to %.4f", row.share, row.n, low, high, row.low, row.high)
		}
	}
}

// points are the bins of a diagram with their intervals, as gonum's plotters
// read them.
type points struct{ bins []Bin }

func (p points) Len() int                { return len(p.bins) }
func (p points) XY(i int) (x, y float64) { return p.bins[i].P, p.bins[i].Came }
func (p points) YError(i int) (a, b float64) {
	low, high := wilson(p.bins[i].Came, p.bins[i].N)
	return p.bins[i].Came - low, high - p.bins[i].Came
}

// reliability is the upper part: what came over what was said.
func (p *panel) reliability() (*plot.Plot, error) {
	d := plot.New()
	d.Title.Text = fmt.Sprintf("%s\n%d prompts, ECE %.3f", p.title, len(p.rows), ECE(p.rows))
	d.X.Label.Text, d.Y.Label.Text = "p_adequate, mean of the bin", "share of cheap answers no worse"
	d.X.Min, d.X.Max, d.Y.Min, d.Y.Max = 0, 1, 0, 1
	d.X.Tick.Marker, d.Y.Tick.Marker = fifths, fifths
	at := points{Reliability(p.rows)}
	even, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}})
	if err != nil {
		return nil, err
	}
	even.Color, even.Dashes = grey, []vg.Length{4, 3}
	bars, err := plotter.NewYErrorBars(at)
	if err != nil {
		return nil, err
	}
	bars.Color, bars.Width, bars.CapWidth = blue, 1.2, 5
	line, dots, err := plotter.NewLinePoints(at)
	if err != nil {
		return nil, err
	}
	line.Color, line.Width = lightBlue, 1.5
	dots.Color, dots.Shape, dots.Radius = blue, draw.CircleGlyph{}, 2.6
	d.Add(lines(), even, line, bars, dots)
	return d, nil
}

// fifths are the ticks of a probability.
var fifths = plot.TickerFunc(func(_, _ float64) (out []plot.Tick) {
	for k := range 6 {
		out = append(out, plot.Tick{Value: float64(k) / 5, Label: fmt.Sprintf("%.1f", float64(k)/5)})
	}
	return out
})

func lines() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = lightGrey, lightGrey
	return g
}

// counts is the lower part: how many prompts each bin rests on.
func (p *panel) counts() (*plot.Plot, error) {
	d := plot.New()
	d.X.Label.Text, d.Y.Label.Text = "p_adequate", "prompts"
	h := &plotter.Histogram{FillColor: lightBlue, LineStyle: draw.LineStyle{Color: blue, Width: .6}}
	labels := plotter.XYLabels{}
	most := 0.0
	for _, b := range Reliability(p.rows) {
		low := math.Floor(min(b.P*15, 14)) / 15
		h.Bins = append(h.Bins, plotter.HistogramBin{Min: low, Max: low + 1./15, Weight: b.N})
		labels.XYs = append(labels.XYs, plotter.XY{X: low + .5/15, Y: b.N})
		labels.Labels = append(labels.Labels, fmt.Sprintf("%.0f", b.N))
		most = max(most, b.N)
	}
	figures, err := plotter.NewLabels(labels)
	if err != nil {
		return nil, err
	}
	for i := range figures.TextStyle {
		figures.TextStyle[i].Font.Variant, figures.TextStyle[i].Font.Size, figures.TextStyle[i].XAlign = "Sans", 6.5, draw.XCenter
	}
	figures.Offset.Y = 2
	d.Add(lines(), h, figures)
	d.X.Min, d.X.Max, d.Y.Min, d.Y.Max = 0, 1, 0, most*1.18
	d.X.Tick.Marker = fifths
	d.Y.Tick.Marker = plot.TickerFunc(func(float64, float64) []plot.Tick {
		return []plot.Tick{{Value: 0, Label: "0"}, {Value: most, Label: fmt.Sprintf("%.0f", most)}}
	})
	return d, nil
}

// drawPanels returns the panels beside each other as an SVG, on white: a page's
// own ground may be dark.
func drawPanels(panels []panel) ([]byte, error) {
	plot.DefaultFont.Variant = "Sans"
	const width, upper, lower = vg.Length(300), vg.Length(300), vg.Length(120)
	img := vgsvg.New(width*vg.Length(len(panels)), upper+lower)
	whole := draw.New(img)
	whole.FillPolygon(color.White, []vg.Point{whole.Min, {X: whole.Min.X, Y: whole.Max.Y}, whole.Max, {X: whole.Max.X, Y: whole.Min.Y}})
	for i := range panels {
		left, right := width*vg.Length(i)+16, -width*vg.Length(len(panels)-i-1)-10
		above, err := panels[i].reliability()
		if err != nil {
			return nil, err
		}
		below, err := panels[i].counts()
		if err != nil {
			return nil, err
		}
		top, bottom := draw.Crop(whole, left, right, lower+6, -6), draw.Crop(whole, left, right, 4, -upper)
		a, b := above.DataCanvas(top), below.DataCanvas(bottom) // the bins of both stand above each other
		above.Draw(top)
		below.Draw(draw.Crop(bottom, a.Min.X-b.Min.X, a.Max.X-b.Max.X, 0, 0))
	}
	var out bytes.Buffer
	_, err := img.WriteTo(&out)
	plain := []byte("font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal")
	return bytes.ReplaceAll(out.Bytes(), plain, []byte("font-family:Liberation Sans,Arial,sans-serif")), err
}

// writeReliability puts the diagrams where docs/classifier.md shows them.
func writeReliability(t *testing.T, panels []panel) {
	t.Helper()
	picture, err := drawPanels(panels)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("..", "..", "docs", "img", "reliability.svg")
	if err := os.WriteFile(name, picture, 0o644); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("docs/img/reliability.svg: %d bytes\n", len(picture))
}

func TestDiagramsCanBeDrawn(t *testing.T) {
	var rows []Forecast
	for i := range 500 {
		rows = append(rows, Forecast{float64(i%97) / 97, i%3 == 0})
	}
	picture, err := drawPanels([]panel{{"a", rows}, {"a bin alone", rows[:1]}})
	if err != nil || !bytes.Contains(picture, []byte("<svg")) || bytes.Contains(picture, []byte("NaN")) {
		t.Errorf("%d bytes, %v", len(picture), err)
	}
}
