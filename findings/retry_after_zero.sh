#!/usr/bin/env bash
# "Retry-After: 0", and a date that has passed when the answer arrives, ask the client to repeat at once (RFC 9110,
# 10.2.3: a non-negative number of seconds, or a date).
#
# Guessed: clients that support the field repeat at once. Seen: retry-axios 4.0.3 does not repeat at all and rejects
# with the 503, though it repeats after "Retry-After: 1". got 14.6.6 handles both as guessed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . axios@1.21.1 retry-axios@4.0.3 got@14.6.6 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
retry-axios 4.0.3: Retry-After "1": 2 requests, 200
retry-axios 4.0.3: Retry-After "0": 1 requests, 503
retry-axios 4.0.3: Retry-After "Thu, 01 Jan 2026 00:00:00 GMT": 1 requests, 503
got 14.6.6: Retry-After "1": 2 requests, 200
got 14.6.6: Retry-After "0": 2 requests, 200
got 14.6.6: Retry-After "Thu, 01 Jan 2026 00:00:00 GMT": 2 requests, 200
END
cat >main.mjs <<'END'
import http from 'node:http'
import axios from 'axios'
import got from 'got'
import * as rax from 'retry-axios'

const values = ['1', '0', 'Thu, 01 Jan 2026 00:00:00 GMT']
let requests, value
const server = http.createServer((_, res) => {
  if (++requests === 1) res.writeHead(503, { 'retry-after': value })
  res.end()
})
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const url = `http://127.0.0.1:${server.address().port}`

const run = async (name, get) => {
  for (value of values) {
    requests = 0
    const status = await get().catch((err) => err.response.status)
    console.log(`${name}: Retry-After ${JSON.stringify(value)}: ${requests} requests, ${status}`)
  }
}
const client = axios.create()
client.defaults.raxConfig = { instance: client, retry: 2 }
rax.attach(client)
await run('retry-axios 4.0.3', async () => (await client.get(url)).status)
await run('got 14.6.6', async () => (await got(url, { retry: { limit: 2 } })).statusCode)
process.exit(0)
END
timeout 60 node --no-warnings main.mjs >got
diff want got && cat got
