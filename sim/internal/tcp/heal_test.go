package tcp

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawConfig draws every field of a Config but those whose patience decides whether a
// connection survives.
func drawConfig(t *rapid.T, side string) Config {
	flag := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, side+name) == 0 }
	pick := func(name string, of ...int) int { return rapid.SampledFrom(of).Draw(t, side+name) }
	millis := func(name string, of ...int) Time { return Time(pick(name, of...)) * time.Millisecond }
	cfg := Config{
		CongestionControl:    []string{"cubic", "reno"}[pick("cc", 0, 1)],
		InitialCwnd:          pick("iw", 0, 0, 1, 2, 4, 40),
		RTOInitial:           millis("rtoInitial", 0, 0, 200, 3000),
		RTOMin:               millis("rtoMin", 0, 0, 5, 50, 1000),
		RTOMax:               millis("rtoMax", 0, 0, 3000, 10_000),
		SynRetries:           pick("synRetries", 0, 20),
		SynLinearTimeouts:    pick("synLinear", 0, -1, 20),
		SynAckRetries:        30,
		FinTimeout:           millis("finTimeout", 0, 100),
		TimeWait:             millis("timeWait", 0, 0, 300_000), // less, and a FIN whose acknowledgements were lost may find nobody
		DelayedAckMin:        millis("delackMin", 0, 0, 1),
		DelayedAckMax:        millis("delackMax", 0, 0, 500),
		Reordering:           pick("reordering", 0, 1, 10),
		NoSACK:               flag("nosack"),
		NoDSACK:              flag("nodsack"),
		NoTimestamps:         flag("nots"),
		NoWindowScaling:      flag("noscale"),
		NoTailLossProbe:      flag("notlp"),
		NoFRTO:               flag("nofrto"),
		NoSlowStartAfterIdle: flag("noidle"),
		NoHyStart:            flag("nohystart"),
		NoBufferTuning:       flag("notuning"),
		KeepAlive:            KeepAlive{Off: flag("nokeepalive")},
	}
	if k := pick("rcvbuf", 0, 0, 2304, 5000, 20_000, 100_000); k > 0 {
		cfg.ReceiveBuffer = Buffer{Default: k, Max: k * pick("rcvmax", 1, 4)}
	}
	if k := pick("sndbuf", 0, 0, 1, 2000, 5000, 20_000, 100_000); k > 0 {
		cfg.SendBuffer = Buffer{Default: k, Max: k * pick("sndmax", 1, 4)}
	}
	return cfg
}

// TestStreamsHeal: two streams at once over a path that loses, repeats, delays and
// narrows for a while, between programs that write and read as they like. Once all is
// well again every stream ends whole, unless a program gave the connection up. Until then
// no packet exceeds an MTU, nothing is sent beyond a window, and in the end all is quiet.
// TCP_TRACE=1 prints the segments of a failure; -rapid.checks and -rapid.seed try more.
func TestStreamsHeal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		heal := Time(rapid.SampledFrom([]int{0, 1000, 5000, 20_000}).Draw(t, "heal")) * time.Millisecond
		narrow := rapid.SampledFrom([]int{0, 0, 0, 128, 300, 1200}).Draw(t, "narrow")
		narrowAt := Time(rapid.IntRange(0, 3000).Draw(t, "narrow at")) * time.Millisecond
		blocks := rapid.SampledFrom([]int{0, 0, 0, 1, 5}).Draw(t, "dark") // seconds
		darkAt := Time(rapid.IntRange(0, 5000).Draw(t, "dark at")) * time.Millisecond
		p := &path{}
		talkers := make([]*talker, 2)
		for i := range p.ends {
			side := [2]string{"client ", "server "}[i]
			full, err := drawConfig(t, side).Complete()
			require.NoError(t, err)
			e := &end{p: p, i: i, cfg: full, mtu: rapid.SampledFrom([]int{1500, 128, 200, 576, 9000, 65535}).Draw(t, side+"mtu"), timer: Never}
			p.ends[i] = e
			e.dir = direction{
				rng:    rand.NewPCG(seed, uint64(i)),
				delay:  Time(rapid.SampledFrom([]int{0, 1, 10, 100}).Draw(t, side+"delay")) * time.Millisecond / 2,
				jitter: Time(rapid.SampledFrom([]int{0, 0, 1, 20, 100}).Draw(t, side+"jitter")) * time.Millisecond,
				lossP:  uint32(rapid.SampledFrom([]int{0, 0, 1, 5, 20, 40}).Draw(t, side+"loss")) * 42949672,
				dupP:   uint32(rapid.SampledFrom([]int{0, 0, 5, 30}).Draw(t, side+"dup")) * 42949672,
				rate:   int64(rapid.SampledFrom([]int{0, 0, 1e6, 1e7}).Draw(t, side+"rate")),
			}
			if e.dir.rate > 0 {
				e.dir.limitPkts = rapid.SampledFrom([]int{0, 3, 20}).Draw(t, side+"queue")
			}
			k := &talker{
				e:         e,
				rng:       rand.New(rand.NewPCG(seed, uint64(i)+2)),
				size:      rapid.SampledFrom([]int{0, 1, 1000, 30_000, 100_000}).Draw(t, side+"size"),
				piece:     rapid.SampledFrom([]int{10, 300, 1000, 100_000}).Draw(t, side+"piece"),
				pause:     Time(rapid.SampledFrom([]int{0, 0, 0, 10, 100}).Draw(t, side+"pause")) * time.Millisecond,
				readsFrom: Time(rapid.SampledFrom([]int{0, 0, 500, 2000, 30_000}).Draw(t, side+"reads from")) * time.Millisecond,
			}
			if k.pause > 0 {
				k.size = min(k.size, 2000*k.piece)
			}
			talkers[i] = k
			abortAt := Time(rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 3000}).Draw(t, side+"abort")) * time.Millisecond
			nagle := rapid.IntRange(0, 3).Draw(t, side+"nagle") == 0
			shrink := rapid.SampledFrom([]int{0, 0, 0, 1, 4000}).Draw(t, side+"shrink")
			shrinkAt := Time(rapid.IntRange(0, 3000).Draw(t, side+"shrink at")) * time.Millisecond
			e.onEvt = func(e *end, ev Events) {
				if ev&Failed != 0 {
					k.failed = true
				}
				if ev&Connected != 0 && nagle {
					e.conn.SetNoDelay(p.now, false)
				}
				if ev&(Connected|Writable) != 0 {
					k.write()
				}
				if ev&Readable != 0 {
					k.read(t)
				}
			}
			later := func(at Time, f func()) {
				if at > 0 {
					p.after(at, func() {
						if e.conn != nil {
							f()
							e.settle()
						}
					})
				}
			}
			later(k.readsFrom, func() { k.read(t) })
			later(abortAt, func() { k.gaveUp = true; e.conn.Abort(p.now) })
			if shrink > 0 {
				later(shrinkAt, func() { e.conn.SetReadBuffer(shrink); e.conn.SetWriteBuffer(shrink) })
			}
			e.dir.watch = func(s *Segment) {
				require.LessOrEqual(t, s.Size(), e.mtu, "more than a packet: %s", describe(s))
				require.LessOrEqual(t, s.Size(), p.ends[1-i].mtu, "more than the peer takes: %s", describe(s))
				if len(s.Payload) > 0 && k.rightEdge > 0 {
					require.LessOrEqual(t, s.Seq+uint64(len(s.Payload)), k.rightEdge, "beyond the window: %s", describe(s))
				}
			}
			e.onInput = func(s *Segment) {
				if s.Flags&ACK != 0 && s.Flags&RST == 0 {
					k.rightEdge = max(k.rightEdge, s.Ack+uint64(s.Window))
				}
			}
			e.dir.drop = func(_ int, s *Segment) bool {
				if narrow > 0 && p.now >= narrowAt && s.Size() > narrow {
					seq := s.Seq
					later(e.dir.delay+1, func() { e.conn.TooBig(p.now, seq, narrow) })
					return true
				}
				return p.now >= darkAt && p.now < darkAt+Time(blocks)*time.Second
			}
		}
		if m := min(p.ends[0].mtu, p.ends[1].mtu); m < minAdvMSS+ipv4Header+tcpHeader {
			p.ends[0].mtu, p.ends[1].mtu = m, m // so small an MTU nobody announces
		}
		p.ends[1].listen = true
		p.after(heal, func() {
			for _, e := range p.ends {
				e.dir.lossP, e.dir.dupP, e.dir.jitter, e.dir.limitPkts = 0, 0, 0, 0
			}
		})
		p.trace = os.Getenv("TCP_TRACE") != ""
		p.client().dial()
		steps := 0
		for len(p.events) > 0 && p.now < 2*time.Hour && !talkers[0].atEnd(talkers[1]) {
			p.run(p.events[0].at)
			if steps++; steps%128 == 0 {
				for _, e := range p.ends {
					if e.conn != nil {
						requireConsistent(t, e.conn)
					}
				}
			}
		}
		state := func() string {
			return fmt.Sprintf("at %v\nclient %s\nserver %s\n%s", p.now, dump(p.ends[0]), dump(p.ends[1]), strings.Join(p.log, "\n"))
		}
		require.Less(t, p.now, 2*time.Hour, "it never ends %s", state())
		gaveUp := talkers[0].gaveUp || talkers[1].gaveUp
		for i, k := range talkers {
			other := talkers[1-i]
			if gaveUp {
				require.LessOrEqual(t, k.got, other.written)
				continue
			}
			require.NotNil(t, k.e.conn, "the SYN never arrived: %s", state())
			require.False(t, k.failed, "side %d failed with %v %s", i, k.e.conn.Err(), state())
			require.Equal(t, other.size, k.got, "side %d %s", i, state())
			require.True(t, k.heardEnd, "side %d did not hear the end %s", i, state())
		}
		// What was heard to the end is soon acknowledged, and then nothing more is sent.
		for _, e := range p.ends {
			if e.conn != nil {
				e.conn.SetKeepAlive(p.now, KeepAlive{Off: true})
			}
		}
		quiet := p.now + 20*time.Minute
		p.run(quiet)
		sent := p.ends[0].dir.sent + p.ends[1].dir.sent
		p.run(quiet + 2*time.Hour)
		require.Equal(t, sent, p.ends[0].dir.sent+p.ends[1].dir.sent, "it goes on for ever %s", state())
	})
}

// TestLateReaders: both sides send until both windows are closed, and taken back when the
// memory behind them is used up; when the programs read at last the streams go on.
func TestLateReaders(t *testing.T) {
	for _, mtu := range []int{128, 200} {
		for _, piece := range []int{10, 1000} {
			for _, buffer := range []int{20_000, 100_000} {
				t.Run(fmt.Sprintf("mtu %d, pieces of %d, buffers of %d", mtu, piece, buffer), func(t *testing.T) {
					p := newPath(t, Config{ReceiveBuffer: Buffer{Default: buffer, Max: buffer}}, 20*ms)
					var talkers [2]*talker
					for i, e := range p.ends {
						k := &talker{e: e, rng: rand.New(rand.NewPCG(1, uint64(i))), size: 50_000, piece: piece, readsFrom: 2 * time.Second}
						talkers[i] = k
						e.mtu = mtu
						e.onEvt = func(e *end, ev Events) {
							require.Zero(t, ev&Failed, "%v", e.conn.Err())
							if ev&(Connected|Writable) != 0 {
								k.write()
							}
							if ev&Readable != 0 {
								k.read(t)
							}
						}
						p.after(k.readsFrom, func() { k.read(t); e.settle() })
					}
					p.client().dial()
					p.run(time.Minute)
					for _, k := range talkers {
						require.Equal(t, 50_000, k.got)
						require.True(t, k.heardEnd)
					}
				})
			}
		}
	}
}
