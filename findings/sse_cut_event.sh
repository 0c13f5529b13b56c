#!/usr/bin/env bash
# A stream of Server-Sent Events ends inside an event: "once the end of the file is reached, any pending data must be
# discarded" (HTML Living Standard, 9.2.6). A server that crashed or a proxy that timed out may have sent half of it.
#
# Guessed: r3labs/sse 2.10.0 (Go) hands it out, and none of npm's clients does. Seen: r3labs/sse and npm's parse-sse
# 0.1.0 hand it out, including half a line, as if it were complete. undici 7.30.2 discards it.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
parse-sse 0.1.0: "total: 100" "total: 2"
undici 7.30.2: "total: 100"
github.com/r3labs/sse/v2 v2.10.0: "total: 100" "total: 2"
END

npm install --silent --no-fund --no-audit --prefix . parse-sse@0.1.0 undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import http from 'node:http'
import { parseServerSentEvents } from 'parse-sse'
import { EventSource } from 'undici'

const text = 'data: total: 100\n\ndata: total: 2' // of "data: total: 200\n\n"
const show = (name, events) => console.log(`${name}: ${events.map((e) => JSON.stringify(e)).join(' ')}`)

const type = { headers: { 'content-type': 'text/event-stream' } }
const events = []
for await (const e of parseServerSentEvents(new Response(text, type))) events.push(e.data)
show('parse-sse 0.1.0', events)

let requests = 0
const server = http.createServer((_, res) => {
  if (requests++ > 0) {
    show('undici 7.30.2', got)
    process.exit(0)
  }
  res.writeHead(200, type.headers)
  res.end('retry: 10\n' + text)
})
const got = []
server.listen(0, '127.0.0.1', () => {
  const source = new EventSource(`http://127.0.0.1:${server.address().port}`)
  source.onmessage = (e) => got.push(e.data)
})
END
timeout 60 node --no-warnings main.mjs >got

cat >go.mod <<'END'
module finding

go 1.26

require github.com/r3labs/sse/v2 v2.10.0
END
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	requests := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests > 1 {
			cancel()
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: total: 100\n\ndata: total: 2") // of "data: total: 200\n\n"
	}))
	fmt.Print("github.com/r3labs/sse/v2 v2.10.0:")
	sse.NewClient(srv.URL).SubscribeRawWithContext(ctx, func(e *sse.Event) { fmt.Printf(" %q", e.Data) })
	fmt.Println()
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >>got
diff want got && cat got
