package netem

import "time"

// A Spacing says when the packets of one [Pipe.PassSpaced] leave and arrive.
type Spacing struct {
	line  line
	delay time.Duration
}

// Next returns when the last bit of the next packet is sent and when that packet arrives. Its size must be the size given to PassSpaced.
func (s *Spacing) Next(size int) (departure, at time.Duration) {
	departure = s.line.do(workOf(size))
	return departure, departure + min(s.delay, endOfTime-departure)
}

// PassSpaced is [Pipe.Send] for several packets at once, at least two, if the pipe only sends them one after the other at its Rate and
// delays each by the same Delay. All have the given size except the last one, which can be smaller. Each arrives at an instant of its own;
// until is when the last one arrives. If ok is false nothing has happened.
func (p *Pipe) PassSpaced(packets, size, last int, now time.Duration, r *Stream) (s Spacing, until time.Duration, ok bool) {
	if !p.steady || p.cfg.Rate == 0 || p.extras != nil && p.room != nil || size > p.cfg.mtu() || now < p.now || workOf(last) < uint64(p.cfg.Rate) || !p.hasRoom(packets, size, last, now) {
		return Spacing{}, 0, false
	}
	p.now = now
	p.delayed += packets
	s = Spacing{p.line, p.cfg.Delay}
	s.line.ready(now)
	for i := range packets {
		if i == packets-1 {
			size = last
		}
		_, until = p.enqueue(queued{draws: r.next(), size: size}, now, now)
	}
	return s, until, true
}

// hasRoom says whether a queue that drops what finds it full has room for all of several packets.
func (p *Pipe) hasRoom(packets, size, last int, now time.Duration) bool {
	p.queue.drain(now)
	switch q := p.cfg.Queue.(type) {
	case nil:
		return true
	case DropTail:
		others, bytes := p.queue.len+packets-2, p.queue.bytes+(packets-2)*size
		return q.admits(size, others, bytes) && q.admits(last, others+1, bytes+size)
	}
	return false
}
