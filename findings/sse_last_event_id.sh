#!/usr/bin/env bash
# An event without an "id" of its own has the last id before it as its lastEventId (HTML Living Standard, 9.2.6), so
# that a program can store its position after each event.
#
# Guessed: npm's eventsource 4.1.1, which calls itself a polyfill of the standard's EventSource, does so. Seen: its
# events have the empty string there, though the id does go into the Last-Event-ID of its next connection. undici
# 7.30.2 does as the standard says. npm's eventsource 2.0.2 does too, but ignores a line "id" without a colon, which
# empties the id.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . eventsource@4.1.1 old@npm:eventsource@2.0.2 undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
eventsource 4.1.1: a "1", b "", c ""; comes back with "1"
eventsource 2.0.2: a "1", b "1", c "1"; comes back with "1"
undici 7.30.2: a "1", b "1", c ""; comes back without
END
cat >main.mjs <<'END'
import http from 'node:http'
import { createRequire } from 'node:module'
import { EventSource as current } from 'eventsource'
import { EventSource as undici } from 'undici'

const old = createRequire(import.meta.url)('old')
const withID = 'retry: 10\nid: 1\ndata: a\n\ndata: b\n\n'

// run connects twice: the first answer has three events, the second request shows the position.
const run = (name, EventSource, emptied) => new Promise((resolve) => {
  const got = []
  const server = http.createServer((req, res) => {
    if (got.length > 0) {
      const id = req.headers['last-event-id']
      console.log(`${name}: ${got.join(', ')}; comes back ${id === undefined ? 'without' : `with ${JSON.stringify(id)}`}`)
      source.close()
      res.end()
      server.close(resolve)
      return
    }
    res.setHeader('content-type', 'text/event-stream')
    res.end(withID + emptied)
  })
  let source
  server.listen(0, '127.0.0.1', () => {
    source = new EventSource(`http://127.0.0.1:${server.address().port}`)
    source.onmessage = (e) => got.push(`${e.data} ${JSON.stringify(e.lastEventId)}`)
    source.onerror = () => {}
  })
})

await run('eventsource 4.1.1', current, 'data: c\n\n')
await run('eventsource 2.0.2', old, 'id\ndata: c\n\n')
await run('undici 7.30.2', undici, 'id\ndata: c\n\n')
process.exit(0)
END
timeout 60 node --no-warnings main.mjs >got
diff want got && cat got
