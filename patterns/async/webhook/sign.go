package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a message.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// Message is a message to send, or one received.
type Message struct {
	// ID names the message in all its attempts: 1 to 256 printable ASCII characters without spaces
	// and full stops. Receivers drop a message whose ID they have seen.
	ID string
	// Time is the time of the attempt, in whole seconds. A Sender sets it.
	Time time.Time
	// Body is sent unchanged. The specification recommends JSON of less than 20
	// KB.
	Body []byte
	// ContentType is the media type of the body. Empty: application/json.
	ContentType string
}

var (
	// ErrMalformed: a header is missing or not what the specification says (status 400).
	ErrMalformed = errors.New("webhook: malformed headers")
	// ErrStale: the timestamp is more than Tolerance before or after the receiver's clock (status 400).
	ErrStale = errors.New("webhook: timestamp is out of tolerance")
	// ErrSignature: no signature matches any of the keys (status 401).
	ErrSignature = errors.New("webhook: no signature matches")
)

func checkID(id string) error {
	if len(id) < 1 || len(id) > 256 {
		return fmt.Errorf("webhook: id has %d bytes: want 1 to 256", len(id))
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '.' {
			return fmt.Errorf("webhook: id %q: want printable ASCII without spaces and full stops", id)
		}
	}
	return nil
}

// Sign returns the headers of a message, with one signature for each key. m.Time must be
// set.
func Sign(m Message, keys []Key) (http.Header, error) {
	if err := checkID(m.ID); err != nil {
		return nil, err
	}
	if m.Time.Unix() < 0 {
		return nil, fmt.Errorf("webhook: Message.Time is %v: want one since 1970", m.Time)
	}
	if len(keys) == 0 {
		return nil, errors.New("webhook: there are no keys to sign with")
	}
	stamp := strconv.FormatInt(m.Time.Unix(), 10)
	signed := signedText(m.ID, stamp, m.Body)
	var all []string
	for _, k := range keys {
		s, err := k.sign(signed)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return http.Header{headerID: {m.ID}, headerTimestamp: {stamp}, headerSignature: {strings.Join(all, " ")}}, nil
}

func signedText(id, stamp string, body []byte) []byte {
	b := make([]byte, 0, len(id)+len(stamp)+len(body)+2)
	b = append(append(append(b, id...), '.'), stamp...)
	return append(append(b, '.'), body...)
}

// maxSignatures bounds the signatures of a message that are looked at.
const maxSignatures = 16

// Verify returns the message with these headers and this body, if it is signed with one of the keys
// and its timestamp is at most tolerance before or after now. Otherwise the error wraps
// [ErrMalformed], [ErrStale] or [ErrSignature].
func Verify(h http.Header, body []byte, keys []Key, now time.Time, tolerance time.Duration) (Message, error) {
	id, stamp := h.Get(headerID), h.Get(headerTimestamp)
	if err := checkID(id); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || stamp[0] == '+' || stamp[0] == '-' {
		return Message{}, fmt.Errorf("%w: timestamp is %.40q: want seconds since 1970", ErrMalformed, stamp)
	}
	list := strings.Fields(strings.Join(h.Values(headerSignature), " "))
	if len(list) == 0 || len(list) > maxSignatures {
		return Message{}, fmt.Errorf("%w: %d signatures: want 1 to %d", ErrMalformed, len(list), maxSignatures)
	}
	at := time.Unix(seconds, 0)
	// The clock is not cut to seconds: 300.5 s after the stamp is beyond a tolerance of 300.
	if now.Sub(at) > tolerance || at.Sub(now) > tolerance {
		return Message{}, fmt.Errorf("%w: it is %d, and the clock says %d", ErrStale, seconds, now.Unix())
	}
	signed := signedText(id, stamp, body)
	for _, s := range list {
		// What follows another comma is not part of the signature, as in the reference libraries.
		version, rest, _ := strings.Cut(s, ",")
		text, _, _ := strings.Cut(rest, ",")
		signature, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue
		}
		for _, k := range keys {
			if k.verify(version, signature, signed) {
				return Message{ID: id, Time: at, Body: body, ContentType: h.Get("Content-Type")}, nil
			}
		}
	}
	return Message{}, ErrSignature
}
