package pubsub

import (
	"errors"
	"fmt"
	"strings"
)

// maxTopicBytes bounds topics and filters.
const maxTopicBytes = 255

// checkTopic refuses what no message may be published under.
func checkTopic(topic string) error {
	if err := checkTokens(topic); err != nil {
		return err
	}
	if isWild(topic) {
		return errors.New("* and > are for filters")
	}
	return nil
}

// checkFilter refuses what is not a filter.
func checkFilter(filter string) error {
	if err := checkTokens(filter); err != nil {
		return err
	}
	if before, _, found := strings.Cut(filter, ">"); found && len(before)+1 < len(filter) {
		return errors.New("> must be the last token")
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
