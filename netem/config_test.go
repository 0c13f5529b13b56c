package netem_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

func TestValidateRefuses(t *testing.T) {
	for _, row := range []struct {
		cfg  netem.Config
		want string
	}{
		{netem.Config{Delay: -time.Second}, "netem: Delay: -1s: must be in [0s,24h]"},
		{netem.Config{Delay: 24*time.Hour + 1}, "netem: Delay: 24h0m0.000000001s: must be in [0s,24h]"},
		{netem.Config{Jitter: -1}, "netem: Jitter: -1ns: must not be negative"},
		{netem.Config{Delay: 10 * ms, Jitter: 11 * ms}, "netem: Jitter: 11ms: must not be larger than Delay, 10ms"},
		{netem.Config{Delay: ms, Distribution: netem.Normal}, "netem: Distribution: Normal: needs a Jitter to scale"},
		{netem.Config{Delay: ms, Jitter: ms, Distribution: netem.Shape(9)}, "netem: Distribution: Shape(9): must be Uniform, Normal, Pareto, ParetoNormal, Exponential or LogNormal"},
		{netem.Config{Loss: netem.Bernoulli(1.5)}, "netem: Loss: Bernoulli(1.5): probability must be in [0,1]"},
		{netem.Config{Loss: netem.Bernoulli(-0.1)}, "netem: Loss: Bernoulli(-0.1): probability must be in [0,1]"},
		{netem.Config{Loss: netem.Bernoulli(math.NaN())}, "netem: Loss: Bernoulli(NaN): probability must be in [0,1]"},
		{netem.Config{Loss: netem.Correlated(2, 0.5)}, "netem: Loss: Correlated(2, 0.5): probability must be in [0,1]"},
		{netem.Config{Loss: netem.Correlated(0.2, 1)}, "netem: Loss: Correlated(0.2, 1): correlation must be in [0,1)"},
		{netem.Config{Loss: netem.Correlated(0.2, -0.1)}, "netem: Loss: Correlated(0.2, -0.1): correlation must be in [0,1)"},
		{netem.Config{Loss: netem.GilbertElliott{P: 2, R: 1}}, "netem: Loss: GilbertElliott{P: 2, R: 1, LossGood: 0, LossBad: 0}: P: probability must be in [0,1]"},
		{netem.Config{Loss: netem.GilbertElliott{P: 0.1}}, "netem: Loss: GilbertElliott{P: 0.1, R: 0, LossGood: 0, LossBad: 0}: R: probability must be in (0,1]"},
		{netem.Config{Loss: netem.GilbertElliott{R: 1.1}}, "netem: Loss: GilbertElliott{P: 0, R: 1.1, LossGood: 0, LossBad: 0}: R: probability must be in (0,1]"},
		{netem.Config{Loss: netem.GilbertElliott{R: 1, LossGood: -1}}, "netem: Loss: GilbertElliott{P: 0, R: 1, LossGood: -1, LossBad: 0}: LossGood: probability must be in [0,1]"},
		{netem.Config{Loss: netem.GilbertElliott{R: 1, LossBad: 3}}, "netem: Loss: GilbertElliott{P: 0, R: 1, LossGood: 0, LossBad: 3}: LossBad: probability must be in [0,1]"},
		{netem.Config{Loss: &netem.GilbertElliott{R: 1}}, "netem: Loss: *netem.GilbertElliott: must be a value, not a pointer"},
		{netem.Config{Loss: (*netem.GilbertElliott)(nil)}, "netem: Loss: *netem.GilbertElliott: must be a value, not a pointer"},
		{netem.Config{Loss: netem.EveryNth(0)}, "netem: Loss: EveryNth(0): must be at least 1"},
		{netem.Config{Loss: netem.DropList{0, 1}}, "netem: Loss: DropList{0, 1}: packet numbers must be at least 1 and strictly ascending"},
		{netem.Config{Loss: netem.DropList{9, 5}}, "netem: Loss: DropList{9, 5}: packet numbers must be at least 1 and strictly ascending"},
		{netem.Config{Loss: netem.DropList{5, 5}}, "netem: Loss: DropList{5, 5}: packet numbers must be at least 1 and strictly ascending"},
		{netem.Config{Duplicate: -1}, "netem: Duplicate: -1: probability must be in [0,1]"},
		{netem.Config{Delay: ms, Reorder: 1.01}, "netem: Reorder: 1.01: probability must be in [0,1]"},
		{netem.Config{Reorder: 0.25}, "netem: Reorder: 0.25: needs a Delay to skip"},
		{netem.Config{Delay: ms, Reorder: 0.25, KeepOrder: true}, "netem: Reorder: 0.25: contradicts KeepOrder"},
		{netem.Config{Corrupt: math.Inf(1)}, "netem: Corrupt: +Inf: probability must be in [0,1]"},
		{netem.Config{Rate: -10 * netem.Mbit}, "netem: Rate: -10Mbit/s: must not be negative; 0 is unlimited"},
		{netem.Config{Rate: 1, Queue: netem.DropTail{}}, "netem: Queue: DropTail{Packets: 0, Bytes: 0}: exactly one of Packets and Bytes must be set"},
		{netem.Config{Rate: 1, Queue: netem.DropTail{Packets: 1, Bytes: 9000}}, "netem: Queue: DropTail{Packets: 1, Bytes: 9000}: exactly one of Packets and Bytes must be set"},
		{netem.Config{Rate: 1, Queue: netem.DropTail{Packets: -1}}, "netem: Queue: DropTail{Packets: -1}: limits must not be negative"},
		{netem.Config{Rate: 1, Queue: netem.DropTail{Bytes: -1}}, "netem: Queue: DropTail{Bytes: -1}: limits must not be negative"},
		{netem.Config{Queue: netem.DropTail{Packets: 100}}, "netem: Queue: DropTail{Packets: 100}: needs a Rate, a Shaper or Slots to wait for"},
		{netem.Config{Rate: 1, Queue: netem.DropTail{Bytes: 1499}}, "netem: Queue: DropTail{Bytes: 1499}: Bytes must be at least the MTU, 1500"},
		{netem.Config{Rate: 1, Queue: &netem.DropTail{Packets: 1}}, "netem: Queue: *netem.DropTail: must be a value, not a pointer"},
		{netem.Config{Jitter: 24*time.Hour + 1, Distribution: netem.Exponential}, "netem: Jitter: 24h0m0.000000001s: must be in [0s,24h]"},
		{netem.Config{Jitter: ms, Distribution: netem.Table{}}, "netem: Distribution: Table of 0: must have 1 to 16384 values"},
		{netem.Config{Distribution: netem.Table{1}}, "netem: Distribution: Table of 1: needs a Jitter to scale"},
		{netem.Config{Distribution: netem.SlowTail{P: 2}}, "netem: Distribution: SlowTail{P: 2, Min: 0s, Max: 0s}: P: probability must be in [0,1]"},
		{netem.Config{Distribution: netem.SlowTail{Min: 2, Max: 1}}, "netem: Distribution: SlowTail{P: 0, Min: 2ns, Max: 1ns}: Min and Max must be in [0s,24h], and Min not above Max"},
		{netem.Config{Distribution: netem.SlowTail{Of: netem.Normal}}, "netem: Distribution: Normal: needs a Jitter to scale"},
		{netem.Config{Distribution: netem.SlowTail{Of: netem.SlowTail{}}}, "netem: Distribution: SlowTail{P: 0, Min: 0s, Max: 0s, Of: SlowTail{P: 0, Min: 0s, Max: 0s}}: Of must not be a SlowTail"},
		{netem.Config{Loss: netem.FirstN(0)}, "netem: Loss: FirstN(0): must be at least 1"},
		{netem.Config{Loss: netem.BiasedCorrelated(2, 0)}, "netem: Loss: BiasedCorrelated(2, 0): probability must be in [0,1]"},
		{netem.Config{Loss: netem.BiasedCorrelated(0, 2)}, "netem: Loss: BiasedCorrelated(0, 2): correlation must be in [0,1]"},
		{netem.Config{Loss: netem.FourState{P13: 2}}, "netem: Loss: FourState{P13: 2, P31: 0, P32: 0, P23: 0, P14: 0}: P13: probability must be in [0,1]"},
		{netem.Config{Loss: netem.FourState{P13: 0.5, P31: 1, P14: 0.6}}, "netem: Loss: FourState{P13: 0.5, P31: 1, P32: 0, P23: 0, P14: 0.6}: P13 and P14 must not exceed 1 together"},
		{netem.Config{Loss: netem.FourState{P31: 0.5, P32: 0.6}}, "netem: Loss: FourState{P13: 0, P31: 0.5, P32: 0.6, P23: 0, P14: 0}: P31 and P32 must not exceed 1 together"},
		{netem.Config{Loss: netem.AtMostInARow(0, netem.Bernoulli(1))}, "netem: Loss: AtMostInARow(0, Bernoulli(1)): must be at least 1 in a row"},
		{netem.Config{Loss: netem.AtMostInARow(1, nil)}, "netem: Loss: AtMostInARow(1, <nil>): needs a model"},
		{netem.Config{Loss: netem.AtMostInARow(1, netem.EveryNth(0))}, "netem: Loss: AtMostInARow(1, EveryNth(0)): must be at least 1"},
		{netem.Config{Loss: netem.AtMostInARow(1, netem.AtMostInARow(1, netem.EveryNth(1)))}, "netem: Loss: AtMostInARow(1, AtMostInARow(1, EveryNth(1))): must not bound what is bounded"},
		{netem.Config{ECN: true}, "netem: ECN: true: needs a Loss to mark for"},
		{netem.Config{Copies: netem.Copies{Number: 2}}, "netem: Copies: Copies{Number: 2, Delay: 0s}: needs a Duplicate that makes copies"},
		{netem.Config{Duplicate: 1, Copies: netem.Copies{Number: 51}}, "netem: Copies: Copies{Number: 51, Delay: 0s}: Number must be 0 (for 1) or in [1,50]"},
		{netem.Config{Duplicate: 1, Copies: netem.Copies{Delay: -1}}, "netem: Copies: Copies{Number: 0, Delay: -1ns}: Delay must be in [0s,24h]"},
		{netem.Config{ReorderGap: 5}, "netem: ReorderGap: 5: needs a Reorder"},
		{netem.Config{Delay: ms, Reorder: 0.5, ReorderGap: -1}, "netem: ReorderGap: -1: must not be negative"},
		{netem.Config{Damage: netem.Damage{UndetectedUDP: true}}, "netem: Damage: Damage{UndetectedUDP: true, UndetectedTCP: false, Bits: 0, Truncate: false}: needs a Corrupt"},
		{netem.Config{Corrupt: 1, Damage: netem.Damage{Bits: 2}}, "netem: Damage: Damage{UndetectedUDP: false, UndetectedTCP: false, Bits: 2, Truncate: false}: needs UndetectedUDP or UndetectedTCP: what the checksum finds does not arrive"},
		{netem.Config{Corrupt: 1, Damage: netem.Damage{Bits: 33}}, "netem: Damage: Damage{UndetectedUDP: false, UndetectedTCP: false, Bits: 33, Truncate: false}: Bits must be 0 (for 1) or in [1,32]"},
		{netem.Config{Corrupt: 1, Damage: netem.Damage{UndetectedTCP: true, Bits: 3, Truncate: true}}, "netem: Damage: Damage{UndetectedUDP: false, UndetectedTCP: true, Bits: 3, Truncate: true}: Bits contradicts Truncate"},
		{netem.Config{Correlation: netem.Correlation{Jitter: 1}}, "netem: Correlation.Jitter: 1: correlation must be in [0,1)"},
		{netem.Config{Correlation: netem.Correlation{Reorder: 1.5, Biased: true}}, "netem: Correlation.Reorder: 1.5: correlation must be in [0,1]"},
		{netem.Config{Correlation: netem.Correlation{Biased: true}}, "netem: Correlation.Biased: true: needs a correlation"},
		{netem.Config{Correlation: netem.Correlation{Jitter: 0.5}}, "netem: Correlation.Jitter: 0.5: needs a Jitter"},
		{netem.Config{Correlation: netem.Correlation{Duplicate: 0.5}}, "netem: Correlation.Duplicate: 0.5: needs a Duplicate"},
		{netem.Config{Correlation: netem.Correlation{Reorder: 0.5}}, "netem: Correlation.Reorder: 0.5: needs a Reorder"},
		{netem.Config{Correlation: netem.Correlation{Corrupt: 0.5}}, "netem: Correlation.Corrupt: 0.5: needs a Corrupt"},
		{netem.Config{Framing: netem.Framing{Overhead: 5}}, "netem: Framing: Framing{Overhead: 5, Cell: 0, CellOverhead: 0}: needs a Rate, a TokenBucket or a Profile"},
		{netem.Config{Shaper: netem.Opportunities{5}, Framing: netem.Framing{Overhead: 5}}, "netem: Framing: Framing{Overhead: 5, Cell: 0, CellOverhead: 0}: needs a Rate, a TokenBucket or a Profile"},
		{netem.Config{Rate: 1, Framing: netem.Framing{Overhead: -5}}, "netem: Framing: Framing{Overhead: -5, Cell: 0, CellOverhead: 0}: Overhead must be in [0,65535]"},
		{netem.Config{Rate: 1, Framing: netem.Framing{Cell: -5}}, "netem: Framing: Framing{Overhead: 0, Cell: -5, CellOverhead: 0}: Cell must be 0 (for none) or in [1,65535]"},
		{netem.Config{Rate: 1, Framing: netem.Framing{CellOverhead: 5}}, "netem: Framing: Framing{Overhead: 0, Cell: 0, CellOverhead: 5}: CellOverhead needs a Cell"},
		{netem.Config{Rate: 1, Framing: netem.Framing{Cell: 1, CellOverhead: 1000}}, "netem: Framing: Framing{Overhead: 0, Cell: 1, CellOverhead: 1000}: makes 1501500 bytes of a packet of the MTU: at most 1048576 are allowed"},
		{netem.Config{Shaper: netem.TokenBucket{Burst: 1500}}, "netem: Shaper: TokenBucket{Rate: 0bit/s, Burst: 1500, Peak: 0bit/s}: Rate must be positive"},
		{netem.Config{Shaper: netem.TokenBucket{Rate: 1, Burst: 1509}, Framing: netem.Framing{Overhead: 10}}, "netem: Shaper: TokenBucket{Rate: 1bit/s, Burst: 1509, Peak: 0bit/s}: Burst must be in [1510,1073741824], from the MTU on"},
		{netem.Config{Shaper: netem.TokenBucket{Rate: 2, Burst: 1500, Peak: 1}}, "netem: Shaper: TokenBucket{Rate: 2bit/s, Burst: 1500, Peak: 1bit/s}: Peak must be 0 (for unlimited) or at least Rate"},
		{netem.Config{Rate: 1, Shaper: netem.Opportunities{5}}, "netem: Shaper: Opportunities: 1 in 5ns: contradicts Rate"},
		{netem.Config{Shaper: &netem.TokenBucket{}}, "netem: Shaper: *netem.TokenBucket: must be a value, not a pointer"},
		{netem.Config{Shaper: netem.Opportunities{}}, "netem: Shaper: Opportunities{}: must have at least one instant"},
		{netem.Config{Shaper: netem.Opportunities{2, 1}}, "netem: Shaper: Opportunities: 2 in 1ns: instants must not be negative, and in ascending order"},
		{netem.Config{Shaper: netem.Opportunities{0}}, "netem: Shaper: Opportunities: 1 in 0s: the last instant must be in (0s,24h]"},
		{netem.Config{Shaper: netem.Profile{}}, "netem: Shaper: Profile{}: must have 1 to 65536 phases"},
		{netem.Config{Shaper: netem.Profile{{From: 1, To: 1}}}, "netem: Shaper: Profile{{Lasts: 0s, From: 1bit/s, To: 1bit/s}}: phase 0: Lasts must be in [1ns,24h]"},
		{netem.Config{Shaper: netem.Profile{{Lasts: 1}}}, "netem: Shaper: Profile{{Lasts: 1ns, From: 0bit/s, To: 0bit/s}}: one rate must be above 0"},
		{netem.Config{Shaper: netem.Profile{{Lasts: 1, From: 1}}}, "netem: Shaper: Profile{{Lasts: 1ns, From: 1bit/s, To: 0bit/s}}: phase 0: a slope must last at least 256ns"},
		{netem.Config{Shaper: netem.Profile{{Lasts: time.Second}, {Lasts: 1, From: 1}}}, "netem: Shaper: Profile{{Lasts: 1s, From: 0bit/s, To: 0bit/s}, {Lasts: 1ns, From: 1bit/s, To: 0bit/s}}: phase 1: a slope must last at least 256ns"},
		{netem.Config{Shaper: netem.Profile{{Lasts: 1, From: -1, To: -1}}}, "netem: Shaper: Profile{{Lasts: 1ns, From: -1bit/s, To: -1bit/s}}: phase 0: rates must not be negative"},
		{netem.Config{Slots: netem.Slots{Packets: 5}}, "netem: Slots: Slots{Min: 0s, Max: 0s, Packets: 5, Bytes: 0}: Max must be positive"},
		{netem.Config{Slots: netem.Slots{Min: 2, Max: 1}}, "netem: Slots: Slots{Min: 2ns, Max: 1ns, Packets: 0, Bytes: 0}: Min and Max must be in [0s,24h], and Min not above Max"},
		{netem.Config{Slots: netem.Slots{Max: 1, Bytes: -1}}, "netem: Slots: Slots{Min: 0s, Max: 1ns, Packets: 0, Bytes: -1}: limits must not be negative"},
		{netem.Config{Slots: netem.Slots{Max: 1, Distribution: netem.SlowTail{}}}, "netem: Slots: Slots{Min: 0s, Max: 1ns, Distribution: SlowTail{P: 0, Min: 0s, Max: 0s}, Packets: 0, Bytes: 0}: Distribution must be one of the Shapes"},
		{netem.Config{Slots: netem.Slots{Min: 1, Max: 1, Distribution: netem.Normal}}, "netem: Slots: Slots{Min: 1ns, Max: 1ns, Distribution: Normal, Packets: 0, Bytes: 0}: Distribution needs a Max above Min"},
		{netem.Config{Rate: 1, Queue: netem.DropHead{}}, "netem: Queue: DropHead{Packets: 0, Bytes: 0}: exactly one of Packets and Bytes must be set"},
		{netem.Config{Queue: netem.CoDel{}}, "netem: Queue: CoDel{Target: 0s, Interval: 0s, Packets: 0, ECN: false}: needs a Rate, a Shaper or Slots to wait for"},
		{netem.Config{Rate: 1, Queue: netem.CoDel{Target: 100 * ms}}, "netem: Queue: CoDel{Target: 100ms, Interval: 0s, Packets: 0, ECN: false}: Target must be positive, and Interval above Target and at most 1m"},
		{netem.Config{Rate: 1, Queue: netem.CoDel{Packets: -1}}, "netem: Queue: CoDel{Target: 0s, Interval: 0s, Packets: -1, ECN: false}: Packets must not be negative"},
		{netem.Config{Rate: 1, Queue: netem.FQCoDel{Flows: -1}}, "netem: Queue: FQCoDel{CoDel: CoDel{Target: 0s, Interval: 0s, Packets: 0, ECN: false}, Flows: -1, Quantum: 0}: Flows must be 0 (for 1024) or in [1,65536]"},
		{netem.Config{Rate: 1, Queue: netem.FQCoDel{Quantum: -1}}, "netem: Queue: FQCoDel{CoDel: CoDel{Target: 0s, Interval: 0s, Packets: 0, ECN: false}, Flows: 0, Quantum: -1}: Quantum must be 0 (for the MTU and 14) or in [1,1048576]"},
		{netem.Config{Rate: 1, Queue: netem.FQCoDel{CoDel: netem.CoDel{Interval: -1}}}, "netem: Queue: FQCoDel{CoDel: CoDel{Target: 0s, Interval: -1ns, Packets: 0, ECN: false}, Flows: 0, Quantum: 0}: Target must be positive, and Interval above Target and at most 1m"},
		{netem.Config{Rate: 1, Queue: netem.PIE{Target: -1}}, "netem: Queue: PIE{Target: -1ns, Update: 0s, Burst: 0s, Packets: 0, ECN: false}: Target must be positive and at most 1m"},
		{netem.Config{Rate: 1, Queue: netem.PIE{Update: 1000}}, "netem: Queue: PIE{Target: 0s, Update: 1µs, Burst: 0s, Packets: 0, ECN: false}: Update must be in [1ms,1m]"},
		{netem.Config{Rate: 1, Queue: netem.PIE{Burst: -1}}, "netem: Queue: PIE{Target: 0s, Update: 0s, Burst: -1ns, Packets: 0, ECN: false}: Burst must be positive and at most 1m"},
		{netem.Config{Rate: 1, Queue: netem.PIE{Packets: -1}}, "netem: Queue: PIE{Target: 0s, Update: 0s, Burst: 0s, Packets: -1, ECN: false}: Packets must not be negative"},
		{netem.Config{Rate: 1, Queue: netem.DropRandom{}}, "netem: Queue: DropRandom{Packets: 0, Bytes: 0}: exactly one of Packets and Bytes must be set"},
		{netem.Config{Rate: 1, Queue: netem.RED{Min: 2, Max: 1}}, "netem: Queue: RED{Min: 2, Max: 1, Limit: 0, Probability: 0, Weight: 0, ECN: false}: Min must be at least 1, and Max above it and at most 1073741824"},
		{netem.Config{Rate: 1, Queue: netem.RED{Min: 1, Max: 2, Limit: 1499}}, "netem: Queue: RED{Min: 1, Max: 2, Limit: 1499, Probability: 0, Weight: 0, ECN: false}: Limit must be at least Max and the MTU, 1500, and at most 1073741824"},
		{netem.Config{Rate: 1, Queue: netem.RED{Min: 1, Max: 2, Limit: 1500, Probability: 1e-7}}, "netem: Queue: RED{Min: 1, Max: 2, Limit: 1500, Probability: 1e-07, Weight: 0, ECN: false}: Probability must be 0 (for 0.02) or in [1e-6,1]"},
		{netem.Config{Rate: 1, Queue: netem.RED{Min: 1, Max: 2, Limit: 1500, Weight: 33}}, "netem: Queue: RED{Min: 1, Max: 2, Limit: 1500, Probability: 0, Weight: 33, ECN: false}: Weight must be 0 (for 9) or in [1,32]"},
		{netem.Config{Slots: netem.Slots{Max: 1}, Queue: netem.RED{Min: 1, Max: 2, Limit: 1500}}, "netem: Queue: RED{Min: 1, Max: 2, Limit: 1500, Probability: 0, Weight: 0, ECN: false}: needs a Rate to tell how long nothing waits"},
		{netem.Config{Limit: -1}, "netem: Limit: -1: must not be negative; 0 is no limit"},
		{netem.Config{MTU: -1}, "netem: MTU: -1: must be 0 (for 1500) or in [68,65535]"},
		{netem.Config{MTU: 67}, "netem: MTU: 67: must be 0 (for 1500) or in [68,65535]"},
		{netem.Config{MTU: 65536}, "netem: MTU: 65536: must be 0 (for 1500) or in [68,65535]"},
	} {
		err := row.cfg.Validate()
		require.EqualError(t, err, row.want)
		var refused *netem.ConfigError
		require.True(t, errors.As(err, &refused))

		p, err := netem.NewPipe(row.cfg)
		require.Nil(t, p)
		require.EqualError(t, err, row.want)
	}
}

func TestValidateAcceptsTheLimits(t *testing.T) {
	for _, row := range []struct {
		cfg    netem.Config
		reason string
	}{
		{netem.Config{}, "zero value"},
		{netem.Config{Delay: 24 * time.Hour, Jitter: 24 * time.Hour}, "largest delay, jitter as large"},
		{netem.Config{Delay: ms, Jitter: ms, Distribution: netem.Uniform}, "the default, spelt out"},
		{netem.Config{Loss: netem.Bernoulli(1), Duplicate: 1, Corrupt: 1}, "certainty"},
		{netem.Config{Loss: netem.Correlated(1, 0)}, "certainty, no correlation"},
		{netem.Config{Loss: netem.GilbertElliott{P: 0, R: 1}}, "never bad"},
		{netem.Config{Loss: netem.DropList{}}, "an empty list"},
		{netem.Config{Rate: 1, Queue: netem.DropTail{Packets: 1}}, "smallest rate and queue"},
		{netem.Config{Rate: 1, Queue: netem.DropTail{Bytes: 576}, MTU: 576}, "room for one packet"},
		{netem.Config{Jitter: 24 * time.Hour, Distribution: netem.Exponential}, "jitter that only lengthens"},
		{netem.Config{Distribution: netem.SlowTail{P: 1, Max: 24 * time.Hour}}, "a slow tail without jitter"},
		{netem.Config{Loss: netem.FourState{P13: 0.5, P31: 0.5, P32: 0.5, P23: 1, P14: 0.5}}, "four states, all the probability there is"},
		{netem.Config{Delay: ms, Jitter: ms, Correlation: netem.Correlation{Jitter: 1, Biased: true}}, "tc's full correlation"},
		{netem.Config{Slots: netem.Slots{Max: 1}, Queue: netem.DropTail{Packets: 1}}, "a queue for slots"},
		{netem.Config{Shaper: netem.TokenBucket{Rate: 1, Burst: 1500, Peak: 1}}, "smallest bucket"},
		{netem.Config{MTU: 68}, "smallest MTU"},
		{netem.Config{MTU: 65535}, "largest MTU"},
	} {
		require.NoError(t, row.cfg.Validate(), row.reason)
	}
}

// A network of thousands of hosts checks each of its pipes, most of which have no queue of their
// own.
func TestCheckOfAConfigurationAllocatesNothing(t *testing.T) {
	cfg := netem.Config{Delay: 40 * time.Millisecond, Jitter: time.Millisecond, Loss: netem.Bernoulli(0.01), Rate: netem.Mbit}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
	}))
}
