package patterntest

import (
	"slices"
	"time"

	"github.com/squall-sim/squall/sim"
)

// Limits on what clients send, for [Gentle].
const (
	maxAttempts  = 20 // connections that one client may try to open within a second
	maxPatient   = 90 // connections that one client may try to open within a minute, after a first minute without success
	maxIdleRate  = 5  // packets a second from an idle client: polling once a second sends 2, polling once a round trip 12
	dialsPerCall = 5  // dials allowed for each call within a second: a client that was frozen makes up for the time at once
	herdWindow   = 100 * time.Millisecond
	herdFraction = 3 // at most a third of the clients may come back within herdWindow; with fewer than a hundred clients a half, because chance weighs more
)

// judgeTraffic checks the clients' packets.
func (s *Stage) judgeTraffic(f *findings) {
	dials := s.dials()
	var herd []time.Duration
	for _, p := range s.peers {
		most, at := Peak(dials[p.Name], time.Second)
		if most > maxAttempts && s.busy != nil { // busy reads the whole trace
			most -= dialsPerCall * s.busy(p, at)
		}
		if most > maxAttempts {
			f.add(Gentle, p.Name, "%s tried to connect %d times within the second from %v on; %d are enough", p.Name, most, at, maxAttempts)
		}
		for _, at := range dials[p.Name] {
			if s.spread > 0 && at >= s.spread && (s.together == 0 || at < s.together) {
				herd = append(herd, at)
			}
		}
	}
	slices.Sort(herd)
	limit := max(1, len(s.peers)/herdFraction)
	if len(s.peers) < 100 {
		limit = max(1, len(s.peers)/2)
	}
	if most, at := Peak(herd, herdWindow); most > limit {
		f.add(Gentle, "", "%d of %d clients tried to connect within the %v from %v on, after all had lost the server; at most %d may", most, len(s.peers), herdWindow, at, limit)
	}
	for _, out := range s.outages {
		for _, p := range s.peers {
			late := slices.DeleteFunc(slices.Clone(dials[p.Name]), func(at time.Duration) bool { return at < out.from+time.Minute || at >= out.to })
			if most, at := Peak(late, time.Minute); most > maxPatient {
				f.add(Gentle, p.Name, "%s tried to connect %d times within the minute from %v on, although the server had been out of reach since %v; %d are enough",
					p.Name, most, at, out.from, maxPatient)
			}
		}
	}
	for _, idle := range s.idle {
		rates := s.rates(idle)
		for _, p := range s.peers {
			if rate := rates[p.Name]; rate > maxIdleRate {
				f.add(Gentle, p.Name, "%s sent %d packets a second for %v in which nothing happened; %d are enough", p.Name, rate, idle.to-idle.from, maxIdleRate)
			}
		}
	}
}

// rates returns how many packets a second each host sent, by name.
func (s *Stage) rates(in span) map[string]int {
	sent := map[string]int{}
	for e := range s.Net.Trace().Events() {
		if e.Kind == sim.Sent && e.At >= in.from && e.At < in.to {
			sent[e.From]++
		}
	}
	for host, packets := range sent {
		sent[host] = int(time.Duration(packets) * time.Second / (in.to - in.from))
	}
	return sent
}

// dials returns when each client, by name, tried to open connections. A SYN that a partition holds
// at its sender counts at the time when it was held: when the partition heals, it sends everything
// it held at one instant.
func (s *Stage) dials() map[string][]time.Duration {
	type attempt struct {
		from, to     string
		source, port uint16
	}
	s.dialling.Lock()
	defer s.dialling.Unlock()
	trace := s.Net.Trace()
	if s.dialled != nil && s.dialledBy == trace.Len() {
		return s.dialled
	}
	s.dialled, s.dialledBy = map[string][]time.Duration{}, trace.Len()
	sent, held := map[attempt]time.Duration{}, map[attempt]bool{}
	for e := range trace.Events() {
		if e.Flags != "S" || e.Resent || e.Kind != sim.Sent && e.Kind != sim.Held {
			continue
		}
		a := attempt{e.From, e.To, e.SourcePort, e.TargetPort}
		at, left := sent[a]
		switch counted := held[a]; {
		case e.Kind == sim.Held && left && at == e.At: // at the entry of a link
			continue
		case e.Kind == sim.Held:
			held[a] = true
			if counted {
				continue
			}
		default:
			sent[a], held[a] = e.At, false
			if counted {
				continue
			}
		}
		s.dialled[e.From] = append(s.dialled[e.From], e.At)
	}
	return s.dialled
}

// Peak returns the largest number of times within any window, and where that window begins. times
// must be sorted. A window begins at one of the times, not at multiples of its length, which would
// cut a herd in two. Peak defines what "within 100 ms" means in this package.
func Peak(times []time.Duration, window time.Duration) (most int, at time.Duration) {
	first := 0
	for i, t := range times {
		for t-times[first] >= window {
			first++
		}
		if n := i - first + 1; n > most {
			most, at = n, times[first]
		}
	}
	return most, at
}
