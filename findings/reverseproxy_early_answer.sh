#!/usr/bin/env bash
# A request over HTTP/1 goes through httputil.ReverseProxy and is answered while it is still being sent. What the
# server behind the proxy reads must be what the client sent, or must end with an error, never as a complete body (RFC
# 9112, section 8: an incomplete message).
#
# Guessed: all parts arrive, or the server sees its request break off. Seen with Go 1.26.8: parts are missing from the
# middle of the body. The proxy's own server discards what has arrived when the answer begins, and the last chunk
# follows, so the server takes the body for complete. With Go 1.27.3 the body ends with an unexpected EOF.
# ResponseController.EnableFullDuplex before ReverseProxy.ServeHTTP lets all parts through in both versions.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
go1.26.8: sent 0123456789, read fewer, the end is EOF; with full duplex 0123456789, EOF
go1.27.3: sent 0123456789, read fewer, the end is unexpected EOF; with full duplex 0123456789, EOF
END
cat >go.mod <<'END'
module finding

go 1.26
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"time"
)

// through has a client send ten parts, of which the server answers the first at once, and returns what the server read.
func through(duplex bool) (read string, end error) {
	done := make(chan struct{})
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		http.NewResponseController(w).EnableFullDuplex()
		buf := make([]byte, 1)
		for end == nil {
			var n int
			n, end = r.Body.Read(buf)
			read += string(buf[:n])
			if read == "0" {
				w.Write([]byte("answer"))
				http.NewResponseController(w).Flush()
			}
		}
	}))
	target, _ := url.Parse(behind.URL)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ErrorLog: log.New(io.Discard, "", 0)}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if duplex {
			http.NewResponseController(w).EnableFullDuplex()
		}
		proxy.ServeHTTP(w, r)
	}))
	body, w := io.Pipe()
	go func() {
		for part := range 10 {
			fmt.Fprint(w, part)
			time.Sleep(50 * time.Millisecond)
		}
		w.Close()
	}()
	if resp, err := http.Post(front.URL, "text/plain", body); err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	<-done
	return read, end
}

func main() {
	read, end := through(false)
	amount := read
	if len(read) < 10 {
		amount = "fewer"
	}
	all, good := through(true)
	fmt.Printf("%s: sent 0123456789, read %s, the end is %v; with full duplex %s, %v\n", runtime.Version(), amount, end, all, good)
}
END
for version in go1.26.8 go1.27.3; do
	GOTOOLCHAIN=$version timeout 60 go run .
done >got
diff want got && cat got
