package sim_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Ten datagrams of 100 bytes cross a link that damages each. Those that a checksum finds are dropped, the others arrive changed.
func TestDamagedDatagrams(t *testing.T) {
	sent := bytes.Repeat([]byte("0123456789"), 10)
	for _, row := range []struct {
		reason   string
		damage   netem.Damage
		arrive   int
		differ   bool
		all      bool // of the bytes
		altered  int64
		checksum int64
	}{
		{"the checksum finds it", netem.Damage{}, 0, false, false, 0, 10},
		{"the checksum of UDP passes it", netem.Damage{UndetectedUDP: true, Bits: 3}, 10, true, true, 10, 0},
		{"that of TCP has no say", netem.Damage{UndetectedTCP: true}, 0, false, false, 0, 10},
		{"a part is missing", netem.Damage{UndetectedUDP: true, Truncate: true}, 10, true, false, 10, 0},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a, b := n.Host("a"), n.Host("b")
			n.LinkAsym(a, b, netem.Config{Delay: ms, Corrupt: 1, Damage: row.damage}, netem.Config{Delay: ms})
			in, err := b.ListenPacket("udp", ":9")
			require.NoError(t, err)
			defer in.Close()
			out, err := a.Dial("udp", "b:9")
			require.NoError(t, err)
			defer out.Close()
			for range 10 {
				_, err := out.Write(sent)
				require.NoError(t, err)
			}
			buffer := make([]byte, 200)
			in.SetReadDeadline(time.Now().Add(time.Second))
			for range row.arrive {
				k, _, err := in.ReadFrom(buffer)
				require.NoError(t, err, row.reason)
				require.NotEqual(t, sent, buffer[:k], row.reason)
				require.Equal(t, row.all, k == len(sent), row.reason)
			}
			_, _, err = in.ReadFrom(buffer)
			require.Error(t, err, row.reason)
			require.Equal(t, string(bytes.Repeat([]byte("0123456789"), 10)), string(sent), "the sender's bytes are its own")
			s := n.Stats().Links[0]
			require.Equal(t, []int64{row.altered, row.checksum}, []int64{s.Altered, s.Corrupted}, row.reason)
		})
	}
}

// A TCP stream that carries damaged bytes keeps the length of what was sent. Bytes that were cut off are sent again.
func TestDamagedStream(t *testing.T) {
	sent := make([]byte, 300_000)
	for _, row := range []struct {
		damage netem.Damage
		least  int // bytes that differ
		most   int
	}{
		{netem.Damage{UndetectedTCP: true}, 5, 60},
		{netem.Damage{UndetectedTCP: true, Truncate: true}, 0, 0},
		{netem.Damage{UndetectedUDP: true}, 0, 0},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a, b := n.Host("a"), n.Host("b")
			n.LinkAsym(a, b, netem.Config{Delay: 10 * ms, Corrupt: 0.1, Damage: row.damage}, netem.Config{Delay: 10 * ms})
			l, err := b.Listen("tcp", ":80")
			require.NoError(t, err)
			defer l.Close()
			go func() {
				c, err := a.Dial("tcp", "b:80")
				if err == nil {
					c.Write(sent)
					c.Close()
				}
			}()
			c, err := l.Accept()
			require.NoError(t, err)
			defer c.Close()
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Len(t, got, len(sent))
			differ := 0
			for _, x := range got {
				if x != 0 {
					differ++
				}
			}
			require.GreaterOrEqual(t, differ, row.least)
			require.LessOrEqual(t, differ, row.most)
			s := n.Stats().Links[0]
			require.Equal(t, row.damage.UndetectedTCP, s.Altered > 0)
			if row.least > 0 {
				require.Contains(t, n.Trace().String(), "payload altered")
			}
		})
	}
}

// Copies can arrive an hour later, and Limit drops packets beyond its number.
func TestLateCopies(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		link := n.LinkAsym(a, b, netem.Config{Delay: ms, Duplicate: 1, Copies: netem.Copies{Number: 2, Delay: time.Hour}}, netem.Config{Delay: ms})
		in, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		defer in.Close()
		out, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		defer out.Close()
		out.Write([]byte("once"))
		buffer := make([]byte, 10)
		for _, want := range []time.Duration{ms, time.Hour + ms, time.Hour + ms} {
			k, _, err := in.ReadFrom(buffer)
			require.NoError(t, err)
			require.Equal(t, "once", string(buffer[:k]))
			require.InDelta(t, float64(want), float64(n.Elapsed()), 10)
		}
		require.Equal(t, int64(2), n.Stats().Links[0].Duplicated)
		link.Set(netem.Config{Delay: ms, Limit: 1})
		out.Write([]byte("one"))
		out.Write([]byte("two"))
		_, _, err = in.ReadFrom(buffer)
		require.NoError(t, err)
		require.Equal(t, int64(1), n.Stats().Links[0].OverLimit)
	})
}
