package netem

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Table is an empirical [Distribution]: 1 to 16384 values (tc-netem's NETEM_DIST_MAX), each equally likely,
// in units of Jitter/8192. Their order does not matter. [ReadTable] reads tc-netem's files; [Measured] makes
// a table from measured delays.
type Table []int16

const maxTable = 16384

// Offset implements [Distribution].
func (t Table) Offset(u uint64, jitter time.Duration) time.Duration {
	return scaled(t[below(u, uint64(len(t)))], jitter)
}

// String returns the length of the table, for reports.
func (t Table) String() string { return fmt.Sprintf("Table of %d", len(t)) }

// ReadTable reads a distribution file of tc-netem(8), such as /usr/lib/tc/experimental.dist: integers from
// -32768 to 32767 separated by blanks. It skips lines that begin with #. The error names the line, the word
// and what is allowed.
func ReadTable(r io.Reader) (Table, error) {
	var t Table
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		for _, word := range strings.Fields(lines.Text()) {
			v, err := strconv.ParseInt(word, 0, 16)
			if err != nil {
				return nil, fmt.Errorf("netem: ReadTable: line %d: %q: must be an integer in [-32768,32767]", number, word)
			}
			t = append(t, int16(v))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("netem: ReadTable: %w", err)
	}
	if why := t.invalid(); why != "" {
		return nil, fmt.Errorf("netem: ReadTable: %v: %s", t, why)
	}
	return t, nil
}

func (t Table) invalid() string {
	if len(t) == 0 || len(t) > maxTable {
		return fmt.Sprintf("must have 1 to %d values", maxTable)
	}
	return ""
}

// Measured returns the fields of a [Config] whose delays are distributed as the measured ones. Delay is their
// mean, Jitter their standard deviation (at least 1 ns), and the table has 4096 quantiles, which end at 4
// deviations on either side. Measured panics if there are no delays, or one is outside [0,24h].
func Measured(delays []time.Duration) (delay, jitter time.Duration, table Table) {
	if len(delays) == 0 {
		panic("netem: Measured: no delays: at least one is needed")
	}
	sorted := slices.Sorted(slices.Values(delays))
	if sorted[0] < 0 || sorted[len(sorted)-1] > maxDelay {
		panic(fmt.Sprintf("netem: Measured: delays from %v to %v: each must be in [0s,24h]", sorted[0], sorted[len(sorted)-1]))
	}
	n := float64(len(sorted))
	var sum, squares float64
	for _, d := range sorted {
		sum += float64(d)
	}
	mean := math.Round(sum / n)
	for _, d := range sorted {
		off := float64(d) - mean
		squares += float64(off * off) // the conversion keeps platforms from fusing this with the sum
	}
	deviation := max(1, math.Round(math.Sqrt(squares/n)))
	table = make(Table, 1<<tableBits)
	for i := range table {
		off := float64(sorted[(2*i+1)*len(sorted)/(2*len(table))]) - mean
		table[i] = int16(min(max(math.RoundToEven(off*tableScale/deviation), math.MinInt16), math.MaxInt16))
	}
	return time.Duration(mean), time.Duration(deviation), table
}

// SlowTail is a [Distribution] with a few slow packets. With probability P, in [0,1], a packet takes Min to
// Max longer (uniform; at most 24 h) than the distribution Of would make it; nil means [Uniform]. SlowTail
// needs no Jitter.
type SlowTail struct {
	P        float64
	Min, Max time.Duration
	Of       Distribution
}

// Offset implements [Distribution].
func (s SlowTail) Offset(u uint64, jitter time.Duration) time.Duration {
	var offset time.Duration
	d := draws(u) // numbers of their own, apart from u itself
	switch {
	case jitter == 0:
	case s.Of == nil:
		offset = Uniform.Offset(u, jitter)
	default:
		offset = s.Of.Offset(u, jitter)
	}
	if d.happens(laneSlow, thresholdOf(s.P)) {
		offset += s.Min + time.Duration(below(d.lane(laneSlowTime), uint64(s.Max-s.Min)+1))
	}
	return offset
}

// String returns the distribution as Go writes it.
func (s SlowTail) String() string {
	text := fmt.Sprintf("SlowTail{P: %v, Min: %v, Max: %v", s.P, s.Min, s.Max)
	if s.Of != nil {
		text += fmt.Sprintf(", Of: %v", s.Of)
	}
	return text + "}"
}

func (s SlowTail) invalid() string {
	_, nested := s.Of.(SlowTail)
	switch {
	case !isProbability(s.P):
		return "P: " + probabilityRange
	case s.Min < 0 || s.Min > s.Max || s.Max > maxDelay:
		return "Min and Max must be in [0s,24h], and Min not above Max"
	case nested:
		return "Of must not be a SlowTail"
	}
	return ""
}
