// Package sometimes is what package weather tells a sweep, whose processes have some of the storms each: which of the things that must be so
// sometimes have been so.
package sometimes

import (
	"encoding/json"
	"strings"
)

// Seen are the names of weather's Storm.Sometimes, and whether each has been true in some storm.
type Seen struct {
	Storms int             `json:"storms"` // of how many the test demands it
	Names  map[string]bool `json:"names"`
}

const mark = "weather: seen in these storms: "

// Line is what a test says of it.
func (s Seen) Line() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // of strings and numbers there is none
	}
	return mark + string(text)
}

// Read finds it in a line of a test's output.
func Read(line string) (s Seen, ok bool) {
	_, text, ok := strings.Cut(line, mark)
	if !ok || json.Unmarshal([]byte(text), &s) != nil {
		return Seen{}, false
	}
	return s, true
}

// Add has what is known of a test hold what others have seen, too.
func Add[Test comparable](known map[Test]Seen, test Test, other Seen) {
	s := known[test]
	s.Storms = max(s.Storms, other.Storms)
	if s.Names == nil {
		s.Names = map[string]bool{}
	}
	for name, seen := range other.Names {
		s.Names[name] = s.Names[name] || seen
	}
	known[test] = s
}
