package sidecar

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Of gRPC the proxy knows how a call fails: the status is in the trailers (grpc.io, "gRPC over HTTP2"), and a deadline is in a field.

// Statuses of gRPC.
const (
	grpcCancelled   = "1"
	grpcDeadline    = "4"
	grpcExhausted   = "8"
	grpcInternal    = "13"
	grpcUnavailable = "14"
)

// speaksGRPC reports whether a request is a call of gRPC. One of gRPC-Web has its status in the body.
func speaksGRPC(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.Header.Get("Content-Type"), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// streamError is net/http's error of a stream that was reset: errors.As fills in a struct with the same fields.
type streamError struct {
	StreamID, Code uint32
	Cause          error
}

func (streamError) Error() string { return "the stream was reset" }

// cutStatus is the status of a call whose answer broke off. net/http can reset a client's stream with INTERNAL_ERROR alone, which would be another status: this is the one that
// the client would have without a proxy, by the code of the reset (the table of "Errors" in "gRPC over HTTP2"). One that a replica cancels after the call's deadline, as grpc-go's
// server does, has run into that.
func cutStatus(err error, late bool) string {
	var reset streamError
	if !errors.As(err, &reset) {
		return grpcUnavailable // the connection ended
	}
	switch reset.Code {
	case 0x7: // REFUSED_STREAM
		return grpcUnavailable
	case 0x8: // CANCEL
		if late {
			return grpcDeadline
		}
		return grpcCancelled
	case 0xb: // ENHANCE_YOUR_CALM
		return grpcExhausted
	}
	return grpcInternal
}

// grpcTimeout is how long a call has, and whether it says so.
func grpcTimeout(r *http.Request) (time.Duration, bool) {
	text := r.Header.Get("Grpc-Timeout")
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	unit, ok := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}[text[len(text)-1]]
	return time.Duration(n) * unit, err == nil && ok && n < uint64(maxTold*time.Millisecond/unit)
}

// percentEncoded encodes a Grpc-Message.
func percentEncoded(text string) string {
	var out strings.Builder
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == '%' {
			out.WriteString("%" + string("0123456789ABCDEF"[c>>4]) + string("0123456789ABCDEF"[c&15]))
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}
