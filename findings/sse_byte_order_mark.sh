#!/usr/bin/env bash
# A stream of Server-Sent Events may begin with a byte order mark, which is not part of its first line (HTML Living
# Standard, 9.2.5: stream = [ bom ] *event).
#
# Guessed: Go's clients keep it, so that the first field has another name. Seen: they do, and r3labs/sse 2.10.0 and
# the decoders of openai-go 3.99.0 and anthropic-sdk-go 1.84.0 silently lose the first event. Not guessed:
# launchdarkly/eventsource 1.11.0 and donovanhide/eventsource give an event without data instead. tmaxmax/go-sse
# 0.12.0 does as the standard says.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
anthropic-sdk-go 1.84.0: "b"
donovanhide/eventsource: "" "b"
go-sse 0.12.0: "a" "b"
launchdarkly/eventsource 1.11.0: "" "b"
openai-go 3.99.0: "b"
r3labs/sse 2.10.0: "b"
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/anthropics/anthropic-sdk-go v1.84.0
	github.com/donovanhide/eventsource v0.0.0-20210830082556-c59027999da0
	github.com/launchdarkly/eventsource v1.11.0
	github.com/openai/openai-go/v3 v3.99.0
	github.com/r3labs/sse/v2 v2.10.0
	github.com/tmaxmax/go-sse v0.12.0
)
END
cat >main.go <<'END'
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	anthropic "github.com/anthropics/anthropic-sdk-go/packages/ssestream"
	donovan "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
	openai "github.com/openai/openai-go/v3/packages/ssestream"
	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
)

const text = "\ufeffdata: a\n\ndata: b\n\n"

func response() *http.Response {
	return &http.Response{Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(text))}
}

func show(name string, next func() (string, bool)) {
	fmt.Print(name, ":")
	for data, ok := next(); ok; data, ok = next() {
		fmt.Printf(" %q", strings.TrimSuffix(data, "\n"))
	}
	fmt.Println()
}

func main() {
	a := anthropic.NewDecoder(response())
	show("anthropic-sdk-go 1.84.0", func() (string, bool) { ok := a.Next(); return string(a.Event().Data), ok })

	d := donovan.NewDecoder(strings.NewReader(text))
	show("donovanhide/eventsource", func() (string, bool) {
		e, err := d.Decode()
		if err != nil {
			return "", false
		}
		return e.Data(), true
	})

	var events []string
	for e, err := range gosse.Read(strings.NewReader(text), nil) {
		if err != nil {
			panic(err)
		}
		events = append(events, e.Data)
	}
	shown := func() (data string, ok bool) {
		if len(events) > 0 {
			data, events, ok = events[0], events[1:], true
		}
		return data, ok
	}
	show("go-sse 0.12.0", shown)

	l := launchdarkly.NewDecoder(strings.NewReader(text))
	show("launchdarkly/eventsource 1.11.0", func() (string, bool) {
		e, err := l.Decode()
		if err != nil {
			return "", false
		}
		return e.Data(), true
	})

	o := openai.NewDecoder(response())
	show("openai-go 3.99.0", func() (string, bool) { ok := o.Next(); return string(o.Event().Data), ok })

	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, text)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r3labs.NewClient(srv.URL).SubscribeRawWithContext(ctx, func(e *r3labs.Event) {
		if events = append(events, string(bytes.Clone(e.Data))); string(e.Data) == "b" {
			cancel()
		}
	})
	show("r3labs/sse 2.10.0", shown)
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >got
diff want got && cat got
