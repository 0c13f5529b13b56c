package exact

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPolicies(t *testing.T) {
	for text, want := range map[string]Policy{
		"":            {kind: random, preempt: 3276, text: Default},
		"fifo":        {kind: fifo, text: "fifo"},
		"random":      {kind: random, preempt: 3276, text: "random"},
		"random:0":    {kind: random, text: "random:0"},
		"random:0.25": {kind: random, preempt: 16384, text: "random:0.25"},
		"random:1":    {kind: random, preempt: 65536, text: "random:1"},
		"random:1e-9": {kind: random, preempt: 1, text: "random:1e-9"},
		"slow":        {kind: slow, preempt: 3276, text: "slow"},
		"slow:0.25":   {kind: slow, preempt: 16384, text: "slow:0.25"},
		"pct":         {kind: pct, depth: 3, text: "pct"},
		"pct:16":      {kind: pct, depth: 16, text: "pct:16"},
	} {
		got, err := ParsePolicy(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"lifo", "fifo:1", "random:", "random:2", "random:-1", "random:NaN", "slow:", "slow:2", "pct:0", "pct:17", "pct:", "pct:x"} {
		_, err := ParsePolicy(text)
		require.ErrorContains(t, err, "SQUALL_SCHED="+text+":", text)
		require.ErrorContains(t, err, "want fifo; random:P")
		require.ErrorContains(t, err, "slow:P")
	}
}
