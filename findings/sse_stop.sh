#!/usr/bin/env bash
# A client of Server-Sent Events connects again when a stream ends. A server tells it to stop with 204 No Content. A
# status other than 200, or a type other than text/event-stream, also ends it (HTML Living Standard, 9.2).
#
# Guessed: npm's eventsource 4.1.1, undici 7.30.2 and tmaxmax/go-sse 0.12.0 stop; r3labs/sse 2.10.0 and
# launchdarkly/eventsource 1.11.0 never do. Seen: r3labs/sse stops, without an error, even when a stream ends in
# order, as at each deployment of a server. launchdarkly/eventsource never stops. npm's eventsource-client 1.2.0 stops
# only at 204.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
eventsource: stops at 204, at 404, at text/html
undici: stops at 204, at 404, at text/html
eventsource-client: stops at 204
tmaxmax/go-sse: stops at 204, at 404, at text/html
launchdarkly/eventsource: stops at nothing
r3labs/sse: does not connect again, error <nil>
END
npm install --silent --no-fund --no-audit --prefix . eventsource@4.1.1 eventsource-client@1.2.0 undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/launchdarkly/eventsource v1.11.0
	github.com/r3labs/sse/v2 v2.10.0
	github.com/tmaxmax/go-sse v0.12.0
)
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

func main() {
	req, err := http.NewRequest("GET", os.Args[2], nil)
	if err != nil {
		panic(err)
	}
	switch os.Args[1] {
	case "r3labs/sse":
		fmt.Print(", error ", r3labs.NewClient(os.Args[2]).SubscribeRaw(func(*r3labs.Event) {}))
	case "tmaxmax/go-sse":
		tmaxmax.NewConnection(req).Connect()
	case "launchdarkly/eventsource":
		stream, err := launchdarkly.SubscribeWithRequestAndOptions(req, launchdarkly.StreamOptionInitialRetry(200*time.Millisecond))
		if err != nil {
			panic(err)
		}
		go func() {
			for range stream.Errors {
			}
		}()
		for range stream.Events {
		}
	}
	time.Sleep(time.Minute)
}
END
cat >main.mjs <<'END'
import http from 'node:http'
import { spawn } from 'node:child_process'
import { EventSource } from 'eventsource'
import { createEventSource } from 'eventsource-client'
import * as undici from 'undici'

let requests, answer, url
const server = http.createServer((req, res) => {
  if (!url.endsWith(req.url)) return res.destroy() // one of a client that was told to stop
  if (++requests > 1) return res.writeHead(...answer).end()
  res.writeHead(200, { 'content-type': 'text/event-stream' }).write('retry: 200\nid: 1\ndata: hello\n\n')
  setTimeout(() => res.end(), 200)
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))

const standard = (Source) => () => { const source = new Source(url); source.onerror = () => {}; return () => source.close() }
const child = (name) => () => {
  const running = spawn('./main', [name, url], { stdio: ['ignore', 'pipe', 'inherit'] })
  running.stdout.on('data', (data) => { said += data })
  return () => running.kill()
}
let said = ''
const clients = {
  eventsource: standard(EventSource),
  undici: standard(undici.EventSource),
  'eventsource-client': () => { const source = createEventSource({ url }); return () => source.close() },
  'tmaxmax/go-sse': child('tmaxmax/go-sse'),
  'launchdarkly/eventsource': child('launchdarkly/eventsource'),
  'r3labs/sse': child('r3labs/sse'),
}
const answers = { 204: [204], 404: [404], 'text/html': [200, { 'content-type': 'text/html' }] }
for (const [name, start] of Object.entries(clients)) {
  const stops = []
  let again = false
  for (const [what, is] of Object.entries(answers)) {
    requests = 0
    answer = is
    said = ''
    url = `http://127.0.0.1:${server.address().port}/${name}/${what}`
    const stop = start()
    await new Promise((later) => setTimeout(later, 3000))
    stop()
    if (requests === 0) throw new Error('no request')
    again ||= requests > 1
    if (requests === 2) stops.push(`at ${what}`)
  }
  console.log(`${name}: ${again ? `stops ${stops.join(', ') || 'at nothing'}` : `does not connect again${said}`}`)
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 90 node --no-warnings main.mjs >have
diff want have
cat have
