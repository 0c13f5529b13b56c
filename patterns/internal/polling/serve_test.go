package polling

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
)

// A panic of Authenticate is an answer, and not the end of the connection; what it says is not for the
// client.
func TestPanicInAuthenticate(t *testing.T) {
	var log strings.Builder
	w := httptest.NewRecorder()
	_, ok := Identify(w, httptest.NewRequest("GET", "/", nil), "longpoll: Server", func(*http.Request) (access.Identity, error) {
		panic("no database")
	}, slog.New(slog.NewTextHandler(&log, nil)))
	require.False(t, ok)
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Equal(t, "Internal Server Error\n", w.Body.String())
	require.Contains(t, log.String(), `level=ERROR msg="longpoll: Server.Authenticate panicked: no database" client=192.0.2.1:1234 error="no database" stack=`)
	require.Contains(t, log.String(), "serve_test.go", "where it panicked")
}

// Over HTTP/2 a body can have no length: only its first read says whether it is empty.
func TestAPollHasNoBody(t *testing.T) {
	for name, row := range map[string]struct {
		body   io.Reader
		length int64
		code   int
	}{
		"none":                   {http.NoBody, 0, http.StatusOK},
		"an empty one":           {NoReplay{}, -1, http.StatusOK},
		"one of known length":    {strings.NewReader("x"), 1, http.StatusRequestEntityTooLarge},
		"one of unknown length":  {strings.NewReader("xy"), -1, http.StatusRequestEntityTooLarge},
		"the end with the bytes": {iotest.DataErrReader(strings.NewReader("x")), -1, http.StatusRequestEntityTooLarge},
		"one that breaks off":    {iotest.ErrReader(io.ErrUnexpectedEOF), -1, http.StatusRequestEntityTooLarge},
	} {
		r, w := httptest.NewRequest("GET", "/", row.body), httptest.NewRecorder()
		r.ContentLength = row.length
		require.Equal(t, row.code == http.StatusOK, IsPoll(w, r), name)
		require.Equal(t, row.code, w.Code, name)
	}
}
