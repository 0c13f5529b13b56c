package polling

import (
	"fmt"
	"net/http"
	"strings"
)

// Tag returns the entity tag of a version (RFC 9110, section 8.8.3).
func Tag(version fmt.Stringer) string { return `"` + version.String() + `"` }

// Matches reports whether a request's If-None-Match, which may be a list in several lines, has the tag of a
// version, or is "*". The comparison is weak (RFC 9110, section 13.1.2): a proxy that compresses answers
// weakens their tags.
func Matches(r *http.Request, version fmt.Stringer) bool {
	if MatchesAny(r) {
		return true
	}
	tag := Tag(version)
	for _, header := range r.Header.Values("If-None-Match") {
		for one := range strings.SplitSeq(header, ",") {
			if strings.TrimPrefix(strings.TrimSpace(one), "W/") == tag {
				return true
			}
		}
	}
	return false
}

// MatchesAny reports whether a request asks for nothing that exists: If-None-Match is "*".
func MatchesAny(r *http.Request) bool {
	return strings.TrimSpace(r.Header.Get("If-None-Match")) == "*"
}
