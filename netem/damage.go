package netem

import (
	"fmt"
	"slices"
)

// Damage is an error that passes the checksum: bit errors of memory, of a bad driver, or of a middlebox that
// recomputes the checksum. The zero value is an error that the checksum finds. Only the payload is damaged: a
// packet without a payload arrives intact, and a fragment (RFC 791) with a bit error is always dropped at its
// receiver.
type Damage struct {
	UndetectedUDP bool // damage the payloads of UDP
	UndetectedTCP bool // damage the payloads of TCP: its stream delivers other bytes than were written
	Bits          int  // bits inverted in each payload, 1 to 32; 0 means 1
	Truncate      bool // shorten the payload instead, to between 0 bytes and one less than its length
}

const maxBits = 32

func (d Damage) invalid() string {
	switch {
	case d.Bits < 0 || d.Bits > maxBits:
		return fmt.Sprintf("Bits must be 0 (for 1) or in [1,%d]", maxBits)
	case d.Bits > 0 && d.Truncate:
		return "Bits contradicts Truncate"
	case !d.UndetectedUDP && !d.UndetectedTCP:
		return "needs UndetectedUDP or UndetectedTCP: what the checksum finds does not arrive"
	}
	return ""
}

// Apply returns the payload after the damage, for the Noise of a verdict. It does not change payload; a
// truncated result shares its memory.
func (d Damage) Apply(payload []byte, noise uint64) []byte {
	if len(payload) == 0 {
		return payload
	}
	if d.Truncate {
		return payload[:below(noise, uint64(len(payload)))]
	}
	out := slices.Clone(payload)
	total := 8 * uint64(len(payload))
	var hit []uint64
	for k := uint64(0); len(hit) < int(min(uint64(max(1, d.Bits)), total)); k++ {
		at := below(draws(noise).lane(k), total)
		if !slices.Contains(hit, at) {
			hit = append(hit, at)
			out[at/8] ^= 1 << (at % 8)
		}
	}
	return out
}

// String returns the damage as Go writes it.
func (d Damage) String() string {
	return fmt.Sprintf("Damage{UndetectedUDP: %v, UndetectedTCP: %v, Bits: %d, Truncate: %v}", d.UndetectedUDP, d.UndetectedTCP, d.Bits, d.Truncate)
}
