package polling

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
