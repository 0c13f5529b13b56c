#!/usr/bin/env bash
# A client that resumes a broken download asks for the rest by Range. By If-Range it asks for the whole file if the file
# has changed meanwhile: then "the server MUST ignore the Range header field" (RFC 9110, 13.1.5 and 14.2). A date
# matches only if it equals the date of the file exactly.
#
# Guessed: fasthttp 1.78.0, sirv 3.0.2, serve-handler 6.1.8 and @hono/node-server 2.1.9 do not know If-Range; send 1.2.1
# (express, fastify) does. Seen: fasthttp does, and answers with the whole file. The other three and http-server 14.1.1
# send the rest of the new file, which the client appends to the beginning of the old one. send accepts any later date
# as a match.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . sirv@3.0.2 http-server@14.1.1 serve-handler@6.1.8 send@1.2.1 hono@4.13.19 @hono/node-server@2.1.9 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
sirv 3.0.2: no If-Range 206, another ETag 206, an earlier date 206, a later date 206
http-server 14.1.1: no If-Range 206, another ETag 206, an earlier date 206, a later date 206
serve-handler 6.1.8: no If-Range 206, another ETag 206, an earlier date 206, a later date 206
@hono/node-server 2.1.9: no If-Range 206, another ETag 206, an earlier date 206, a later date 206
send 1.2.1: no If-Range 206, another ETag 200, an earlier date 200, a later date 206
fasthttp 1.78.0: no If-Range 206, another ETag 200, an earlier date 200, a later date 200
END
cat >go.mod <<'END'
module finding

go 1.26

require github.com/valyala/fasthttp v1.78.0
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"net"

	"github.com/valyala/fasthttp"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	files := &fasthttp.FS{Root: "files", AcceptByteRange: true}
	panic(fasthttp.Serve(l, files.NewRequestHandler()))
}
END
{ go mod tidy && go build -o fasthttp .; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { serveStatic } from '@hono/node-server/serve-static'
import { Hono } from 'hono'
import httpServer from 'http-server'
import send from 'send'
import handler from 'serve-handler'
import sirv from 'sirv'

fs.mkdirSync('files')
fs.writeFileSync('files/digits', '0123456789')
const hono = new Hono()
hono.use('/*', serveStatic({ root: './files' }))
const servers = {
  'sirv 3.0.2': http.createServer(sirv('files', { etag: true })),
  'http-server 14.1.1': httpServer.createServer({ root: 'files' }).server,
  'serve-handler 6.1.8': http.createServer((req, res) => handler(req, res, { public: 'files', etag: true })),
  '@hono/node-server 2.1.9': http.createServer(getRequestListener(hono.fetch)),
  'send 1.2.1': http.createServer((req, res) => send(req, req.url, { root: 'files' }).pipe(res)),
}
const show = async (name, port) => {
  const ask = (headers) => fetch(`http://127.0.0.1:${port}/digits`, { headers })
  const rest = async (condition) => (await ask({ range: 'bytes=4-', ...(condition && { 'if-range': condition }) })).status
  console.log(`${name}: no If-Range ${await rest()}, another ETag ${await rest('"another"')}, ` +
    `an earlier date ${await rest('Mon, 01 Jan 2001 00:00:00 GMT')}, a later date ${await rest('Mon, 01 Jan 2035 00:00:00 GMT')}`)
}
for (const [name, server] of Object.entries(servers)) {
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  await show(name, server.address().port)
}
const go = spawn('./fasthttp')
const port = await new Promise((ready) => go.stdout.once('data', (text) => ready(Number(text))))
await show('fasthttp 1.78.0', port)
go.kill()
process.exit()
END
timeout 60 node main.mjs >have 2>log || { cat log; exit 1; }
diff want have
cat have
