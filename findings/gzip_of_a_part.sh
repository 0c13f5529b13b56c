#!/usr/bin/env bash
# A part of a file that a client requests by Range is a part of the bytes of the whole answer, after coding (RFC 9110,
# 8.4 and 14.2), and Content-Range counts these bytes. Two codings of a file must not share a strong ETag (8.8.1),
# because it is how a client knows that parts belong together.
#
# Guessed: of the middleware that compresses, chi 5.5.0, echo 4.16.0, gorilla/handlers 1.5.2 and npm's compression 1.8.2
# compress a part by itself and leave its Content-Range unchanged; NYTimes/gziphandler 1.1.1, klauspost/compress 1.20.4,
# @fastify/compress 9.2.0 and hono 4.13.19 do not. Seen: NYTimes and httpcompression 0.0.8 also do. A client that
# combines the parts gets pieces of gzip in the middle of its text. All those for Go leave a strong ETag unchanged, so
# that If-Range does not prevent this.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
chi: whole gzip, ETag "1"; part of 10000 bytes: 206, gzip, ETag "1", fewer bytes
echo: whole gzip, ETag "1"; part of 10000 bytes: 206, gzip, ETag "1", fewer bytes
gorilla/handlers: whole gzip, ETag "1"; part of 10000 bytes: 206, gzip, ETag "1", fewer bytes
NYTimes/gziphandler: whole gzip, ETag "1"; part of 10000 bytes: 206, gzip, ETag "1", fewer bytes
httpcompression: whole gzip, ETag "1"; part of 10000 bytes: 206, gzip, ETag "1", fewer bytes
klauspost/compress: whole gzip, ETag "1"; part of 10000 bytes: 206, no coding, ETag "1", 10000 bytes
compression: whole gzip, part of 10000 bytes: 206, gzip, fewer bytes
@fastify/compress: whole gzip, part of 10000 bytes: 206, no coding, 10000 bytes
hono/compress: whole gzip, part of 10000 bytes: 206, no coding, 10000 bytes
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/CAFxX/httpcompression v0.0.8
	github.com/NYTimes/gziphandler v1.1.1
	github.com/go-chi/chi/v5 v5.5.0
	github.com/gorilla/handlers v1.5.2
	github.com/klauspost/compress v1.20.4
	github.com/labstack/echo/v4 v4.16.0
)
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/CAFxX/httpcompression"
	"github.com/NYTimes/gziphandler"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"
	echogzip "github.com/labstack/echo/v4/middleware"
)

func main() {
	text := strings.Repeat("twenty bytes a line\n", 1000)
	file := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader(text))
	})
	withEcho := echo.New()
	withEcho.Use(echogzip.Gzip())
	withEcho.GET("/*", echo.WrapHandler(file))
	adapter, err := httpcompression.DefaultAdapter()
	if err != nil {
		panic(err)
	}
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{
		{"chi", middleware.Compress(5)(file)},
		{"echo", withEcho},
		{"gorilla/handlers", handlers.CompressHandler(file)},
		{"NYTimes/gziphandler", gziphandler.GzipHandler(file)},
		{"httpcompression", adapter(file)},
		{"klauspost/compress", gzhttp.GzipHandler(file)},
	} {
		server := httptest.NewServer(c.handler)
		whole, part := get(server.URL, ""), get(server.URL, "bytes=2000-11999")
		if got := part.Header.Get("Content-Range"); got != "bytes 2000-11999/20000" {
			panic(got)
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			panic(err)
		}
		size, coding := fmt.Sprint(len(body), " bytes"), part.Header.Get("Content-Encoding")
		if len(body) < 10000 {
			size = "fewer bytes"
		}
		if coding == "" {
			coding = "no coding"
		}
		fmt.Printf("%s: whole %s, ETag %s; part of 10000 bytes: %d, %s, ETag %s, %s\n", c.name, whole.Header.Get("Content-Encoding"), whole.Header.Get("ETag"), part.StatusCode, coding, part.Header.Get("ETag"), size)
	}
}

func get(url, part string) *http.Response {
	req, err := http.NewRequest("GET", url+"/a.txt", nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	if part != "" {
		req.Header.Set("Range", part)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		panic(err)
	}
	return res
}
END
npm install --silent --no-fund --no-audit --prefix . express@5.3.0 compression@1.8.2 fastify@5.12.8 @fastify/compress@9.2.0 @fastify/static@10.1.11 hono@4.13.19 @hono/node-server@2.1.9 >log 2>&1 || { cat log; exit 1; }
mkdir files
cat >main.mjs <<'END'
import fs from 'node:fs'
import http from 'node:http'
import express from 'express'
import compression from 'compression'
import Fastify from 'fastify'
import fastifyCompress from '@fastify/compress'
import fastifyStatic from '@fastify/static'
import { Hono } from 'hono'
import { compress } from 'hono/compress'
import { serve } from '@hono/node-server'
import { serveStatic } from '@hono/node-server/serve-static'

fs.writeFileSync('files/a.txt', 'twenty bytes a line\n'.repeat(1000))
const root = fs.realpathSync('files')
const local = { host: '127.0.0.1', port: 0 }

const one = express().use(compression(), express.static(root))
const two = Fastify()
await two.register(fastifyCompress)
await two.register(fastifyStatic, { root })
await two.listen(local)
const three = new Hono()
three.use(compress())
three.use('/*', serveStatic({ root: './files' }))
const servers = {
  compression: await new Promise((ready) => { const s = http.createServer(one).listen(0, '127.0.0.1', () => ready(s)) }),
  '@fastify/compress': two.server,
  'hono/compress': await new Promise((ready) => { const s = serve({ fetch: three.fetch, port: 0, hostname: '127.0.0.1' }, () => ready(s)) }),
}
for (const [name, server] of Object.entries(servers)) {
  const get = async (headers) => {
    const options = { ...local, port: server.address().port, path: '/a.txt', headers: { 'accept-encoding': 'gzip', ...headers } }
    const res = await new Promise((answered) => http.get(options, answered))
    let length = 0
    for await (const chunk of res) length += chunk.length
    return { status: res.statusCode, coding: res.headers['content-encoding'] ?? 'no coding', part: res.headers['content-range'], length }
  }
  const whole = await get({})
  const { status, coding, part, length } = await get({ range: 'bytes=2000-11999' })
  if (part !== 'bytes 2000-11999/20000') throw new Error(part)
  console.log(`${name}: whole ${whole.coding}, part of 10000 bytes: ${status}, ${coding}, ${length < 10000 ? 'fewer' : length} bytes`)
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
{ timeout 60 ./main && timeout 60 node --no-warnings main.mjs; } >have
diff want have
cat have
