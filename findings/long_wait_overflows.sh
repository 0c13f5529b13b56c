#!/usr/bin/env bash
# A server that wants no requests for a while says for how long: "Retry-After: 2592000" with a 503 (RFC 9110, 10.2.3),
# or "retry: 2592000000" in Server-Sent Events (HTML Living Standard, 9.2.6). Both are 30 days, and digits only, as the
# standards require. JavaScript's timers hold 2^31-1 milliseconds, 24.8 days, and turn a longer time into one
# millisecond.
#
# Guessed: no client checks this, so all come back at once. Seen: got, axios-retry and the SDK of Anthropic do, until
# they have used up their attempts, and ky waits. The four clients for events connect again hundreds of times a second,
# forever. With 20 days all of them wait.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . got@14.6.6 ky@1.14.3 axios@1.21.1 axios-retry@4.5.0 @anthropic-ai/sdk@1.14.0 \
  eventsource@4.1.1 eventsource-client@1.2.0 @microsoft/fetch-event-source@2.0.1 undici@7.30.2 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
Retry-After, got 14.6.6: 20 days waits, 30 days comes back at once
Retry-After, ky 1.14.3: 20 days waits, 30 days waits
Retry-After, axios-retry 4.5.0: 20 days waits, 30 days comes back at once
Retry-After, @anthropic-ai/sdk 1.14.0: 20 days waits, 30 days comes back at once
retry, eventsource 4.1.1: 20 days waits, 30 days comes back without end
retry, eventsource-client 1.2.0: 20 days waits, 30 days comes back without end
retry, @microsoft/fetch-event-source 2.0.1: 20 days waits, 30 days comes back without end
retry, undici 7.30.2: 20 days waits, 30 days comes back without end
END
cat >main.mjs <<'END'
import http from 'node:http'
import Anthropic from '@anthropic-ai/sdk'
import { fetchEventSource } from '@microsoft/fetch-event-source'
import axios from 'axios'
import axiosRetry from 'axios-retry'
import { EventSource } from 'eventsource'
import { createEventSource } from 'eventsource-client'
import got from 'got'
import ky from 'ky'
import { EventSource as UndiciEventSource } from 'undici'

process.removeAllListeners('warning') // each overflow is one
let requests, days
const server = http.createServer((req, res) => {
  requests++
  if (req.url === '/events') {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    return res.end(`retry: ${days * 86400e3}\ndata: hello\n\n`)
  }
  res.writeHead(503, { 'retry-after': days * 86400, 'content-type': 'application/json' })
  res.end('{}')
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
const url = `http://127.0.0.1:${server.address().port}`
const events = `${url}/events`
const pause = () => new Promise((done) => setTimeout(done, 1500))

const patient = axios.create()
axiosRetry(patient)
globalThis.document = { addEventListener() {}, removeEventListener() {}, hidden: false } // for fetch-event-source, which is for browsers
globalThis.window = globalThis
// What begins, and returns what ends it.
const closes = (source) => () => source.close()
const clients = {
  'Retry-After, got 14.6.6': () => got(url),
  'Retry-After, ky 1.14.3': () => ky(url),
  'Retry-After, axios-retry 4.5.0': () => patient.get(url),
  'Retry-After, @anthropic-ai/sdk 1.14.0': () => new Anthropic({ apiKey: 'key', baseURL: url }).models.list(),
  'retry, eventsource 4.1.1': () => closes(new EventSource(events)),
  'retry, eventsource-client 1.2.0': () => closes(createEventSource({ url: events })),
  'retry, @microsoft/fetch-event-source 2.0.1': () => {
    const stop = new AbortController()
    const onclose = () => { throw new Error('again') } // as its documentation has it, to go on when the server ends the answer
    fetchEventSource(events, { signal: stop.signal, fetch, openWhenHidden: true, onclose }).catch(() => {})
    return () => stop.abort()
  },
  'retry, undici 7.30.2': () => closes(new UndiciEventSource(events)),
}
for (const [name, begin] of Object.entries(clients)) {
  const told = []
  for (days of [20, 30]) {
    requests = 0
    const end = begin()
    end.catch?.(() => {})
    await pause()
    told.push(`${days} days ${requests === 1 ? 'waits' : requests > 100 ? 'comes back without end' : 'comes back at once'}`)
    if (typeof end === 'function') end()
  }
  console.log(`${name}: ${told.join(', ')}`)
}
process.exit()
END
timeout 120 node main.mjs >have
diff want have
cat have
