#!/usr/bin/env bash
# A server sends text by Server-Sent Events as one "data" line for each of its lines, which LF, CR or both end. A
# client removes one space after the colon and joins the lines with LF (HTML Living Standard, 9.2.5 and 9.2.6). So a
# server must split at all three, and must write a space of its own before text that begins with a space, as the words
# do that a language model sends one by one.
#
# Guessed: all nine servers keep a space and lines that LF ends, and half of them lose what follows a CR. Seen:
# gin-contrib/sse 1.1.2 (gin's c.SSEvent) loses the space, so that "Hello" and " world" arrive as "Helloworld", and
# turns CR into a backslash and an "r". r3labs/sse 2.10.0 loses all lines but the first. So does better-sse 0.16.1
# with a serializer that leaves text as it is, and it loses a space, too.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
gin-contrib/sse: " world" as "world", "a\rb" as "a\\rb", "a\r\nb" as "a\\r\nb"
launchdarkly/eventsource: "a\rb" as "a"
r3labs/sse: "a\nb" as "a", "a\rb" as "a", "a\r\nb" as "a"
tmaxmax/go-sse: all
hono: all
h3: all
better-sse: " world" as "world", "a\nb" as "a", "a\rb" as "a", "a\r\nb" as "a"
@fastify/sse: "a\rb" as "a"
fastify-sse-v2: "a\rb" as "a"
END
npm install --silent --no-fund --no-audit --prefix . undici@7.30.2 hono@4.13.19 @hono/node-server@2.1.9 h3@2.0.8 fastify@5.12.8 \
  @fastify/sse@0.6.0 fastify-sse-v2@4.2.2 better-sse@0.16.1 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/gin-contrib/sse v1.1.2
	github.com/launchdarkly/eventsource v1.11.0
	github.com/r3labs/sse/v2 v2.10.0
	github.com/tmaxmax/go-sse v0.12.0
)
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"net"
	"net/http"

	gin "github.com/gin-contrib/sse"
	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

type event string

func (event) Id() string     { return "" }
func (event) Event() string  { return "" }
func (e event) Data() string { return string(e) }

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	panic(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, text := r.FormValue("stream"), r.FormValue("text")
		w.Header().Set("Content-Type", "text/event-stream")
		switch name {
		case "gin-contrib/sse":
			gin.Encode(w, gin.Event{Data: text})
		case "launchdarkly/eventsource":
			launchdarkly.NewEncoder(w, false).Encode(event(text))
		case "tmaxmax/go-sse":
			m := tmaxmax.Message{}
			m.AppendData(text)
			m.WriteTo(w)
		case "r3labs/sse":
			streams := r3labs.New()
			streams.CreateStream(name)
			streams.Publish(name, &r3labs.Event{Data: []byte(text)}) // replayed to who comes after it
			streams.ServeHTTP(w, r)
		}
	})))
}
END
cat >main.mjs <<'END'
import http from 'node:http'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { EventSource } from 'undici'
import { getRequestListener } from '@hono/node-server'
import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import { H3, createEventStream } from 'h3'
import { toNodeHandler } from 'h3/node'
import { createSession } from 'better-sse'
import fastify from 'fastify'

const listen = async (listener) => {
  const server = http.createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `127.0.0.1:${server.address().port}`
}
const framework = async (plugin, send) => {
  const app = fastify()
  await app.register((await import(plugin)).default)
  app.get('/', ...send)
  return (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http://', '')
}
const hono = new Hono().get('/', (c) => streamSSE(c, (stream) => stream.writeSSE({ data: c.req.query('text') })))
const h3 = new H3().get('/', (event) => {
  const stream = createEventStream(event)
  stream.push(new URL(event.req.url).searchParams.get('text'))
  return stream.send()
})
const text = (req) => new URL(req.url, 'http://localhost').searchParams.get('text')
const go = spawn('./main', { stdio: ['ignore', 'pipe', 'inherit'] })
const [line] = await once(go.stdout, 'data')
const at = String(line).trim()
const servers = {
  'gin-contrib/sse': at,
  'launchdarkly/eventsource': at,
  'r3labs/sse': at,
  'tmaxmax/go-sse': at,
  'hono': await listen(getRequestListener(hono.fetch)),
  'h3': await listen(toNodeHandler(h3)),
  'better-sse': await listen(async (req, res) => (await createSession(req, res, { serializer: (data) => data })).push(text(req))),
  '@fastify/sse': await framework('@fastify/sse', [{ sse: true }, (req, reply) => reply.sse.send(req.query.text)]),
  'fastify-sse-v2': await framework('fastify-sse-v2', [(req, reply) => { reply.sse({ data: req.query.text }) }]),
}
const texts = { 'a space': ' world', LF: 'a\nb', CR: 'a\rb', 'CR LF': 'a\r\nb' }
for (const [name, server] of Object.entries(servers)) {
  const got = []
  for (const [what, text] of Object.entries(texts)) {
    const source = new EventSource(`http://${server}/?stream=${encodeURIComponent(name)}&text=${encodeURIComponent(text)}`)
    source.onerror = () => {}
    const event = await new Promise((told) => { source.onmessage = told })
    source.close()
    if (event.data !== text.replace(/\r\n?/g, '\n')) got.push(`${JSON.stringify(text)} as ${JSON.stringify(event.data)}`)
  }
  console.log(`${name}: ${got.join(', ') || 'all'}`)
}
go.kill()
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
