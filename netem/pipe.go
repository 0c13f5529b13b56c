package netem

import (
	"fmt"
	"time"
)

// Pipe is one direction of a link: its configuration, its queue and the state of its loss model. It is not
// safe for concurrent use.
type Pipe struct {
	cfg       Config
	duplicate threshold
	reorder   threshold
	corrupt   threshold
	steady    bool // cfg only delays and sends at a Rate
	perfect   bool // cfg only delays
	byRate    bool // packets leave as Rate alone says

	now     time.Duration // of the last packet
	loss    lossState
	line    line
	queue   backlog
	arrival time.Duration // the latest of all packets that were not reordered
	delayed int           // packets since the last one that was reordered
	*extras               // nil without what it is for
}

// extras are state that few configurations need.
type extras struct {
	alike  *alike // nil without Correlation
	shaper shaperState
	slots  slotState
	free   time.Duration // the last departure
	holds  held          // with Limit
	room   *room         // with a Queue that decides late
	red    redState
	pie    pieState
	copies []Copy // memory for the copies of a verdict
}

// NewPipe returns an idle pipe, or the error of [Config.Validate].
func NewPipe(cfg Config) (*Pipe, error) {
	p := new(Pipe)
	if err := p.Set(cfg); err != nil {
		return nil, err
	}
	return p, nil
}

// Set changes the configuration for later packets. If it returns the error of [Config.Validate], nothing
// changes.
//
// Packets already accepted keep their times, since their verdicts are given ([Pipe.Change] can revise those
// of waiting packets). They stay first: new packets follow them at the new Rate, count them in the new
// Queue's limit and, while that is exceeded, are dropped. With a shorter Delay new packets overtake old ones,
// unless KeepOrder is set.
//
// A burst goes on if the loss model stays of the same kind ([Correlated], [GilbertElliott], [FourState]).
// [EveryNth], [FirstN] and [DropList] go on counting if they are set again unchanged. A Shaper and Slots go
// on if they are set again unchanged, and so does a correlation of the same kind. Any other model starts
// afresh.
func (p *Pipe) Set(cfg Config) error {
	before := p.cfg
	if err := p.configure(cfg); err != nil {
		return err
	}
	p.setRoom(before.Queue)
	return nil
}

// configure is Set, except for the room.
func (p *Pipe) configure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	before := p.cfg
	if !carriesState(p.cfg.Loss, cfg.Loss) {
		p.loss = lossState{}
	}
	p.cfg = cfg.own()
	p.duplicate = thresholdOf(cfg.Duplicate)
	p.reorder = thresholdOf(cfg.Reorder)
	p.corrupt = thresholdOf(cfg.Corrupt)
	p.line.setRate(cfg.Rate)
	p.byRate = cfg.ratePlain()
	p.steady = cfg.Jitter == 0 && cfg.Distribution == nil && !cfg.KeepOrder && cfg.Loss == nil && cfg.Duplicate == 0 &&
		cfg.Reorder == 0 && cfg.Corrupt == 0 && cfg.Limit == 0 && p.byRate
	p.perfect = p.steady && cfg.Rate == 0
	p.setExtras(&before)
	return nil
}

// ratePlain reports whether Rate alone says when packets leave.
func (c *Config) ratePlain() bool {
	return c.Shaper == nil && c.Framing == Framing{} && c.Slots.none()
}

// setExtras prepares the state of a changed configuration.
func (p *Pipe) setExtras(before *Config) {
	cfg := &p.cfg
	_, tail := cfg.Queue.(DropTail)
	needs := cfg.Duplicate > 0 || cfg.Limit > 0 || cfg.Queue != nil && !tail || !cfg.ratePlain() || cfg.Correlation != Correlation{}
	if p.extras == nil {
		if !needs {
			return
		}
		p.extras = new(extras)
	}
	if cfg.Correlation == (Correlation{}) {
		p.alike = nil
	} else {
		if p.alike == nil || p.alike.biased != cfg.Correlation.Biased {
			p.alike = &alike{biased: cfg.Correlation.Biased}
		}
		p.alike.rho = cfg.Correlation.coefficients()
	}
	if before.Queue != cfg.Queue {
		p.red, p.pie = redState{}, pieState{}
	}
	if !sameService(before, cfg) {
		p.serveAnew(p.lastDeparture())
	}
	if cfg.Limit == 0 {
		p.holds = nil
	}
}

// serveAnew resets the state of the shaper and the slots. The line is busy until an instant.
func (p *Pipe) serveAnew(busy time.Duration) {
	p.shaper = shaperState{free: busy, line: line{free: busy}}
	p.slots = slotState{}
	p.free = busy
	if p.line.free < busy {
		p.line.free, p.line.frac = busy, 0
	}
}

// lastDeparture returns when the last bit of all packets accepted so far is sent.
func (p *Pipe) lastDeparture() time.Duration {
	at := p.line.free
	if p.line.frac > 0 {
		at++
	}
	if p.extras != nil {
		at = max(at, p.free)
	}
	return at
}

// Config returns the last configuration set.
func (p *Pipe) Config() Config { return p.cfg.own() }

// jitter returns the distribution to draw from for each packet, or nil.
func (p *Pipe) jitter() Distribution {
	switch {
	case p.cfg.Distribution != nil:
		return p.cfg.Distribution
	case p.cfg.Jitter > 0:
		return Uniform
	}
	return nil
}

// Floor returns the least time that any packet takes from its entry to its arrival, whatever is drawn for it.
func (p *Pipe) Floor() time.Duration {
	switch c := &p.cfg; {
	case c.Reorder > 0:
		return 0
	case p.jitter() == nil:
		return c.Delay
	default:
		least, _, known := bounds(p.jitter(), c.Jitter)
		if !known {
			return 0
		}
		return max(0, c.Delay+least)
	}
}

// Ceiling returns the most time that the Delay and Jitter of a packet take, without any waiting. ok is false
// if a custom Distribution does not tell.
func (p *Pipe) Ceiling() (most time.Duration, ok bool) {
	if p.jitter() == nil {
		return p.cfg.Delay, true
	}
	_, most, ok = bounds(p.jitter(), p.cfg.Jitter)
	return p.cfg.Delay + max(0, most), ok
}

// Waits reports whether packets may wait for others, or be dropped because of them: with a Rate, a Shaper,
// Slots or a Limit.
func (p *Pipe) Waits() bool {
	return p.cfg.Rate > 0 || p.cfg.Shaper != nil || !p.cfg.Slots.none() || p.cfg.Limit > 0
}

// Pass is [Pipe.Send] for several packets at once, the largest of the given size, if the pipe does nothing
// but delay each by the same Delay. They arrive at the time at. If ok is false, nothing has happened.
func (p *Pipe) Pass(packets, largest int, now time.Duration, r *Stream) (at time.Duration, ok bool) {
	if !p.perfect || p.queue.len > 0 || largest > p.cfg.mtu() || now < p.now {
		return 0, false
	}
	p.now = now
	r.n += uint64(packets)
	at = now + p.cfg.Delay
	p.arrival = max(at, p.arrival)
	return at, true
}

// Packet is what a pipe needs to know of a packet.
type Packet struct {
	Size int    // bytes, IP header included
	ECT  bool   // its sender understands marks (RFC 3168: ECT(0), ECT(1) or CE)
	Flow uint64 // identifies its flow to FQCoDel
}

// Send passes one packet to the pipe and returns its verdict. With a [Queue] that decides late the verdict
// has only a Ticket and the Copies; [Pipe.Take] returns the rest. now is the time since the start of the
// network, never less than in the previous call. r takes one step, whatever the configuration and the
// verdict. Send panics if pkt.Size is not positive or time runs backwards.
func (p *Pipe) Send(pkt Packet, now time.Duration, r *Stream) Verdict {
	size := pkt.Size
	if size <= 0 || now < p.now {
		p.misuse(size, now)
	}
	if at, ok := p.Pass(1, size, now, r); ok {
		return Verdict{Departure: now, At: at}
	}
	p.now = now
	if p.extras != nil && p.room != nil {
		p.serveRoom(now)
	}
	d := r.next()

	// The loss model and the correlated draws see every packet, so that their state does not
	// depend on the MTU or the queue.
	lost := p.cfg.Loss != nil && p.cfg.Loss.lose(&p.loss, d)
	if p.extras != nil && p.alike != nil {
		p.alike.step(d)
	}
	if size > p.cfg.mtu() {
		return Verdict{Reason: DropMTU}
	}
	marked := lost && p.cfg.ECN && pkt.ECT
	if lost && !marked {
		return Verdict{Reason: DropLoss}
	}
	p.queue.drain(now)
	reason, redMarked := p.refuses(&pkt, now, d)
	if reason != Delivered {
		return Verdict{Reason: reason}
	}

	v := Verdict{Marked: marked || redMarked}
	kind := ordinary
	switch {
	case !p.happens(alikeReorder, d, p.reorder), p.delayed+1 < p.cfg.ReorderGap:
		p.delayed++
	default:
		v.Reordered, kind = true, reordered
		p.delayed = 0
	}
	if v.Corrupt = p.happens(alikeCorrupt, d, p.corrupt); v.Corrupt {
		v.Noise = d.lane(laneNoise)
	}
	q := queued{draws: d, size: size, kind: kind}
	if p.extras != nil && p.alike != nil {
		q.jitter = p.number(alikeJitter, d)
	}
	if p.deciding() {
		v = Verdict{Ticket: p.wait(waiter{queued: q, flow: pkt.Flow, ect: pkt.ECT, verdict: v}, now)}
	} else {
		v.Departure, v.At = p.enqueue(q, now, now)
	}
	if p.happens(alikeDuplicate, d, p.duplicate) {
		v.Copies = p.duplicates(pkt, marked, now, d)
	}
	return v
}

// duplicates makes the copies of a packet follow it.
func (p *Pipe) duplicates(pkt Packet, marked bool, now time.Duration, d draws) []Copy {
	p.copies = p.copies[:0]
	for i := range p.cfg.Copies.number() {
		jitter, corrupt, noise := copyDraw(d, i)
		reason, redMarked := p.refuses(&pkt, now, draws(noise))
		if reason != Delivered {
			break
		}
		v := Verdict{Marked: marked || redMarked, Corrupt: corrupt>>1 < uint64(p.corrupt)}
		if v.Corrupt {
			v.Noise = noise
		}
		q := queued{draws: d, size: pkt.Size, kind: copied, jitter: jitter}
		c := Copy{Noise: v.Noise, Corrupt: v.Corrupt, Marked: v.Marked}
		if p.deciding() {
			c = Copy{Ticket: p.wait(waiter{queued: q, flow: pkt.Flow, ect: pkt.ECT, verdict: v}, now)}
		} else {
			c.Departure, c.At = p.enqueue(q, now, now)
		}
		p.copies = append(p.copies, c)
	}
	if len(p.copies) == 0 {
		return nil
	}
	return p.copies
}

// happens reports whether an event happens to a packet; its draw may be correlated with that of the previous
// packet.
func (p *Pipe) happens(purpose int, d draws, t threshold) bool {
	return t != 0 && p.number(purpose, d)>>1 < uint64(t)
}

func (p *Pipe) number(purpose int, d draws) uint64 {
	if p.extras != nil && p.alike != nil {
		return p.alike.now[purpose]
	}
	return d.lane(alikeLanes[purpose])
}

// Backlog returns the number of packets whose last bit is not yet sent at the time now, and of their bytes.
// now must not be before the last Send. Backlog changes nothing.
func (p *Pipe) Backlog(now time.Duration) (packets, bytes int) {
	packets, bytes = p.queue.at(now)
	if p.deciding() {
		n, sum := p.room.discipline.backlog()
		packets, bytes = packets+n, bytes+sum
	}
	return packets, bytes
}

// refuses returns why there is no room for a packet, or Delivered, and whether RED or PIE marks it.
func (p *Pipe) refuses(pkt *Packet, now time.Duration, d draws) (reason DropReason, marked bool) {
	switch q := p.cfg.Queue.(type) {
	case DropTail:
		if !q.admits(pkt.Size, p.queue.len, p.queue.bytes) {
			return DropQueue, false
		}
	case RED:
		idle := time.Duration(0)
		if p.queue.len == 0 {
			idle = now - p.lastDeparture()
		}
		ok := false
		if ok, marked = p.red.admits(q, &p.cfg, pkt, p.queue.bytes, idle, d.lane(laneMark)); !ok {
			return DropQueue, false
		}
	case PIE:
		ok := false
		if ok, marked = p.pie.admits(q, &p.cfg, pkt, p.queue.len, p.queue.bytes, p.lastDeparture(), now, d.lane(laneMark)); !ok {
			return DropQueue, false
		}
	}
	if p.cfg.Limit > 0 {
		holds := p.holds.count(now)
		if p.deciding() {
			waiting, _ := p.room.discipline.backlog()
			holds += waiting
		}
		if holds >= p.cfg.Limit {
			return DropLimit, false
		}
	}
	return Delivered, marked
}

// enqueue puts on the line a packet that is ready for it at an instant.
func (p *Pipe) enqueue(q queued, ready, now time.Duration) (departure, at time.Duration) {
	q.departure = p.serve(&q, ready)
	q.frac = p.line.frac
	q.before = p.arrival
	q.at = p.propagate(&q)
	if q.departure > now {
		p.queue.push(q)
	}
	if p.cfg.Limit > 0 {
		p.holds.push(q.at)
	}
	return q.departure, q.at
}

// serve returns when the last bit of a packet handed over now is sent.
func (p *Pipe) serve(q *queued, now time.Duration) time.Duration {
	if p.byRate {
		return p.line.send(q.size, now)
	}
	size := p.cfg.Framing.wire(q.size)
	if p.cfg.Shaper != nil {
		p.free = p.cfg.Shaper.depart(&p.shaper, size, now)
	} else {
		p.free = p.line.send(size, now)
	}
	if !p.cfg.Slots.none() {
		p.free = p.slots.leave(p.cfg.Slots, size, p.free, draws(q.draws.lane(laneSlot)^q.jitter))
	}
	return p.free
}

func (p *Pipe) propagate(q *queued) time.Duration {
	if q.kind == reordered {
		return q.departure
	}
	delay, late := p.cfg.Delay, q.kind == copied && p.cfg.Copies.Delay > 0
	if jitter := p.jitter(); jitter != nil {
		u := q.jitter
		if q.kind == ordinary && u == 0 {
			u = q.draws.lane(laneJitter)
		}
		var offset time.Duration
		if p.cfg.Correlation.Biased {
			offset = tcOffset(jitter, u, p.cfg.Jitter)
		} else {
			offset = jitter.Offset(u, p.cfg.Jitter)
		}
		// An offset may be anything.
		delay += min(max(offset, -delay), endOfTime-delay)
	}
	if late {
		delay = min(delay, endOfTime-maxDelay) + p.cfg.Copies.Delay
	}
	at := q.departure + min(delay, endOfTime-q.departure)
	if late {
		return at
	}
	if p.cfg.KeepOrder {
		at = max(at, p.arrival)
	}
	p.arrival = max(at, p.arrival)
	return at
}

func (p *Pipe) misuse(size int, now time.Duration) {
	if size <= 0 {
		panic(fmt.Sprintf("netem: Send: size %d is not positive", size))
	}
	panic(fmt.Sprintf("netem: Send: time runs backwards, from %v to %v", p.now, now))
}
