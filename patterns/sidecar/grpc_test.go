package sidecar

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTimeoutsOfGRPC(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "40m": 40 * time.Millisecond, "5u": 5 * time.Microsecond, "99999999n": 99999999, "0S": 0,
	} {
		got, ok := grpcTimeout(&http.Request{Header: http.Header{"Grpc-Timeout": {text}}})
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "S", "1", "1s", "-1S", "1.5S", "123456789S", "99999999H"} {
		_, ok := grpcTimeout(&http.Request{Header: http.Header{"Grpc-Timeout": {text}}})
		require.False(t, ok, text)
	}
}

func TestStatusOfACallThatIsCut(t *testing.T) {
	require.Equal(t, grpcUnavailable, cutStatus(io.ErrUnexpectedEOF, false))
	for _, row := range []struct {
		code uint32
		late bool
		want string
	}{{0, false, grpcInternal}, {1, false, grpcInternal}, {7, false, grpcUnavailable}, {8, false, grpcCancelled}, {8, true, grpcDeadline}, {11, false, grpcExhausted}} {
		require.Equal(t, row.want, cutStatus(errors.Join(streamError{Code: row.code}), row.late), "%+v", row)
	}
}

func TestWhatIsACallOfGRPC(t *testing.T) {
	for text, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc; charset=x": true,
		"application/grpc-web": false, "application/grpc-web+proto": false, "application/json": false, "": false,
	} {
		require.Equal(t, want, speaksGRPC(&http.Request{Header: http.Header{"Content-Type": {text}}}), text)
	}
}

// The proxy's own answer has a status of gRPC for its clients alone.
func TestOwnAnswerToACallOfGRPC(t *testing.T) {
	for kind, want := range map[string]string{"application/grpc": "14", "application/grpc+proto": "14", "application/grpc-web+proto": "", "application/grpcish": "", "text/plain": ""} {
		w := httptest.NewRecorder()
		answer2(w, &http.Request{Header: http.Header{"Content-Type": {kind}}}, &failure{status: http.StatusServiceUnavailable, err: errors.New("no replica")})
		require.Equal(t, want, w.Header().Get("Grpc-Status"), kind)
		require.Equal(t, want == "", w.Code == http.StatusServiceUnavailable, kind)
	}
}
