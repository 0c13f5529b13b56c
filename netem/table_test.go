package netem_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

func TestReadTable(t *testing.T) {
	table, err := netem.ReadTable(strings.NewReader("# made by maketable\n-32768 -8192\t0\n  8192 32767\n\n0x10\n"))
	require.NoError(t, err)
	require.Equal(t, netem.Table{-32768, -8192, 0, 8192, 32767, 16}, table)

	for text, want := range map[string]string{
		"":                            "netem: ReadTable: Table of 0: must have 1 to 16384 values",
		"# only words\n":              "netem: ReadTable: Table of 0: must have 1 to 16384 values",
		"1 2\n3 4.5\n":                `netem: ReadTable: line 2: "4.5": must be an integer in [-32768,32767]`,
		"40000\n":                     `netem: ReadTable: line 1: "40000": must be an integer in [-32768,32767]`,
		strings.Repeat("7\n", 16_385): "netem: ReadTable: Table of 16385: must have 1 to 16384 values",
	} {
		_, err := netem.ReadTable(strings.NewReader(text))
		require.EqualError(t, err, want)
	}
}

// Measured delays come out again with their mean, deviation and extremes.
func TestMeasured(t *testing.T) {
	var measured []time.Duration
	for i := range 1000 {
		measured = append(measured, 20*ms+time.Duration(i%10)*ms)
	}
	delay, jitter, table := netem.Measured(measured)
	require.Equal(t, 24500*time.Microsecond, delay)
	require.Equal(t, 2872281*time.Nanosecond, jitter) // sqrt(8.25) ms
	cfg := netem.Config{Delay: delay, Jitter: jitter, Distribution: table}
	p, r := newPipe(t, cfg), netem.NewStream(1)
	counts := map[time.Duration]int{}
	for range 20_000 {
		counts[p.Send(netem.Packet{Size: 100}, 0, &r).At.Round(100*time.Microsecond)]++
	}
	require.Len(t, counts, 10)
	for i := range 10 {
		require.InDelta(t, 2000, counts[20*ms+time.Duration(i)*ms], 220)
	}
	require.InDelta(t, float64(20*ms), float64(p.Floor()), float64(time.Microsecond))
	most, ok := p.Ceiling()
	require.True(t, ok)
	require.InDelta(t, float64(29*ms), float64(most), float64(time.Microsecond))

	delay, jitter, table = netem.Measured([]time.Duration{ms})
	require.NoError(t, netem.Config{Delay: delay, Jitter: jitter, Distribution: table}.Validate())
	require.PanicsWithValue(t, "netem: Measured: no delays: at least one is needed", func() { netem.Measured(nil) })
	require.PanicsWithValue(t, "netem: Measured: delays from -1ns to 2ns: each must be in [0s,24h]", func() { netem.Measured([]time.Duration{2, -1}) })
}

func TestTablesAreCopied(t *testing.T) {
	table := netem.Table{0}
	for _, d := range []netem.Distribution{table, netem.SlowTail{Of: table}} {
		table[0] = 0
		p, r := newPipe(t, netem.Config{Delay: 10 * ms, Jitter: ms, Distribution: d}), netem.NewStream(1)
		table[0] = 8192
		require.Equal(t, 10*ms, p.Send(netem.Packet{Size: 100}, 0, &r).At)
	}
}

func TestDamage(t *testing.T) {
	payload := []byte("GET / HTTP/1.1\r\n")
	before := string(payload)
	for _, bits := range []int{0, 1, 8, 32} {
		damage := netem.Damage{UndetectedUDP: true, Bits: bits}
		seen := map[string]bool{}
		for noise := range uint64(200) {
			got := damage.Apply(payload, noise)
			require.Equal(t, string(got), string(damage.Apply(payload, noise)), "a function of the noise")
			require.Equal(t, before, string(payload), "the sender's bytes are its own")
			flipped := 0
			for i := range got {
				for b := got[i] ^ payload[i]; b > 0; b &= b - 1 {
					flipped++
				}
			}
			require.Equal(t, max(1, bits), flipped)
			seen[string(got)] = true
		}
		require.Greater(t, len(seen), 90)
	}
	require.Equal(t, []byte{0xff}, netem.Damage{Bits: 32}.Apply([]byte{0}, 7), "there are no more bits")

	lengths := map[int]int{}
	for noise := range uint64(1000) {
		got := netem.Damage{Truncate: true}.Apply(payload, noise<<54)
		require.Equal(t, before[:len(got)], string(got))
		lengths[len(got)]++
	}
	require.Len(t, lengths, len(payload), "0 bytes to all but one")
	require.Empty(t, netem.Damage{Truncate: true}.Apply(nil, 7))
}
