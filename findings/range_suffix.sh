#!/usr/bin/env bash
# "Range: bytes=-3" asks for the last three bytes of a file, and "bytes=0-0" for the first one (RFC 9110, 14.1.2).
# Players use the first form for what is at the end of a file. Clients that want to know its length ask for one byte.
#
# Guessed: file servers that answer 206 support both. Seen: to "bytes=-3" sirv 3.0.2 sends the first four bytes, and
# to "bytes=0-0" the whole file, each as a 206 whose Content-Range agrees. http-server 14.1.1 answers 416 to the
# first. serve-handler 6.1.8 and send 1.2.1 answer correctly.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . sirv@3.0.2 http-server@14.1.1 serve-handler@6.1.8 send@1.2.1 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
sirv 3.0.2 bytes=-3: 206 bytes 0-3/10 0123
sirv 3.0.2 bytes=0-0: 206 bytes 0-9/10 0123456789
sirv 3.0.2 bytes=7-: 206 bytes 7-9/10 789
http-server 14.1.1 bytes=-3: 416
http-server 14.1.1 bytes=0-0: 206 bytes 0-0/10 0
http-server 14.1.1 bytes=7-: 206 bytes 7-9/10 789
serve-handler 6.1.8 bytes=-3: 206 bytes 7-9/10 789
serve-handler 6.1.8 bytes=0-0: 206 bytes 0-0/10 0
serve-handler 6.1.8 bytes=7-: 206 bytes 7-9/10 789
send 1.2.1 bytes=-3: 206 bytes 7-9/10 789
send 1.2.1 bytes=0-0: 206 bytes 0-0/10 0
send 1.2.1 bytes=7-: 206 bytes 7-9/10 789
END
cat >main.mjs <<'END'
import fs from 'node:fs'
import http from 'node:http'
import httpServer from 'http-server'
import send from 'send'
import handler from 'serve-handler'
import sirv from 'sirv'

fs.mkdirSync('files')
fs.writeFileSync('files/digits', '0123456789')
const servers = {
  'sirv 3.0.2': http.createServer(sirv('files')),
  'http-server 14.1.1': httpServer.createServer({ root: 'files' }).server,
  'serve-handler 6.1.8': http.createServer((req, res) => handler(req, res, { public: 'files' })),
  'send 1.2.1': http.createServer((req, res) => send(req, req.url, { root: 'files' }).pipe(res)),
}
for (const [name, server] of Object.entries(servers)) {
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  for (const range of ['bytes=-3', 'bytes=0-0', 'bytes=7-']) {
    const answer = await fetch(`http://127.0.0.1:${server.address().port}/digits`, { headers: { range } })
    const text = await answer.text()
    const what = answer.status === 206 ? ` ${answer.headers.get('content-range')} ${text}` : ''
    console.log(`${name} ${range}: ${answer.status}${what}`)
  }
}
process.exit()
END
timeout 60 node main.mjs >have 2>log || { cat log; exit 1; }
diff want have
cat have
