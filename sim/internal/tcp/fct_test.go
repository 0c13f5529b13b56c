package tcp

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// long runs every measured row, which takes minutes: TCP_LONG=1 go test.
var long = os.Getenv("TCP_LONG") != ""

// measuredPath is the path of a row of fct.csv.
func measuredPath(t testing.TB, r row, seed uint64) *path {
	p := newPath(t, kernelConfig(r["cc"]), r.ms(t, "rtt_ms"))
	for i, e := range p.ends {
		e.dir.rate = int64(r.num(t, "rate_mbps")) * 1e6
		e.dir.limitPkts = int(r.num(t, "queue_pkts"))
		e.dir.limitByte = int(r.num(t, "queue_bytes"))
		e.dir.rng = rand.NewPCG(seed, uint64(i))
		if e == p.server() || r["loss_dir"] == "both" {
			e.dir.lossP = uint32(r.num(t, "loss_pct") / 100 * (1 << 32))
		}
	}
	return p
}

func rowName(r row) string {
	return fmt.Sprintf("%s/%s/rtt=%s/%sMbit/q=%s,%s/loss=%s%%,%s", r["cc"], r["size_bytes"], r["rtt_ms"], r["rate_mbps"],
		r["queue_pkts"], r["queue_bytes"], r["loss_pct"], r["loss_dir"])
}

func overshootName(r row) string {
	return fmt.Sprintf("%s/%s/rtt=%s/%sMbit/q=%s,%s", r["cc"], r["size_bytes"], r["rtt_ms"], r["rate_mbps"], r["queue_pkts"], r["queue_bytes"])
}

// TestFlowCompletionWithoutLoss: within 5 % of the kernel's median, or 0.6 ms, the
// error of the measurement, for each of at least three round trips.
func TestFlowCompletionWithoutLoss(t *testing.T) {
	// Rows in which the median is not that of one mechanism, and the column to
	// compare with instead.
	other := map[string]struct {
		column    string
		tolerance float64
		reason    string
	}{
		"cubic/100000/rtt=10/1000Mbit/q=0,0/loss=0%,both":   {"fct_ms_p90", 0.06, "two modes: in one, the median of reno, a last odd segment waits for a delayed acknowledgement"},
		"cubic/10000000/rtt=10/1000Mbit/q=0,0/loss=0%,both": {"fct_ms_p10", 0.05, "the measuring machine cannot carry 83,000 packets a second"},
		"reno/10000000/rtt=10/1000Mbit/q=0,0/loss=0%,both":  {"fct_ms_p10", 0.07, "likewise; 12 ms slower in each run"},
	}
	resent := map[string]float64{}
	for _, r := range table(t, "overshoot.csv") {
		resent[overshootName(r)] = r.num(t, "resent_median")
	}
	for _, r := range table(t, "fct.csv") {
		if r["loss_pct"] != "0" {
			continue
		}
		t.Run(rowName(r), func(t *testing.T) {
			column, tolerance := "fct_ms_median", 0.05
			if o, ok := other[rowName(r)]; ok {
				column, tolerance = o.column, o.tolerance
			}
			p := measuredPath(t, r, 0)
			_, model := p.download(int(r.num(t, "size_bytes")))
			kernel := r.ms(t, column).Seconds()
			require.InDelta(t, kernel, model.Seconds(), max(tolerance*kernel, 3*0.0006))
			kernelResent, ok := resent[overshootName(r)]
			if !ok {
				kernelResent = r.num(t, "retrans_mean")
			}
			if kernelResent >= 50 {
				// How far slow start overshoots the queue.
				tolerance := 0.05
				if r["rtt_ms"] == "5" {
					tolerance = 0.25 // the kernel's scatter by as much, with how soon programs read
				}
				require.InEpsilon(t, kernelResent, p.server().conn.Info().Retransmits, tolerance, "retransmissions")
			}
		})
	}
}

// quantile is the value below which a share q of the sorted values lies.
func quantile(sorted []Time, q float64) Time {
	return sorted[min(max(int(q*float64(len(sorted))), 0), len(sorted)-1)]
}

// agrees compares the kernel's quantile q of n runs with the model's runs: it is
// within the tolerance of the model's, or within what the quantile of n runs
// scatters by (three standard errors). Where a single loss decides between two
// outcomes, as with 70 packets at 1 %, the median of 40 runs jumps between them.
func agrees(sorted []Time, q float64, kernel Time, n, tolerance float64) (strict, ok bool) {
	model := quantile(sorted, q)
	strict = math.Abs(float64(model-kernel)) <= tolerance*float64(kernel)
	spread := 3 * math.Sqrt(q*(1-q)/n)
	low, high := quantile(sorted, q-spread), quantile(sorted, q+spread)
	ok = float64(kernel) >= float64(low)*(1-tolerance) && float64(kernel) <= float64(high)*(1+tolerance)
	return strict, strict || ok
}

// TestFlowCompletionWithLoss: over 200 seeds the median is within 15 % and the 90th
// percentile within 25 % of the kernel's, or no further than its 20 to 40 runs
// scatter.
func TestFlowCompletionWithLoss(t *testing.T) {
	const seeds = 200
	rows, strict := 0, 0
	for _, r := range table(t, "fct.csv") {
		size := int(r.num(t, "size_bytes"))
		if r["loss_pct"] == "0" || !long && (size > 100_000 || r["rtt_ms"] == "100") {
			continue
		}
		rows++
		t.Run(rowName(r), func(t *testing.T) {
			times := make([]Time, seeds)
			for seed := range times {
				_, times[seed] = measuredPath(t, r, uint64(seed)).download(size)
				require.Positive(t, times[seed], "seed %d", seed)
			}
			slices.Sort(times)
			n := r.num(t, "n")
			strict50, ok50 := agrees(times, 0.5, r.ms(t, "fct_ms_median"), n, 0.15)
			strict90, ok90 := agrees(times, 0.9, r.ms(t, "fct_ms_p90"), n, 0.25)
			if strict50 && strict90 {
				strict++
			} else if testing.Verbose() {
				t.Logf("model %v, %v; kernel %v, %v", quantile(times, 0.5), quantile(times, 0.9), r["fct_ms_median"], r["fct_ms_p90"])
			}
			require.True(t, ok50, "median: model %v, kernel %v ms", quantile(times, 0.5), r["fct_ms_median"])
			require.True(t, ok90, "90th percentile: model %v, kernel %v ms", quantile(times, 0.9), r["fct_ms_p90"])
		})
	}
	t.Logf("%d of %d rows within the plain tolerances", strict, rows)
	require.GreaterOrEqual(t, 10*strict, 6*rows)
}

// TestBulkBlackout: a download of 5 MB at 10 Mbit/s through 100 packets of queue,
// both directions black from 1.5 s. How long it takes in all.
func TestBulkBlackout(t *testing.T) {
	for _, r := range table(t, "blackout.csv") {
		if r["variant"] != "bulk" {
			continue
		}
		t.Run(fmt.Sprintf("%s/rtt=%sms/%ss", r["cc"], r["rtt_ms"], r["blackout_s"]), func(t *testing.T) {
			dark := Time(r.num(t, "blackout_s")) * time.Second
			from := 1500 * time.Millisecond
			p := newPath(t, kernelConfig(r["cc"]), r.ms(t, "rtt_ms"))
			for _, e := range p.ends {
				e.dir.rate, e.dir.limitPkts = 10e6, 100
				e.dir.drop = func(int, *Segment) bool { return p.now >= from && p.now < from+dark }
			}
			_, model := p.download(5_000_000)
			kernel := r.ms(t, "done_median")
			if dark == 0 {
				require.InEpsilon(t, kernel, model, 0.01)
				return
			}
			if r["cc"] == "reno" && r["rtt_ms"] == "20" && dark == time.Second {
				// The exact timeout falls just before the end of the blackout, the
				// kernel's, rounded up by its timer wheel, just behind it: the model
				// waits for the next one.
				require.Greater(t, p.server().conn.Info().Timeouts, 1)
				require.InEpsilon(t, kernel+1100*time.Millisecond, model, 0.02)
				return
			}
			// The doubled timeouts, which the kernel rounds up, decide.
			requireTimer(t, model, kernel, 100*time.Millisecond)
		})
	}
}

// TestGoodputAgainstLoss: long flows over 100 ms with random loss of data, against
// Linux 6.18 (three runs of 240 s after 10 s each, with a mean round trip of 103 to
// 108 ms): within 10 %, and 20 % above 1 % of loss.
func TestGoodputAgainstLoss(t *testing.T) {
	type point struct {
		loss, kernel float64 // Mbit/s of payload
		runs         int
	}
	for _, c := range []struct {
		cc     string
		points []point
	}{
		{"reno", []point{{1e-4, 14.97, 12}, {1e-3, 4.55, 3}, {3e-3, 2.55, 3},
			{1e-2, 1.373, 3}, {3e-2, 0.771, 3}, {5e-2, 0.553, 3}}},
		{"cubic", []point{{1e-4, 24.9, 12}, {1e-3, 4.83, 3}, {3e-3, 2.52, 3},
			{1e-2, 1.298, 3}, {3e-2, 0.701, 3}, {5e-2, 0.497, 3}}},
	} {
		for _, pt := range c.points {
			t.Run(fmt.Sprintf("%s/p=%g", c.cc, pt.loss), func(t *testing.T) {
				if pt.loss < 3e-3 && !long {
					t.Skip("long: few losses in many segments")
				}
				runs := 2
				if long {
					runs = pt.runs
				}
				var sum float64
				for run := range runs {
					sum += goodput(t, c.cc, pt.loss, uint64(run+1), 240*time.Second)
				}
				model := sum / float64(runs)
				tolerance := 0.10
				if pt.loss > 1e-2 {
					tolerance = 0.20
				}
				t.Logf("%.3f Mbit/s, kernel %.3f", model, pt.kernel)
				require.InEpsilon(t, pt.kernel, model, tolerance)
			})
		}
	}
}

// goodput is the payload in Mbit/s that one endless flow delivers after 10 s.
func goodput(t *testing.T, cc string, loss float64, seed uint64, length Time) float64 {
	p := newPath(t, kernelConfig(cc), 103*time.Millisecond)
	sv := p.server()
	sv.dir.rng = rand.NewPCG(seed, 1)
	sv.dir.lossP = uint32(loss * (1 << 32))
	got := 0
	p.client().onEvt = func(e *end, ev Events) {
		if ev&Readable != 0 {
			got += e.readAll()
		}
	}
	sv.onEvt = func(e *end, ev Events) {
		if ev&Connected != 0 {
			e.sendAll(math.MaxInt)
		}
	}
	p.client().dial()
	p.run(10 * time.Second)
	got = 0
	p.run(p.now + length)
	return float64(got) * 8 / length.Seconds() / 1e6
}
