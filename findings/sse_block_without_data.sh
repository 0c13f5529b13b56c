#!/usr/bin/env bash
# A block of Server-Sent Events without a "data" line dispatches nothing (HTML Living Standard, 9.2.6: "If the data
# buffer is an empty string, set the data buffer and the event type buffer to the empty string and return"). Servers
# use such blocks to advance a client's position ("id: 7" alone).
#
# Guessed: most clients do so. Seen: four decoders for Go give the program an event with empty data. @azure/core-sse
# 2.3.0 gives none, but keeps the block's type for the next event, which has none. undici 7.30.2 does as the standard
# says.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >want <<'END'
github.com/tmaxmax/go-sse v0.12.0: [type="tick" data=""] [type="" data="a"]
github.com/r3labs/sse/v2 v2.10.0: [type="tick" data=""] [type="" data="a"]
github.com/launchdarkly/eventsource v1.11.0: [type="tick" data=""] [type="" data="a"]
github.com/donovanhide/eventsource v0.0.0-20210830082556-c59027999da0: [type="tick" data=""] [type="" data="a"]
@azure/core-sse 2.3.0: [type="tick" data="a"]
undici 7.30.2: [type="message" data="a"]
END

mkdir go js
cd go
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/donovanhide/eventsource v0.0.0-20210830082556-c59027999da0
	github.com/launchdarkly/eventsource v1.11.0
	github.com/r3labs/sse/v2 v2.10.0
	github.com/tmaxmax/go-sse v0.12.0
)
END
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	donovan "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
)

const text = "event: tick\nid: 7\n\ndata: a\n\n"

func show(name string, events []string) { fmt.Printf("%s: %s\n", name, strings.Join(events, " ")) }

func one(kind, data string) string { return fmt.Sprintf("[type=%q data=%q]", kind, data) }

func main() {
	var events []string
	for e, err := range gosse.Read(strings.NewReader(text), nil) {
		if err != nil {
			panic(err)
		}
		events = append(events, one(e.Type, e.Data))
	}
	show("github.com/tmaxmax/go-sse v0.12.0", events)

	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, text)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	events = nil
	r3labs.NewClient(srv.URL).SubscribeRawWithContext(ctx, func(e *r3labs.Event) {
		if events = append(events, one(string(e.Event), string(e.Data))); string(e.Data) == "a" {
			cancel()
		}
	})
	show("github.com/r3labs/sse/v2 v2.10.0", events)

	events = nil
	for d := launchdarkly.NewDecoder(strings.NewReader(text)); ; {
		e, err := d.Decode()
		if err != nil {
			break
		}
		events = append(events, one(e.Event(), e.Data()))
	}
	show("github.com/launchdarkly/eventsource v1.11.0", events)

	events = nil
	for d := donovan.NewDecoder(strings.NewReader(text)); ; {
		e, err := d.Decode()
		if err != nil {
			break
		}
		events = append(events, one(e.Event(), e.Data()))
	}
	show("github.com/donovanhide/eventsource v0.0.0-20210830082556-c59027999da0", events)
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >../got

cd ../js
npm install --silent --no-fund --no-audit --prefix . @azure/core-sse@2.3.0 undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import http from 'node:http'
import { createSseStream } from '@azure/core-sse'
import { EventSource } from 'undici'

const text = 'event: tick\nid: 7\n\ndata: a\n\n'
const one = (type, data) => `[type=${JSON.stringify(type)} data=${JSON.stringify(data)}]`

const events = []
for await (const e of createSseStream(new Response(text).body)) events.push(one(e.event, e.data))
console.log('@azure/core-sse 2.3.0: ' + events.join(' '))

const server = http.createServer((_, res) => {
  res.setHeader('content-type', 'text/event-stream')
  res.write(text)
}).listen(0, '127.0.0.1', () => {
  const got = []
  const source = new EventSource(`http://127.0.0.1:${server.address().port}`)
  source.addEventListener('tick', (e) => got.push(one(e.type, e.data)))
  source.addEventListener('message', (e) => {
    got.push(one(e.type, e.data))
    console.log('undici 7.30.2: ' + got.join(' '))
    process.exit(0)
  })
})
END
node --no-warnings main.mjs >>../got

cd ..
diff want got && cat got
