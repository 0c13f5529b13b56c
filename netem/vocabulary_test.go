package netem_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// A sample is what a test of the vocabulary examines: the fates of many packets, a millisecond
// apart.
type sample struct {
	lost, dup, reordered, corrupt, marked []bool
	delay                                 []float64 // of those that were not lost, in units of Jitter, from Delay on
	copies                                int
	at                                    []time.Duration
}

func draw(t *testing.T, cfg netem.Config, n int) *sample {
	p, r := newPipe(t, cfg), netem.NewStream(3, "vocabulary")
	s := new(sample)
	unit := float64(max(1, cfg.Jitter))
	for i := range n {
		now := time.Duration(i) * ms
		v := p.Send(netem.Packet{Size: 1000, ECT: true}, now, &r)
		s.lost, s.marked = append(s.lost, v.Dropped()), append(s.marked, v.Marked)
		s.dup, s.reordered, s.corrupt = append(s.dup, len(v.Copies) > 0), append(s.reordered, v.Reordered), append(s.corrupt, v.Corrupt)
		s.copies += len(v.Copies)
		if !v.Dropped() {
			s.at = append(s.at, v.At)
			s.delay = append(s.delay, float64(v.At-now-cfg.Delay)/unit)
		}
	}
	return s
}

func share(events []bool) float64 {
	k := 0
	for _, e := range events {
		if e {
			k++
		}
	}
	return float64(k) / float64(len(events))
}

// alike returns the correlation of two events in a row.
func alike(events []bool) float64 {
	values := make([]float64, len(events))
	for i, e := range events {
		if e {
			values[i] = 1
		}
	}
	return autocorrelation(values)
}

func moments(values []float64) (mean, deviation float64) {
	var sum, squares float64
	for _, v := range values {
		sum += v
		squares += v * v
	}
	mean = sum / float64(len(values))
	return mean, math.Sqrt(squares/float64(len(values)) - mean*mean)
}

func autocorrelation(values []float64) float64 {
	mean, deviation := moments(values)
	var sum float64
	for i := 1; i < len(values); i++ {
		sum += (values[i] - mean) * (values[i-1] - mean)
	}
	return sum / float64(len(values)-1) / (deviation * deviation)
}

// bursts returns the mean number of losses in a row.
func bursts(lost []bool) float64 {
	losses, runs := 0, 0
	for i, l := range lost {
		if l {
			losses++
			if i == 0 || !lost[i-1] {
				runs++
			}
		}
	}
	return float64(losses) / float64(max(1, runs))
}

// packets returns how many packets a test takes.
func packets(few int) int {
	if os.Getenv("NETEM_LONG") != "" {
		return 1_000_000
	}
	return few
}

// Each random word of the configuration is compared with probability theory or, for tc's tables,
// with what was published about them. Tolerances are 5 standard errors, which each row gives for
// one packet: those of 20,000 packets, or of 1,000,000 with NETEM_LONG=1.
func TestVocabularyMatchesItsClosedForms(t *testing.T) {
	n := packets(20_000)
	const delay, jitter = 500 * ms, 20 * ms
	shaped := func(d netem.Distribution) netem.Config {
		return netem.Config{Delay: delay, Jitter: jitter, Distribution: d}
	}
	mean := func(s *sample) float64 { m, _ := moments(s.delay); return m }
	deviation := func(s *sample) float64 { _, d := moments(s.delay); return d }
	lost := func(s *sample) float64 { return share(s.lost) }
	burst := func(s *sample) float64 { return bursts(s.lost) }
	root := math.Sqrt
	binary := func(p float64) float64 { return root(p * (1 - p)) }                     // deviation of one event
	chain := func(p, rho float64) float64 { return binary(p) * root((1+rho)/(1-rho)) } // of events with that correlation
	e := math.E

	rows := []struct {
		name   string
		cfg    netem.Config
		figure func(*sample) float64
		want   float64
		one    float64 // standard error of the figure, of one packet
	}{
		{"uniform, mean", shaped(nil), mean, 0, 1 / root(3)},
		{"uniform, deviation", shaped(netem.Uniform), deviation, 1 / root(3), 0.26},
		{"normal, mean", shaped(netem.Normal), mean, -0.0008, 1},
		{"normal, deviation", shaped(netem.Normal), deviation, 1.0001, 0.71},
		{"Pareto, mean", shaped(netem.Pareto), mean, -0.0335, 0.82},
		{"Pareto, deviation", shaped(netem.Pareto), deviation, 0.8197, 1.3},
		{"Pareto-normal, mean", shaped(netem.ParetoNormal), mean, -0.0253, 0.84},
		{"Pareto-normal, deviation", shaped(netem.ParetoNormal), deviation, 0.8339, 1.2},
		{"exponential, mean", shaped(netem.Exponential), mean, 1, 1},
		{"exponential, deviation", shaped(netem.Exponential), deviation, 1, 1.42},
		{"log-normal, mean", shaped(netem.LogNormal), mean, root(e), root(e*e - e)},
		{"log-normal, deviation, its end cut off", shaped(netem.LogNormal), deviation, 2.153, 11},
		{"a table, mean", shaped(netem.Table{-8192, 0, 16384}), mean, 1. / 3, 1.25},
		{"a table, deviation", shaped(netem.Table{-8192, 0, 16384}), deviation, root(14. / 9), 0.5},
		{"a slow tail, how many", shaped(netem.SlowTail{P: 0.01, Min: 10 * jitter, Max: 20 * jitter, Of: netem.Normal}),
			func(s *sample) float64 {
				slow := 0
				for _, d := range s.delay {
					if d > 6 {
						slow++
					}
				}
				return float64(slow) / float64(len(s.delay))
			}, 0.01, binary(0.01)},
		{"a slow tail, mean", shaped(netem.SlowTail{P: 0.01, Min: 10 * jitter, Max: 20 * jitter, Of: netem.Normal}), mean, 0.1492, 1.9},
		{"a slow tail without jitter", netem.Config{Delay: delay, Distribution: netem.SlowTail{P: 1, Min: 1, Max: 3}}, mean, 2, root(2. / 3)},

		{"correlated jitter, mean", netem.Config{Delay: delay, Jitter: jitter, Correlation: netem.Correlation{Jitter: 0.75}}, mean, 0, root(7. / 3)},
		{"correlated jitter, deviation", netem.Config{Delay: delay, Jitter: jitter, Correlation: netem.Correlation{Jitter: 0.75}}, deviation, 1 / root(3), 0.8},
		{"correlated jitter, correlation", netem.Config{Delay: delay, Jitter: jitter, Correlation: netem.Correlation{Jitter: 0.75}},
			func(s *sample) float64 { return autocorrelation(s.delay) }, 0.75, 1.5},
		{"correlated normal jitter, correlation", netem.Config{Delay: delay, Jitter: jitter, Distribution: netem.Normal, Correlation: netem.Correlation{Jitter: 0.25}},
			func(s *sample) float64 { return autocorrelation(s.delay) }, 0.25, 1.5},
		{"jitter in order", netem.Config{Delay: delay, Jitter: jitter, KeepOrder: true},
			func(s *sample) float64 {
				swaps := 0.
				for i := 1; i < len(s.at); i++ {
					if s.at[i] < s.at[i-1] {
						swaps++
					}
				}
				return swaps
			}, 0, 0},

		{"Bernoulli", netem.Config{Loss: netem.Bernoulli(0.03)}, lost, 0.03, binary(0.03)},
		{"Bernoulli, bursts", netem.Config{Loss: netem.Bernoulli(0.2)}, burst, 1 / 0.8, 1.4},
		{"correlated loss", netem.Config{Loss: netem.Correlated(0.2, 0.75)}, lost, 0.2, chain(0.2, 0.75)},
		{"correlated loss, bursts", netem.Config{Loss: netem.Correlated(0.2, 0.75)}, burst, 1 / (0.8 * 0.25), 23},
		{"correlated loss, correlation", netem.Config{Loss: netem.Correlated(0.2, 0.75)}, func(s *sample) float64 { return alike(s.lost) }, 0.75, 1.5},
		{"Gilbert-Elliott", netem.Config{Loss: netem.GilbertElliott{P: 0.02, R: 0.25, LossBad: 0.7, LossGood: 0.01}}, lost, (0.25*0.01 + 0.02*0.7) / 0.27, 0.6},
		{"Gilbert-Elliott, bursts", netem.Config{Loss: netem.GilbertElliott{P: 0.001, R: 0.1}}, burst, 10, 400},
		{"four states", netem.Config{Loss: netem.FourState{P13: 0.01, P31: 0.3, P32: 0.2, P23: 0.5, P14: 0.005}}, lost, 0.03645, 0.5},
		{"four states, others", netem.Config{Loss: netem.FourState{P13: 0.02, P31: 0.4, P32: 0.1, P23: 0.3, P14: 0.01}}, lost, 0.05573, 0.5},
		{"four states as two", netem.Config{Loss: netem.FourState{P13: 0.005, P31: 0.25}}, lost, 0.005 / 0.255, 0.4},
		{"four states as two, bursts", netem.Config{Loss: netem.FourState{P13: 0.005, P31: 0.25}}, burst, 4, 50},
		{"every 7th", netem.Config{Loss: netem.EveryNth(7)}, lost, 1. / 7, 0.01},
		{"the first 5", netem.Config{Loss: netem.FirstN(5)}, func(s *sample) float64 { return float64(n) * share(s.lost) }, 5, 0},
		{"a list", netem.Config{Loss: netem.DropList{2, 3, 5, 8, 13}}, func(s *sample) float64 { return float64(n) * share(s.lost) }, 5, 0},
		{"at most 2 in a row", netem.Config{Loss: netem.AtMostInARow(2, netem.Bernoulli(0.5))}, lost, 3. / 7, 0.5},
		{"at most 2 in a row, longest", netem.Config{Loss: netem.AtMostInARow(2, netem.Bernoulli(0.5))},
			func(s *sample) float64 {
				longest, run := 0, 0
				for _, l := range s.lost {
					if run++; !l {
						run = 0
					}
					longest = max(longest, run)
				}
				return float64(longest)
			}, 2, 0},
		{"marks instead of losses", netem.Config{Loss: netem.Bernoulli(0.03), ECN: true}, func(s *sample) float64 { return share(s.marked) }, 0.03, binary(0.03)},
		{"and no losses", netem.Config{Loss: netem.Bernoulli(0.03), ECN: true}, lost, 0, 0},

		{"duplicates", netem.Config{Duplicate: 0.1}, func(s *sample) float64 { return share(s.dup) }, 0.1, binary(0.1)},
		{"triplicates", netem.Config{Duplicate: 0.1, Copies: netem.Copies{Number: 2}},
			func(s *sample) float64 { return float64(s.copies) / float64(n) }, 0.2, 2 * binary(0.1)},
		{"correlated duplicates", netem.Config{Duplicate: 0.1, Correlation: netem.Correlation{Duplicate: 0.5}}, func(s *sample) float64 { return share(s.dup) }, 0.1, chain(0.1, 0.5)},
		{"correlated duplicates, correlation", netem.Config{Duplicate: 0.1, Correlation: netem.Correlation{Duplicate: 0.5}}, func(s *sample) float64 { return alike(s.dup) }, 0.5, 2.5},
		{"reordering", netem.Config{Delay: ms, Reorder: 0.25}, func(s *sample) float64 { return share(s.reordered) }, 0.25, binary(0.25)},
		{"reordering with a gap", netem.Config{Delay: ms, Reorder: 0.5, ReorderGap: 5}, func(s *sample) float64 { return share(s.reordered) }, 1 / (4 + 1/0.5), 0.4},
		{"every 5th", netem.Config{Delay: ms, Reorder: 1, ReorderGap: 5}, func(s *sample) float64 { return share(s.reordered) }, 1. / 5, 0.01},
		{"correlated reordering", netem.Config{Delay: ms, Reorder: 0.25, Correlation: netem.Correlation{Reorder: 0.5}}, func(s *sample) float64 { return share(s.reordered) }, 0.25, chain(0.25, 0.5)},
		{"correlated reordering, correlation", netem.Config{Delay: ms, Reorder: 0.25, Correlation: netem.Correlation{Reorder: 0.5}}, func(s *sample) float64 { return alike(s.reordered) }, 0.5, 2},
		{"corruption", netem.Config{Corrupt: 0.02}, func(s *sample) float64 { return share(s.corrupt) }, 0.02, binary(0.02)},
		{"correlated corruption", netem.Config{Corrupt: 0.02, Correlation: netem.Correlation{Corrupt: 0.9}}, func(s *sample) float64 { return share(s.corrupt) }, 0.02, chain(0.02, 0.9)},
		{"correlated corruption, correlation", netem.Config{Corrupt: 0.02, Correlation: netem.Correlation{Corrupt: 0.9}}, func(s *sample) float64 { return alike(s.corrupt) }, 0.9, 4},

		// As many packets as fit a delay of 100 ms at one a millisecond.
		{"a limit", netem.Config{Delay: 100 * ms, Limit: 20}, lost, 0.8, 0.05},

		// A slot comes x after the packet that opens it, 2 to 4 ms. The packets after 1 and 2 ms
		// wait for it too, and in half of all cases so does one after 3 ms. They wait E(x + x-1 +
		// x-2) = 6 ms and 1/4 ms in all, and they are 3.5 packets.
		{"slots, mean wait", netem.Config{Slots: netem.Slots{Min: 2 * ms, Max: 4 * ms}}, mean, 6.25 / 3.5 * float64(ms), 1.1 * float64(ms)},
	}
	var all []netem.Config
	for _, row := range rows {
		all = append(all, row.cfg)
		got := row.figure(draw(t, row.cfg, n))
		require.InDelta(t, row.want, got, 5*row.one/root(float64(n))+1e-4*math.Abs(row.want)+1e-9, "%s: %+v", row.name, row.cfg)
	}
	requireEachRandomWord(t, all)
}

// Random fields without a row, and the tests that compare them with what they should be.
var comparedElsewhere = map[string]string{
	"biasedCorrelated":   "TestBiasedCorrelatedLosesAsTcDoes",
	"Correlation.Biased": "TestBiasedCorrelatedLosesAsTcDoes",
	"Damage":             "TestDamage",
	"RED":                "TestREDSpacesItsDrops",
	"PIE":                "TestPIESpacesItsDrops",
	"DropRandom":         "TestDropRandom",
}

// Fields that draw nothing. The types of Queue that do draw are in comparedElsewhere.
var drawsNothing = []string{"Delay", "Rate", "Framing", "Shaper", "Queue", "MTU"}

// requireEachRandomWord looks for random parts of the package without a row: fields of the
// configuration and of Correlation, models of loss, shapes of jitter, and the queues that draw.
func requireEachRandomWord(t *testing.T, rows []netem.Config) {
	has := map[string]bool{}
	for _, name := range drawsNothing {
		has[name] = true
	}
	for _, cfg := range rows {
		fieldsThatAreSet(reflect.ValueOf(cfg), "", has)
		fieldsThatAreSet(reflect.ValueOf(cfg.Correlation), "Correlation.", has)
		if cfg.Loss != nil {
			has[reflect.TypeOf(cfg.Loss).Name()] = true
		}
		switch d := cfg.Distribution.(type) {
		case nil:
		case netem.Shape:
			has[d.String()] = true
		default:
			has[reflect.TypeOf(d).Name()] = true
		}
	}
	var words []string
	for f := range reflect.TypeFor[netem.Config]().Fields() {
		words = append(words, f.Name)
	}
	for f := range reflect.TypeFor[netem.Correlation]().Fields() {
		words = append(words, "Correlation."+f.Name)
	}
	for s := netem.Shape(0); !strings.Contains(s.String(), "("); s++ { // one that is none is a number
		words = append(words, s.String())
	}
	source, tests := declared(t)
	words = append(append(words, source...), "RED", "PIE", "DropRandom")
	require.Subset(t, words, []string{"Bernoulli", "atMostInARow", "Table", "LogNormal", "Loss", "SlowTail"})
	for _, word := range words {
		if elsewhere := comparedElsewhere[word]; elsewhere != "" {
			require.Contains(t, tests, elsewhere, "%s", word)
			continue
		}
		require.True(t, has[word], "%s: it has no row, nor a test in comparedElsewhere", word)
	}
}

func fieldsThatAreSet(v reflect.Value, prefix string, has map[string]bool) {
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			has[prefix+v.Type().Field(i).Name] = true
		}
	}
}

// declared returns the types of the package that lose packets or offset their delays, and its
// tests.
func declared(t *testing.T) (types, tests []string) {
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if f.Recv == nil {
				if strings.HasPrefix(f.Name.Name, "Test") {
					tests = append(tests, f.Name.Name)
				}
				continue
			}
			on, isValue := f.Recv.List[0].Type.(*ast.Ident)
			if isValue && !strings.HasSuffix(name, "_test.go") && on.Name != "Shape" && (f.Name.Name == "lose" || f.Name.Name == "Offset") {
				types = append(types, on.Name)
			}
		}
	}
	return types, tests
}

// The first packet has none before it to be like.
func TestCorrelationBeginsAtTheRate(t *testing.T) {
	for _, biased := range []bool{false, true} {
		dup := 0
		for seed := range uint64(2000) {
			p, r := newPipe(t, netem.Config{Duplicate: 0.5, Correlation: netem.Correlation{Duplicate: 0.9, Biased: biased}}), netem.NewStream(seed)
			dup += len(p.Send(netem.Packet{Size: 100}, 0, &r).Copies)
		}
		require.InDelta(t, 1000, dup, 120, "biased: %v", biased)
	}
}

// tc's correlated generator, as measured from the kernel's formula with 20,000,000 packets: the
// correlation that was asked for and the one that results.
func TestBiasedCorrelatedLosesAsTcDoes(t *testing.T) {
	n := packets(50_000)
	for _, row := range []struct{ p, rho, rate, burst float64 }{
		{0.003, 0.25, 0, 0},
		{0.01, 0.25, 0.000002, 1},
		{0.05, 0.25, 0.00193, 1.05},
		{0.10, 0.25, 0.01755, 1.12},
		{0.20, 0.25, 0.1020, 1.28},
		{0.20, 0.75, 0.00115, 1.35},
		{0.25, 0.50, 0.0695, 1.43},
		{0.30, 0.50, 0.1294, 1.57},
		{0.50, 0.50, 0.4999, 2.77},
		{0.50, 0.75, 0.4999, 3.99},
		{0.80, 0.75, 0.9989, 1171},
	} {
		lost := losses(t, netem.BiasedCorrelated(row.p, row.rho), n)
		spread := 5 * math.Sqrt(row.rate*(1-row.rate)*(1+row.rho)/(1-row.rho)/float64(n))
		require.InDelta(t, row.rate, share(lost), spread+0.00006, "loss %v %v", row.p, row.rho)
		if runs := row.rate * float64(n) / max(1, row.burst); runs > 2000 {
			require.InEpsilon(t, row.burst, bursts(lost), 0.05, "bursts of loss %v %v", row.p, row.rho)
		}

		// The other impairments have the same generator, and so the same rate.
		s := draw(t, netem.Config{
			Delay: ms, Duplicate: row.p, Reorder: row.p, Corrupt: row.p,
			Correlation: netem.Correlation{Duplicate: row.rho, Reorder: row.rho, Corrupt: row.rho, Biased: true},
		}, n/10)
		for _, events := range [][]bool{s.dup, s.reordered, s.corrupt} {
			require.InDelta(t, row.rate, share(events), 4*spread+0.0006, "%v %v", row.p, row.rho)
		}
	}
}

// tc's manual promises correlated jitter. The kernel takes the correlated number modulo the range
// in nanoseconds, or the size of the table, and what is left of it is as good as random.
func TestBiasedJitterIsHardlyCorrelated(t *testing.T) {
	const n = 100_000
	for _, shape := range []netem.Distribution{nil, netem.Normal, netem.Table{-8192, 8192}} {
		cfg := netem.Config{Delay: 100 * ms, Jitter: 20 * ms, Distribution: shape, Correlation: netem.Correlation{Jitter: 0.75, Biased: true}}
		s := draw(t, cfg, n)
		require.InDelta(t, 0, autocorrelation(s.delay), 0.02, "%v", shape)
		cfg.Correlation = netem.Correlation{}
		_, want := moments(draw(t, cfg, n).delay)
		_, got := moments(s.delay)
		require.InEpsilon(t, want, got, 0.02, "%v", shape)
	}

	// With a jitter of more than 2.1 s nothing is cut off, and the correlation shows. The deviation
	// is that of a moving average.
	s := draw(t, netem.Config{Delay: time.Hour, Jitter: 2147483648, Correlation: netem.Correlation{Jitter: 0.75, Biased: true}}, n)
	require.InDelta(t, 0.75, autocorrelation(s.delay), 0.02)
	_, deviation := moments(s.delay)
	require.InEpsilon(t, 0.1091*2, deviation, 0.03, "in units of the half-width")
}
