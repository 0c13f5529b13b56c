package netem

import (
	"fmt"
	"slices"
	"time"
)

// Pipe is one direction of a link: its configuration, its queue and what its
// loss model remembers. It is not safe for concurrent use.
type Pipe struct {
	cfg       Config
	jitter    Distribution // nil without Jitter
	duplicate threshold
	reorder   threshold
	corrupt   threshold
	perfect   bool // cfg does nothing but delay

	now     time.Duration // of the last packet
	loss    lossState
	line    line
	queue   backlog
	arrival time.Duration // the latest of all packets that were not reordered
}

// NewPipe returns an idle pipe, or the error of [Config.Validate].
func NewPipe(cfg Config) (*Pipe, error) {
	p := new(Pipe)
	if err := p.Set(cfg); err != nil {
		return nil, err
	}
	return p, nil
}

// Set changes the configuration for the packets to come. It returns the error
// of [Config.Validate], and then changes nothing.
//
// Packets already accepted keep their times, since their verdicts are given; [Pipe.Change]
// takes back those of packets that wait. They stay first:
// new ones follow them at the new Rate, count them in the new Queue's limit and,
// if that is exceeded, are dropped until it no longer is. A burst goes on if the
// loss model stays of the same kind ([Correlated], [GilbertElliott]). [EveryNth]
// and [DropList] count on if they are set again unchanged; any other model
// starts afresh. With a shorter Delay new packets overtake old ones, unless
// KeepOrder is set.
func (p *Pipe) Set(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if !carriesState(p.cfg.Loss, cfg.Loss) {
		p.loss = lossState{}
	}
	if list, ok := cfg.Loss.(DropList); ok {
		cfg.Loss = slices.Clone(list)
	}
	p.cfg = cfg
	p.jitter = nil
	if cfg.Jitter > 0 {
		p.jitter = cfg.Distribution
		if p.jitter == nil {
			p.jitter = Uniform
		}
	}
	p.duplicate = thresholdOf(cfg.Duplicate)
	p.reorder = thresholdOf(cfg.Reorder)
	p.corrupt = thresholdOf(cfg.Corrupt)
	p.line.setRate(cfg.Rate)
	p.perfect = cfg.Jitter == 0 && !cfg.KeepOrder && cfg.Loss == nil && cfg.Duplicate == 0 &&
		cfg.Reorder == 0 && cfg.Corrupt == 0 && cfg.Rate == 0
	return nil
}

// A Move is a change of the times of one packet, or of one copy.
type Move struct {
	Departure, At       time.Duration // as its verdict, or its last Move, said
	NewDeparture, NewAt time.Duration // in place of those
}

// Change is [Pipe.Set] at a time, now, that also moves the packets whose last bit is not sent by
// then, as a real queue does: they leave it at the new Rate, one after another, from now on, and
// then take the new Delay and Jitter. Of the one that is being sent what is left goes at the new
// Rate. What else was decided about them stays: which are lost, reordered, corrupt or copied; and
// so does the queue, if it is longer than the new Queue's limit. Change returns a Move for each of
// them, in the order in which they leave. now must not lie before the last Send.
func (p *Pipe) Change(cfg Config, now time.Duration) ([]Move, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if now < p.now {
		panic(fmt.Sprintf("netem: Change: time runs backwards, from %v to %v", p.now, now))
	}
	p.queue.drain(now)
	var left uint64
	if p.queue.len > 0 {
		first := p.queue.nth(0)
		end := first.departure
		if first.frac > 0 {
			end--
		}
		left = p.line.left(first.size, end, first.frac, now)
	}
	if err := p.Set(cfg); err != nil || p.queue.len == 0 {
		return nil, err
	}
	p.line.free, p.line.frac = now, 0
	p.arrival = p.queue.nth(0).before
	moves := make([]Move, p.queue.len)
	for i := range moves {
		q := p.queue.nth(i)
		m := &moves[i]
		m.Departure, m.At = q.departure, q.at
		q.before = p.arrival
		q.departure = p.line.do(left)
		q.frac = p.line.frac
		q.at = p.propagate(q.departure, q.draws, q.kind)
		m.NewDeparture, m.NewAt = q.departure, q.at
		if i+1 < len(moves) {
			left = workOf(p.queue.nth(i + 1).size)
		}
	}
	p.queue.drain(now)
	return moves, nil
}

// Config returns the configuration last set.
func (p *Pipe) Config() Config {
	cfg := p.cfg
	if list, ok := cfg.Loss.(DropList); ok {
		cfg.Loss = slices.Clone(list)
	}
	return cfg
}

// Floor returns the least time that any packet takes from its entry to its arrival,
// whatever is drawn for it.
func (p *Pipe) Floor() time.Duration {
	c := &p.cfg
	switch {
	case c.Jitter == 0 && c.Reorder == 0:
		return c.Delay
	case c.Reorder == 0 && p.jitter == Uniform:
		return c.Delay - c.Jitter
	default:
		return 0
	}
}

// Pass is [Pipe.Send] for several packets at once, the largest of the given size, if
// the pipe does nothing to them but delay each by the same Delay: they arrive at the time
// at. If ok is false nothing has happened.
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

// Send passes one packet to the pipe. size is in bytes, IP header included, and
// now is the time since the start of the network, never less than at the call
// before. r takes one step, whatever the configuration and the verdict. Send
// panics if size is not positive or time runs backwards.
func (p *Pipe) Send(size int, now time.Duration, r *Stream) Verdict {
	if size <= 0 || now < p.now {
		p.misuse(size, now)
	}
	if at, ok := p.Pass(1, size, now, r); ok {
		return Verdict{Departure: now, At: at}
	}
	p.now = now
	d := r.next()

	// The loss model sees every packet, so that its state does not depend on
	// the MTU.
	lost := p.cfg.Loss != nil && p.cfg.Loss.lose(&p.loss, d)
	if size > p.cfg.mtu() {
		return Verdict{Reason: DropMTU}
	}
	if lost {
		return Verdict{Reason: DropLoss}
	}
	p.queue.drain(now)
	if !p.admits(size) {
		return Verdict{Reason: DropQueue}
	}

	var v Verdict
	kind := ordinary
	if v.Reordered = d.happens(laneReorder, p.reorder); v.Reordered {
		kind = reordered
	}
	v.Departure, v.At = p.enqueue(size, now, d, kind)
	v.Corrupt = d.happens(laneCorrupt, p.corrupt)

	if d.happens(laneDuplicate, p.duplicate) && p.admits(size) {
		v.Dup = true
		_, v.DupAt = p.enqueue(size, now, d, copied)
		v.DupCorrupt = d.happens(laneCopyCorrupt, p.corrupt)
	}
	return v
}

// Free returns when the last bit of all packets accepted so far, and of their copies, is sent:
// the Departure of the last of them.
func (p *Pipe) Free() time.Duration {
	if p.line.frac > 0 {
		return p.line.free + 1
	}
	return p.line.free
}

// Backlog returns the packets, and their bytes, whose last bit is not yet sent
// at the time now, which must not lie before the last Send. It only looks.
func (p *Pipe) Backlog(now time.Duration) (packets, bytes int) { return p.queue.at(now) }

func (p *Pipe) admits(size int) bool {
	return p.cfg.Queue == nil || p.cfg.Queue.admits(size, p.queue.len, p.queue.bytes)
}

func (p *Pipe) enqueue(size int, now time.Duration, d draws, kind queuedKind) (departure, at time.Duration) {
	departure = p.line.send(size, now)
	before := p.arrival
	at = p.propagate(departure, d, kind)
	if departure > now {
		p.queue.push(queued{departure, at, before, p.line.frac, d, size, kind})
	}
	return departure, at
}

func (p *Pipe) propagate(departure time.Duration, d draws, kind queuedKind) time.Duration {
	if kind == reordered {
		return departure
	}
	lane := uint64(laneJitter)
	if kind == copied {
		lane = laneCopyJitter
	}
	delay := p.cfg.Delay
	if p.jitter != nil {
		// An offset may be anything.
		delay += min(max(p.jitter.Offset(d.lane(lane), p.cfg.Jitter), -delay), endOfTime-delay)
	}
	at := departure + min(delay, endOfTime-departure)
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
