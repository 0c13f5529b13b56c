// Package sometimes carries information from package weather to a sweep: which of the conditions that must hold sometimes have held. Each
// process of a sweep runs only some of the storms.
package sometimes

import (
	"encoding/json"
	"strings"
)

// Seen maps the names of weather's Storm.Sometimes to whether each was true in some storm.
type Seen struct {
	Storms int             `json:"storms"` // the number of storms in which the test demands it
	Names  map[string]bool `json:"names"`
}

const mark = "weather: seen in these storms: "

// Line returns the line that a test prints for s.
func (s Seen) Line() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // impossible for strings and numbers
	}
	return mark + string(text)
}

// Read parses a line of a test's output that Line has made.
func Read(line string) (s Seen, ok bool) {
	_, text, ok := strings.Cut(line, mark)
	if !ok || json.Unmarshal([]byte(text), &s) != nil {
		return Seen{}, false
	}
	return s, true
}

// Add merges the observations of another process into what is known of a test.
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
