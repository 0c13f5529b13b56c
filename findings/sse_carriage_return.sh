#!/usr/bin/env bash
# A carriage return alone ends a line of Server-Sent Events (HTML Living Standard, 9.2.5), so two of them end an
# event.
#
# Guessed: npm's eventsource-parser 3.1.1, which eventsource 4.1.1, eventsource-client 1.2.0 and many clients of
# language models use, hands out an event when its blank line is there. Seen: it holds each event back until something
# follows, since its last carriage return might be half of CR LF. It never hands out the last event of a stream. Of
# Go's decoders, openai-go 3.99.0 finds no event in such a stream at all. undici 7.30.2 hands each event out at once.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
eventsource-parser 3.1.1, after each of three events: 0 1 2
undici 7.30.2, after each of three events: 1 2 3
openai-go 3.99.0, after three events: 0
END
npm install --silent --no-fund --no-audit --prefix . eventsource-parser@3.1.1 undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import http from 'node:http'
import { createParser } from 'eventsource-parser'
import { EventSource } from 'undici'

const texts = ['data: a\r\r', 'data: b\r\r', 'data: c\r\r']

let events = 0
const parser = createParser({ onEvent: () => events++ })
const counts = texts.map((text) => (parser.feed(text), events))
console.log(`eventsource-parser 3.1.1, after each of three events: ${counts.join(' ')}`)

// The next is sent when nothing has come for a second, or an event has.
events = 0
const seen = []
const server = http.createServer(async (_, res) => {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const text of texts) {
    const before = events
    res.write(text)
    for (let i = 0; i < 100 && events === before; i++) await new Promise((r) => setTimeout(r, 10))
    seen.push(events)
  }
  console.log(`undici 7.30.2, after each of three events: ${seen.join(' ')}`)
  process.exit(0)
})
server.listen(0, '127.0.0.1', () => {
  const source = new EventSource(`http://127.0.0.1:${server.address().port}`)
  source.onmessage = () => events++
})
END
timeout 60 node --no-warnings main.mjs >got
cat >go.mod <<'END'
module finding

go 1.26

require github.com/openai/openai-go/v3 v3.99.0
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/openai/openai-go/v3/packages/ssestream"
)

func main() {
	d := ssestream.NewDecoder(&http.Response{
		Header: http.Header{"Content-Type": {"text/event-stream"}},
		Body:   io.NopCloser(strings.NewReader("data: a\r\rdata: b\r\rdata: c\r\r")),
	})
	events := 0
	for d.Next() {
		events++
	}
	fmt.Println("openai-go 3.99.0, after three events:", events)
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >>got
diff want got && cat got
