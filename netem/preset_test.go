package netem_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// The time that a packet of 1,500 bytes takes each way, by hand: the bits over the rate, plus the
// delay.
func TestPresets(t *testing.T) {
	us := time.Microsecond
	want := map[string][2]time.Duration{ // up, down
		"LAN":        {12*us + 250*us, 12*us + 250*us},
		"Wi-Fi":      {800*us + ms, 400*us + ms},
		"broadband":  {12*ms + 14*ms, 2400*us + 14*ms},
		"LTE":        {ms + 35*ms, ms + 35*ms},
		"3G":         {15625*us + 150*ms, 7500*us + 150*ms},
		"satellite":  {46875*us + 279*ms, 12*ms + 279*ms},
		"lossy EDGE": {60*ms + 440*ms, 50*ms + 400*ms},
		"2G":         {375*ms + 650*ms, 342857143 + 650*ms}, // rounded up
	}
	last := time.Duration(0)
	for _, p := range netem.Presets() {
		var took [2]time.Duration
		for i, cfg := range []netem.Config{p.Up, p.Down} {
			require.NoError(t, cfg.Validate(), p.Name)
			cfg.Loss = nil
			pipe, err := netem.NewPipe(cfg)
			require.NoError(t, err)
			draws := netem.NewStream(1)
			took[i] = pipe.Send(netem.Packet{Size: 1500}, 0, &draws).At
		}
		require.Equal(t, want[p.Name], took, p.Name)
		require.Greater(t, took[0]+took[1], last, "%s is worse than the one before", p.Name)
		last = took[0] + took[1]
		delete(want, p.Name)
	}
	require.Empty(t, want)
	require.Equal(t, netem.Bernoulli(0.01), netem.EdgeLossy.Up.Loss)
	require.Nil(t, netem.LTE.Down.Loss)
}
