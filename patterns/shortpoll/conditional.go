package shortpoll

import (
	"fmt"
	"net/http"
	"strings"
)

// tag is an entity tag (RFC 9110, section 8.8.3).
func tag(v fmt.Stringer) string { return `"` + v.String() + `"` }

// matches reports whether a request's If-None-Match has the tag of v. The comparison is
// weak (RFC 9110, section 13.1.2): a proxy that compresses answers weakens their tags.
func matches(r *http.Request, v fmt.Stringer) bool {
	if matchesAny(r) {
		return true
	}
	for _, header := range r.Header.Values("If-None-Match") {
		for one := range strings.SplitSeq(header, ",") {
			if strings.TrimPrefix(strings.TrimSpace(one), "W/") == tag(v) {
				return true
			}
		}
	}
	return false
}

// matchesAny reports whether a request asks for nothing that exists: If-None-Match is "*".
func matchesAny(r *http.Request) bool {
	return strings.TrimSpace(r.Header.Get("If-None-Match")) == "*"
}
