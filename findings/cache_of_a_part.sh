#!/usr/bin/env bash
# A cache that holds part of a file, a 206, may use it to answer a request for that part, but not for another part or
# for the whole (RFC 9111, 3.3 and 4; RFC 9110, 15.3.7). A cache that cannot combine parts must not store it.
#
# Guessed: axios-cache-interceptor 1.12.3, whose key leaves out the header fields, returns the part for the whole; got
# 14.6.6, undici 7.30.2, make-fetch-happen 15.0.6 and gregjones/httpcache (Go) do not. Seen: the one that does is got.
# After a request for the first bytes of a file it answers every other request with these bytes, as a 206, even a
# request without Range, for as long as max-age allows. The others are right.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
got: 206 0123, 206 0123, 206 0123
undici: 206 0123, 206 456789, 200 0123456789
axios-cache-interceptor: 206 0123, 206 456789, 200 0123456789
make-fetch-happen: 206 0123, 206 456789, 200 0123456789
httpcache: 206 0123, 206 456789, 200 0123456789
END
npm install --silent --no-fund --no-audit --prefix . axios@1.21.1 axios-cache-interceptor@1.12.3 got@14.6.6 make-fetch-happen@15.0.6 undici@7.30.2 \
  >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require github.com/gregjones/httpcache v0.0.0-20190611155906-901d90724c79
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/gregjones/httpcache"
)

func main() {
	client := httpcache.NewMemoryCacheTransport().Client()
	for _, part := range os.Args[2:] {
		req, err := http.NewRequest("GET", os.Args[1], nil)
		if err != nil {
			panic(err)
		}
		if part != "whole" {
			req.Header.Set("Range", part)
		}
		res, err := client.Do(req)
		if err != nil {
			panic(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			panic(err)
		}
		fmt.Println(res.StatusCode, string(body))
	}
}
END
cat >main.mjs <<'END'
import http from 'node:http'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import axios from 'axios'
import { setupCache } from 'axios-cache-interceptor'
import got from 'got'
import fetch from 'make-fetch-happen'
import { Agent, interceptors, request } from 'undici'

const file = '0123456789'
const server = http.createServer((req, res) => {
  const fields = { 'cache-control': 'max-age=60', etag: '"1"', 'content-type': 'text/plain' }
  const [, first, last] = /bytes=(\d)-(\d)/.exec(req.headers.range ?? '') ?? []
  if (first === undefined) return res.writeHead(200, fields).end(file)
  res.writeHead(206, { ...fields, 'content-range': `bytes ${first}-${last}/10` }).end(file.slice(Number(first), Number(last) + 1))
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const store = new Map()
const dispatcher = new Agent().compose(interceptors.cache())
const cached = setupCache(axios.create({ responseType: 'text', transformResponse: (data) => data }))
const cachePath = './cache'
const get = {
  got: async (url, headers) => { const res = await got(url, { cache: store, headers }); return [res.statusCode, res.body] },
  undici: async (url, headers) => { const res = await request(url, { dispatcher, headers }); return [res.statusCode, await res.body.text()] },
  'axios-cache-interceptor': async (url, headers) => { const res = await cached.get(url, { headers }); return [res.status, res.data] },
  'make-fetch-happen': async (url, headers) => { const res = await fetch(url, { cachePath, headers }); return [res.status, await res.text()] },
}
const parts = ['bytes=0-3', 'bytes=4-9', 'whole']
for (const [name, one] of Object.entries(get)) {
  const told = []
  for (const part of parts) {
    told.push((await one(`http://127.0.0.1:${server.address().port}/${name}`, part === 'whole' ? {} : { range: part })).join(' '))
    await new Promise((later) => setTimeout(later, 200)) // until it is stored
  }
  console.log(`${name}: ${told.join(', ')}`)
}
const { stdout } = await promisify(execFile)('./main', [`http://127.0.0.1:${server.address().port}/`, ...parts])
console.log(`httpcache: ${stdout.trim().split('\n').join(', ')}`)
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
