package sidecar_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
)

// What goes on is one request for whoever reads it, of the same meaning, and nothing behind it: the replica's server is net/http here.
func FuzzRequest(f *testing.F) {
	for _, row := range framings {
		f.Add([]byte(row.request))
	}
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n5;a=b\r\nhello\r\n0\r\nSum: 42\r\n\r\nGET /next"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, A\r\nUpgrade: websocket\r\nA: b\r\nTE: gzip, trailers\r\n\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		passed, used, err := sidecar.Passed(sent)
		if err != nil {
			return
		}
		in := bufio.NewReader(bytes.NewReader(passed))
		r, err := http.ReadRequest(in)
		if err != nil {
			return // a target that is none, which the replica refuses
		}
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err, "%q", passed)
		_, err = in.ReadByte()
		require.ErrorIs(t, err, io.EOF, "%q: more than a request", passed)
		require.Empty(t, r.Header["Keep-Alive"])
		require.Empty(t, r.Header["Proxy-Connection"])

		// Where net/http accepts what the client sent, it is the same request.
		direct, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(sent[:used])))
		if err != nil {
			return
		}
		want, err := io.ReadAll(direct.Body)
		require.NoError(t, err, "%q", sent)
		require.Equal(t, want, body)
		require.Equal(t, direct.Method, r.Method)
		require.Equal(t, direct.URL.RequestURI(), r.URL.RequestURI())
		if direct.ProtoMinor > 0 {
			require.Equal(t, direct.Host, r.Host)
		}
		require.Equal(t, direct.Trailer, r.Trailer)
	})
}

// The same of answers, for a client of net/http.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.1 204\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close, A\r\nA: b\r\n\r\n",
	} {
		f.Add([]byte(answer), false)
		f.Add([]byte(answer), true)
	}
	f.Fuzz(func(t *testing.T, sent []byte, isHead bool) {
		passed, status, err := sidecar.PassedAnswer(sent, isHead)
		if err != nil || status == http.StatusSwitchingProtocols {
			return
		}
		req := &http.Request{Method: "GET"}
		if isHead {
			req.Method = "HEAD"
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(passed)), req)
		require.NoError(t, err, "%q", passed)
		require.Equal(t, status, resp.StatusCode)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err, "%q", passed)
		direct, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(sent)), req)
		if err != nil {
			return
		}
		want, err := io.ReadAll(direct.Body)
		require.NoError(t, err, "%q: cut for the client, whole for the proxy", sent)
		require.Equal(t, want, body)
		require.Equal(t, direct.Trailer, resp.Trailer)
	})
}

// A head and a body that arrive a byte at a time are the same.
func TestByteByByte(t *testing.T) {
	for _, row := range framings {
		whole, used, err := sidecar.Passed([]byte(row.request))
		require.Equal(t, row.seen == "", err != nil, row.reason)
		if err == nil {
			require.Equal(t, len(row.request), used, row.reason)
			require.True(t, strings.HasPrefix(string(whole), strings.SplitN(strings.TrimLeft(row.request, "\r\n"), " ", 2)[0]))
		} else if row.status != 404 {
			require.Equal(t, row.status, sidecar.Refused(err), row.reason)
		}
	}
}
