// Package access decides who may see and do what. Every server of the patterns has a field
// Authenticate, a function that returns the [Identity] of the caller, or an error. [Tokens]
// provides one that needs no store. If the field is nil, everyone may do everything, which is
// for trusted networks only.
//
// Topics are granted by filters, see [Match]. Only what is named is granted: an Identity
// without filters sees nothing and publishes nothing.
package access

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

var (
	// ErrUnauthorized is the error of a request with missing or invalid credentials. It is
	// answered with 401.
	ErrUnauthorized = errors.New("access: unauthorized")
	// ErrForbidden is the error of a request for something that its Identity may not see or do. It
	// is answered with 403.
	ErrForbidden = errors.New("access: forbidden")
)

// Identity is who a request comes from, and what it may see and do.
type Identity struct {
	// Client names the client.
	Client string
	// Topics are filters of what it may see: ">" is everything.
	Topics []string
	// Publish are filters of what it may publish, on servers that clients publish to.
	Publish []string
	// Expires is when the credentials expire. Connections and streams end then, and
	// the client must present new credentials. Zero: never.
	Expires time.Time
}

// Everything is the Identity that a server without Authenticate gives to every client.
func Everything(client string) Identity {
	return Identity{Client: client, Topics: []string{">"}, Publish: []string{">"}}
}

// MaySee reports whether the identity may see a topic or, if topic is a filter, all
// topics that the filter selects. It reports false if only several of the identity's
// filters together select them.
func (id Identity) MaySee(topic string) bool { return selected(id.Topics, topic) }

// MayPublish reports whether the identity may publish under a topic.
func (id Identity) MayPublish(topic string) bool { return selected(id.Publish, topic) }

func selected(filters []string, topic string) bool {
	return slices.ContainsFunc(filters, func(filter string) bool { return Match(filter, topic) })
}

// Select returns what to read for a request for some topics, by name or filter. No topics mean
// everything that the identity may see. The entries to read are those of the topics in only (if it
// is empty, of all topics) for which match is true (if match is not nil). The error is
// [ErrForbidden] if the identity may not see one of the topics.
func (id Identity) Select(topics []string) (only []string, match func(topic string) bool, err error) {
	for _, topic := range topics {
		if !id.MaySee(topic) {
			return nil, nil, fmt.Errorf("%w: topic %q", ErrForbidden, topic)
		}
	}
	if len(topics) == 0 {
		topics = id.Topics
	}
	switch {
	case slices.Contains(topics, ">"):
		return nil, nil, nil
	case len(topics) > 0 && !slices.ContainsFunc(topics, isWild):
		return topics, nil, nil // names, which a log can look up
	}
	return nil, func(topic string) bool { return selected(topics, topic) }, nil
}

// Expired reports whether the credentials have expired.
func (id Identity) Expired() bool {
	return !id.Expires.IsZero() && !time.Now().Before(id.Expires)
}

// Check returns an error for filters that select nothing, or something else than
// they appear to.
func (id Identity) Check() error {
	check := fields.Of("access: Identity")
	check.Filters("Topics", id.Topics)
	check.Filters("Publish", id.Publish)
	return check.Err()
}

// Match reports whether a filter selects a topic. Both are tokens joined by dots, as in
// NATS. In a filter, the token * stands for any one token, and > , which must be the
// last, for one or more. Case matters. If topic is itself a filter, Match reports
// whether the first filter selects every topic that the second does. A filter in which >
// is not the last token selects nothing.
func Match(filter, topic string) bool {
	for {
		f, moreFilter, fCut := strings.Cut(filter, ".")
		t, moreTopic, tCut := strings.Cut(topic, ".")
		switch {
		case f == ">":
			return !fCut
		case f == "*" && t == ">", f != "*" && f != t:
			return false
		case !fCut || !tCut:
			return fCut == tCut
		}
		filter, topic = moreFilter, moreTopic
	}
}

func isWild(filter string) bool { return strings.ContainsAny(filter, "*>") }

// misconfigured is an error for which the client is not to blame.
type misconfigured struct{ error }

// Status returns the HTTP status for an error of Authenticate or of [Identity.Select]:
//
//   - 403 for [ErrForbidden];
//   - the status of a [*retry.StatusError] if it is 400 to 599; an Authenticate returns one, such as 503, if it cannot
//     decide at the moment;
//   - 500 for [Tokens] without usable keys;
//   - 401 for all others.
func Status(err error) int {
	var status *retry.StatusError
	switch {
	case errors.Is(err, ErrForbidden):
		return http.StatusForbidden
	case errors.As(err, &status) && status.Status >= 400 && status.Status <= 599:
		return status.Status
	case errors.As(err, new(misconfigured)):
		return http.StatusInternalServerError
	}
	return http.StatusUnauthorized
}

// Refuse answers a request with an error, using [Status]. The client learns no more than
// this package's errors and the Text of a [*retry.StatusError] reveal.
func Refuse(w http.ResponseWriter, err error) {
	code := Status(err)
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer") // which RFC 9110, section 15.5.2 demands
	}
	text := http.StatusText(code)
	var status *retry.StatusError
	switch {
	case errors.Is(err, ErrForbidden), errors.Is(err, ErrUnauthorized):
		text = err.Error()
	case errors.As(err, &status) && status.Text != "":
		text = status.Text
	}
	http.Error(w, text, code)
}
