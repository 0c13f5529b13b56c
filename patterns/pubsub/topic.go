package pubsub

import (
	"fmt"
	"strings"

	"github.com/squall-sim/squall/patterns/access"
)

// maxTopicBytes bounds topics and filters.
const maxTopicBytes = 255

// Match reports whether a filter selects a topic. See [access.Match].
func Match(filter, topic string) bool { return access.Match(filter, topic) }

// checkTopic refuses what no message may be published under.
func checkTopic(topic string) error {
	if err := checkTokens(topic); err != nil {
		return fmt.Errorf("topic %q: %w", topic, err)
	}
	if isWild(topic) {
		return fmt.Errorf("topic %q: * and > are for filters", topic)
	}
	return nil
}

// checkFilter refuses what is not a filter.
func checkFilter(filter string) error {
	if err := checkTokens(filter); err != nil {
		return fmt.Errorf("filter %q: %w", filter, err)
	}
	if before, _, found := strings.Cut(filter, ">"); found && len(before)+1 < len(filter) {
		return fmt.Errorf("filter %q: > must be the last token", filter)
	}
	return nil
}

func checkTokens(text string) error {
	if len(text) > maxTopicBytes {
		return fmt.Errorf("%d bytes, want at most %d", len(text), maxTopicBytes)
	}
	for token := range strings.SplitSeq(text, ".") {
		switch {
		case token == "":
			return fmt.Errorf("a token is empty, want tokens joined by dots")
		case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return fmt.Errorf("token %q has white space or a control character", token)
		case len(token) > 1 && strings.ContainsAny(token, "*>"):
			return fmt.Errorf("token %q: * and > must stand alone", token)
		}
	}
	return nil
}

func isWild(filter string) bool { return strings.ContainsAny(filter, "*>") }
