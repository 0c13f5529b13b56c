package mux_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/mux"
)

// A client that has finished and closes is no warning to its server; one that leaves a stream behind, or only breaks off, is.
func TestWhatTheEndOfASessionIsLoggedAs(t *testing.T) {
	for _, row := range []struct {
		name, level string
		end         func(client *mux.Session, conn net.Conn, stream *mux.Stream)
	}{
		{"orderly", "DEBUG", func(client *mux.Session, _ net.Conn, s *mux.Stream) { s.Close(); client.Close() }},
		{"a stream is open", "WARN", func(client *mux.Session, _ net.Conn, _ *mux.Stream) { client.Close() }},
		{"the connection breaks", "WARN", func(_ *mux.Session, conn net.Conn, s *mux.Stream) { s.Close(); conn.Close() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			p, q := net.Pipe()
			client := mux.Config{}.Client(p)
			defer client.Close()
			server := mux.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}.Server(q)
			defer server.Close()
			a, b := open(t, client, server)
			require.NoError(t, b.Close()) // the server's direction; the stream ends with the client's
			row.end(client, p, a)
			<-server.Done()
			require.Contains(t, log.String(), "level="+row.level+" msg=\"mux: session ended\" client=pipe error=")
			_, err := server.AcceptStream(context.Background())
			require.Error(t, err)
		})
	}
}
