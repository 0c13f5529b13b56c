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
		{netem.Config{Delay: ms, Jitter: ms, Distribution: netem.Shape(9)}, "netem: Distribution: Shape(9): must be Uniform, Normal, Pareto or ParetoNormal"},
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
		{netem.Config{Queue: netem.DropTail{Packets: 100}}, "netem: Queue: DropTail{Packets: 100}: needs a Rate to wait for"},
		{netem.Config{Rate: 1, Queue: netem.DropTail{Bytes: 1499}}, "netem: Queue: DropTail{Bytes: 1499}: Bytes must be at least the MTU, 1500"},
		{netem.Config{Rate: 1, Queue: &netem.DropTail{Packets: 1}}, "netem: Queue: *netem.DropTail: must be a value, not a pointer"},
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
		{netem.Config{MTU: 68}, "smallest MTU"},
		{netem.Config{MTU: 65535}, "largest MTU"},
	} {
		require.NoError(t, row.cfg.Validate(), row.reason)
	}
}
