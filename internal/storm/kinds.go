package storm

import (
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A Site is where a fault happens: a link as seen from one of its ends, two hosts that need no link, or one host, which is From.
type Site struct {
	Net      *sim.Network
	From, To sim.Node
	Link     *sim.Link    // between them, or nil
	Own      netem.Config // the link's own configuration
}

func (s Site) from() *sim.Host { return s.From.(*sim.Host) }
func (s Site) to() *sim.Host   { return s.To.(*sim.Host) }

func (s Site) both() (from, to []*sim.Host) { return []*sim.Host{s.from()}, []*sim.Host{s.to()} }

// A Place says which fields of a site a kind of fault needs.
type Place uint8

// A site of a host has From. A site of two hosts also has To, and Link if a link joins them. A site of a link has all fields.
const (
	OfHost Place = iota + 1
	OfHosts
	OfLink
)

// A Kind is a fault that storms draw.
type Kind struct {
	Name     string // one word; must not change, because files contain it
	Of       Place
	Directed bool // the two ends of a link, or the two hosts, have different roles
	Fault    func(s Site) *sim.Fault
}

// The faults that the storms of all tests and of the contracts share.
var (
	Down     = Kind{"down", OfLink, false, func(s Site) *sim.Fault { return sim.Down(s.Link) }}
	DownFrom = Kind{"down-from", OfLink, true, func(s Site) *sim.Fault { return sim.DownFrom(s.Link, s.From) }}
	Hold     = Kind{"hold", OfLink, false, func(s Site) *sim.Fault { return sim.Hold(s.Link) }}
	Reject   = Kind{"reject", OfLink, false, func(s Site) *sim.Fault { return sim.Reject(s.Link, sim.ICMPHostUnreachable) }}
	Flap     = Kind{"flap", OfLink, false, func(s Site) *sim.Fault {
		return sim.Flap(sim.Down(s.Link), time.Second, 4*time.Second)
	}}

	Crash    = Kind{"crash", OfHost, false, func(s Site) *sim.Fault { return sim.Crash(s.from()) }}
	PowerOff = Kind{"power-off", OfHost, false, func(s Site) *sim.Fault { return sim.PowerOff(s.from()) }}
	Pause    = Kind{"pause", OfHost, false, func(s Site) *sim.Fault { return sim.Pause(s.from()) }}

	Partition = Kind{"partition", OfHosts, false, func(s Site) *sim.Fault {
		from, to := s.both()
		return sim.Partition(s.Net, from, to)
	}}
	PartitionOneWay = Kind{"partition-one-way", OfHosts, true, func(s Site) *sim.Fault {
		from, to := s.both()
		return sim.PartitionOneWay(s.Net, from, to)
	}}
	Isolate       = isolated("isolate", sim.PartitionConfig{InFlight: true})
	IsolateHeld   = isolated("isolate-held", sim.PartitionConfig{Holds: true})
	IsolateOpen   = isolated("isolate-open", sim.PartitionConfig{Only: sim.OpenConnections})
	IsolateNew    = isolated("isolate-new", sim.PartitionConfig{Only: sim.NewConnections})
	DropData      = packets("drop-data", sim.Data, sim.Drop)
	DuplicateData = packets("duplicate-data", sim.Data, sim.Duplicate)
	ResetData     = packets("reset-data", sim.Data, sim.Reset)
	ResetSYN      = Kind{"reset-syn", OfLink, false, func(s Site) *sim.Fault { return sim.Reset(s.Link, sim.Packets{Kind: sim.SYN}) }}
	CloseAfter    = Kind{"close-after", OfLink, true, func(s Site) *sim.Fault { return sim.CloseAfter(s.Link, 1000, sim.Packets{From: s.From}) }}
	CrossTraffic  = Kind{"cross-traffic", OfHosts, true, func(s Site) *sim.Fault { return sim.CrossTraffic(s.from(), s.to(), busy) }}
	Lossy         = impaired("lossy", func(c *netem.Config) { c.Loss = netem.Bernoulli(0.05) })
	VeryLossy     = impaired("very-lossy", func(c *netem.Config) { c.Loss = netem.Bernoulli(0.4) })
	LossyInBursts = impaired("lossy-in-bursts", func(c *netem.Config) { c.Loss = netem.GilbertElliott{P: 0.05, R: 0.2} })
	Slow          = impaired("slow", func(c *netem.Config) {
		if c.Rate == 0 || c.Rate > 64*netem.Kbit {
			c.Rate, c.Queue = 64*netem.Kbit, netem.DropTail{Packets: 20}
		}
	})
	OutOfOrder = impaired("out-of-order", func(c *netem.Config) { c.Jitter, c.Duplicate = c.Delay, 0.1 })
	Corrupt    = impaired("corrupt", func(c *netem.Config) { c.Corrupt = 0.1 })
)

// busy is traffic that takes most of a slow link's rate.
var busy = sim.Traffic{Rate: 56 * netem.Kbit, Poisson: true}

func isolated(name string, cfg sim.PartitionConfig) Kind {
	return Kind{name, OfHost, false, func(s Site) *sim.Fault { return sim.PartitionBy(s.Net, sim.Isolate(s.from()), cfg) }}
}

func packets(name string, kind sim.PacketKind, fault func(*sim.Link, sim.Packets) *sim.Fault) Kind {
	return Kind{name, OfLink, true, func(s Site) *sim.Fault { return fault(s.Link, sim.Packets{From: s.From, Kind: kind}) }}
}

// impaired returns the kind of fault that makes a link worse for a while.
func impaired(name string, change func(c *netem.Config)) Kind {
	return Kind{name, OfLink, false, func(s Site) *sim.Fault {
		cfg := s.Own
		change(&cfg)
		return sim.Impair(s.Link, cfg)
	}}
}
