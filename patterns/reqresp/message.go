package reqresp

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/access"
)

// Request is what a client asks.
type Request struct {
	// Method is the HTTP method; empty: GET. GET, HEAD, OPTIONS, TRACE, PUT and DELETE are
	// idempotent (RFC 9110, section 9.2.2) and can be repeated. Others are repeated only with
	// a Key, or if they were not executed.
	Method string
	// Path is appended to the Client's URL, and can have a query: "/accounts/7?full". On a
	// server it is the path that the client asked for.
	Path string
	// Header is the header sent or received. Names are case-insensitive.
	Header http.Header
	// Body is the complete body sent or received.
	Body []byte
	// Key is the Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a request with a key
	// is executed once, however often it arrives. It has 1 to 255 printable ASCII characters; a
	// UUID is one. Reusing a key for another request is refused.
	Key string
	// Identity is who asks, as returned by the Server's Authenticate. A client leaves it
	// empty.
	Identity access.Identity
}

// Response is an answer.
type Response struct {
	// Status is the HTTP status; zero: 200. A client only sees statuses that are answers: below
	// 500, and none by which a server refuses to begin, such as 429.
	Status int
	// Header is the answer's header, without the fields that the transport
	// needs.
	Header http.Header
	// Body is the complete body.
	Body []byte
	// Attempts is the number of attempts that the client began. A server leaves
	// it zero.
	Attempts int
}

// Headers of requests and answers, of both carriers.
const (
	// HeaderKey is the Idempotency-Key: a String of structured fields, in quotes (RFC 9651, section
	// 3.3.3). The Server also accepts it without quotes, as most clients send it.
	HeaderKey = "Idempotency-Key"
	// HeaderTimeout is the time that is left for a request when it is sent, in milliseconds,
	// rounded down. It is a duration and not an instant, so clocks need not agree; it does not
	// include the transit of the request.
	HeaderTimeout = "Request-Timeout"
	// HeaderOutcome is "not-executed" or "unknown" in a response that says why there is no answer.
	HeaderOutcome = "Call-Outcome"
	// HeaderPushback is when the server wants the next attempt, in milliseconds, in a response that
	// says why there is no answer. The client retries exactly then, without its own backoff.
	// Negative or not a number: never. (It corresponds to gRPC's grpc-retry-pushback-ms, in its
	// proposal A6.)
	HeaderPushback = "Retry-Pushback-Ms"
)

const (
	saysNotExecuted = "not-executed"
	saysUnknown     = "unknown"
)

const maxKeyBytes = 255

// idempotent reports whether a method can be repeated without a further effect (RFC 9110,
// section 9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodPut, http.MethodDelete:
		return true
	}
	return safe(method)
}

// safe reports whether a method requests no change (RFC 9110, section 9.2.1).
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// checkKey returns an error that says why a key is invalid, or nil.
func checkKey(key string) error {
	if len(key) == 0 || len(key) > maxKeyBytes {
		return fmt.Errorf("%s has %d bytes: want 1 to %d", HeaderKey, len(key), maxKeyBytes)
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return fmt.Errorf("%s has byte %#02x: want printable ASCII", HeaderKey, key[i])
		}
	}
	return nil
}

// quoteKey returns a key as a String of structured fields.
func quoteKey(key string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

// parseKey returns the key of a request, "" for none.
func parseKey(h http.Header) (string, error) {
	values := h.Values(HeaderKey)
	switch len(values) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", fmt.Errorf("%s comes %d times: want one", HeaderKey, len(values))
	}
	key := strings.Trim(values[0], " \t")
	if strings.HasPrefix(key, `"`) {
		var err error
		if key, err = unquoteKey(key[1:]); err != nil {
			return "", err
		}
	}
	return key, checkKey(key)
}

// unquoteKey returns the text before the closing quote, in which a backslash precedes each quote
// and backslash. It ignores parameters of the String, which have no defined meaning.
func unquoteKey(text string) (string, error) {
	var key strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			if rest := text[i+1:]; rest != "" && rest[0] != ';' {
				return "", fmt.Errorf("%s goes on after its quotes", HeaderKey)
			}
			return key.String(), nil
		case c == '\\':
			if i++; i == len(text) || text[i] != '"' && text[i] != '\\' {
				return "", fmt.Errorf("%s has a backslash before neither quote nor backslash", HeaderKey)
			}
			key.WriteByte(text[i])
		default:
			key.WriteByte(c)
		}
	}
	return "", errors.New(HeaderKey + " has no quote at its end")
}

// maxTimeoutDigits limits HeaderTimeout to 31 years.
const maxTimeoutDigits = 12

// parseTimeout returns the time that is left for a request, and whether the
// request states it.
func parseTimeout(h http.Header) (time.Duration, bool, error) {
	values := h.Values(HeaderTimeout)
	if len(values) == 0 {
		return 0, false, nil
	}
	text := strings.Join(values, ", ")
	ms, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > maxTimeoutDigits {
		return 0, false, fmt.Errorf("%s is %.40q: want milliseconds, up to %d digits", HeaderTimeout, text, maxTimeoutDigits)
	}
	return time.Duration(ms) * time.Millisecond, true, nil
}

func formatTimeout(left time.Duration) string {
	return strconv.FormatInt(min(max(left, 0).Milliseconds(), 999_999_999_999), 10)
}

// print tells one payload of a key from another.
type fingerprint [sha256.Size]byte

func (r *Request) fingerprint() (print fingerprint) {
	h := sha256.New()
	for _, part := range []string{r.Method, r.Path} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	h.Write(r.Body)
	return fingerprint(h.Sum(nil))
}
