#!/usr/bin/env bash
# A cache may answer by itself for max-age seconds, or for the time from Date to Expires, both by the server's clock
# (RFC 9111, 4.2.1). From this it subtracts the Age that an earlier cache gave the answer, and it counts with its own
# clock from when the answer arrived (4.2.3: a Date in the future means an age of zero). Several lines of Cache-Control
# are one list (RFC 9110, 5.3). An answer with "Vary: *" matches no request (RFC 9111, 4.1).
#
# Guessed: gregjones/httpcache ignores Age, and keeps an answer longer if the server's clock is ahead; got 14.6.6,
# make-fetch-happen 15.0.6, axios-cache-interceptor 1.12.3 and undici 7.30.2 do as they should. Seen: httpcache also
# ignores a second line of Cache-Control and "Vary: *". make-fetch-happen does not keep Age, so that after a CDN an
# answer lives twice as long. axios-cache-interceptor compares Expires with its own clock.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . undici@7.30.2 got@14.6.6 make-fetch-happen@15.0.6 axios@1.21.1 axios-cache-interceptor@1.12.3 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
max-age used up by Age: httpcache serves it, got asks, make-fetch-happen serves it, undici asks, axios-cache-interceptor asks
max-age of 1 s, 2 s later: httpcache asks, got asks, make-fetch-happen asks, undici asks, axios-cache-interceptor asks
the same, the server's clock an hour ahead: httpcache serves it, got asks, make-fetch-happen asks, undici asks, axios-cache-interceptor asks
1 s from Date to Expires, 2 s later, an hour ahead: httpcache serves it, got asks, make-fetch-happen asks, undici asks, axios-cache-interceptor serves it
no-store on a second line: httpcache serves it, got asks, make-fetch-happen asks, undici asks, axios-cache-interceptor asks
Vary: *: httpcache serves it, got asks, make-fetch-happen asks, undici asks, axios-cache-interceptor asks
END
cat >go.mod <<'END'
module finding

go 1.26

require github.com/gregjones/httpcache v0.0.0-20190611155906-901d90724c79
END
cat >main.go <<'END'
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/gregjones/httpcache"
)

// Gets each URL that is given on standard input, and says when it has.
func main() {
	client := httpcache.NewMemoryCacheTransport().Client()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		res, err := client.Get(lines.Text())
		if err != nil {
			panic(err)
		}
		if _, err := io.ReadAll(res.Body); err != nil { // to its end, or it is not stored
			panic(err)
		}
		res.Body.Close()
		fmt.Println("done")
	}
}
END
cat >main.mjs <<'END'
import http from 'node:http'
import readline from 'node:readline'
import { spawn } from 'node:child_process'
import { Agent, interceptors, cacheStores, request } from 'undici'
import got from 'got'
import fetch from 'make-fetch-happen'
import axios from 'axios'
import { setupCache } from 'axios-cache-interceptor'

const date = (seconds) => new Date(Date.now() + seconds * 1000).toUTCString()
const cases = [
  ['max-age used up by Age', 0, () => ({ 'cache-control': 'max-age=100', age: '100' })],
  ['max-age of 1 s, 2 s later', 2000, () => ({ 'cache-control': 'max-age=1' })],
  ["the same, the server's clock an hour ahead", 2000, () => ({ 'cache-control': 'max-age=1', date: date(3600) })],
  ['1 s from Date to Expires, 2 s later, an hour ahead', 2000, () => ({ date: date(3600), expires: date(3601) })],
  ['no-store on a second line', 0, () => ({ 'cache-control': ['max-age=100', 'no-store'] })],
  ['Vary: *', 0, () => ({ 'cache-control': 'max-age=100', vary: '*' })],
]
let requests, headers
const server = http.createServer((_, res) => { requests++; res.writeHead(200, headers()).end('text') })
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))

const httpcache = spawn('./main', { stdio: ['pipe', 'pipe', 'inherit'] })
const lines = readline.createInterface({ input: httpcache.stdout })
const stored = new Map()
const dispatcher = new Agent().compose(interceptors.cache({ store: new cacheStores.MemoryCacheStore() }))
const cached = setupCache(axios.create())
const clients = {
  httpcache: (url) => new Promise((done) => { lines.once('line', done); httpcache.stdin.write(url + '\n') }),
  got: (url) => got(url, { cache: stored }),
  'make-fetch-happen': async (url) => (await fetch(url, { cachePath: './stored' })).text(),
  undici: async (url) => (await request(url, { dispatcher })).body.text(),
  'axios-cache-interceptor': (url) => cached.get(url),
}
for (const [nth, [what, pause, fields]] of cases.entries()) {
  headers = fields
  const seen = []
  for (const [name, get] of Object.entries(clients)) {
    requests = 0
    const url = `http://127.0.0.1:${server.address().port}/${nth}`
    await get(url)
    await new Promise((later) => setTimeout(later, pause + 100)) // what is written beside the answer is there
    await get(url)
    seen.push(`${name} ${requests === 2 ? 'asks' : 'serves it'}`)
  }
  console.log(`${what}: ${seen.join(', ')}`)
}
httpcache.kill()
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 90 node --no-warnings main.mjs >have
diff want have
cat have
