package patterntest

import "slices"

// A Story is one way in which things go wrong.
type Story struct {
	Name   string         // what happens, in a few words
	Reason string         // why it is worth a test; each of [Stories] has one
	Play   func(w *World) // what is done, in a world of its own
	Code   string         // Play as Go, of a story that was drawn at random
	Races  string         // why two runs of it may differ (see [sim.MayDiffer]) with any system, or ""; with one: see the option [Races]

	// Needs says whether a system offers what the story is about. Nil: each does.
	Needs func(s System) bool

	lacking string // what a skip says of the system for which Needs says no, by the field; "": nothing more
}

// Stories returns the contract of delivery. All times are virtual.
//
// A capability that not every system has brings a function of its own here: stories whose Needs
// asks a field of [System] by which the system declares it. What they find belongs into a
// judge function of its own, beside those that [World.Verdict] calls, which looks at nothing
// unless the system declares the capability.
func Stories() []Story {
	return slices.Concat(steadyStories(), reachStories(), linkStories(), serverStories(), clientStories(), expiryStories(), manyStories(),
		keyStories(), nameStories(), workStories(), publisherStories())
}

// stories are made one after the other.
type stories []Story

func (all *stories) add(name, reason string, play func(w *World)) {
	*all = append(*all, Story{Name: name, Reason: reason, Play: play})
}

// needs says of which systems the story that was added last is, and what others lack.
func (all stories) needs(lacking string, offers func(s System) bool) {
	last := &all[len(all)-1]
	last.Needs, last.lacking = offers, lacking
}

// races says why two runs of the story that was added last may differ.
func (all stories) races(why string) { all[len(all)-1].Races = why }
