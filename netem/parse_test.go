package netem_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// Commands that tc accepts and this package refuses, and why.
var refusedOnly = map[string]string{
	"delay 10ms 20ms":                  "netem: Jitter: 20ms: must not be larger than Delay, 10ms",
	"loss gemodel 100%":                "netem: Loss: GilbertElliott{P: 1, R: 0, LossGood: 0, LossBad: 1}: R: probability must be in (0,1]",
	"rate 5kbit -14":                   `netem: rate: "-14": overhead must not be negative: sizes are those of IP packets`,
	"rate 5kbit 20 -100":               `netem: rate: "-100": overhead must not be negative: sizes are those of IP packets`,
	"rate 5kbit 20 100 -5":             `netem: rate: "-5": overhead must not be negative: sizes are those of IP packets`,
	"limit 0":                          `netem: limit: "0": must be at least 1`,
	"slot distribution normal 1ms 2ms": `netem: slot: "2ms": jitter must not be larger than the delay`,
}

// The commands of testdata/tc.txt: what tc refuses is refused, and what tc accepts has the values
// that it passes to the kernel.
func TestParseReadsWhatTcReads(t *testing.T) {
	text, err := os.ReadFile("testdata/tc.txt")
	require.NoError(t, err)
	rows := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		rows++
		part := strings.Split(strings.TrimSuffix(line, "\n"), " | ")
		verdict, command, values := part[0], part[1], part[2]
		cfg, err := netem.Parse(command)
		if want, ok := refusedOnly[command]; ok {
			require.EqualError(t, err, want)
			require.Equal(t, "accepted", verdict, command)
			continue
		}
		if verdict == "refused" {
			require.ErrorAs(t, err, new(*netem.ConfigError), "%s: tc says %s", command, values)
			require.Equal(t, netem.Config{}, cfg)
			continue
		}
		require.NoError(t, err, command)
		require.Equal(t, values, asTc(cfg), command)
	}
	require.Greater(t, rows, 100)
}

// asTc returns a configuration as tc would pass it to the kernel.
func asTc(c netem.Config) string {
	v := map[string]int64{
		"latency": int64(c.Delay / 64 * 64), "jitter": int64(c.Jitter / 64 * 64), // ticks of the old interface
		"limit": int64(c.Limit), "rate": int64(c.Rate / 8),
		"overhead": int64(c.Framing.Overhead), "cell": int64(c.Framing.Cell), "cell_overhead": int64(c.Framing.CellOverhead),
		"gap": int64(c.ReorderGap),
	}
	share := func(name string, p float64) { v[name] = int64(math.RoundToEven(p * math.MaxUint32)) }
	share("duplicate", c.Duplicate)
	share("reorder", c.Reorder)
	share("corrupt", c.Corrupt)
	share("delay_cor", c.Correlation.Jitter)
	share("reorder_cor", c.Correlation.Reorder)
	share("corrupt_cor", c.Correlation.Corrupt)
	share("duplicate_cor", c.Correlation.Duplicate)
	if c.Reorder > 0 && c.ReorderGap == 0 {
		v["gap"] = 1
	}
	if c.ECN {
		v["ecn"] = 1
	}
	if c.Distribution != nil {
		v["distribution"] = 4096
	}
	switch m := c.Loss.(type) {
	case netem.Bernoulli:
		share("loss", float64(m))
	case netem.FourState:
		share("p13", m.P13)
		share("p31", m.P31)
		share("p32", m.P32)
		share("p23", m.P23)
		share("p14", m.P14)
	case netem.GilbertElliott:
		share("p", m.P)
		share("r", m.R)
		share("k1", m.LossGood)
		v["h"] = math.MaxUint32 - int64(math.RoundToEven(m.LossBad*math.MaxUint32))
	case nil:
	default:
		var p, rho float64
		if _, err := fmt.Sscanf(fmt.Sprint(m), "BiasedCorrelated(%g, %g)", &p, &rho); err != nil {
			return fmt.Sprintf("%v: %v", m, err)
		}
		share("loss", p)
		share("loss_cor", rho)
	}
	if v["delay_cor"] == 0 && v["loss_cor"] == 0 {
		v["duplicate_cor"] = 0 // which tc 6.1 forgets unless one of these is there
	}
	if s := c.Slots; s.Distribution != nil {
		v["slot_delay"], v["slot_jitter"], v["slot_distribution"] = int64(s.Min+s.Max)/2, int64(s.Max-s.Min)/2, 4096
	} else {
		v["slot_min"], v["slot_max"] = int64(s.Min), int64(s.Max)
	}
	v["slot_packets"], v["slot_bytes"] = int64(c.Slots.Packets), int64(c.Slots.Bytes)
	var all []string
	for name, value := range v {
		if value != 0 {
			all = append(all, fmt.Sprintf("%s=%d", name, value))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// With 1-h of 0 % nothing is lost in the bad state either: an explicit 0 in tc is not the default.
func TestParseOfNoLossInTheBadState(t *testing.T) {
	cfg, err := netem.Parse("loss gemodel 50% 50% 0%")
	require.NoError(t, err)
	require.Zero(t, share(losses(t, cfg.Loss, 1000)))
}

// tc reads the bytes of a slot as a size, and the packets as a number (get_size, get_s32).
func TestParseReadsTheSizeOfSlots(t *testing.T) {
	c, err := netem.Parse("slot 1ms packets 0x20 bytes 42k")
	require.NoError(t, err)
	require.Equal(t, netem.Slots{Min: time.Millisecond, Max: time.Millisecond, Packets: 32, Bytes: 42 << 10}, c.Slots)
}

func TestParseSaysWhatItRefuses(t *testing.T) {
	for options, want := range map[string]string{
		"bogus":                        `netem: Parse: "bogus": must be limit, delay, distribution, loss, ecn, corrupt, duplicate, reorder, gap, rate or slot`,
		"delay":                        `netem: delay: "": must be a time, such as 100ms, of at most 24 h`,
		"delay 100xs":                  `netem: delay: "100xs": must be a time, such as 100ms, of at most 24 h`,
		"delay 100ms 20ms 101%":        `netem: delay: "101%": must be a percentage, such as 0.3%, up to 100%`,
		"loss bogus":                   `netem: loss: "bogus": must be a percentage, random, state or gemodel`,
		"loss 1% loss 2%":              `netem: loss: "loss": must be there once`,
		"loss 2% 1%%":                  `netem: loss: "1%%": must be a percentage, such as 0.3%, up to 100%`,
		"reorder 25%":                  `netem: reorder: "": needs a delay`,
		"delay 1ms gap 5":              `netem: gap: "": needs a reorder`,
		"ecn":                          `netem: ecn: "": needs a loss`,
		"distribution normal":          `netem: distribution: "": needs a delay and a jitter`,
		"distribution experimental":    `netem: distribution: "experimental": must be uniform, normal, pareto or paretonormal; ReadTable reads others`,
		"rate 50%":                     `netem: rate: "50%": must be a rate, such as 1mbit or 100kbps (bytes)`,
		"slot 1ms packets 2k":          `netem: slot: "2k": must be a number`,
		"slot 1ms bytes x":             `netem: slot: "x": must be a number`,
		"slot 2ms 1ms":                 `netem: slot: "1ms": must not end before it begins`,
		"seed 42":                      `netem: seed: "42": the network has a seed`,
		"limit many":                   `netem: limit: "many": must be a number`,
		"delay 1ms reorder 1% gap all": `netem: gap: "all": must be a number`,
	} {
		_, err := netem.Parse(options)
		require.EqualError(t, err, want)
	}
}

func ExampleParse() {
	cfg, err := netem.Parse("delay 100ms 20ms distribution normal loss gemodel 1% 10% rate 1mbit")
	if err != nil {
		panic(err)
	}
	fmt.Println(cfg.Delay, cfg.Jitter, cfg.Distribution, cfg.Loss, cfg.Rate, cfg.Limit)

	cfg, err = netem.Parse("loss 20% 75%") // of which tc's generator loses 0.1 %
	fmt.Println(cfg.Loss, err)
	_, err = netem.Parse("loss 20% jitter 5ms")
	fmt.Println(err)
	// Output:
	// 100ms 20ms Normal GilbertElliott{P: 0.01, R: 0.1, LossGood: 0, LossBad: 1} 1Mbit/s 1000
	// BiasedCorrelated(0.2, 0.75) <nil>
	// netem: Parse: "jitter": must be limit, delay, distribution, loss, ecn, corrupt, duplicate, reorder, gap, rate or slot
}
