package tcp

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func table(t testing.TB, name string) []map[string]string {
	raw, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	r := csv.NewReader(strings.NewReader(string(raw)))
	r.Comment = '#'
	rows, err := r.ReadAll()
	require.NoError(t, err)
	var out []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, k := range rows[0] {
			m[k] = row[i]
		}
		out = append(out, m)
	}
	return out
}

func num(t testing.TB, s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err)
	return f
}

func kernelConfig(cc string) Config {
	return Config{CongestionControl: cc, KeepAlive: KeepAlive{Off: true}, ReceiveBuffer: Buffer{Max: 32 << 20}}
}

func dropCase(p *path, name string) {
	data := func(ks ...int) func(int, *Segment) bool {
		n := 0
		return func(_ int, s *Segment) bool {
			if len(s.Payload) == 0 { return false }
			n++
			for _, k := range ks { if n == k { return true } }
			return false
		}
	}
	sv, cl := &p.server().dir, &p.client().dir
	rng := func(a, b int) (r []int) { for i := a; i <= b; i++ { r = append(r, i) }; return }
	switch name {
	case "syn": cl.drop = func(n int, s *Segment) bool { return n == 1 }
	case "synack": sv.drop = func(n int, s *Segment) bool { return n == 1 }
	case "handshake_ack": cl.drop = func(n int, s *Segment) bool { return n == 2 }
	case "request": cl.drop = data(1)
	case "data1", "single_segment_reply", "small10_first": sv.drop = data(1)
	case "data5": sv.drop = data(5)
	case "data10": sv.drop = data(10)
	case "data30": sv.drop = data(30)
	case "data5_9": sv.drop = data(5, 9)
	case "data31_60": sv.drop = data(rng(31, 60)...)
	case "data5_twice":
		k, seq := 0, uint64(0); n := 0
		sv.drop = func(_ int, s *Segment) bool {
			if len(s.Payload) == 0 { return false }
			n++
			if n == 5 { seq = s.Seq; return true }
			if n > 5 && s.Seq == seq && k == 0 { k++; return true }
			return false
		}
	case "last1": sv.drop = data(70)
	case "last1_twice":
		k := 0; n := 0
		sv.drop = func(_ int, s *Segment) bool {
			if len(s.Payload) == 0 { return false }
			n++
			if n >= 70 && k < 2 { k++; return true }
			return false
		}
	case "last5": sv.drop = data(66,67,68,69,70)
	}
}

func TestExploreDrops(t *testing.T) {
	for _, r := range table(t, "drops.csv") {
		p := newPath(t, kernelConfig(r["cc"]), 50*time.Millisecond)
		p.server().dir.rate, p.client().dir.rate = 1e9, 1e9
		p.wake = wake
		dropCase(p, r["case"])
		p.trace = os.Getenv("CASE") == r["cc"]+"/"+r["case"]
		_, _, d := p.download(int(num(t, r["size_bytes"])))
		got := float64(d) / 1e6
		m := num(t, r["fct_ms_median"])
		fmt.Printf("%-6s %-22s model %8.2f kernel %8.2f [%8.2f %8.2f] %+.1f%%\n", r["cc"], r["case"], got, m, num(t, r["fct_ms_p10"]), num(t, r["fct_ms_p90"]), 100*(got-m)/m)
		for _, l := range p.log { fmt.Println(l) }
	}
}

func TestExploreFCT(t *testing.T) {
	for _, r := range table(t, "fct.csv") {
		if r["loss_pct"] != "0" { continue }
		p := newPath(t, kernelConfig(r["cc"]), Time(num(t, r["rtt_ms"])*1e6))
		p.wake = wake
		for _, e := range p.ends {
			e.dir.rate = int64(num(t, r["rate_mbps"])*1e6)
			e.dir.limitPkts = int(num(t, r["queue_pkts"]))
			e.dir.limitByte = int(num(t, r["queue_bytes"]))
		}
		_, _, d := p.download(int(num(t, r["size_bytes"])))
		got := float64(d) / 1e6
		m := num(t, r["fct_ms_median"])
		fmt.Printf("%-6s %9s rtt %4s rate %5s q %s/%s  model %8.2f kernel %8.2f [%8.2f %8.2f] %+.1f%% retr %d drop %d\n", r["cc"], r["size_bytes"], r["rtt_ms"], r["rate_mbps"], r["queue_pkts"], r["queue_bytes"], got, m, num(t, r["fct_ms_p10"]), num(t, r["fct_ms_p90"]), 100*(got-m)/m, p.server().conn.Info().Retransmits, p.server().dir.dropped)
	}
}

var wake = func() Time { d, _ := time.ParseDuration(os.Getenv("WAKE")); return d }()

func TestExploreLoss(t *testing.T) {
	seeds := 200
	for _, r := range table(t, "fct.csv") {
		if r["loss_pct"] == "0" { continue }
		if os.Getenv("ROW") != "" && !strings.Contains(r["cc"]+"/"+r["size_bytes"]+"/"+r["rtt_ms"]+"/"+r["rate_mbps"]+"/"+r["queue_pkts"]+"/"+r["loss_pct"], os.Getenv("ROW")) { continue }
		var all []float64
		retr, rtos := 0, 0
		start := time.Now()
		for seed := range seeds {
			p := newPath(t, kernelConfig(r["cc"]), Time(num(t, r["rtt_ms"])*1e6))
			p.wake = wake
			for i, e := range p.ends {
				e.dir.rate = int64(num(t, r["rate_mbps"])*1e6)
				e.dir.limitPkts = int(num(t, r["queue_pkts"]))
				e.dir.limitByte = int(num(t, r["queue_bytes"]))
				e.dir.rng = (uint64(seed)*2+uint64(i)+1)*0x9e3779b97f4a7c15
				if i == 1 || r["loss_dir"] == "both" {
					e.dir.lossP = uint32(num(t, r["loss_pct"])/100*(1<<32))
				}
			}
			_, _, d := p.download(int(num(t, r["size_bytes"])))
			all = append(all, float64(d)/1e6)
			retr += p.server().conn.Info().Retransmits
			rtos += p.server().conn.Info().Timeouts
		}
		sort.Float64s(all)
		med, p10, p90 := all[seeds/2], all[seeds/10], all[seeds*9/10]
		k, k10, k90 := num(t, r["fct_ms_median"]), num(t, r["fct_ms_p10"]), num(t, r["fct_ms_p90"])
		mark := ""
		if math.Abs(med-k)/k > 0.15 { mark += " MED" }
		if math.Abs(p90-k90)/k90 > 0.25 { mark += " P90" }
		fmt.Printf("%-5s %8s rtt%3s rate%4s q%s/%s loss%s %s model %7.1f [%7.1f %7.1f] kernel %7.1f [%7.1f %7.1f] n%s %+.1f%% p90 %+.1f%% retr %.1f/%s rto %.2f/%s%s %v\n", r["cc"], r["size_bytes"], r["rtt_ms"], r["rate_mbps"], r["queue_pkts"], r["queue_bytes"], r["loss_pct"], r["loss_dir"], med, p10, p90, k, k10, k90, r["n"], 100*(med-k)/k, 100*(p90-k90)/k90, float64(retr)/float64(seeds), r["retrans_mean"], float64(rtos)/float64(seeds), r["rtos_mean"], mark, time.Since(start).Round(time.Millisecond))
	}
}

// exchanges runs n request-response exchanges: the client writes the pieces, the
// server answers with one byte when all have come.
func (p *path) exchanges(n int, pieces []int, think Time, between Time) (took []Time) {
	cl, sv := p.client(), p.server()
	buf := make([]byte, 65536)
	total := 0
	for _, k := range pieces { total += k }
	var start Time
	send := func() {
		start = p.now
		for _, k := range pieces { cl.conn.Write(p.now, buf[:k]) }
	}
	got := 0
	sv.onEvt = func(e *end, ev Events) {
		if ev&Readable == 0 { return }
		for {
			k := e.conn.Read(p.now, buf)
			if k == 0 { break }
			if got += k; got == total {
				got = 0
				if think == 0 { e.conn.Write(p.now, buf[:1]) } else { p.after(think, func() { e.conn.Write(p.now, buf[:1]); e.settle() }) }
			}
		}
	}
	cl.onEvt = func(e *end, ev Events) {
		if ev&Connected != 0 { send() }
		if ev&Readable != 0 && e.conn.Read(p.now, buf) > 0 {
			took = append(took, p.now-start)
			if len(took) < n {
				if between == 0 { send() } else { p.after(between, func() { send(); cl.settle() }) }
			}
		}
	}
	cl.dial()
	for len(took) < n && len(p.events) > 0 && p.now < 2*time.Hour { p.run(p.events[0].at) }
	return took
}

func TestExploreNagle(t *testing.T) {
	for _, rtt := range []Time{0, 20*time.Millisecond, 100*time.Millisecond} {
		for _, nodelay := range []bool{false, true} {
			for _, pieces := range [][]int{{100}, {100,100}, {1,1}, {100,100,100,100,100}, {1448,100}} {
				p := newPath(t, kernelConfig("cubic"), rtt)
				if !nodelay {
					p.after(0, func() { p.client().conn.SetNoDelay(p.now, false) })
				}
				took := p.exchanges(40, pieces, 0, 0)
				fmt.Println(rtt, nodelay, pieces, took[:8])
			}
		}
	}
}

func TestExploreBlackout(t *testing.T) {
	for _, r := range table(t, "blackout.csv") {
		rtt := Time(num(t, r["rtt_ms"])*1e6)
		T := Time(num(t, r["blackout_s"])*1e9)
		cfg := kernelConfig(r["cc"])
		p := newPath(t, cfg, rtt)
		var from, until Time = Never, Never
		var sends []Time
		var first uint64
		for i, e := range p.ends {
			e.dir.drop = func(n int, s *Segment) bool {
				dark := p.now >= from && p.now < until
				if len(s.Payload) > 0 && (i == 1) == (r["variant"] != "request_lost") && from != Never {
					if dark && first == 0 { first = s.Seq }
					if s.Seq == first { sends = append(sends, p.now) }
				}
				return dark
			}
		}
		var heal Time
		switch r["variant"] {
		case "request_lost", "reply_lost":
			think := Time(0)
			if r["variant"] == "reply_lost" { think = 300*time.Millisecond }
			took := p.exchanges(5, []int{100}, 0, 50*time.Millisecond)
			_ = took
			cl, sv := p.client(), p.server()
			done := Time(-1)
			buf := make([]byte, 1000)
			cl.onEvt = func(e *end, ev Events) { if ev&Readable != 0 && e.conn.Read(p.now, buf) > 0 { done = p.now } }
			sv.onEvt = func(e *end, ev Events) { if ev&Readable != 0 && e.conn.Read(p.now, buf) > 0 { p.after(think, func() { e.conn.Write(p.now, buf[:1]); e.settle() }) } }
			p.run(p.now + time.Second)
			var start Time
			if think == 0 { from = p.now; start = from + 5*time.Millisecond } else { start = p.now; from = start + 300*time.Millisecond - 150*time.Millisecond + rtt/2 }
			until = from + T
			p.at(start, 0, func() { cl.write(make([]byte, 100)) })
			p.run(start + 2*time.Hour)
			heal = done - until
			fmt.Printf("%s %s rtt %s T %s: heal %.1f kernel %s [%s %s] done %.1f/%s sends", r["variant"], r["cc"], r["rtt_ms"], r["blackout_s"], float64(heal)/1e6, r["heal_to_first_median"], r["heal_to_first_min"], r["heal_to_first_max"], float64(done-start)/1e6, r["done_median"])
		case "bulk":
			for _, e := range p.ends { e.dir.rate = 10e6; e.dir.limitPkts = 100 }
			from = 1500*time.Millisecond; until = from + T
			if T == 0 { from, until = Never, Never }
			healed := Time(-1)
			old := p.server().dir.drop
			var top uint64
			p.server().dir.drop = func(n int, s *Segment) bool {
				lost := old(n, s)
				if !lost && p.now >= until && healed < 0 && s.Seq+uint64(len(s.Payload)) > top && len(s.Payload)>0 { healed = p.now }
				if p.now < from { top = max(top, s.Seq+uint64(len(s.Payload))) }
				return lost
			}
			p.trace = os.Getenv("BULK") == r["cc"]+r["rtt_ms"]+"/"+r["blackout_s"]
			_, _, d := p.download(5_000_000)
			fmt.Printf("bulk %s rtt %s T %s: newdata %.1f kernel %s [%s %s] done %.1f/%s sends", r["cc"], r["rtt_ms"], r["blackout_s"], float64(healed-until)/1e6, r["heal_to_first_median"], r["heal_to_first_min"], r["heal_to_first_max"], float64(d)/1e6, r["done_median"])
		}
		for _, s := range sends { fmt.Printf(" %.1f", float64(s-sends[0])/1e6) }
		fmt.Println(" | ", r["sends_rep0"])
		for _, l := range p.log { fmt.Println(l) }
	}
}

func TestExploreZeroWindow(t *testing.T) {
	for _, rtt := range []Time{100*time.Microsecond, 20*time.Millisecond, 100*time.Millisecond} {
		for _, chunk := range []int{1000, 65536} {
			p := newPath(t, kernelConfig("cubic"), rtt)
			p.trace = os.Getenv("ZW") != ""
			cl, sv := p.client(), p.server()
			written := 0
			var blockedAt Time
			fill := func() {
				for {
					left := chunk - written%chunk
					n := cl.conn.Write(p.now, make([]byte, left))
					if n == 0 { break }
					written += n
					blockedAt = p.now
				}
			}
			on := true
			cl.onEvt = func(e *end, ev Events) { if on && ev&(Connected|Writable) != 0 { fill() } }
			var probes []Time
			cl.dir.drop = func(n int, s *Segment) bool { if s.Kind == WindowProbe { probes = append(probes, p.now) }; return false }
			var zero Time
			sv.dir.drop = func(n int, s *Segment) bool { if s.Window == 0 && zero == 0 && s.Flags&SYN==0 { zero = p.now }; return false }
			cl.dial()
			p.run(35*time.Second)
			on = false
			i, j := cl.conn.Info(), sv.conn.Info()
			fmt.Printf("rtt %v chunk %d: written %d blocked at %v outq %d sndbuf %d inq %d rcvbuf %d probes", rtt, chunk, written, blockedAt, i.SendQueue-0, i.SendBuffer, j.ReceiveQueue, j.ReceiveBuffer)
			for _, x := range probes { fmt.Printf(" %.1f", float64(x-zero-rtt/2)/1e6) }
			start := p.now
			got := 0
			var done Time
			buf := make([]byte, 1<<20)
			rd := func() { for { n := sv.conn.Read(p.now, buf); if n == 0 { break }; got += n }; if got == written && done == 0 { done = p.now } }
			sv.onEvt = func(e *end, ev Events) { if ev&Readable != 0 { rd() } }
			p.at(p.now, 0, func() { rd(); sv.settle() })
			p.run(p.now+time.Minute)
			fmt.Printf(" all read after %.1f got %d\n", float64(done-start)/1e6, got)
			for _, l := range p.log { fmt.Println(l) }
		}
	}
}
