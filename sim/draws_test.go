package sim_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// tcp draws settings that let every connection survive the faults of these programs.
func (p *program) tcp() sim.TCPConfig {
	var c sim.TCPConfig
	r := p.r
	rarely := func(f func()) {
		if p.one(6) {
			f()
		}
	}
	rarely(func() { c.CongestionControl = "reno" })
	rarely(func() { c.InitialCwnd = 1 + r.IntN(40) })
	rarely(func() { c.RTOInitial = pick(r, 100*ms, 300*ms, 3*time.Second) })
	if p.boxed { // or a listener forgets an attempt before what holds its packets on the longer way has ended
		c.RTOInitial = 0
	}
	rarely(func() { c.RTOMin = pick(r, 50*ms, 100*ms, time.Second) })
	rarely(func() { c.RTOMax = pick(r, 60*time.Second, 300*time.Second) })
	rarely(func() { c.SynRetries = 6 + r.IntN(4) })
	rarely(func() { c.SynLinearTimeouts = pick(r, -1, 2, 8) })
	rarely(func() { c.SynAckRetries = 5 + r.IntN(4) })
	rarely(func() { c.Retries2 = 15 + r.IntN(5) })
	c.OrphanRetries = 30 + r.IntN(90)
	if p.crashes {
		c.OrphanRetries = 7 + r.IntN(13)
	}
	rarely(func() { c.UserTimeout = pick(r, time.Hour, 3*time.Hour) })
	rarely(func() { c.FinTimeout = time.Duration(20+r.IntN(100)) * time.Second })
	rarely(func() { c.TimeWait = pick(r, ms, time.Second, 120*time.Second) })
	rarely(func() {
		c.KeepAlive = sim.TCPKeepAlive{Off: !p.crashes && p.one(3), Idle: pick(r, time.Second, 5*time.Second), Interval: pick(r, time.Second, 2*time.Second), Count: 9 + r.IntN(9)}
	})
	rarely(func() { c.DelayedAckMin = pick(r, ms, 10*ms, 100*ms) })
	rarely(func() { c.DelayedAckMax = pick(r, 100*ms, 500*ms) })
	rarely(func() { c.SendBuffer.Default = pick(r, 4608, 10_000, 100_000) })
	rarely(func() { c.SendBuffer.Max = pick(r, 100_000, 300_000) })
	rarely(func() { c.ReceiveBuffer.Default = pick(r, 2304, 5000, 20_000) })
	rarely(func() { c.ReceiveBuffer.Max = pick(r, 131_072, 300_000) })
	rarely(func() { c.SendBuffer.Min, c.ReceiveBuffer.Min = pick(r, 2000, 8192), pick(r, 1, 2000) })
	rarely(func() { c.AcceptBacklog = pick(r, -1, 1, 10) })
	rarely(func() { c.AbortOnOverflow = p.crashes })
	rarely(func() { c.NoSACK = true })
	rarely(func() { c.NoDSACK = true })
	rarely(func() { c.NoTimestamps = true })
	rarely(func() { c.NoWindowScaling = true })
	rarely(func() { c.NoTailLossProbe = true })
	rarely(func() { c.NoFRTO = true })
	rarely(func() { c.NoSlowStartAfterIdle = true })
	rarely(func() { c.NoHyStart = true })
	rarely(func() { c.NoBufferTuning = true })
	rarely(func() { c.Reordering = 1 + r.IntN(30) })
	// Without both, only the timer notices that a retransmission was lost, and no acknowledgement
	// is a valid measurement that ends the timer's backoff. Then Linux gives the connection up
	// 924 s after the first retransmission, although bytes keep arriving
	// (retransmits_timed_out, tcp_ack_update_rtt).
	if p.seed%2 == 0 {
		c.NoSACK = false
	} else {
		c.NoTimestamps = false
	}
	return c
}

// link draws the settings of one direction of a link.
func (p *program) link() netem.Config {
	r := p.r
	c := netem.Config{Delay: steps(r, 12), MTU: p.mtu}
	if p.one(8) {
		c.Delay = time.Duration(r.IntN(400)) * ms
	}
	if c.Delay > 0 && p.one(4) {
		c.Jitter = min(c.Delay, time.Duration(1+r.IntN(20))*ms)
		c.KeepOrder = p.one(2)
		if p.one(3) {
			c.Distribution = pick(r, netem.Normal, netem.Pareto, netem.ParetoNormal)
		}
	}
	switch r.IntN(8) {
	case 0, 1, 2:
		c.Loss = netem.Bernoulli(0.01 * float64(1+r.IntN(6)))
	case 3:
		c.Loss = netem.GilbertElliott{P: 0.02, R: 0.4, LossBad: 0.6}
	case 4:
		c.Loss = netem.EveryNth(10 + r.IntN(50))
	case 5:
		var list netem.DropList
		for range r.IntN(6) {
			list = append(list, 1+r.IntN(60))
		}
		slices.Sort(list)
		c.Loss = slices.Compact(list)
	}
	if p.mtu == 68 && c.Loss != nil { // a segment is two packets
		c.Loss = netem.Bernoulli(0.01)
	}
	if p.one(6) {
		c.Duplicate = 0.03
	}
	if p.one(6) && c.Delay > 0 && !c.KeepOrder {
		c.Reorder = 0.05
	}
	if p.one(6) {
		c.Corrupt = 0.02
	}
	if p.one(3) {
		c.Rate = pick(r, 500*netem.Kbit, 2*netem.Mbit, 10*netem.Mbit)
		if p.one(2) {
			c.Queue = netem.DropTail{Packets: 2 + r.IntN(20)}
		} else {
			c.Queue = netem.DropTail{Bytes: max(p.mtu, 1500) * (1 + r.IntN(20))}
		}
	}
	return c
}

// build draws hosts and the links and routers that join them.
func (p *program) build() {
	n, r := p.n, p.r
	if p.boxed {
		p.buildBoxes()
		return
	}
	p.mtu = pick(r, 0, 0, 0, 68, 100, 128, 200, 576, 1400, 4000, 9000, 65535)
	for i := range 2 + r.IntN(2) {
		p.hosts = append(p.hosts, n.Host(fmt.Sprintf("host%d", i)))
		if p.one(4) {
			p.hosts[i].SetTCP(p.tcp())
		}
	}
	join := p.join
	switch r.IntN(3) {
	case 0: // each with each
		for i, a := range p.hosts {
			for _, b := range p.hosts[:i] {
				join(a, b)
			}
		}
	case 1: // a star
		for _, h := range p.hosts {
			join(h, n.Router("r0"))
		}
	case 2: // a chain of routers
		join(n.Router("r0"), n.Router("r1"))
		for i, h := range p.hosts {
			join(h, n.Router(fmt.Sprintf("r%d", i%2)))
		}
	}
	if p.one(4) {
		p.hosts[0].Access(p.link(), p.link())
	}
}

func (p *program) join(a, b sim.Node) {
	there, back := p.link(), p.link()
	p.configs = append(p.configs, [2]netem.Config{there, back})
	p.links = append(p.links, p.n.LinkAsym(a, b, there, back))
}

// plan draws the streams: who talks to whom, and how.
func (p *program) plan() {
	r := p.r
	for i := range 1 + r.IntN(3) {
		client := r.IntN(len(p.hosts))
		server := (client + 1 + r.IntN(len(p.hosts)-1)) % len(p.hosts)
		if p.boxed {
			client, server = client&^1, 1
		}
		s := &stream{p: p, number: i, client: p.hosts[client], server: p.hosts[server], exact: p.one(3)}
		for k := range s.ends {
			e := &s.ends[k]
			*e = end{seed: r.Uint64(), reads: pick(r, 10, 700, 5000, 60_000), nagle: p.one(6), halfClose: p.one(2)}
			switch r.IntN(4) {
			case 0: // little by little
				e.size, e.pieces, e.pause = r.IntN(3000), 1+r.IntN(300), steps(r, 40)
			case 1:
				e.size, e.pieces, e.pause = r.IntN(100_000), 1000+r.IntN(20_000), steps(r, 20)
			case 2: // all at once
				e.size, e.pieces = r.IntN(200_000), 1+r.IntN(200_000)
				if e.pieces < 100 {
					e.pieces = 100
				}
			case 3:
				e.size, e.pieces = r.IntN(60_000), 10+r.IntN(1000)
			}
			if p.mtu > 0 && p.mtu < 128 {
				e.size /= 10
			}
			if p.one(3) {
				e.late = time.Duration(r.IntN(3000)) * ms
			}
			if p.one(4) {
				e.slow = steps(r, 8)
				e.reads = max(e.reads, 700)
			}
			if p.one(4) {
				e.sendBuffer = 2000 + r.IntN(20_000)
			}
			if p.one(4) {
				e.receiveBuffer = 1200 + r.IntN(20_000)
			}
			e.deadlines = p.one(3)
			if p.one(6) {
				e.linger = 1 + r.IntN(20)
			}
		}
		p.streams = append(p.streams, s)
	}
}

// faultsEnd is the time at which the last fault has ended.
const faultsEnd = 6 * time.Second
