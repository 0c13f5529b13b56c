#!/usr/bin/env bash
# A cache whose answer is stale sends its ETag to ask whether the answer is still current. A 304 makes the answer valid
# again, and the fields of the 304 replace the stored ones (RFC 9111, 4.3.4 and 3.2). The program gets the stored answer
# (4.3.3).
#
# Guessed: undici 7.30.2 keeps the answer but not the fields of the 304; got 14.6.6, make-fetch-happen 15.0.6 and
# axios-cache-interceptor 1.12.3 keep both. Seen: undici forgets the answer, so that the server sends all of it every
# second time. axios-cache-interceptor forgets it if the 304 says "no-cache", and gives the program the 304 itself,
# without a body.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . undici@7.30.2 got@14.6.6 make-fetch-happen@15.0.6 axios@1.21.1 axios-cache-interceptor@1.12.3 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
got: server 200 304 304 304 304, program 200+text 200+text 200+text 200+text 200+text
make-fetch-happen: server 200 304 304 304 304, program 200+text 200+text 200+text 200+text 200+text
undici: server 200 304 200 304 200, program 200+text 200+text 200+text 200+text 200+text
axios-cache-interceptor: server 200 304 304 304 304, program 200+text 200+text 200+text 200+text 200+text
got, no-cache in the 304: server 200 304 304, program 200+text 200+text 200+text
make-fetch-happen, no-cache in the 304: server 200 304 304, program 200+text 200+text 200+text
undici, no-cache in the 304: server 200 304 200, program 200+text 200+text 200+text
axios-cache-interceptor, no-cache in the 304: server 200 304 200, program 200+text 304+nothing 200+text
END
cat >main.mjs <<'END'
import http from 'node:http'
import { Agent, interceptors, cacheStores, request } from 'undici'
import got from 'got'
import fetch from 'make-fetch-happen'
import axios from 'axios'
import { setupCache } from 'axios-cache-interceptor'

let answers, control
const server = http.createServer((req, res) => {
  const same = req.headers['if-none-match'] === '"1"'
  res.writeHead(same ? 304 : 200, { etag: '"1"', 'cache-control': same ? control : 'max-age=0' })
  res.end(same ? undefined : 'text')
  answers.push(res.statusCode)
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))

const stored = new Map()
const dispatcher = new Agent().compose(interceptors.cache({ store: new cacheStores.MemoryCacheStore() }))
const cached = setupCache(axios.create())
const clients = {
  got: async (url) => { const a = await got(url, { cache: stored }); return [a.statusCode, a.body] },
  'make-fetch-happen': async (url) => { const a = await fetch(url, { cachePath: './stored' }); return [a.status, await a.text()] },
  undici: async (url) => { const a = await request(url, { dispatcher }); return [a.statusCode, await a.body.text()] },
  'axios-cache-interceptor': async (url) => { const a = await cached.get(url); return [a.status, a.data] },
}
for (const [what, says, times] of [['', 'max-age=0', 5], [', no-cache in the 304', 'no-cache', 3]]) {
  for (const [name, get] of Object.entries(clients)) {
    answers = []
    control = says
    const seen = []
    for (let i = 0; i < times; i++) {
      const [status, body] = await get(`http://127.0.0.1:${server.address().port}/${says}`)
      seen.push(`${status}+${body || 'nothing'}`)
      await new Promise((later) => setTimeout(later, 100)) // what is written beside the answer is there
    }
    console.log(`${name}${what}: server ${answers.join(' ')}, program ${seen.join(' ')}`)
  }
}
process.exit()
END
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
