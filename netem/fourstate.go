package netem

import "fmt"

// FourState is the Markov chain of tc-netem's "loss state" (Salsano, Ludovici, Ordine: "Definition of a
// general and intuitive loss model for packet networks", 2009). Its states are 1 (good, in a gap), 2 (good,
// within a burst), 3 (lost, within a burst) and 4 (a single loss). P13 is the probability of the move from 1
// to 3, and so on, each in [0,1]. It starts in state 1.
//
// The share of all packets that are lost is (P13/P31 + P14)/(1 + P14 + P13/P31*(1 + P32/P23)). A stay in
// state 3 lasts 1/(P31+P32) packets on average.
//
// tc's defaults are P31 = 1-P13, P32 = 0, P23 = 1 and P14 = 0; here each field means what it says. P13+P14
// and P31+P32 must not be above 1. Without P31, or P23, there is no way back.
type FourState struct{ P13, P31, P32, P23, P14 float64 }

func (f FourState) invalid() string {
	for _, p := range []struct {
		name  string
		value float64
	}{{"P13", f.P13}, {"P31", f.P31}, {"P32", f.P32}, {"P23", f.P23}, {"P14", f.P14}} {
		if !isProbability(p.value) {
			return p.name + ": " + probabilityRange
		}
	}
	switch {
	case thresholdOf(f.P13)+thresholdOf(f.P14) > always:
		return "P13 and P14 must not exceed 1 together"
	case thresholdOf(f.P31)+thresholdOf(f.P32) > always:
		return "P31 and P32 must not exceed 1 together"
	}
	return ""
}

// The states of FourState. A chain begins in the first.
const (
	goodInGap = iota
	goodInBurst
	lostInBurst
	lostAlone
)

func (f FourState) lose(s *lossState, d draws) bool {
	u := threshold(d.lane(laneLoss) >> 1)
	switch s.state {
	case goodInGap:
		p14 := thresholdOf(f.P14)
		switch {
		case u < p14:
			s.state = lostAlone
		case u < p14+thresholdOf(f.P13):
			s.state = lostInBurst
		}
	case goodInBurst:
		if u < thresholdOf(f.P23) {
			s.state = lostInBurst
		}
	case lostInBurst:
		p32 := thresholdOf(f.P32)
		switch {
		case u < p32:
			s.state = goodInBurst
		case u < p32+thresholdOf(f.P31):
			s.state = goodInGap
		}
	case lostAlone:
		s.state = goodInGap
	}
	return s.state >= lostInBurst
}

// String returns the model as Go writes it, all fields shown.
func (f FourState) String() string {
	return fmt.Sprintf("FourState{P13: %v, P31: %v, P32: %v, P23: %v, P14: %v}", f.P13, f.P31, f.P32, f.P23, f.P14)
}
