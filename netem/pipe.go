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
// Packets already accepted keep their times. The packets that wait stay first:
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
	v.Departure = p.enqueue(size, now)
	if v.Reordered = d.happens(laneReorder, p.reorder); v.Reordered {
		v.At = v.Departure
	} else {
		v.At = p.propagate(v.Departure, d, laneJitter)
	}
	v.Corrupt = d.happens(laneCorrupt, p.corrupt)

	if d.happens(laneDuplicate, p.duplicate) && p.admits(size) {
		v.Dup = true
		v.DupAt = p.propagate(p.enqueue(size, now), d, laneCopyJitter)
		v.DupCorrupt = d.happens(laneCopyCorrupt, p.corrupt)
	}
	return v
}

// Backlog returns the packets, and their bytes, whose last bit is not yet sent
// at the time now, which must not lie before the last Send. It only looks.
func (p *Pipe) Backlog(now time.Duration) (packets, bytes int) { return p.queue.at(now) }

func (p *Pipe) admits(size int) bool {
	return p.cfg.Queue == nil || p.cfg.Queue.admits(size, p.queue.len, p.queue.bytes)
}

func (p *Pipe) enqueue(size int, now time.Duration) (departure time.Duration) {
	departure = p.line.send(size, now)
	if departure > now {
		p.queue.push(departure, size)
	}
	return departure
}

func (p *Pipe) propagate(departure time.Duration, d draws, lane uint64) time.Duration {
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
