package netem

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Parse reads the options that follow "netem" in a command of tc, such as
//
//	delay 100ms 20ms 25% loss gemodel 1% 10% rate 1mbit
//
// in the syntax of tc-netem(8): limit, delay, distribution, loss (random, state, gemodel), ecn, corrupt,
// duplicate, reorder, gap, rate and slot, with tc's units, defaults and abbreviations. The result does what
// the kernel does with them: the limit is 1000 packets, and correlations are biased ([BiasedCorrelated];
// [Correlated] and [Correlation] do what was meant). Three things differ: the rate acts before the delay; the
// rate's overhead counts from IP packets and cannot be negative; and a copy is not lost or delayed by itself.
//
// With sim.Strict, set the result's Limit to 0: a limit that no packet ever found full fails the test, even
// tc's default.
//
// Parse refuses what tc refuses, and also jitter above the delay, distributions from files (see [ReadTable]),
// a rate in percent, and seed, since the network has one. The error is a *[ConfigError] with the word and its
// value.
func Parse(options string) (Config, error) {
	p := parser{words: strings.Fields(options)}
	p.cfg.Limit = 1000
	for p.refused == nil && p.next() {
		p.option()
	}
	if p.refused == nil {
		p.together()
	}
	if p.refused != nil {
		return Config{}, p.refused
	}
	if err := p.cfg.Validate(); err != nil {
		return Config{}, err
	}
	return p.cfg, nil
}

// A parser reads words one by one. After the first word that it refuses it reads zeros.
type parser struct {
	words   []string
	word    string // the last word read
	about   string // the option that it belongs to
	cfg     Config
	refused *ConfigError
}

// The options, in tc's order: a word stands for the first option of which it is a prefix.
var parsers = []struct {
	name  string
	parse func(*parser)
}{
	{"limit", func(p *parser) {
		if p.cfg.Limit = int(p.size()); p.cfg.Limit == 0 {
			p.refuse("must be at least 1")
		}
	}},
	{"latency", (*parser).delay},
	{"delay", (*parser).delay},
	{"loss", (*parser).loss},
	{"drop", (*parser).loss},
	{"ecn", func(p *parser) { p.cfg.ECN = true }},
	{"reorder", func(p *parser) { p.cfg.Reorder, p.cfg.Correlation.Reorder = p.correlated() }},
	{"corrupt", func(p *parser) { p.cfg.Corrupt, p.cfg.Correlation.Corrupt = p.correlated() }},
	{"gap", func(p *parser) { p.cfg.ReorderGap = p.count() }},
	{"duplicate", func(p *parser) { p.cfg.Duplicate, p.cfg.Correlation.Duplicate = p.correlated() }},
	{"distribution", func(p *parser) { p.cfg.Distribution = p.shape() }},
	{"rate", (*parser).rate},
	{"slot", (*parser).slot},
	{"seed", func(p *parser) { p.next(); p.refuse("the network has a seed") }},
}

func (p *parser) option() {
	for _, o := range parsers {
		if strings.HasPrefix(o.name, p.word) {
			p.about = o.name
			o.parse(p)
			return
		}
	}
	p.about = "Parse"
	p.refuse("must be limit, delay, distribution, loss, ecn, corrupt, duplicate, reorder, gap, rate or slot")
}

// next reads the next word, if there is one.
func (p *parser) next() bool {
	if len(p.words) == 0 {
		p.word = ""
		return false
	}
	p.word, p.words = p.words[0], p.words[1:]
	return true
}

// named reads the next word if it is a prefix of a name.
func (p *parser) named(name string) bool {
	return p.refused == nil && len(p.words) > 0 && strings.HasPrefix(name, p.words[0]) && p.next()
}

// number reads the next word if it begins like a number.
func (p *parser) number() bool {
	return p.refused == nil && len(p.words) > 0 && '0' <= p.words[0][0] && p.words[0][0] <= '9' && p.next()
}

func (p *parser) refuse(allowed string) {
	if p.refused == nil {
		p.refused = refuse(p.about, strconv.Quote(p.word), allowed)
	}
}

// together checks what tc checks after reading all options, and sets what follows from them.
func (p *parser) together() {
	c := &p.cfg
	p.word = ""
	switch {
	case c.Reorder > 0 && c.Delay == 0:
		p.about = "reorder"
		p.refuse("needs a delay")
	case c.ReorderGap > 0 && c.Reorder == 0:
		p.about = "gap"
		p.refuse("needs a reorder")
	case c.ECN && c.Loss == nil:
		p.about = "ecn"
		p.refuse("needs a loss")
	case c.Distribution != nil && c.Jitter == 0:
		p.about = "distribution"
		p.refuse("needs a delay and a jitter")
	}
	if c.Rate == 0 {
		c.Framing = Framing{}
	}
	if rho := &c.Correlation; *rho != (Correlation{}) {
		// The kernel draws nothing for what never happens.
		if c.Jitter == 0 {
			rho.Jitter = 0
		}
		if c.Duplicate == 0 {
			rho.Duplicate = 0
		}
		if c.Reorder == 0 {
			rho.Reorder = 0
		}
		if c.Corrupt == 0 {
			rho.Corrupt = 0
		}
		rho.Biased = *rho != (Correlation{})
	}
}

func (p *parser) delay() {
	p.next()
	p.cfg.Delay = p.time()
	if p.number() {
		p.cfg.Jitter = p.time()
		if p.number() {
			p.cfg.Correlation.Jitter = p.share()
		}
	}
}

func (p *parser) correlated() (probability, rho float64) {
	p.next()
	probability = p.share()
	if p.number() {
		rho = p.share()
	}
	return probability, rho
}

func (p *parser) loss() {
	if p.cfg.Loss != nil {
		p.refuse("must be there once")
		return
	}
	if p.number() {
		p.words = append([]string{p.word}, p.words...)
		p.word = "random"
	} else {
		p.next()
	}
	switch p.word {
	case "random":
		if loss, rho := p.correlated(); loss > 0 && rho > 0 {
			p.cfg.Loss = BiasedCorrelated(loss, rho)
		} else if loss > 0 {
			p.cfg.Loss = Bernoulli(loss)
		}
	case "state":
		p.next()
		p13 := p.share()
		v := p.shares(1-p13, 0, 1, 0)
		p.cfg.Loss = FourState{P13: p13, P31: v[0], P32: v[1], P23: v[2], P14: v[3]}
	case "gemodel":
		p.next()
		good := p.share()
		v := p.shares(1-good, 1, 0)
		if v[1] == 0 {
			v[1] = math.SmallestNonzeroFloat64 // which is never, while 0 would mean 1
		}
		p.cfg.Loss = GilbertElliott{P: good, R: v[0], LossBad: v[1], LossGood: v[2]}
	default:
		p.refuse("must be a percentage, random, state or gemodel")
	}
}

// shares reads as many percentages as there are, at most one for each default.
func (p *parser) shares(defaults ...float64) []float64 {
	for i := range defaults {
		if !p.number() {
			break
		}
		defaults[i] = p.share()
	}
	return defaults
}

func (p *parser) rate() {
	p.next()
	p.cfg.Rate = p.bitRate()
	for _, field := range []*int{&p.cfg.Framing.Overhead, &p.cfg.Framing.Cell, &p.cfg.Framing.CellOverhead} {
		*field = 0
		if len(p.words) > 0 && len(p.words[0]) > 1 && p.words[0][0] == '-' && '0' <= p.words[0][1] && p.words[0][1] <= '9' {
			p.next()
			p.refuse("overhead must not be negative: sizes are those of IP packets")
		}
		if !p.number() {
			return
		}
		v, err := strconv.ParseInt(p.word, 0, 32)
		if err != nil {
			p.refuse("must be a number of bytes")
		}
		*field = int(v)
	}
}

func (p *parser) slot() {
	s := Slots{}
	p.next()
	if p.word == "distribution" {
		s.Distribution = p.shape()
		p.next()
		delay := p.time()
		p.next()
		jitter := p.time()
		if jitter > delay {
			p.refuse("jitter must not be larger than the delay")
		}
		s.Min, s.Max = delay-jitter, delay+jitter
	} else {
		s.Min = p.time()
		s.Max = s.Min
		if p.number() {
			s.Max = p.time()
		}
		if s.Max < s.Min {
			p.refuse("must not end before it begins")
		}
	}
	if p.named("packets") {
		s.Packets = p.count()
	}
	if p.named("bytes") {
		s.Bytes = int(p.size())
	}
	p.cfg.Slots = s
}

func (p *parser) shape() Distribution {
	p.next()
	for s := Uniform; s <= ParetoNormal; s++ {
		if p.word == strings.ToLower(s.String()) {
			return s
		}
	}
	p.refuse("must be uniform, normal, pareto or paretonormal; ReadTable reads others")
	return nil
}

func (p *parser) count() int {
	p.next()
	return p.countOfWord()
}

func (p *parser) countOfWord() int {
	v, err := strconv.ParseUint(p.word, 0, 31)
	if err != nil {
		p.refuse("must be a number")
	}
	return int(v)
}

// split separates a number from its unit.
func (p *parser) split() (value float64, unit string, ok bool) {
	end := len(p.word)
	for end > 0 {
		if v, err := strconv.ParseFloat(p.word[:end], 64); err == nil && !math.IsInf(v, 0) && !math.IsNaN(v) {
			return v, strings.ToLower(p.word[end:]), true
		}
		end--
	}
	return 0, "", false
}

// time parses a time in tc's units; a number alone is in microseconds.
func (p *parser) time() time.Duration {
	v, unit, ok := p.split()
	scale, known := map[string]time.Duration{
		"": time.Microsecond, "s": time.Second, "sec": time.Second, "secs": time.Second,
		"ms": time.Millisecond, "msec": time.Millisecond, "msecs": time.Millisecond,
		"us": time.Microsecond, "usec": time.Microsecond, "usecs": time.Microsecond,
		"ns": time.Nanosecond, "nsec": time.Nanosecond, "nsecs": time.Nanosecond,
	}[unit]
	if !ok || !known || v < 0 || v*float64(scale) > float64(maxDelay) {
		p.refuse("must be a time, such as 100ms, of at most 24 h")
		return 0
	}
	return time.Duration(math.RoundToEven(v * float64(scale)))
}

// share parses a percentage, with or without its sign.
func (p *parser) share() float64 {
	v, unit, ok := p.split()
	if !ok || unit != "" && unit != "%" || !(v >= 0 && v <= 100) {
		p.refuse("must be a percentage, such as 0.3%, up to 100%")
		return 0
	}
	return v / 100
}

// bitRate parses a rate in tc's units, of bits or, with bps, of bytes.
func (p *parser) bitRate() BitRate {
	v, unit, ok := p.split()
	bit, isBit := strings.CutSuffix(unit, "bit")
	octets, isByte := strings.CutSuffix(unit, "bps")
	scale := 1.0
	switch {
	case isByte:
		unit, scale = octets, 8
	case isBit:
		unit = bit
	case unit != "": // k, m and g need what they count
		ok = false
	}
	prefix, known := map[string]float64{"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}[unit]
	v *= scale * prefix
	if !ok || !known || v < 0 || v > 1e15 {
		p.refuse("must be a rate, such as 1mbit or 100kbps (bytes)")
		return 0
	}
	return BitRate(v)
}

// size parses a number in tc's units of sizes.
func (p *parser) size() int64 {
	p.next()
	v, unit, ok := p.split()
	scale, known := map[string]float64{
		"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30,
		"kbit": 1 << 10 / 8, "mbit": 1 << 20 / 8, "gbit": 1 << 30 / 8,
	}[unit]
	if !ok || !known || v < 0 || v*scale > math.MaxUint32 {
		p.refuse("must be a number")
		return 0
	}
	return int64(v * scale)
}
