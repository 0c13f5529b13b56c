package netem

import (
	"fmt"
	"math/bits"
	"reflect"
	"slices"
)

// LossModel decides which packets are lost. The models are [Bernoulli], [Correlated], [BiasedCorrelated],
// [GilbertElliott], [FourState], [EveryNth], [FirstN] and [DropList]; [AtMostInARow] bounds the bursts of any
// of them. A model is a plain value. What it remembers from packet to packet lives in the pipe, so one Config
// can serve many links. The interface is sealed for that reason.
type LossModel interface {
	// invalid returns what is allowed, or "" if the model is valid.
	invalid() string
	lose(s *lossState, d draws) bool
}

// lossState is the memory of a loss model.
type lossState struct {
	seen  uint64 // packets before this one since the model was set
	bad   bool   // the chain's state
	state uint8  // of FourState, less 1
	next  int    // position in a DropList
	row   int    // losses in a row, for AtMostInARow
	last  uint32 // of tc's generator
}

// carriesState reports whether a pipe keeps its memory when its loss model changes from old to new: a chain
// stays in its burst, and a count goes on only if it is the same count.
func carriesState(old, new LossModel) bool {
	if reflect.TypeOf(old) != reflect.TypeOf(new) {
		return false
	}
	switch new := new.(type) {
	case correlated, GilbertElliott, biasedCorrelated, FourState:
		return true
	case atMostInARow:
		return carriesState(old.(atMostInARow).of, new.of)
	case EveryNth, FirstN:
		return old == new
	case DropList:
		return slices.Equal(old.(DropList), new)
	default:
		return false
	}
}

// Bernoulli loses each packet with the given probability in [0,1], independently of all others.
type Bernoulli float64

func (p Bernoulli) invalid() string {
	if !isProbability(float64(p)) {
		return probabilityRange
	}
	return ""
}

func (p Bernoulli) lose(_ *lossState, d draws) bool {
	return d.happens(laneLoss, thresholdOf(float64(p)))
}

// String returns the model as Go writes it.
func (p Bernoulli) String() string { return fmt.Sprintf("Bernoulli(%v)", float64(p)) }

// Correlated loses packets at rate p, in [0,1], so that the fates of two packets in a row have correlation
// rho, in [0,1). After a loss the next packet is lost with probability p+rho(1-p), otherwise with p(1-rho).
// The mean burst is 1/((1-p)(1-rho)) packets.
//
// This is not tc-netem's "loss random P% CORR%", which is [BiasedCorrelated].
func Correlated(p, rho float64) LossModel { return correlated{p, rho} }

type correlated struct{ p, rho float64 }

func (c correlated) invalid() string {
	switch {
	case !isProbability(c.p):
		return probabilityRange
	case !(c.rho >= 0 && c.rho < 1):
		return "correlation must be in [0,1)"
	}
	return ""
}

func (c correlated) lose(s *lossState, d draws) bool {
	p, rho := thresholdOf(c.p), thresholdOf(c.rho)
	switch {
	case s.seen == 0: // nothing to correlate with: the stationary rate
	case s.bad:
		p += rho.times(always - p)
	default:
		p = p.times(always - rho)
	}
	s.bad = d.happens(laneLoss, p)
	s.seen++
	return s.bad
}

// String returns the model as Go writes it.
func (c correlated) String() string { return fmt.Sprintf("Correlated(%v, %v)", c.p, c.rho) }

// times multiplies two probabilities, rounding down.
func (t threshold) times(u threshold) threshold {
	hi, lo := bits.Mul64(uint64(t), uint64(u))
	return threshold(hi<<1 | lo>>63)
}

// GilbertElliott is the two-state model of burst loss (Gilbert 1960, Elliott 1963). The chain starts in the
// good state. Each packet is lost with the probability of the state it finds, then the chain moves.
//
// In the long run the chain is bad for P/(P+R) of the packets, and loses (R*LossGood + P*LossBad)/(P+R) of
// them. A stay in the bad state lasts 1/R packets on average, which is the mean burst if LossGood is 0 and
// LossBad is 1. Packets move the chain, not time. A burst therefore waits for the next packets to be sent,
// and a single connection gets through it at the pace of its retransmissions, which can take minutes.
//
// In the terms of tc-netem's "loss gemodel", which lists p, r, 1-h and 1-k, LossBad is 1-h and LossGood is
// 1-k.
type GilbertElliott struct {
	P        float64 // probability to go from good to bad, in [0,1]
	R        float64 // probability to go from bad to good, in (0,1]
	LossGood float64 // probability of loss in the good state, in [0,1]
	LossBad  float64 // probability of loss in the bad state, in (0,1]; 0 means the default, 1
}

func (g GilbertElliott) invalid() string {
	switch {
	case !isProbability(g.P):
		return "P: " + probabilityRange
	case !isProbability(g.R) || g.R == 0:
		return "R: probability must be in (0,1]"
	case !isProbability(g.LossGood):
		return "LossGood: " + probabilityRange
	case !isProbability(g.LossBad):
		return "LossBad: " + probabilityRange
	}
	return ""
}

func (g GilbertElliott) lose(s *lossState, d draws) bool {
	loss, move := g.LossGood, g.P
	if s.bad {
		loss, move = g.LossBad, g.R
		if loss == 0 {
			loss = 1
		}
	}
	lost := d.happens(laneLoss, thresholdOf(loss))
	if d.happens(laneLossState, thresholdOf(move)) {
		s.bad = !s.bad
	}
	return lost
}

// String returns the model as Go writes it, all fields shown.
func (g GilbertElliott) String() string {
	return fmt.Sprintf("GilbertElliott{P: %v, R: %v, LossGood: %v, LossBad: %v}", g.P, g.R, g.LossGood, g.LossBad)
}

// EveryNth loses packets n, 2n, 3n and so on, counted from 1 since the model was set. At least 1; EveryNth(1)
// loses all.
type EveryNth int

func (n EveryNth) invalid() string {
	if n < 1 {
		return "must be at least 1"
	}
	return ""
}

func (n EveryNth) lose(s *lossState, _ draws) bool {
	s.seen++
	return s.seen%uint64(n) == 0
}

// String returns the model as Go writes it.
func (n EveryNth) String() string { return fmt.Sprintf("EveryNth(%d)", int(n)) }

// FirstN loses the first n packets since the model was set, whoever sent them. At least 1.
type FirstN int

func (n FirstN) invalid() string { return EveryNth(n).invalid() }

func (n FirstN) lose(s *lossState, _ draws) bool {
	s.seen++
	return s.seen <= uint64(n)
}

// String returns the model as Go writes it.
func (n FirstN) String() string { return fmt.Sprintf("FirstN(%d)", int(n)) }

// DropList loses exactly the packets with these numbers, counted from 1 since the list was set, whoever sent
// them. The numbers must be in ascending order without repetition. Setting an equal list again does not
// restart the count.
type DropList []int

func (l DropList) invalid() string {
	for i, n := range l {
		if n < 1 || i > 0 && n <= l[i-1] {
			return "packet numbers must be at least 1 and strictly ascending"
		}
	}
	return ""
}

func (l DropList) lose(s *lossState, _ draws) bool {
	s.seen++
	if s.next == len(l) || uint64(l[s.next]) != s.seen {
		return false
	}
	s.next++
	return true
}

// String returns the model as Go writes it.
func (l DropList) String() string {
	s := "DropList{"
	for i, n := range l {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprint(n)
	}
	return s + "}"
}

// AtMostInARow returns a model that loses at most n packets in a row: after that it lets one pass that model
// would lose. n is at least 1. The state of model moves on as if the packet had been lost.
func AtMostInARow(n int, model LossModel) LossModel { return atMostInARow{n, model} }

type atMostInARow struct {
	n  int
	of LossModel
}

func (c atMostInARow) invalid() string {
	if c.n < 1 {
		return "must be at least 1 in a row"
	}
	switch c.of.(type) {
	case atMostInARow:
		return "must not bound what is bounded"
	default:
		return invalidLoss(c.of)
	case nil:
		return "needs a model"
	}
}

func (c atMostInARow) lose(s *lossState, d draws) bool {
	if !c.of.lose(s, d) {
		s.row = 0
		return false
	}
	if s.row == c.n {
		s.row = 0
		return false
	}
	s.row++
	return true
}

// String returns the model as Go writes it.
func (c atMostInARow) String() string { return fmt.Sprintf("AtMostInARow(%d, %v)", c.n, c.of) }

// invalidLoss returns what is allowed instead of a model, or "" if it is valid.
func invalidLoss(m LossModel) string {
	switch m.(type) {
	case Bernoulli, correlated, biasedCorrelated, GilbertElliott, FourState, EveryNth, FirstN, DropList, atMostInARow:
		return m.invalid()
	default: // a pointer to one of them: its value could change later
		return notAPointer
	}
}

// ownLoss returns a model that shares no memory with the caller's.
func ownLoss(m LossModel) LossModel {
	switch m := m.(type) {
	case DropList:
		return slices.Clone(m)
	case atMostInARow:
		m.of = ownLoss(m.of)
		return m
	default:
		return m
	}
}

const probabilityRange = "probability must be in [0,1]"

// isProbability is false for NaN.
func isProbability(p float64) bool { return p >= 0 && p <= 1 }
