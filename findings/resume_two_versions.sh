#!/usr/bin/env bash
# A client may combine parts of a file only if they have the same strong validator (RFC 9110, 15.3.7.3). Without one
# it cannot know whether the file is still the one whose beginning it has.
#
# Guessed: npm's undici 7.30.2, whose RetryAgent continues a body that broke off, asks for the rest without a
# condition if there is no ETag, and with one if there is. Seen: it treats a weak ETag as none. The program gets the
# beginning of one version and the end of another as one body, without an error. Only a strong ETag that has changed
# causes an error.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
no ETag: 200 AAAABBBBBB; asked for the rest: bytes=4-9, If-Match none, If-Range none
weak ETag: 200 AAAABBBBBB; asked for the rest: bytes=4-9, If-Match none, If-Range none
strong ETag: UND_ERR_REQ_RETRY; asked for the rest: bytes=4-9, If-Match "1", If-Range none
END
cat >main.mjs <<'END'
import http from 'node:http'
import { Agent, RetryAgent, request } from 'undici'

let etag, asked, nth
const server = http.createServer((req, res) => {
  const text = (++nth === 1 ? 'A' : 'B').repeat(10) // the file changes meanwhile
  const headers = etag ? { etag: etag(nth) } : {}
  if (nth === 1) {
    res.writeHead(200, { ...headers, 'content-length': 10, 'accept-ranges': 'bytes' })
    res.write(text.slice(0, 4))
    return setTimeout(() => req.socket.destroy(), 100)
  }
  const { range, 'if-match': match = 'none', 'if-range': condition = 'none' } = req.headers
  asked = `${range}, If-Match ${match}, If-Range ${condition}`
  const from = Number(/=(\d+)-/.exec(range)[1])
  res.writeHead(206, { ...headers, 'content-range': `bytes ${from}-9/10`, 'content-length': 10 - from })
  res.end(text.slice(from))
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
const cases = { 'no ETag': undefined, 'weak ETag': () => 'W/"1"', 'strong ETag': (n) => `"${n}"` }
for (const [name, tag] of Object.entries(cases)) {
  etag = tag
  nth = 0
  let became
  try {
    const answer = await request(`http://127.0.0.1:${server.address().port}/`, { dispatcher: new RetryAgent(new Agent()) })
    became = `${answer.statusCode} ${await answer.body.text()}`
  } catch (err) {
    became = err.code
  }
  console.log(`${name}: ${became}; asked for the rest: ${asked}`)
}
process.exit()
END
timeout 60 node main.mjs >have
diff want have
cat have
