package patterntest

// Search is what Delivery does with storms, but returns what it finds.
var Search = search
