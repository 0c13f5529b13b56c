#!/usr/bin/env bash
# A cache must forget what it stored for a URL when a POST, PUT or DELETE to that URL gets an answer that is not an
# error (RFC 9111, 4.4). Otherwise a program that polls through the cache does not see what it has written itself.
#
# Guessed: httpcache (Go), undici's cache and make-fetch-happen forget it; got's cache and axios-cache-interceptor do
# not. Seen: httpcache does not forget it either; the others are as guessed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
undici 7.30.2: read 0, read 0 (cached), write, read 1
make-fetch-happen 15.0.6: read 0, read 0 (cached), write, read 1
got 14.6.6: read 0, read 0 (cached), write, read 0
axios-cache-interceptor 1.12.3: read 0, read 0 (cached), write, read 0
httpcache: read 0, read 0 (cached), write, read 0
END
npm install --silent --no-fund --no-audit --prefix . undici@7.30.2 make-fetch-happen@15.0.6 got@14.6.6 axios@1.21.1 axios-cache-interceptor@1.12.3 >log 2>&1 || { cat log; exit 1; }
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

// It requests a URL with each of the methods that it is given, through one cache.
func main() {
	client := httpcache.NewMemoryCacheTransport().Client()
	for _, method := range os.Args[2:] {
		req, err := http.NewRequest(method, os.Args[1], nil)
		if err != nil {
			panic(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			panic(err)
		}
		fmt.Println(string(text))
	}
}
END
{ go mod tidy && go build -o client .; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import { execFile } from 'node:child_process'
import http from 'node:http'
import { promisify } from 'node:util'
import axios from 'axios'
import { setupCache } from 'axios-cache-interceptor'
import got from 'got'
import fetchHappen from 'make-fetch-happen'
import { Agent, interceptors, request } from 'undici'

let state, reads
const server = http.createServer((req, res) => {
  req.resume().on('end', () => {
    if (req.method === 'GET') reads++
    else state++
    res.writeHead(200, { 'content-type': 'text/plain', ...(req.method === 'GET' && { 'cache-control': 'max-age=60' }) })
    res.end(String(state))
  })
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))

const dispatcher = new Agent().compose(interceptors.cache())
const kept = got.extend({ cache: new Map() })
const cached = setupCache(axios.create())
const onDisk = fetchHappen.defaults({ cachePath: './cache' })
const clients = {
  'undici 7.30.2': async (url, method) => (await request(url, { method, dispatcher })).body.text(),
  'make-fetch-happen 15.0.6': async (url, method) => (await onDisk(url, { method })).text(),
  'got 14.6.6': (url, method) => kept(url, { method }).text(),
  'axios-cache-interceptor 1.12.3': async (url, method) => String((await cached.request({ url, method })).data),
}
const calm = () => new Promise((done) => setTimeout(done, 50)) // a cache may store after it has answered
const show = (name, first, second, last) =>
  console.log(`${name}: read ${first}, read ${second} (${reads > 2 ? 'not cached' : 'cached'}), write, read ${last}`)
const url = (name) => `http://127.0.0.1:${server.address().port}/${encodeURIComponent(name)}`
for (const [name, ask] of Object.entries(clients)) {
  state = reads = 0
  const answers = []
  for (const method of ['GET', 'GET', 'POST', 'GET']) {
    answers.push(await ask(url(name), method))
    await calm()
  }
  show(name, answers[0], answers[1], answers[3])
}
state = reads = 0
const { stdout } = await promisify(execFile)('./client', [url('httpcache'), 'GET', 'GET', 'POST', 'GET'])
const answers = stdout.trim().split('\n')
show('httpcache', answers[0], answers[1], answers[3])
process.exit()
END
timeout 60 node main.mjs >have
diff want have
cat have
