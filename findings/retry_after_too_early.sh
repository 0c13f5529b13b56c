#!/usr/bin/env bash
# Retry-After says "how long the user agent ought to wait before making a follow-up request" (RFC 9110, 10.2.3). If a
# limiter refuses a client that has waited for that long, a client that obeys is refused twice. After "Retry-After: 0"
# it asks in a loop.
#
# Guessed: of eight limiters only koa-ratelimit, which rounds down. Seen: koa-ratelimit 6.0.0 does so, and says 0
# during the whole last second. But fiber 3.1.0 with SlidingWindow and httprate 0.16.1 refuse again, too: at the end
# of the time that they name, the requests of the previous window still count in full (with httprate only after a
# burst in the first tenth of a window; here its first window begins with one).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
@fastify/rate-limit: 429, then 200
express-rate-limit: 429, then 200
fiber, FixedWindow: 429, then 200
fiber, SlidingWindow: 429, then 429
hono-rate-limiter: 429, then 200
httprate: 429, then 429
koa-ratelimit: 429, then 429, with "Retry-After: 0"
throttled: 429, then 200
END
npm install --silent --no-fund --no-audit --prefix . express@5.3.0 express-rate-limit@8.7.5 fastify@5.12.8 @fastify/rate-limit@11.2.0 \
  koa@3.3.0 koa-ratelimit@6.0.0 hono@4.13.19 @hono/node-server@2.1.9 hono-rate-limiter@0.5.4 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/go-chi/httprate v0.16.1
	github.com/gofiber/fiber/v3 v3.1.0
	github.com/throttled/throttled/v2 v2.15.0
)
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/httprate"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
)

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return l
}

func main() {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	l := listen()
	fmt.Println("httprate", l.Addr())
	go http.Serve(l, httprate.Limit(5, 6*time.Second)(hello))

	store, err := memstore.NewCtx(10)
	if err != nil {
		panic(err)
	}
	rate, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerDuration(5, 6*time.Second), MaxBurst: 4})
	if err != nil {
		panic(err)
	}
	l = listen()
	fmt.Println("throttled", l.Addr())
	go http.Serve(l, (&throttled.HTTPRateLimiterCtx{RateLimiter: rate}).RateLimit(hello))

	for name, window := range map[string]limiter.Handler{"fiber,FixedWindow": limiter.FixedWindow{}, "fiber,SlidingWindow": limiter.SlidingWindow{}} {
		app := fiber.New()
		app.Use(limiter.New(limiter.Config{Max: 5, Expiration: 4 * time.Second, LimiterMiddleware: window}))
		app.Get("/", func(c fiber.Ctx) error { return c.SendString("hello") })
		l = listen()
		fmt.Println(name, l.Addr())
		go app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true})
	}
	time.Sleep(time.Minute)
}
END
cat >main.mjs <<'END'
import http from 'node:http'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import express from 'express'
import { rateLimit } from 'express-rate-limit'
import fastify from 'fastify'
import Koa from 'koa'
import koaLimit from 'koa-ratelimit'
import { Hono } from 'hono'
import { rateLimiter } from 'hono-rate-limiter'
import { getRequestListener } from '@hono/node-server'

const window = 6000
const limit = 5
const listen = async (listener) => {
  const server = http.createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `127.0.0.1:${server.address().port}`
}
const servers = {
  'express-rate-limit': await listen(express().use(rateLimit({ windowMs: window, limit })).get('/', (req, res) => res.end())),
  'hono-rate-limiter': await listen(getRequestListener(
    new Hono().use(rateLimiter({ windowMs: window, limit, keyGenerator: () => 'a' })).get('/', (c) => c.text('hello')).fetch)),
  'koa-ratelimit': await listen(
    new Koa().use(koaLimit({ driver: 'memory', db: new Map(), duration: window, max: limit })).use((c) => { c.body = 'hello' }).callback()),
}
const app = fastify()
await app.register(import('@fastify/rate-limit'), { max: limit, timeWindow: window })
app.get('/', async () => 'hello')
servers['@fastify/rate-limit'] = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http://', '')
const go = spawn('./main', { stdio: ['ignore', 'pipe', 'inherit'] })
for await (const line of createInterface({ input: go.stdout })) {
  const [name, at] = line.split(' ')
  servers[name.replace(',', ', ')] = at
  if (Object.keys(servers).length === 8) break
}
const ask = async (at) => {
  const res = await fetch(`http://${at}/`)
  await res.text()
  return res
}
const told = await Promise.all(Object.entries(servers).map(async ([name, at]) => {
  let res
  do { res = await ask(at) } while (res.status === 200)
  await new Promise((later) => setTimeout(later, Number(res.headers.get('retry-after')) * 1000))
  const again = await ask(at)
  const zero = again.headers.get('retry-after') === '0' ? ', with "Retry-After: 0"' : ''
  return `${name}: ${res.status}, then ${again.status}${zero}`
}))
console.log(told.sort().join('\n'))
go.kill()
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
