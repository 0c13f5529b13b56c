package netem

import (
	"fmt"
	"slices"
	"time"
)

// A published is a row of a published list, in the list's own units.
type published struct {
	name     string
	down, up float64 // kbit/s; 0 means unlimited
	delay    float64 // ms, by the list's own meaning
	loss     float64 // each way
}

// A meaning says what a list's delay is.
type meaning uint8

const (
	roundTrip meaning = iota // half of it each way
	oneWay                   // all of it each way
)

var lists = []struct {
	source string
	from   string // where it is
	delay  meaning
	kilo   float64 // bits in a kbit
	links  []published
}{
	{"DevTools", "Chrome's network conditions before its factors for throttling by request (front_end/core/sdk/NetworkManager.ts)", roundTrip, 1000, []published{
		{"Slow 3G", 500, 500, 400, 0},
		{"Slow 4G", 1600, 750, 150, 0},
		{"Fast 4G", 9000, 1500, 60, 0},
	}},
	{"Lighthouse", "core/config/constants.js", roundTrip, 1000, []published{
		{"mobileSlow4G", 1638.4, 750, 150, 0},
		{"mobileRegular3G", 700, 700, 300, 0},
		{"desktopDense4G", 10240, 10240, 40, 0},
	}},
	{"WebPageTest", "www/settings/connectivity.ini.sample", roundTrip, 1000, []published{
		{"Cable", 5000, 1000, 28, 0},
		{"DSL", 1500, 384, 50, 0},
		{"FIOS", 20000, 5000, 4, 0},
		{"Dial", 49, 30, 120, 0},
		{"3G", 1600, 768, 300, 0},
		{"3GFast", 1600, 768, 150, 0},
		{"3GSlow", 780, 330, 200, 0},
		{"Edge", 240, 200, 840, 0},
		{"2G", 35, 32, 1300, 0},
		{"4G", 9000, 9000, 170, 0},
		{"LTE", 12000, 12000, 70, 0},
	}},
	{"sitespeed", "github.com/sitespeedio/throttle", oneWay, 1000, []published{
		{"3g", 1600, 768, 150, 0},
		{"3gfast", 1600, 768, 75, 0},
		{"3gslow", 400, 400, 200, 0},
		{"2g", 280, 256, 400, 0},
		{"cable", 5000, 1000, 14, 0},
		{"dsl", 1500, 384, 25, 0},
		{"4g", 9000, 9000, 85, 0},
		{"lte", 12000, 12000, 35, 0},
		{"edge", 240, 200, 420, 0},
		{"dial", 49, 30, 60, 0},
		{"fios", 20000, 5000, 2, 0},
	}},
	{"Firefox", "network throttling of its developer tools", roundTrip, 1024, []published{
		{"GPRS", 50, 20, 500, 0},
		{"Regular 2G", 250, 50, 300, 0},
		{"Good 2G", 450, 150, 150, 0},
		{"Regular 3G", 750, 250, 100, 0},
		{"Good 3G", 1500, 750, 40, 0},
		{"4G LTE", 4000, 3000, 20, 0},
		{"DSL", 2000, 1000, 5, 0},
		{"Wi-Fi", 30000, 15000, 2, 0},
	}},
	{"Comcast", "the table of github.com/tylertreat/comcast's README", oneWay, 1000, []published{
		{"GPRS", 50, 50, 500, 0.02},
		{"EDGE", 250, 250, 300, 0.015},
		{"3G", 750, 750, 250, 0.015},
		{"dial-up", 40, 40, 185, 0.02},
		{"DSL poor", 2000, 2000, 70, 0.02},
		{"DSL good", 8000, 8000, 40, 0.005},
		{"Wi-Fi", 30000, 30000, 40, 0.002},
		{"Starlink", 0, 0, 20, 0.025},
	}},
}

// Published returns presets of public lists, by source: browsers (DevTools, Lighthouse, Firefox), testers of
// web pages (WebPageTest, sitespeed), Comcast, Facebook's Augmented Traffic Control (ATC), grpc-go's package
// latency, and the links of simulators (FoundationDB, Jepsen, TigerBeetle's VOPR). Their names begin with the
// source: "WebPageTest 3G", "ATC 2G - Developing Urban". Each keeps its list's own meaning: a round trip is
// halved, a one-way delay is not. Queues hold 1000 packets, as with the other presets.
func Published() []Preset {
	var all []Preset
	for _, list := range lists {
		for _, l := range list.links {
			way := func(kbit float64) Config {
				c := Config{Delay: time.Duration(l.delay * float64(time.Millisecond))}
				if list.delay == roundTrip {
					c.Delay /= 2
				}
				if kbit > 0 {
					c.Rate, c.Queue = BitRate(kbit*list.kilo), DropTail{Packets: 1000}
				}
				if l.loss > 0 {
					c.Loss = Bernoulli(l.loss)
				}
				return c
			}
			all = append(all, Preset{Name: list.source + " " + l.name, Up: way(l.up), Down: way(l.down)})
		}
	}
	return slices.Concat(all, atc(), grpc(), simulators())
}

// Named returns the preset of that name, from [Presets] or [Published]. It panics if there is none.
func Named(name string) Preset {
	for _, p := range slices.Concat(Presets(), Published()) {
		if p.Name == name {
			return p
		}
	}
	panic(fmt.Sprintf("netem: Named: %q is not the name of a preset: it must be one of those of Presets or Published, such as %q", name, "WebPageTest 3G"))
}

// atc are the profiles of Facebook's Augmented Traffic Control (utils/profiles), whose directions differ.
func atc() (all []Preset) {
	for _, p := range []struct {
		name               string
		down, up           BitRate       // kbit/s
		downDelay, upDelay time.Duration // ms
		loss               float64
	}{
		{"2G - Developing Rural", 20, 18, 650, 650, 0.02},
		{"2G - Developing Urban", 35, 32, 650, 650, 0},
		{"3G - Average", 780, 330, 100, 100, 0},
		{"3G - Good", 850, 420, 90, 90, 0},
		{"Cable", 6000, 1000, 2, 2, 0},
		{"DSL", 2000, 256, 5, 5, 0},
		{"Edge - Average", 240, 200, 400, 440, 0},
		{"Edge - Good", 250, 200, 350, 370, 0},
		{"Edge - Lossy", 240, 200, 400, 440, 0.01},
	} {
		q := preset("ATC "+p.name, p.up*Kbit, p.down*Kbit, 0)
		q.Up.Delay, q.Down.Delay = p.upDelay*time.Millisecond, p.downDelay*time.Millisecond
		if p.loss > 0 {
			q.Up.Loss, q.Down.Loss = Bernoulli(p.loss), Bernoulli(p.loss)
		}
		all = append(all, q)
	}
	return append(all, Preset{Name: "ATC NoConnectivity", Up: Config{Loss: Bernoulli(1)}, Down: Config{Loss: Bernoulli(1)}})
}

// grpc are the networks of google.golang.org/grpc/benchmark/latency: kbit of 1024 bits, one way.
func grpc() (all []Preset) {
	for _, p := range []struct {
		name  string
		kbit  BitRate
		delay time.Duration
		mtu   int
	}{
		{"LAN", 100 * 1024, 2 * time.Millisecond, 1500},
		{"WAN", 20 * 1024, 30 * time.Millisecond, 1500},
		{"Longhaul", 1000 * 1024, 200 * time.Millisecond, 9000},
	} {
		q := preset("grpc-go "+p.name, p.kbit*1024, p.kbit*1024, 2*p.delay)
		q.Up.MTU, q.Down.MTU = p.mtu, p.mtu
		all = append(all, q)
	}
	return all
}

// simulators are the links within a data centre in simulators for databases.
func simulators() []Preset {
	both := func(name string, c Config) Preset { return Preset{Name: name, Up: c, Down: c} }
	ms := time.Millisecond
	return []Preset{
		// fdbrpc/sim2.actor.cpp: 0.1 to 0.8 ms, and once in a thousand times up to 100 ms more.
		both("FoundationDB", Config{Delay: 450 * time.Microsecond, Jitter: 350 * time.Microsecond, Distribution: SlowTail{P: 0.001, Max: 100 * ms}}),
		// jepsen.net's defaults: 50 ms, plus or minus 10 ms, normal.
		both("Jepsen slow", Config{Delay: 50 * ms, Jitter: 10 * ms, Distribution: Normal, Correlation: Correlation{Jitter: 0.25, Biased: true}}),
		// And its flaky network, "loss 20% 75%", which loses 0.1 %.
		both("Jepsen flaky", Config{Loss: BiasedCorrelated(0.2, 0.75)}),
		// src/testing/packet_simulator.zig: a minimum delay plus an exponential one, in the middle of the
		// range from which it draws.
		both("VOPR", Config{Delay: 15 * ms, Jitter: 65 * ms, Distribution: Exponential}),
	}
}
