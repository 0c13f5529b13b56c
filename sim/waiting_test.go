package sim_test

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A download fills the queue before a line of 5 Mbit/s. The time that a question of 100 bytes and its answer take on
// the same line shows how long the queue is, and whose packets are in it.
func TestQueuesUnderADownload(t *testing.T) {
	for _, row := range []struct {
		queue       netem.Queue
		least, most time.Duration // of the longest round trip, once the download has got going; without the queue it takes 40 ms
		slowest     time.Duration // for the download of 4 MB, which takes 6.4 s at the rate
	}{
		{netem.DropTail{Packets: 100}, 200 * ms, 330 * ms, 8 * time.Second},
		{netem.DropHead{Packets: 100}, 200 * ms, 330 * ms, 8 * time.Second},
		{netem.RED{Min: 15_000, Max: 45_000, Limit: 300_000, Probability: 0.1, Weight: 7}, 50 * ms, 300 * ms, 9 * time.Second},
		{netem.CoDel{}, 45 * ms, 120 * ms, 9 * time.Second},
		{netem.FQCoDel{}, 40 * ms, 45 * ms, 9 * time.Second},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			server, client := n.Host("server"), n.Host("client")
			n.LinkAsym(server, client, netem.Config{Delay: 20 * ms, Rate: 5 * netem.Mbit, Queue: row.queue}, netem.Config{Delay: 20 * ms})
			serve(t, server, func(c io.ReadWriteCloser) {
				c.Write(make([]byte, 4_000_000))
				c.Close()
			})
			echo, err := server.ListenPacket("udp", ":7")
			require.NoError(t, err)
			defer echo.Close()
			go func() {
				b := make([]byte, 200)
				for {
					k, from, err := echo.ReadFrom(b)
					if err != nil {
						return
					}
					echo.WriteTo(b[:k], from)
				}
			}()
			ask, err := client.Dial("udp", "server:7")
			require.NoError(t, err)
			defer ask.Close()
			conn, err := client.Dial("tcp", "server:80")
			require.NoError(t, err)
			done := make(chan time.Duration, 1)
			go func() {
				io.Copy(io.Discard, conn)
				conn.Close()
				done <- n.Elapsed()
			}()
			var longest time.Duration
			for i := range 50 {
				began := n.Elapsed()
				ask.Write(make([]byte, 100))
				ask.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := ask.Read(make([]byte, 200)); err == nil && i > 15 {
					longest = max(longest, n.Elapsed()-began)
				}
				time.Sleep(100*ms + 7)
			}
			took := <-done
			require.GreaterOrEqual(t, longest, row.least, "%v", row.queue)
			require.LessOrEqual(t, longest, row.most, "%v", row.queue)
			require.Less(t, took, row.slowest, "%v", row.queue)
			time.Sleep(time.Second) // the server's last acknowledgement is on its way
			s := n.Stats().Links[1]
			require.Equal(t, "server", s.From)
			require.Equal(t, s.Sent, s.Delivered+s.QueueFull, "%v: all packets are accounted for", row.queue)
			require.Positive(t, s.QueueFull, "%v", row.queue)
		})
	}
}

// serve answers one connection to port 80.
func serve(t *testing.T, h *sim.Host, answer func(io.ReadWriteCloser)) {
	l, err := h.Listen("tcp", ":80")
	require.NoError(t, err)
	go func() {
		defer l.Close()
		if c, err := l.Accept(); err == nil {
			answer(c)
		}
	}()
}
