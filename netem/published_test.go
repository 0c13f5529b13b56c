package netem_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

func TestPublishedPresets(t *testing.T) {
	names := map[string]bool{}
	for _, p := range netem.Presets() {
		names[p.Name] = true
	}
	for _, p := range netem.Published() {
		require.False(t, names[p.Name], "%s is there twice", p.Name)
		names[p.Name] = true
		require.NoError(t, p.Up.Validate(), p.Name)
		require.NoError(t, p.Down.Validate(), p.Name)
		require.Equal(t, p, netem.Named(p.Name))
	}
	require.Greater(t, len(names), 60)

	// A sample of each list, by hand.
	for name, want := range map[string][4]int64{ // down, up in bit/s; down, up in us
		"DevTools Slow 4G":          {1_600_000, 750_000, 75_000, 75_000},
		"Lighthouse mobileSlow4G":   {1_638_400, 750_000, 75_000, 75_000},
		"WebPageTest Edge":          {240_000, 200_000, 420_000, 420_000},
		"sitespeed 3g":              {1_600_000, 768_000, 150_000, 150_000},
		"Firefox Good 3G":           {1_536_000, 768_000, 20_000, 20_000},
		"Comcast DSL good":          {8_000_000, 8_000_000, 40_000, 40_000},
		"ATC Edge - Average":        {240_000, 200_000, 400_000, 440_000},
		"ATC 2G - Developing Rural": {20_000, 18_000, 650_000, 650_000},
		"grpc-go WAN":               {20_971_520, 20_971_520, 30_000, 30_000},
		"LTE":                       {12_000_000, 12_000_000, 35_000, 35_000},
		"VOPR":                      {0, 0, 15_000, 15_000},
	} {
		p := netem.Named(name)
		require.Equal(t, want, [4]int64{int64(p.Down.Rate), int64(p.Up.Rate), p.Down.Delay.Microseconds(), p.Up.Delay.Microseconds()}, name)
	}
	require.Equal(t, netem.Bernoulli(0.02), netem.Named("ATC 2G - Developing Rural").Down.Loss)
	require.Equal(t, 9000, netem.Named("grpc-go Longhaul").Up.MTU)

	// A database's link: 0.1 to 0.8 ms, and 0.1 % of up to 100 ms more.
	p, r := newPipe(t, netem.Named("FoundationDB").Up), netem.NewStream(1)
	slow := 0
	for range 100_000 {
		at := p.Send(netem.Packet{Size: 100}, 0, &r).At
		require.GreaterOrEqual(t, at, 100*time.Microsecond)
		require.LessOrEqual(t, at, 100*ms+800*time.Microsecond)
		if at > 800*time.Microsecond {
			slow++
		}
	}
	require.InDelta(t, 100, slow, 50)

	require.PanicsWithValue(t, `netem: Named: "5G" is not the name of a preset: it must be one of those of Presets or Published, such as "WebPageTest 3G"`,
		func() { netem.Named("5G") })
}
