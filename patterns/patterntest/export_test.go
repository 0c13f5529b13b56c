package patterntest

import "time"

// Search is what Delivery does with storms, but returns what it finds.
var Search = searchDelivery

// SearchWork is what it does with storms of workers.
var SearchWork = searchWork

// Around is what Delivery says of what happened around a breach.
func Around(w *World, b Breach) string { return w.around(b) }

// What Loopback does with a story.
var (
	LoopbackStories = loopbackStories
	JudgeOnLoopback = judgeOnLoopback
)

// UnknownStories is what Delivery says of names that no story has.
func UnknownStories(stories []Story, opts ...Option) string {
	return choose(opts).unknown(stories)
}

// SetShrinkTime has storms made smaller for less time. It returns a function that undoes that.
func SetShrinkTime(d time.Duration) (undo func()) {
	before := shrinkTime
	shrinkTime = d
	return func() { shrinkTime = before }
}
