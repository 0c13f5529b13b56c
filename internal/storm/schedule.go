package storm

import (
	"fmt"
	"iter"
	"slices"
	"time"
)

// A Fault begins at a time after the start and lasts for a while. What identifies the fault and its site.
type Fault[W comparable] struct {
	What      W
	At, Lasts time.Duration
}

// A Schedule lists faults with their beginnings.
type Schedule[W comparable] []Fault[W]

// A Generator says how to draw a schedule. Its functions are called in the order of the fields, and again from Pause on for each fault.
type Generator[W comparable] struct {
	Count    func(d *Draws) int           // the number of faults
	Pause    func(d *Draws) time.Duration // between the beginnings of two faults
	What     func(d *Draws) W
	Lasts    func(d *Draws) time.Duration
	Excludes func(x, other W) bool // whether x is left out because the schedule contains other
}

// Durations are the times that faults last, give or take some milliseconds.
var Durations = []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 65 * time.Second, 5 * time.Minute}

// Draw draws a schedule. Its faults may overlap.
func (g Generator[W]) Draw(d *Draws) (drawn Schedule[W]) {
	at := time.Duration(0)
	for range g.Count(d) {
		at += g.Pause(d)
		x := Fault[W]{At: at}
		x.What = g.What(d)
		x.Lasts = g.Lasts(d)
		drawn = append(drawn, x)
	}
	return slices.DeleteFunc(slices.Clone(drawn), func(x Fault[W]) bool {
		return slices.ContainsFunc(drawn, func(y Fault[W]) bool { return g.Excludes(x.What, y.What) })
	})
}

// Over returns when the last fault ends.
func (s Schedule[W]) Over() (last time.Duration) {
	for _, x := range s {
		last = max(last, x.At+x.Lasts)
	}
	return last
}

// A Simpler says which faults are simpler than a given one.
type Simpler[W comparable] struct {
	What func(W) []W   // the simplest first
	Last time.Duration // if not zero: later is simpler, as long as it is over by this time; otherwise round times are
}

// Smaller yields simpler schedules: first with fewer faults, then with simpler, shorter and later ones.
func (s Schedule[W]) Smaller(simpler Simpler[W]) iter.Seq[Schedule[W]] {
	return func(yield func(Schedule[W]) bool) {
		for part := range Parts(len(s)) {
			if !yield(slices.Delete(slices.Clone(s), part.From, part.To)) {
				return
			}
		}
		for i, x := range s {
			for y := range x.smaller(simpler) {
				changed := slices.Clone(s)
				changed[i] = y
				if !yield(changed) {
					return
				}
			}
		}
	}
}

// smaller yields simpler faults, the simplest first.
func (x Fault[W]) smaller(simpler Simpler[W]) iter.Seq[Fault[W]] {
	return func(yield func(Fault[W]) bool) {
		for _, what := range simpler.What(x.What) {
			if !yield(Fault[W]{what, x.At, x.Lasts}) {
				return
			}
		}
		shorter := x.shorter(simpler)
		for _, d := range shorter {
			if !yield(Fault[W]{x.What, x.At, d}) {
				return
			}
		}
		for _, d := range shorter {
			if simpler.Last > 0 && !yield(Fault[W]{x.What, x.At + x.Lasts - d, d}) {
				return
			}
		}
		for _, at := range x.begins(simpler) {
			if !yield(Fault[W]{x.What, at, x.Lasts}) {
				return
			}
		}
	}
}

// shorter returns the shorter durations to try for x.
func (x Fault[W]) shorter(simpler Simpler[W]) (all []time.Duration) {
	if simpler.Last > 0 {
		all = append(all, time.Millisecond, 10*time.Millisecond)
	}
	all = append(all, Durations...)
	if simpler.Last > 0 { // then approach the present duration by halves
		grid := time.Millisecond
		for grid*100 <= x.Lasts {
			grid *= 10
		}
		whole := x.Lasts.Truncate(grid)
		for less := whole / grid / 2; less > 0; less /= 2 {
			all = append(all, whole-less*grid)
		}
		all = append(all, whole)
	}
	return slices.DeleteFunc(all, func(d time.Duration) bool { return d >= x.Lasts })
}

// grids are the units to which a time is rounded, the simplest first.
var grids = []time.Duration{time.Minute, 10 * time.Second, time.Second}

// begins returns the beginnings to try for x.
func (x Fault[W]) begins(simpler Simpler[W]) (all []time.Duration) {
	if simpler.Last == 0 {
		for _, to := range grids {
			if at := x.At.Truncate(to); at != x.At {
				all = append(all, at)
			}
		}
		return all
	}
	// A multiple of a larger grid is simpler. Among multiples of one grid, the later one is simpler.
	last := simpler.Last - x.Lasts
	for _, grid := range laterGrids {
		if x.At%grid == 0 {
			return append(all, later(x.At, last, grid)...)
		}
		all = append(all, later(x.At-x.At%grid-grid, last, grid)...)
	}
	return all
}

// laterGrids are the grids for a fault that should begin late.
var laterGrids = []time.Duration{time.Second, 100 * time.Millisecond, time.Millisecond}

// later returns multiples of a grid after at, up to last: all of the way, half of it, and so on. Repeating this from a time that is late
// enough is a search by halves.
func later(at, last, grid time.Duration) (all []time.Duration) {
	for way := (last - at) / grid; way > 0; way /= 2 {
		all = append(all, at+way*grid)
	}
	return all
}

// A Part is the part of a list to leave out.
type Part struct{ From, To int }

// Parts yields the halves of a list, then its quarters, and so on down to single elements.
func Parts(length int) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		for size := length; size > 0; size /= 2 {
			for from := 0; from+size <= length; from += size {
				if !yield(Part{from, from + size}) {
					return
				}
			}
		}
	}
}

// GoTime returns the Go code for a time of a schedule, which is a whole number of milliseconds.
func GoTime(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d%time.Second == 0:
		return fmt.Sprintf("%d*time.Second", d/time.Second)
	}
	return fmt.Sprintf("%d*time.Millisecond", d/time.Millisecond)
}
