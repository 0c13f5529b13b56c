package sim_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// bridgeError is the most that the measuring bridge added to a round trip at rest, in milliseconds.
const bridgeError = 0.6

// playExchanges compares how long it takes to connect, to be refused, and to ask and be answered,
// with requests in one or more writes.
func playExchanges(t *testing.T, f *fidelity) {
	for _, r := range measuredTable(t, measured+"exchanges.csv") {
		kernel := r.sample(t, "ms")
		n := int(r.num(t, "n"))
		name := fmt.Sprintf("%s rtt=%s ms", r["what"], r["rtt_ms"])
		var took []float64
		onTestbed(t, both(measuredHost("cubic"), netem.Config{Delay: r.ms(t, "rtt_ms") / 2}), func(b *testbed) {
			switch r["what"] {
			case "connect":
				l := listen(t, b.server, ":9000")
				for range n {
					start := b.n.Elapsed()
					c := b.dial()
					took = append(took, toMS(b.n.Elapsed()-start))
					c.Close()
				}
				l.Close()
			case "refused":
				for range n {
					start := b.n.Elapsed()
					_, err := b.client.Dial("tcp", "server:9")
					require.ErrorIs(t, err, syscall.ECONNREFUSED)
					took = append(took, toMS(b.n.Elapsed()-start))
				}
			default:
				var pieces []int
				total := 0
				for _, k := range r.list(t, "pieces") {
					pieces, total = append(pieces, int(k)), total+int(k)
				}
				b.answer(total, func() {})
				c := b.dial()
				require.NoError(t, c.SetNoDelay(r["nagle"] != "true"))
				for range n {
					took = append(took, toMS(b.exchange(c, pieces...)))
					time.Sleep(r.ms(t, "pause_ms"))
				}
				c.Close()
			}
		})
		if r["pieces"] != "" {
			name += fmt.Sprintf(" pieces=%s nagle=%s pause=%s ms", r["pieces"], r["nagle"], r["pause_ms"])
		}
		squall := sampleOf(took)
		// With Nagle's algorithm a small segment after another one waits for a delayed
		// acknowledgement.
		pieces := r.list(t, "pieces")
		if r["nagle"] == "true" && len(pieces) > 1 && pieces[0] < 1448 {
			rtts := squall.median - r.num(t, "rtt_ms")
			f.timer(name, kernel, squall, rtts, false)
			continue
		}
		f.near(name, kernel, squall, 0.01, 0, bridgeError)
	}
}

// playSynLadders compares when a SYN and a SYN-ACK are repeated, and when connect
// fails.
func playSynLadders(t *testing.T, f *fidelity) {
	var syns, synAcks []float64
	var failed, connected time.Duration
	link := both(measuredHost("cubic"), netem.Config{Delay: 10 * ms})
	onTestbed(t, link, func(b *testbed) {
		listen(t, b.server, ":9000")
		b.link.Down()
		start := b.n.Elapsed()
		_, err := b.client.Dial("tcp", "server:9000")
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		failed = b.n.Elapsed() - start
		syns = after(start, b.sent(b.client, start, isSyn))
	})
	onTestbed(t, link, func(b *testbed) {
		listen(t, b.server, ":9000")
		b.n.After(5*ms, func() { b.link.DownFrom(b.client) }) // the SYN is on its way
		start := b.n.Elapsed()
		c := b.dial()
		connected = b.n.Elapsed() - start
		time.Sleep(10 * time.Minute)
		sent := b.sent(b.server, start, isSyn)
		synAcks = after(sent[0].At, sent)
		c.Close()
	})

	times, ends := map[string][][]float64{}, map[string][]float64{} // by kind and index
	for _, r := range measuredTable(t, measuredTCP+"syn.csv") {
		kind, i := r["kind"], int(r.num(t, "index"))
		if i == len(times[kind]) {
			times[kind] = append(times[kind], nil)
		}
		times[kind][i] = append(times[kind][i], r.num(t, "t_ms"))
		if i == 0 {
			ends[kind] = append(ends[kind], r.num(t, "end_ms"))
		}
	}
	for _, l := range []struct {
		kind   string
		squall []float64
	}{{"SYN", syns}, {"SYN-ACK", synAcks}} {
		var kernel []sample
		for _, values := range times[l.kind] {
			kernel = append(kernel, span(values))
		}
		f.ladder(l.kind, kernel, l.squall)
	}
	f.timer("connect fails", span(ends["SYN"]), exactly(toMS(failed)), toMS(failed), true)
	f.near("connect whose last ACK is lost", span(ends["SYN-ACK"]), exactly(toMS(connected)), 0.01, 0, 2*bridgeError)
}

// span is the median of some values and all that they reach to.
func span(values []float64) sample {
	slices.Sort(values)
	return sample{quantile(values, 0.5), values[0], values[len(values)-1]}
}

// playLadders compares when data that nobody acknowledges is sent again, keep-alive
// probes and probes of a zero window.
func playLadders(t *testing.T, f *fidelity) {
	for _, r := range measuredTable(t, measured+"ladders.csv") {
		rtt := r.ms(t, "rtt_ms")
		kernel := r.list(t, "times_ms")
		name := fmt.Sprintf("%s rtt=%v", r["what"], rtt)
		var squall []float64
		switch r["what"] {
		case "give up":
			squall = giveUp(t, rtt)
		case "keep-alive":
			squall = keepAlive(t, rtt)
		default:
			name += " writes of " + r["chunk"]
			z := zeroWindow(t, rtt, int(r.num(t, "chunk")))
			f.near(name+": bytes that the writer was rid of", exactly(r.num(t, "written_bytes")), exactly(z.written), 0.05, 0, 0)
			if rtt != 20*ms && r["chunk"] == "1000" {
				const other = 309_432
				f.unreached(fmt.Sprintf("the kernel's own differ, as far as its send buffer grew in that run; held to those at 20 ms: %d", other),
					math.Abs(z.written/other-1) <= 0.05)
			}
			f.near(name+": bytes that the reader's queue took", exactly(r.num(t, "queued_bytes")), exactly(z.queued), 0.05, 0, 0)
			// Each probe begins the wait for the next one. The kernel was watched for
			// 35 s; those of squall that fall behind its last one are not compared.
			squall = waits(z.probes[:min(len(z.probes), len(kernel))])
			kernel = waits(kernel)
			name += " wait"
		}
		f.ladder(name, each(kernel), squall)
	}
}

// waits are the times between some instants, the first one counted from 0.
func waits(at []float64) (all []float64) {
	before := 0.0
	for _, v := range at {
		all, before = append(all, v-before), v
	}
	return all
}

// giveUp sends a request into an endless blackout: when it is sent, and when the
// connection fails.
func giveUp(t *testing.T, rtt time.Duration) (at []float64) {
	onTestbed(t, both(measuredHost("cubic"), netem.Config{Delay: rtt / 2}), func(b *testbed) {
		b.answer(1, func() {})
		c := b.dial()
		b.exchange(c, 1)
		b.link.Down()
		start := b.n.Elapsed()
		_, err := c.Write(zeros[:1])
		require.NoError(t, err)
		_, err = c.Read(scratch[:1])
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		failed := b.n.Elapsed()
		at = append(after(start, b.sent(b.client, start, carriesData)), toMS(failed-start))
	})
	return at
}

// keepAlive cuts an idle connection with Go's defaults: when probes are sent, and the
// RST of the end.
func keepAlive(t *testing.T, rtt time.Duration) (at []float64) {
	cfg := measuredHost("cubic")
	cfg.KeepAlive.Off = false
	onTestbed(t, both(cfg, netem.Config{Delay: rtt / 2}), func(b *testbed) {
		b.answer(1, func() {})
		c := b.dial()
		b.exchange(c, 1)
		b.link.Down()
		start := b.n.Elapsed()
		_, err := c.Read(scratch[:1])
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		at = after(start, b.sent(b.client, start+1, anyPacket))
	})
	return at
}

// zeroWindowResult: bytes that the writer was rid of and that lay unread at the end,
// and the probes since the answer that closed the window, in ms.
type zeroWindowResult struct {
	written, queued float64
	probes          []float64
}

// zeroWindow has the client write in pieces until a write has blocked for 3 s, while
// the server does not read for 35 s.
func zeroWindow(t *testing.T, rtt time.Duration, chunk int) (z zeroWindowResult) {
	onTestbed(t, both(measuredHost("cubic"), netem.Config{Delay: rtt / 2}), func(b *testbed) {
		read := make(chan int64, 1)
		b.serve(func(c *sim.TCPConn) {
			time.Sleep(35 * time.Second)
			k, err := io.Copy(io.Discard, c)
			assertNoError(t, err)
			read <- k
		})
		c := b.dial()
		for {
			require.NoError(t, c.SetWriteDeadline(in(3*time.Second)))
			k, err := c.Write(zeros[:chunk])
			z.written += float64(k)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			require.NoError(t, err)
		}
		time.Sleep(34*time.Second - b.n.Elapsed())

		probes := b.sent(b.client, 0, func(e sim.Event) bool { return e.Length == 0 && e.Resent })
		require.NotEmpty(t, probes)
		acks := b.sent(b.server, 0, func(e sim.Event) bool { return e.At < probes[0].At })
		last := acks[len(acks)-1]
		z.queued = float64(last.Ack - 1)
		z.probes = after(last.At, probes)

		c.Close()
		require.EqualValues(t, z.written, <-read, "all of it arrives when the reader wakes up")
	})
	return z
}
