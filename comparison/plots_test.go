package comparison

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/squall-sim/squall/netem"
)

// The plots of docs/comparison.md.

// palette is that of Okabe and Ito (2008), which the colour-blind can tell apart.
var palette = []color.Color{
	color.RGBA{0, 114, 178, 255}, color.RGBA{86, 180, 233, 255}, color.RGBA{0, 158, 115, 255}, color.RGBA{150, 150, 150, 255},
	color.RGBA{230, 159, 0, 255}, color.RGBA{240, 200, 66, 255}, color.RGBA{213, 94, 0, 255}, color.RGBA{204, 121, 167, 255}, color.RGBA{0, 0, 0, 255},
}

func plots(r *results) map[string][]byte {
	return map[string][]byte{
		"comparison-cost.svg":  costPlot(r),
		"comparison-delay.svg": delayPlot(r),
		"comparison-light.svg": lightPlot(r),
		"comparison-herd.svg":  herdPlot(r),
	}
}

// costPlot draws requests and bytes in an hour, side by side.
func costPlot(r *results) []byte {
	panels := []*plot.Plot{
		logPlot("Sends up in an hour", "time between events (s)", ""),
		logPlot("Bytes in an hour, both ways", "time between events (s)", ""),
	}
	for i, c := range contenders {
		for j, cost := range []func(time.Duration) float64{r.sends(c.name), r.bytes(c.name)} {
			var xy plotter.XYs
			for _, gap := range gaps {
				xy = append(xy, plotter.XY{X: gap.Seconds(), Y: max(cost(gap), 1)})
			}
			addLine(panels[j], c.name, xy, i)
		}
	}
	roomForLegend(panels, 20)
	return svg(panels)
}

// roomForLegend makes a logarithmic axis longer, by a factor.
func roomForLegend(panels []*plot.Plot, factor float64) {
	for _, p := range panels {
		p.X.Max *= factor
	}
}

// delayPlot draws the time to notify on each network, p50 as a point on a line and p99
// above it.
func delayPlot(r *results) []byte {
	p := logPlot("Time to notify (s): p50, and p99 dashed", "", "")
	p.X.Scale, p.X.Tick.Marker = plot.LinearScale{}, nil
	var names []string
	for _, link := range netem.Presets() {
		names = append(names, link.Name)
	}
	p.NominalX(names...)
	for i, c := range contenders {
		var p50, p99 plotter.XYs
		for x, name := range names {
			f := r.steady[steadyRun{c.name, name, networkMean, networkEvents}]
			p50 = append(p50, plotter.XY{X: float64(x), Y: f.p50.Seconds()})
			p99 = append(p99, plotter.XY{X: float64(x), Y: f.p99.Seconds()})
		}
		addLine(p, c.name, p50, i)
		dashed, err := plotter.NewLine(p99)
		must(err)
		dashed.Color, dashed.Dashes = palette[i%len(palette)], []vg.Length{2, 3}
		p.Add(dashed)
	}
	p.X.Max += 1.7 // for the legend
	return svg([]*plot.Plot{p})
}

// lightPlot draws what a light client costs over the interval at which it wants to know.
func lightPlot(r *results) []byte {
	panels := []*plot.Plot{
		logPlot("Bytes in an hour", "wants to know every (s)", ""),
		logPlot("Radio on (part of the time)", "wants to know every (s)", ""),
	}
	costs := []func(lightFigures) float64{
		func(f lightFigures) float64 { return f.perHour(f.bytesUp + f.bytesDown) },
		func(f lightFigures) float64 { return f.radio() },
	}
	color := 0
	add := func(name string, figures func(every time.Duration) lightFigures) {
		for j, cost := range costs {
			var xy plotter.XYs
			for _, every := range lightIntervals {
				xy = append(xy, plotter.XY{X: every.Seconds(), Y: cost(figures(every))})
			}
			addLine(panels[j], name, xy, color)
		}
		color++
	}
	for _, mean := range lightMeans {
		add("polls, event every "+span(mean), func(every time.Duration) lightFigures { return r.light[lightRun{"", every, mean}] })
		for _, who := range lightHolders {
			add(who+", event every "+span(mean), func(time.Duration) lightFigures { return r.light[lightRun{who, 0, mean}] })
		}
	}
	roomForLegend(panels, 40)
	return svg(panels)
}

// herdPlot draws attempts to connect within each half second.
func herdPlot(r *results) []byte {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("Attempts to connect within 0.5 s, of %d clients", herdSize)
	p.X.Label.Text = "since the server is back (s)"
	p.Legend.Top = true
	p.X.Max = 30
	for i, c := range contenders {
		slots := map[int]float64{}
		for _, at := range r.herd[herdRun{c.name, herdSize}].at {
			slots[int(math.Floor(2*at.Seconds()))]++
		}
		var xy plotter.XYs
		for slot := -10; slot <= 60; slot++ {
			xy = append(xy, plotter.XY{X: float64(slot) / 2, Y: slots[slot]})
		}
		line, err := plotter.NewLine(xy)
		must(err)
		line.Color, line.Width = palette[i%len(palette)], vg.Points(1.3)
		p.Add(line)
		p.Legend.Add(c.name, line)
	}
	return svg([]*plot.Plot{p})
}

func logPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{230}, color.Gray{230}
	p.Add(grid)
	p.Legend.Top, p.Legend.TextStyle.Font.Size = true, 8
	return p
}

func addLine(p *plot.Plot, name string, xy plotter.XYs, n int) {
	line, points, err := plotter.NewLinePoints(xy)
	must(err)
	line.Color, line.Width = palette[n%len(palette)], vg.Points(1.3)
	points.Color, points.Shape, points.Radius = line.Color, draw.CircleGlyph{}, vg.Points(2)
	p.Add(line, points)
	p.Legend.Add(name, line, points)
}

// svg draws plots beside each other.
func svg(panels []*plot.Plot) []byte {
	width, height := vg.Length(len(panels))*14*vg.Centimeter, 11*vg.Centimeter
	if len(panels) == 1 {
		width = 22 * vg.Centimeter
	}
	canvas, err := draw.NewFormattedCanvas(width, height, "svg")
	must(err)
	dc := draw.New(canvas)
	tiles := draw.Tiles{Rows: 1, Cols: len(panels), PadX: vg.Millimeter * 5, PadTop: vg.Millimeter * 2, PadBottom: vg.Millimeter * 2, PadLeft: vg.Millimeter * 2, PadRight: vg.Millimeter * 4}
	for i, c := range plot.Align([][]*plot.Plot{panels}, tiles, dc)[0] {
		panels[i].Draw(c)
	}
	var b bytes.Buffer
	_, err = canvas.WriteTo(&b)
	must(err)
	return []byte(strings.TrimSpace(b.String()) + "\n")
}

// must ends the drawing of what cannot be drawn.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
