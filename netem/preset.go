package netem

import "time"

// A Preset is a kind of access link, seen from the client behind it.
type Preset struct {
	Name string // for tables
	Up   Config // from the client
	Down Config // to the client
}

// The presets come from public lists for testing web pages. Where a list gives a round trip, each direction
// has half of it. None has jitter, and only [EdgeLossy] loses packets other than by a full queue, as in the
// lists. Queues hold 1,000 packets, which is Linux's default for a device (ether_setup's
// DEFAULT_TX_QUEUE_LEN) and the default limit of tc-netem(8). The presets are plain values: change a copy.
var (
	// LAN is a network within a building: 1 Gbit/s (IEEE 802.3ab) and a round trip of 0.5 ms, Jeff Dean's
	// figure for one within a data centre ("Designs, Lessons and Advice from Building Large Distributed
	// Systems", LADIS 2009).
	LAN = preset("LAN", Gbit, Gbit, 500*time.Microsecond)
	// WiFi is "Wi-Fi" of Firefox's network throttling: 15 Mbit/s up, 30 Mbit/s down, 2 ms.
	WiFi = preset("Wi-Fi", 15*Mbit, 30*Mbit, 2*time.Millisecond)
	// Broadband is "Cable" of WebPageTest (www/settings/connectivity.ini.sample): 1 Mbit/s
	// up, 5 Mbit/s down, a round trip of 28 ms.
	Broadband = preset("broadband", 1*Mbit, 5*Mbit, 28*time.Millisecond)
	// LTE is "LTE" of WebPageTest: 12 Mbit/s each way, a round trip of 70 ms.
	LTE = preset("LTE", 12*Mbit, 12*Mbit, 70*time.Millisecond)
	// ThreeG is "3G" of WebPageTest: 768 kbit/s up, 1.6 Mbit/s down, a round trip of 300 ms.
	ThreeG = preset("3G", 768*Kbit, 1600*Kbit, 300*time.Millisecond)
	// Satellite is a link over a geostationary satellite: 279 ms each way from the edge of its view (RFC
	// 2488, section 2), with the rates of Loadero's "Satellite phone": 256 kbit/s up, 1 Mbit/s down.
	Satellite = preset("satellite", 256*Kbit, 1*Mbit, 2*279*time.Millisecond)
	// EdgeLossy is "Edge - Lossy" of Facebook's Augmented Traffic Control
	// (utils/profiles/Edge-Lossy.json): 200 kbit/s and 440 ms up, 240 kbit/s and 400 ms
	// down, 1 % of packets lost in each direction.
	EdgeLossy = edgeLossy()
	// TwoG is "2G - Developing Urban" of the same collection: 32 kbit/s up, 35 kbit/s
	// down, 650 ms each way.
	TwoG = preset("2G", 32*Kbit, 35*Kbit, 1300*time.Millisecond)
)

// Presets returns all presets, the best first.
func Presets() []Preset {
	return []Preset{LAN, WiFi, Broadband, LTE, ThreeG, Satellite, EdgeLossy, TwoG}
}

func preset(name string, up, down BitRate, roundTrip time.Duration) Preset {
	way := func(rate BitRate) Config {
		return Config{Delay: roundTrip / 2, Rate: rate, Queue: DropTail{Packets: 1000}}
	}
	return Preset{Name: name, Up: way(up), Down: way(down)}
}

func edgeLossy() Preset {
	p := preset("lossy EDGE", 200*Kbit, 240*Kbit, 0)
	p.Up.Delay, p.Down.Delay = 440*time.Millisecond, 400*time.Millisecond
	p.Up.Loss, p.Down.Loss = Bernoulli(0.01), Bernoulli(0.01)
	return p
}
