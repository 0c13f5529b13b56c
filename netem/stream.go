package netem

import "math/bits"

// Stream is a sequence of random numbers addressed by position: number i is a hash of the stream's key and i.
// It is a small value that can be copied and stored freely; draws from one stream never affect another. A
// *Stream is a Source for math/rand/v2. It is not cryptographically secure.
//
// The zero value is a valid stream, and the same one everywhere; use [NewStream].
type Stream struct {
	key uint64
	n   uint64
}

// NewStream returns the stream of a seed and a path of names, such as NewStream(seed, "link", "phone",
// "server"). Different paths give unrelated streams; ("a", "b") and ("ab") are different paths.
func NewStream(seed uint64, names ...string) Stream {
	key := absorb(seed, domainSeed)
	for _, name := range names {
		// FNV-1a, 64 bits: short, and the same on every platform and release,
		// which hash/maphash is not.
		h := uint64(14695981039346656037)
		for i := range len(name) {
			h = (h ^ uint64(name[i])) * 1099511628211
		}
		key = absorb(absorb(key, h), domainName)
	}
	return Stream{key: key}
}

// Derive returns the stream below s that ids name, for example the number of a flow. It depends on the key of
// s, not on how far s has been drawn, and does not draw from s.
func (s Stream) Derive(ids ...uint64) Stream {
	key := s.key
	for _, id := range ids {
		key = absorb(absorb(key, id), domainID)
	}
	return Stream{key: key}
}

// Uint64 returns the next number.
func (s *Stream) Uint64() uint64 { return s.next().lane(laneUser) }

// Count returns how many steps the stream has taken: one for each call of [Stream.Uint64] and one for each
// packet passed to [Pipe.Send].
func (s Stream) Count() uint64 { return s.n }

func (s *Stream) next() draws {
	s.n++
	return draws(mix64(s.key ^ mix64(s.n)))
}

// draws are the random numbers of one step of a stream: the SplitMix64 sequence (Steele, Lea, Flood 2014)
// that starts at the hash of key and position. Each purpose reads its own place, its lane.
type draws uint64

// A lane's number is part of the random sequence: append, never renumber.
const (
	laneUser = iota
	laneLoss
	laneLossState
	laneDuplicate
	laneReorder
	laneCorrupt
	laneJitter
	laneCopyCorrupt
	laneCopyJitter
	laneSlow
	laneSlowTime
	laneAlike
	laneMoreCopies
	laneNoise
	laneSlot
	laneMark
	laneVictim
)

func (d draws) lane(k uint64) uint64 { return mix64(uint64(d) + (k+1)*goldenGamma) }

// happens reports whether an event of the given threshold happens in lane k.
func (d draws) happens(k uint64, t threshold) bool {
	return t != 0 && d.lane(k)>>1 < uint64(t)
}

// threshold is a probability in units of 2^-63.
type threshold uint64

// always is probability 1.
const always threshold = 1 << 63

// thresholdOf is exact for every p >= 2^-10, since a float64 has 53 bits, and rounds a smaller one down to a
// multiple of 2^-63. Scaling by a power of two rounds nothing, so every platform computes the same.
func thresholdOf(p float64) threshold { return threshold(p * (1 << 63)) }

// The domains keep names, numbers and the seed apart, so that the name whose
// hash is 7 is not the flow 7.
const (
	domainSeed = iota + 1
	domainName
	domainID
)

const goldenGamma = 0x9e3779b97f4a7c15

func absorb(key, v uint64) uint64 { return mix64(key*goldenGamma ^ mix64(v+goldenGamma)) }

// mix64 is SplitMix64's finaliser, a bijection in which each input bit flips
// each output bit with probability one half (D. Stafford's variant 13).
func mix64(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below maps a random number to [0,n), each number almost equally likely.
func below(u, n uint64) uint64 {
	hi, _ := bits.Mul64(u, n)
	return hi
}
