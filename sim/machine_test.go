package sim_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Parking never changes the trace, whenever a connection is parked.
func TestParkingLeavesTraces(t *testing.T) {
	t.Parallel()
	parked := 0
	trace := func(work func(n *sim.Network), seed uint64, park bool) (trace string) {
		require.NoError(t, sim.Try(t, func(n *sim.Network) error {
			if park {
				go func() {
					for range 1000 {
						time.Sleep(1_700 * time.Microsecond)
						parked += n.Park()
					}
				}()
			}
			work(n)
			time.Sleep(time.Minute)
			trace = fmt.Sprintf("%x\n%s\n%s\n%s", n.Trace().Hash(), n.Trace(), n.Stats(), n.Host("server").Netstat())
			return nil
		}, sim.Seed(seed)))
		return trace
	}
	for name, work := range map[string]func(n *sim.Network){"sockets": randomSockets, "narrow": narrowSockets, "late": lateSockets} {
		for seed := range uint64(fewerUnderRace(6)) {
			require.NoError(t, sameRun(fmt.Sprintf("%s, seed %d, parked", name, seed), trace(work, seed, false), trace(work, seed, true)))
		}
	}
	require.Greater(t, parked, fewerUnderRace(300))
}

// Most idle connections are parked without being asked. Both ends together with their share of the trace take less
// than 2.2 kB, compared with 2.7 kB when awake. Afterwards they carry data as before.
func TestManyIdleConnectionsAreParked(t *testing.T) {
	t.Setenv("SQUALL_ARTIFACTS", "off") // what is recorded takes memory
	const conns = 2000
	alloc := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.KeepAwake(1 << 10)
		client, server := n.Host("client"), n.Host("server")
		l := listen(t, server, ":7")
		before := alloc()
		ends := make([][2]io.ReadWriteCloser, conns)
		for i := range ends {
			ends[i] = [2]io.ReadWriteCloser{dial(t, client, "server:7"), accepted(t, l)}
		}
		require.Greater(t, n.Parked(), 2*conns-1100)
		if !sim.RaceEnabled {
			require.Less(t, (alloc()-before)/conns, 2200.0)
		}
		time.Sleep(20 * time.Second) // each end probes once
		require.Greater(t, n.Parked(), 2*conns-1100)
		for i, e := range ends {
			for k := range e {
				_, err := e[k].Write([]byte{byte(i)})
				require.NoError(t, err)
			}
		}
		for i, e := range ends {
			for k := range e {
				var p [2]byte
				got, err := e[k].Read(p[:])
				require.NoError(t, err)
				require.Equal(t, []byte{byte(i)}, p[:got])
			}
		}
		time.Sleep(20 * time.Second)
		require.Greater(t, n.Parked(), 2*conns-1100, "they rest again")
		for _, e := range ends {
			require.NoError(t, e[0].Close())
		}
		for _, e := range ends {
			_, err := e[1].Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
		}
	}, sim.DefaultLink(netem.Config{Delay: 50 * time.Microsecond}), sim.ManyTimers())
}

func accepted(t *testing.T, l net.Listener) net.Conn {
	c, err := l.Accept()
	require.NoError(t, err)
	return c
}
