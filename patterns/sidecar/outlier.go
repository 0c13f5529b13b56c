package sidecar

import (
	"cmp"
	"math"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Outlier says when a replica that does worse than the others is ejected for a time. Its numbers
// and rules are those of gRPC's proposal A50
// (https://github.com/grpc/proposal/blob/master/A50-xds-outlier-detection.md), with both of its
// algorithms: failure percentage and success rate. A replica that returns gets its full share at
// once.
type Outlier struct {
	// Off disables ejection.
	Off bool
	// Interval is how often the replicas are judged, by their answers since the last time.
	// Zero: 10 s.
	Interval time.Duration
	// BaseTime is how long a replica is ejected the first time. Zero: 30 s. It is multiplied by the
	// replica's number of ejections, which decreases by one with each Interval without one.
	BaseTime time.Duration
	// MaxTime bounds an ejection. Zero: 5 min.
	MaxTime time.Duration
	// MaxPercent is the share of the replicas that can be ejected at a time. Zero: 10. One always
	// can, unless it is the only one.
	MaxPercent int
	// FailurePercent ejects a replica with a larger share of failures. Zero:
	// 85.
	FailurePercent int
	// MinRequests is the number of answers in an Interval below which a replica is not judged.
	// Zero: 50.
	MinRequests int
	// MinReplicas is the number of replicas with MinRequests answers below which none is
	// judged. Zero: 5.
	MinReplicas int
	// Deviations ejects a replica whose share of successes is below the mean of all by more than
	// this many thousandths of the standard deviation. Zero: 1900. The replica must have twice
	// MinRequests answers.
	Deviations int
}

func (o Outlier) withDefaults() Outlier {
	o.Interval = cmp.Or(o.Interval, 10*time.Second)
	o.BaseTime = cmp.Or(o.BaseTime, 30*time.Second)
	o.MaxTime = cmp.Or(o.MaxTime, max(5*time.Minute, o.BaseTime))
	o.MaxPercent = cmp.Or(o.MaxPercent, 10)
	o.FailurePercent = cmp.Or(o.FailurePercent, 85)
	o.MinRequests = cmp.Or(o.MinRequests, 50)
	o.MinReplicas = cmp.Or(o.MinReplicas, 5)
	o.Deviations = cmp.Or(o.Deviations, 1900)
	return o
}

func (o Outlier) check(check *fields.Check) {
	check.Duration("Outlier.Interval", o.Interval)
	check.Duration("Outlier.BaseTime", o.BaseTime)
	check.Duration("Outlier.MaxTime", o.MaxTime)
	checkPercent(check, "Outlier.MaxPercent", o.MaxPercent)
	checkPercent(check, "Outlier.FailurePercent", o.FailurePercent)
	check.Int("Outlier.MinRequests", o.MinRequests)
	check.Int("Outlier.MinReplicas", o.MinReplicas)
	check.Int("Outlier.Deviations", o.Deviations)
	if d := o.withDefaults(); d.BaseTime > d.MaxTime {
		check.Bad("Outlier.BaseTime is %v: want at most Outlier.MaxTime, %v", d.BaseTime, d.MaxTime)
	}
}

// tally counts a replica's answers since it was last judged.
type tally struct{ good, bad int }

func (t tally) all() int { return t.good + t.bad }

// judge does what is due. It is called before each choice of a replica, so that no timer is needed:
// the choice is the only place where ejections matter. up.mu is held.
func (up *Upstream) judge(now time.Time) {
	o := up.set.Outlier
	if o.Off {
		return
	}
	if up.judged.IsZero() {
		up.judged = now
	}
	for due := up.judged.Add(o.Interval); !now.Before(due); due = up.judged.Add(o.Interval) {
		up.judged = due
		quiet := up.sweep(o, due)
		if quiet && now.Sub(due) > 2*o.MaxTime {
			up.judged = now // so long without a request: all is forgotten
		}
	}
	for _, r := range up.replicas {
		if !r.ejected.IsZero() && !now.Before(r.ejected) {
			r.ejected = time.Time{}
		}
	}
}

// sweep judges all replicas once, and reports whether there were no answers to
// judge by.
func (up *Upstream) sweep(o Outlier, now time.Time) (quiet bool) {
	tallies := make([]tally, len(up.replicas))
	quiet = true
	out := 0
	for i, r := range up.replicas {
		tallies[i], r.tally = r.tally, tally{}
		quiet = quiet && tallies[i].all() == 0
		if !r.ejected.IsZero() && now.Before(r.ejected) {
			out++
		}
	}
	ejected := make([]bool, len(up.replicas))
	for i := range o.suspects(tallies) {
		r := up.replicas[i]
		// The share is checked before each ejection, as in A50: 10 % of 11 are two.
		if out > 0 && out*100 >= o.MaxPercent*len(up.replicas) || out+1 >= len(up.replicas) {
			break
		}
		if !r.ejected.IsZero() && now.Before(r.ejected) || ejected[i] {
			continue
		}
		ejected[i] = true
		r.times++
		r.ejected = now.Add(min(o.BaseTime*time.Duration(r.times), o.MaxTime))
		r.stats.Ejected++
		out++
		up.log("a replica is left out", "replica", r.addr, "until", r.ejected, "good", tallies[i].good, "bad", tallies[i].bad)
	}
	for i, r := range up.replicas {
		if !ejected[i] && r.ejected.IsZero() && r.times > 0 {
			r.times--
		}
	}
	return quiet
}

// suspects yields the replicas to eject, by index, first those by success rate.
func (o Outlier) suspects(tallies []tally) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		var rates []float64
		for _, t := range tallies {
			if t.all() >= 2*o.MinRequests {
				rates = append(rates, float64(t.good)/float64(t.all()))
			}
		}
		if len(rates) >= o.MinReplicas {
			mean, squares := 0.0, 0.0
			for _, rate := range rates {
				mean += rate / float64(len(rates))
			}
			for _, rate := range rates {
				squares += (rate - mean) * (rate - mean) / float64(len(rates))
			}
			least := mean - math.Sqrt(squares)*float64(o.Deviations)/1000
			for i, t := range tallies {
				if t.all() >= 2*o.MinRequests && float64(t.good)/float64(t.all()) < least && !yield(i) {
					return
				}
			}
		}
		enough := 0
		for _, t := range tallies {
			if t.all() >= o.MinRequests {
				enough++
			}
		}
		if enough < o.MinReplicas {
			return
		}
		for i, t := range tallies {
			if t.all() >= o.MinRequests && t.bad*100 > o.FailurePercent*t.all() && !yield(i) {
				return
			}
		}
	}
}
