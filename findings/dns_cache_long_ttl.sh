#!/usr/bin/env bash
# A cache may keep a DNS record for its time to live, which may be long: RFC 2181, section 8, allows up to 2^31-1
# seconds, so that 30 days are valid, and longer times occur. JavaScript's timers are limited to 2^31-1 milliseconds,
# 24.8 days.
#
# Guessed: npm's cacheable-lookup 7.0.0, the cache of got's dnsCache, keeps a record for that time. Seen: it does, but
# its cleanup timer overflows and becomes one of a millisecond. The timer fires, finds nothing to clean up, and is set
# again: hundreds of wake-ups a second for as long as the cache holds the record. With 24 days there are none.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit --prefix . cacheable-lookup@7.0.0 >log 2>&1 || { cat log; exit 1; }
cat >want <<'END'
24 days: kept; timers in a second: 1
30 days: kept; timers in a second: more than 100
END
cat >main.mjs <<'END'
import CacheableLookup from 'cacheable-lookup'

process.removeAllListeners('warning') // each overflow is one
let timers
const original = globalThis.setTimeout
globalThis.setTimeout = (...args) => {
  timers++
  return original(...args)
}
for (const days of [24, 30]) {
  timers = 0
  let asked = 0
  const resolve4 = (name, options, done) => { asked++; done(null, [{ address: '192.0.2.1', ttl: days * 86400 }]) }
  const none = (name, options, done) => done(Object.assign(new Error('no such record'), { code: 'ENODATA' }))
  const resolver = { resolve4, resolve6: none, getServers: () => [], setServers() {}, cancel() {} }
  const cache = new CacheableLookup({ resolver, lookup: false })
  await cache.lookupAsync('service.example')
  await new Promise((done) => original(done, 1000))
  await cache.lookupAsync('service.example')
  console.log(`${days} days: ${asked === 1 ? 'kept' : 'asked again'}; timers in a second: ${timers > 100 ? 'more than 100' : timers}`)
  cache.clear()
}
process.exit()
END
timeout 60 node main.mjs >have
diff want have
cat have
