package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Place is one packet of a run: the Nth packet of its kind that a host gives to the network for another
// host, such as the second packet with data from server to phone. In every run of a seed that is equal up to
// that packet, it is the same packet, whatever other hosts do. TCP and UDP packets have places, counted where
// they leave their host; a retransmission counts again. Packets that a router sends for others (NAT) have no
// place, nor have ICMP, ARP and packets that stay on their host.
type Place struct {
	From, To string     // names of hosts; To may be a router's
	Kind     PacketKind // zero: of any kind
	Nth      int        // from 1
}

// String describes the packet: "the 2nd of the packets with data from server to phone".
func (p Place) String() string {
	return fmt.Sprintf("%v from %s to %s", strings.TrimSpace(Packets{Nth: max(1, p.Nth), Kind: p.Kind}.String()), p.From, p.To)
}

// check returns an error if the place makes no sense.
func (p Place) check() error {
	switch {
	case p.From == "":
		return errors.New("Place.From is empty: it must be the name of the host that sends the packet")
	case p.To == "":
		return errors.New("Place.To is empty: it must be the name of the host or router that the packet is for")
	case int(p.Kind) >= len(packetKinds):
		return fmt.Errorf("Place.Kind is %d: it must be one of the constants, AnyPacket to SentAgain", uint8(p.Kind))
	case p.Kind == ICMP:
		return fmt.Errorf("Place.Kind is %v: only packets of TCP and UDP have places", p.Kind)
	case p.Nth < 1:
		return fmt.Errorf("Place.Nth is %d: it must be 1 or more", p.Nth)
	}
	return nil
}

// on reports whether a packet goes from one end of p to the other.
func (p *Place) on(pkt *packet) bool {
	return strings.EqualFold(p.From, pkt.way.from.name) && strings.EqualFold(p.To, pkt.way.to.name)
}

// words returns the place as an argument of a command line: "server phone Data 2".
func (p Place) words() string {
	return fmt.Sprintf("%s %s %s %d", p.From, p.To, strings.TrimPrefix(packetKinds[p.Kind].code, "sim."), p.Nth)
}

// A brokenPlace is a place and what breaks there.
type brokenPlace struct {
	What Breakage
	At   Place
}

// words returns the text that [Explore] reads again: "Lost server phone Data 2".
func (b brokenPlace) words() string { return b.What.code() + " " + b.At.words() }

// wordsOf returns several of these texts, with commas between them.
func wordsOf(all []brokenPlace) string {
	var words []string
	for _, b := range all {
		words = append(words, b.words())
	}
	return strings.Join(words, ", ")
}

// brokenWords returns several, for one of a test's calls of [Explore].
func brokenWords(call int, all []brokenPlace) string {
	if len(all) > 0 && call > 1 {
		return fmt.Sprintf("%d: %s", call, wordsOf(all))
	}
	return wordsOf(all)
}

// readBroken reads what brokenWords has written.
func readBroken(text string) (call int, all []brokenPlace, err error) {
	call = 1
	if number, rest, ok := strings.Cut(text, ":"); ok {
		if call, err = strconv.Atoi(strings.TrimSpace(number)); err != nil || call < 1 {
			return 0, nil, fmt.Errorf("%q is not the number of a call", number)
		}
		text = rest
	}
	all, err = readPlaces(text)
	return call, all, err
}

// readPlaces reads what wordsOf has written.
func readPlaces(text string) (all []brokenPlace, err error) {
	for item := range strings.SplitSeq(text, ",") {
		f := strings.Fields(item)
		if len(f) != 5 {
			return nil, fmt.Errorf("%q has %d words, not 5", strings.TrimSpace(item), len(f))
		}
		b := brokenPlace{At: Place{From: f[1], To: f[2]}}
		for w := range breakageWords {
			if w > 0 && Breakage(w).code() == f[0] {
				b.What = Breakage(w)
			}
		}
		kind := -1
		for k := range packetKinds {
			if packetKinds[k].code == "sim."+f[3] {
				kind = k
			}
		}
		nth, noNumber := strconv.Atoi(f[4])
		switch {
		case b.What == 0:
			return nil, fmt.Errorf("%q is not a breakage", f[0])
		case kind < 0:
			return nil, fmt.Errorf("%q is not a kind of packet", f[3])
		case noNumber != nil:
			return nil, fmt.Errorf("%q is not a number", f[4])
		}
		b.At.Kind, b.At.Nth = PacketKind(kind), nth
		if err := b.At.check(); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}
