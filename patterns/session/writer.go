package session

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// errRefused is the error of a handler's Write if its session could not be
// stored.
var errRefused = errors.New("session: the session could not be stored, and the client was told so")

// writer stores the session when the answer begins.
type writer struct {
	http.ResponseWriter
	s       *Session
	given   string // the token that the client has
	begun   bool
	refused bool
}

// begin reports whether the handler's answer may be sent.
func (w *writer) begin() bool {
	if w.begun {
		return !w.refused
	}
	w.begun = true
	cookie, err := w.s.close(w.given)
	if cookie != nil {
		http.SetCookie(w.ResponseWriter, cookie)
		w.Header().Add("Cache-Control", `no-cache="Set-Cookie"`)
	}
	if err != nil {
		w.refused = true
		for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified", "Location"} {
			w.Header().Del(name) // they were the handler's
		}
		w.s.m.refuse(w.ResponseWriter, err, http.StatusInternalServerError)
	}
	return !w.refused
}

func (w *writer) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status) // the answer is still to come
		return
	}
	if w.begin() {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *writer) Write(b []byte) (int, error) {
	if !w.begin() {
		return 0, errRefused
	}
	return w.ResponseWriter.Write(b)
}

// ReadFrom lets files be sent as net/http does it.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	if !w.begin() {
		return 0, errRefused
	}
	return io.Copy(w.ResponseWriter, r)
}

func (w *writer) Flush() { w.FlushError() }

// FlushError is what http.ResponseController calls.
func (w *writer) FlushError() error {
	if !w.begin() {
		return errRefused
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !w.begin() {
		return nil, nil, errRefused
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController, which has more methods.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
