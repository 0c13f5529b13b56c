package patterntest

// Search is what Delivery does with storms, but returns what it finds.
var Search = search

// What Loopback does with a story.
var (
	LoopbackStories = loopbackStories
	JudgeOnLoopback = judgeOnLoopback
)
