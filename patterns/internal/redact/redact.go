// Package redact keeps secrets out of logs and errors: the query of a URL can contain a token.
package redact

import (
	"net/url"
	"regexp"
)

// URL returns an address without its query and password.
func URL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	return u.Redacted()
}

var query = regexp.MustCompile(`((?:https?|wss?)://[^\s"?]*\?)[^\s"]+`)

// Error returns an error whose text contains no query of a URL, and that otherwise is
// err.
func Error(err error) error {
	text := err.Error()
	if without := query.ReplaceAllString(text, "${1}..."); without != text {
		return redacted{err, without}
	}
	return err
}

type redacted struct {
	error
	text string
}

func (r redacted) Error() string { return r.text }
func (r redacted) Unwrap() error { return r.error }
