package sim_test

import (
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// faultVocabulary has a row for each fault: how it is made, why what becomes of a visit in each phase does, and what is refused.
var faultVocabulary = []struct {
	of      string
	fault   func(s *market) *sim.Fault
	why     string
	refused func(s *market)
	panics  string
	want    [len(phases)]string
}{
	{"NewFault", func(s *market) *sim.Fault { return sim.NewFault(s.n, "x", s.web.Crash, s.web.Restart) },
		"SYNs are refused, and what is open is reset, as by Crash and Restart.", func(s *market) { sim.NewFault(nil, "x", func() {}, nil) }, `sim: NewFault: the network is nil`, [...]string{
			"connection refused 140ms; fired 1",
			"connection refused 140ms; fired 1",
			"connection reset 160ms; fired 1",
			"connection reset 212ms; fired 1",
			"connection reset 314ms; fired 1",
		}},
	{"Down", func(s *market) *sim.Fault { return sim.Down(s.near) },
		"The name is asked for again after 5 s, the SYN after 1 s; retransmissions of the request come 200 ms and a round trip later, and double.", func(s *market) { sim.Down(nil) }, `sim: Link.Down: the link is nil, or was not made by Network.Link`, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 1.06s, answer 1.09s, web 1.16s; fired 3",
			"answer 992ms, web 1.062s; fired 7",
			"web 1.097s; fired 7",
		}},
	{"DownFrom", func(s *market) *sim.Fault { return sim.DownFrom(s.near, s.nat) },
		"The same for the answers alone: what the server sends comes again.", func(s *market) { sim.DownFrom(s.near, s.web) }, `sim: link client - nat: DownFrom("web"): it must be one of the link's two ends`, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 902ms, answer 932ms, web 1.002s; fired 8",
			"answer 992ms, web 1.062s; fired 7",
			"web 1.097s; fired 7",
		}},
	{"Unplug", func(s *market) *sim.Fault { return sim.Unplug(s.near) },
		"Without ARP as Down.", func(s *market) { sim.Unplug(nil) }, `sim: Link.Unplug: the link is nil, or was not made by Network.Link`, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 1.06s, answer 1.09s, web 1.16s; fired 3",
			"answer 992ms, web 1.062s; fired 7",
			"web 1.097s; fired 7",
		}},
	{"Reject", func(s *market) *sim.Fault { return sim.Reject(s.far, sim.ICMPHostUnreachable) },
		"A SYN that is rejected ends the attempt; a connection outlives it, by retransmissions.", func(s *market) { sim.Reject(s.far, 4) }, `sim: link lb - web: Reject(4): it must be one of the codes of ICMPCode`, [...]string{
			"no route to host 130ms; fired 1",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 840ms, answer 870ms, web 940ms; fired 4",
			"answer 890ms, web 960ms; fired 3",
			"web 1.03375s; fired 3",
		}},
	{"Hold", func(s *market) *sim.Fault { return sim.Hold(s.near) },
		"What waits goes on half a second after the beginning.", func(s *market) { sim.Hold(nil) }, `sim: Link.Hold: the link is nil, or was not made by Network.Link`, [...]string{
			"dialled 630ms, answer 660ms, answer 690ms, web 760ms; fired 2",
			"dialled 632ms, answer 662ms, answer 692ms, web 762ms; fired 1",
			"answer 675ms, answer 705ms, web 775ms; fired 3",
			"answer 707ms, web 777ms; fired 7",
			"web 809ms; fired 7",
		}},
	{"Impair", func(s *market) *sim.Fault { return s.impair(netem.Config{Delay: 105 * ms}) },
		"100 ms more each way; the fields of netem.Config have rows of their own.", func(s *market) { sim.Impair(s.near, netem.Config{Delay: -1}) }, `sim: link client - nat: Impair: netem: Delay: -1ns: must be in [0s,24h]`, [...]string{
			"dialled 540ms, answer 670ms, answer 700ms, web 770ms; fired 8",
			"dialled 240ms, answer 470ms, answer 700ms, web 770ms; fired 14",
			"answer 380ms, answer 610ms, web 780ms; fired 18",
			"answer 330ms, web 600ms; fired 15",
			"web 470ms; fired 8",
		}},
	{"Partition", func(s *market) *sim.Fault { return sim.Partition(s.n, []*sim.Host{s.client}, []*sim.Host{s.web}) },
		"The name server is in no group. The two boxes between client and server do not join them.", func(s *market) { sim.Partition(s.n, []*sim.Host{s.web}, []*sim.Host{s.web}) }, `sim: Partition: host "web" is in groups 1 and 2`, [...]string{
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 1.06s, answer 1.09s, web 1.16s; fired 4",
			"answer 1.11s, web 1.18s; fired 3",
			"web 1.255s; fired 3",
		}},
	{"PartitionOneWay", func(s *market) *sim.Fault { return sim.PartitionOneWay(s.n, []*sim.Host{s.web}, []*sim.Host{s.client}) },
		"What the server sends is lost.", func(s *market) { sim.PartitionOneWay(nil, nil, nil) }, `sim: PartitionOneWay: the network is nil`, [...]string{
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 902ms, answer 932ms, web 1.002s; fired 8",
			"answer 992ms, web 1.062s; fired 7",
			"web 1.097s; fired 7",
		}},
	{"Crash", func(s *market) *sim.Fault { return sim.Crash(s.web) },
		"", func(s *market) { sim.Crash(nil) }, `sim: Host.Crash: the host is nil, or was not made by Network.Host`, [...]string{
			"connection refused 140ms; fired 2",
			"connection refused 140ms; fired 2",
			"connection reset 160ms; fired 2",
			"connection reset 212ms; fired 3",
			"connection reset 314ms; fired 3",
		}},
	{"PowerOff", func(s *market) *sim.Fault { return sim.PowerOff(s.web) },
		"Silence; who comes back after half a second knows no connection, and answers the next retransmission by RST.", func(s *market) { sim.PowerOff(nil) }, `sim: Host.PowerOff: the host is nil, or was not made by Network.Host`, [...]string{
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 3",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 3",
			"connection reset 1.05s; fired 6",
			"connection reset 1.1s; fired 6",
			"connection reset 1.205s; fired 6",
		}},
	{"Pause", func(s *market) *sim.Fault { return sim.Pause(s.web) },
		"The system shakes hands and acknowledges, and the process goes on half a second after the beginning.", func(s *market) { sim.Pause(nil) }, `sim: Host.Pause: the host is nil, or was not made by Network.Host`, [...]string{
			"answer 610ms, answer 640ms, web 710ms; fired 1",
			"answer 647ms, answer 677ms, web 747ms; fired 1",
			"answer 665ms, answer 695ms, web 765ms; fired 1",
			"answer 722ms, web 792ms; fired 1",
			"web 864ms; fired 1",
		}},
	{"CrossTraffic", func(s *market) *sim.Fault {
		return sim.CrossTraffic(s.client, s.web, sim.Traffic{Rate: 120 * netem.Kbit})
	},
		"Links that have no Rate it shares without harm: a datagram every 100 ms, the last as it ends.", func(s *market) { sim.CrossTraffic(s.web, s.web, sim.Traffic{Rate: 1}) }, `sim: CrossTraffic: both hosts are "web": they must be different`, [...]string{
			"web 370ms; fired 6", "web 370ms; fired 6", "web 370ms; fired 6", "web 370ms; fired 6", "web 370ms; fired 6",
		}},
	{"BlockICMP", func(s *market) *sim.Fault {
		sim.Reject(s.far, sim.ICMPPortUnreachable).Begin()
		return sim.BlockICMP(s.lb)
	},
		"The SYN is rejected unheard until the next one, a second later.", func(s *market) { sim.BlockICMP(nil) }, `sim: BlockICMP: the router is nil`, [...]string{
			"connection refused 1.13s; fired 1",
			"connection refused 130ms; fired 0",
			"connection refused 130ms; fired 0",
			"connection refused 130ms; fired 0",
			"connection refused 130ms; fired 0",
		}},
	{"Drop", func(s *market) *sim.Fault { return sim.Drop(s.near, sim.Packets{From: s.nat}) },
		"", func(s *market) { sim.Drop(s.near, sim.Packets{Nth: -1}) }, `sim: Drop(client - nat): Packets.Nth is -1: it must be 0 or more`, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 902ms, answer 932ms, web 1.002s; fired 8",
			"answer 992ms, web 1.062s; fired 7",
			"web 1.097s; fired 7",
		}},
	{"Delay", func(s *market) *sim.Fault { return sim.Delay(s.near, sim.Packets{From: s.nat}, 100*ms) },
		"100 ms more for what comes to the client.", func(s *market) { sim.Delay(s.near, sim.Packets{}, 0) }, `sim: Delay(client - nat): by is 0s: it must be positive, and 24h at most`, [...]string{
			"dialled 340ms, answer 470ms, answer 600ms, web 670ms; fired 10",
			"dialled 240ms, answer 370ms, answer 500ms, web 670ms; fired 11",
			"answer 280ms, answer 410ms, web 580ms; fired 12",
			"answer 330ms, web 500ms; fired 9",
			"web 470ms; fired 5",
		}},
	{"Duplicate", func(s *market) *sim.Fault { return sim.Duplicate(s.near, sim.Packets{}) },
		"TCP, and who asks for names, take no harm.", func(s *market) { sim.Duplicate(s.near, sim.Packets{Kind: sim.UDP, Connections: 1}) }, `sim: Duplicate(client - nat): Packets.Connections is 1: it must be 0 for datagrams, which have none`, [...]string{
			"web 370ms; fired 44",
			"web 370ms; fired 36",
			"web 370ms; fired 33",
			"web 370ms; fired 19",
			"web 370ms; fired 10",
		}},
	{"Corrupt", func(s *market) *sim.Fault { return sim.Corrupt(s.near, sim.Packets{From: s.nat}) },
		"A checksum that is wrong is a loss.", func(s *market) { sim.Corrupt(s.near, sim.Packets{Port: 65536}) }, `sim: Corrupt(client - nat): Packets.Port is 65536: it must be 0 to 65535`, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 902ms, answer 932ms, web 1.002s; fired 8",
			"answer 992ms, web 1.062s; fired 7",
			"web 1.097s; fired 7",
		}},
	{"Reset", func(s *market) *sim.Fault { return sim.Reset(s.near, sim.Packets{}) },
		"", func(s *market) { sim.Reset(s.near, sim.Packets{Kind: sim.UDP}) }, `sim: Reset(client - nat): Packets.Kind is datagrams: the fault is for TCP only`, [...]string{
			"connection refused 120ms; fired 1",
			"connection refused 140ms; fired 1",
			"connection reset 150ms; fired 1",
			"connection reset 230ms; fired 3",
			"connection reset 360ms; fired 3",
		}},
	{"StallAfter", func(s *market) *sim.Fault { return sim.StallAfter(s.near, 1000, sim.Packets{From: s.nat}) },
		"1000 bytes of the answers pass, and when they are further already nothing does; the rest half a second later, by retransmissions.", func(s *market) { sim.StallAfter(s.near, -1, sim.Packets{From: s.nat}) }, `sim: StallAfter(client - nat): bytes is -1: it must be 0 or more`, [...]string{
			"answer 902ms, answer 932ms, web 1.002s; fired 5",
			"answer 902ms, answer 932ms, web 1.002s; fired 5",
			"answer 902ms, answer 932ms, web 1.002s; fired 5",
			"answer 992ms, web 1.062s; fired 5",
			"web 1.097s; fired 4",
		}},
	{"ResetAfter", func(s *market) *sim.Fault { return sim.ResetAfter(s.near, 1000, sim.Packets{From: s.nat}) },
		"", func(s *market) { sim.ResetAfter(s.near, 0, sim.Packets{}) }, `sim: ResetAfter(client - nat): Packets.From is nil: it must be the end of the link that sends the streams`, [...]string{
			"connection reset 180ms; fired 4",
			"connection reset 180ms; fired 4",
			"connection reset 180ms; fired 4",
			"connection reset 230ms; fired 3",
			"connection reset 370ms; fired 2",
		}},
	{"CloseAfter", func(s *market) *sim.Fault { return sim.CloseAfter(s.near, 1000, sim.Packets{From: s.nat}) },
		"The last receipt is empty.", func(s *market) { sim.CloseAfter(s.near, 0, sim.Packets{From: s.nat, Nth: 1}) }, `sim: CloseAfter(client - nat): only Packets.From, IP, Addr, Port, Conn and Connections may be set, since the fault is about streams`, [...]string{
			"EOF 180ms; fired 5",
			"EOF 180ms; fired 5",
			"EOF 180ms; fired 5",
			"EOF 230ms; fired 5",
			" 370ms; fired 3",
		}},
	{"FailNames", func(s *market) *sim.Fault { return sim.FailNames(s.names, "", sim.NameNotFound) },
		"Names matter to who dials.", func(s *market) { sim.FailNames(s.names, "", 99) }, `sim: FailNames("", NameCode(99)): the code must be one of the constants, NameFormatError to NameRefused`, [...]string{
			"no such host 120ms; fired 2",
			asEver,
			asEver,
			asEver,
			asEver,
		}},
	{"SilenceNames", func(s *market) *sim.Fault { return sim.SilenceNames(s.names, "shop.example") },
		"The resolver asks again after 5 s.", func(s *market) { sim.SilenceNames(s.names, "a..b") }, `sim: SilenceNames("a..b"): a name must not have an empty part`, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			asEver,
			asEver,
			asEver,
			asEver,
		}},
	{"DelayNames", func(s *market) *sim.Fault { return sim.DelayNames(s.names, "", 100*ms) },
		"", func(s *market) { sim.DelayNames(s.names, "", 0) }, `sim: DelayNames("", 0s): the delay must be positive`, [...]string{
			"dialled 240ms, answer 270ms, answer 300ms, web 370ms; fired 2",
			asEver,
			asEver,
			asEver,
			asEver,
		}},
	{"TruncateNames", func(s *market) *sim.Fault { return sim.TruncateNames(s.names, "") },
		"It asks again over TCP: two round trips of 20 ms more.", func(s *market) { sim.TruncateNames(nil, "") }, `sim: TruncateNames: the name server is nil, or was not made by Host.ServeNames`, [...]string{
			"dialled 180ms, answer 210ms, answer 240ms, web 370ms; fired 2",
			asEver,
			asEver,
			asEver,
			asEver,
		}},
	{"MisleadNames", func(s *market) *sim.Fault { return sim.MisleadNames(s.names, "shop.example", "A 10.0.0.4") },
		"The address of the other server.", func(s *market) { sim.MisleadNames(s.names, "") }, `sim: MisleadNames(""): the name must not be empty`, [...]string{
			"spare 370ms; fired 2",
			asEver,
			asEver,
			asEver,
			asEver,
		}},
	{"StepClock", func(s *market) *sim.Fault { return sim.StepClock(s.web, -time.Hour) },
		"", func(s *market) { sim.StepClock(s.web, 0) }, `sim: StepClock(0s): the step must not be 0`, [...]string{
			"clock -1h0m0s, clock -1h0m0s, web 370ms; fired 2",
			"clock -1h0m0s, clock -1h0m0s, web 370ms; fired 2",
			"clock -1h0m0s, clock -1h0m0s, web 370ms; fired 2",
			"clock -1h0m0s, web 370ms; fired 1",
			asEver,
		}},
	{"DriftClock", func(s *market) *sim.Fault { return sim.DriftClock(s.web, 100_000) },
		"A tenth more than the time since the beginning.", func(s *market) { sim.DriftClock(s.web, 0) }, `sim: DriftClock(0): must be from -500000 to 1000000 millionths, and not 0`, [...]string{
			"clock 8ms, clock 13ms, web 370ms; fired 2",
			"clock 4.3ms, clock 9.3ms, web 370ms; fired 2",
			"clock 2.5ms, clock 7.5ms, web 370ms; fired 2",
			"clock 1.8ms, web 370ms; fired 1",
			asEver,
		}},
	{"Restrict", func(s *market) *sim.Fault { return sim.Restrict(s.web, sim.HostLimits{Descriptors: 1}) },
		"The connection waits in the backlog. Who was accepted before is not concerned.", func(s *market) { sim.Restrict(s.web, sim.HostLimits{}) }, `sim: host web: Restrict: HostLimits is empty: set a field`, [...]string{
			"answer 670ms, answer 700ms, web 770ms; fired 5",
			"answer 670ms, answer 700ms, web 770ms; fired 5",
			"answer 670ms, answer 700ms, web 770ms; fired 5",
			asEver,
			asEver,
		}},
	{"Restrict", func(s *market) *sim.Fault { return sim.Restrict(s.web, sim.HostLimits{Slowdown: 2}) },
		"10 ms of work take 20 ms.", func(s *market) { sim.Restrict(s.web, sim.HostLimits{Slowdown: 1001}) }, `sim: host web: Restrict: HostLimits.Slowdown = 1001: must be from 1 to 1000, or 0 for 1`, [...]string{
			"answer 190ms, answer 240ms, web 370ms; fired 2",
			"answer 190ms, answer 240ms, web 370ms; fired 2",
			"answer 190ms, answer 240ms, web 370ms; fired 2",
			"answer 240ms, web 370ms; fired 1",
			asEver,
		}},
	{"ForgetConnections", func(s *market) *sim.Fault { return sim.ForgetConnections(s.nat) },
		"The SYN-ACK is a stray; what comes from inside later is adopted, but for a FIN (StrayAdopted).", func(s *market) { sim.ForgetConnections(s.n.Router("plain")) }, `sim: ForgetConnections: router "plain" must be a NAT, Firewall or Balancer`, [...]string{
			asEver,
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 3",
			"web 370ms; fired 3",
			"web 370ms; fired 3",
			"i/o timeout 20.14s; fired 3",
		}},
	{"Rebind", func(s *market) *sim.Fault { return sim.Rebind(s.nat) },
		"The SYN comes again from the new address, and is another connection; the balancer knows none of what is sent later.", func(s *market) { sim.Rebind(s.lb) }, `sim: Rebind: router "lb" must be a NAT`, [...]string{
			asEver,
			"dialled 1.14s, answer 1.17s, answer 1.2s, spare 1.27s; fired 3",
			"i/o timeout 20.14s; fired 3",
			"i/o timeout 20.14s; fired 3",
			"i/o timeout 20.14s; fired 3",
		}},
	{"Reboot", func(s *market) *sim.Fault { return sim.Reboot(s.lb) },
		"A balancer does not adopt what it has forgotten.", func(s *market) { sim.Reboot(nil) }, `sim: Router.Reboot: the router is nil, or was not made by Network.Router`, [...]string{
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"dialled 1.14s, answer 1.17s, answer 1.2s, spare 1.27s; fired 2",
			"i/o timeout 20.14s; fired 5",
			"i/o timeout 20.14s; fired 4",
			"i/o timeout 20.14s; fired 4",
		}},
	{"DrainBackend", func(s *market) *sim.Fault { return sim.DrainBackend(s.lb, s.web, 50*ms) },
		"50 ms later it is forgotten. The client waits for 20 s.", func(s *market) { sim.DrainBackend(s.lb, s.web, -1) }, `sim: router lb: DrainBackend(-1ns): it must not be negative`, [...]string{
			"spare 370ms; fired 1",
			"i/o timeout 20.14s; fired 1",
			"i/o timeout 20.14s; fired 1",
			"i/o timeout 20.14s; fired 1",
			"i/o timeout 20.14s; fired 1",
		}},
	{"FailBackend", func(s *market) *sim.Fault { return sim.FailBackend(s.lb, s.web) },
		"It is forgotten at once.", func(s *market) { sim.FailBackend(s.lb, s.dns) }, `sim: router lb: FailBackend: the host is not one of the balancer's backends`, [...]string{
			"spare 370ms; fired 1",
			"dialled 1.14s, answer 1.17s, answer 1.2s, spare 1.27s; fired 1",
			"i/o timeout 20.14s; fired 1",
			"i/o timeout 20.14s; fired 1",
			"i/o timeout 20.14s; fired 1",
		}},
	{"PartitionBy", func(s *market) *sim.Fault {
		return sim.PartitionBy(s.n, sim.Isolate(s.client), sim.PartitionConfig{Rejects: true})
	},
		"As Reject: the question about the name is refused at once. A connection outlives it.", func(s *market) { sim.PartitionBy(s.n, nil, sim.PartitionConfig{}) }, `sim: PartitionBy: cuts is empty: it must name what to cut`, [...]string{
			"dial tcp: lookup shop.example on 10.255.255.53:53: write udp 10.0.0.1:0->10.0.0.2:53: write: network is unreachable 100ms; fired 4",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 840ms, answer 870ms, web 940ms; fired 4",
			"answer 890ms, web 960ms; fired 3",
			"web 1.03375s; fired 3",
		}},
	{"Flap", func(s *market) *sim.Fault { return sim.Flap(sim.Down(s.near), 50*ms, 100*ms) },
		"Down from 0 to 50 ms, from 150 to 200 ms, and so on. After 304 ms nothing is sent while it is down.", func(s *market) { sim.Flap(sim.Down(s.near), 0, time.Second) }, `sim: Flap(client - nat: link down): lasts and pause are 0s and 1s: both must be positive`, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"answer 400ms, answer 430ms, web 500ms; fired 2",
			"answer 312ms, web 444ms; fired 6",
			asEver,
		}},
	{"Break", func(s *market) *sim.Fault {
		return sim.Break(s.n, sim.Lost, sim.Place{From: "client", To: "lb", Kind: sim.TCP, Nth: 1})
	},
		"The first segment that the client sends to the balancer from then on.", func(s *market) { sim.Break(s.n, sim.Lost, sim.Place{From: "client", Nth: 1}) }, `sim: Break: Place.To is empty: it must be the name of the host or router that the packet is for`, [...]string{
			"dialled 1.14s, answer 1.17s, answer 1.2s, web 1.27s; fired 1",
			"web 370ms; fired 1",
			"answer 400ms, answer 430ms, web 500ms; fired 1",
			"web 370ms; fired 1",
			"web 370ms; fired 1",
		}},
	{"Swizzle", func(s *market) *sim.Fault { return sim.Swizzle(200*ms, sim.Down(s.near), sim.Down(s.far)) },
		"The same link and one more, for a part of 200 ms that is drawn from their names.", func(s *market) { sim.Swizzle(1, sim.Down(s.near)) }, `sim: Swizzle(1ns): the time must be positive`, [...]string{
			"dialled 5.14s, answer 5.17s, answer 5.2s, web 5.27s; fired 2",
			"answer 400ms, answer 430ms, web 500ms; fired 2",
			"answer 462ms, answer 492ms, web 562ms; fired 5",
			"answer 552ms, web 622ms; fired 4",
			"web 647ms; fired 4",
		}},
}
