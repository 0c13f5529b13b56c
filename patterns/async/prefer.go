package async

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preference is what a request says in its Prefer headers (RFC 7240, section 4).
type preference struct {
	async bool
	wait  time.Duration
	waits bool // there was a wait
}

// maxPreferences bounds the preferences of a request that are looked at.
const maxPreferences = 100

// parsePrefer reads the preferences that a Server knows; others, and those that are malformed, are
// ignored, and so are parameters. Of two of one name the first counts.
func parsePrefer(h http.Header) (p preference) {
	known := map[string]bool{}
	rest := strings.Join(h.Values("Prefer"), ",")
	for range maxPreferences {
		var item string
		item, rest = cutList(rest, ',')
		item, _ = cutList(item, ';')
		name, value, _ := strings.Cut(item, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "" && !known[name] {
			known[name] = true
			p.take(name, strings.Trim(strings.TrimSpace(value), `"`))
		}
		if rest == "" {
			break
		}
	}
	return p
}

func (p *preference) take(name, value string) {
	switch name {
	case "respond-async":
		p.async = true
	case "wait":
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err == nil {
			p.waits, p.wait = true, time.Duration(seconds)*time.Second
		}
	}
}

// cutList cuts a list at its first separator that is not in quotes.
func cutList(s string, sep byte) (first, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// Prefer returns a function for [shortpoll.Client].Header. With it a [Server] answers each request
// when the operation has ended, but after wait (in whole seconds) at the latest; 0: at once. The
// client's Timeout must be longer than wait.
func Prefer(wait time.Duration) func(context.Context) (http.Header, error) {
	text := "respond-async"
	if seconds := int64(wait / time.Second); seconds > 0 {
		text += ", wait=" + strconv.FormatInt(seconds, 10)
	}
	return func(context.Context) (http.Header, error) { return http.Header{"Prefer": {text}}, nil }
}
