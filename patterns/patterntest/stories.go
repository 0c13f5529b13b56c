package patterntest

import "slices"

// A Story is one way in which things go wrong.
type Story struct {
	Name   string         // what happens, in a few words
	Reason string         // why it is worth a test; each of [Stories] has one
	Play   func(w *World) // plays the story in a world of its own
	Code   string         // Play as Go code, if the story was drawn at random
	Races  string         // why two runs may differ with any system (see [sim.MayDiffer]), or ""; for one system, use the option [Races]

	// Needs reports whether a system offers what the story is about. Nil: every
	// system does.
	Needs func(s System) bool

	lacking string // the field that a system lacks if Needs reports false, for the message of the skip; "": unknown
}

// Stories returns the contract of delivery. All times are virtual.
//
// To cover a capability that not every system has, add a function that returns its stories.
// Their Needs checks the field of [System] that declares the capability. Their breaches belong
// in a judge function of their own, next to those that [World.Verdict] calls, which does
// nothing unless the system declares the capability.
func Stories() []Story {
	return slices.Concat(steadyStories(), reachStories(), linkStories(), serverStories(), clientStories(), expiryStories(), manyStories(),
		keyStories(), nameStories(), workStories(), publisherStories())
}

// stories are added one after another.
type stories []Story

func (all *stories) add(name, reason string, play func(w *World)) {
	*all = append(*all, Story{Name: name, Reason: reason, Play: play})
}

// needs sets which systems the last story applies to, and which field the others
// lack.
func (all stories) needs(lacking string, offers func(s System) bool) {
	last := &all[len(all)-1]
	last.Needs, last.lacking = offers, lacking
}

// races sets why two runs of the last story may differ.
func (all stories) races(why string) { all[len(all)-1].Races = why }
