#!/usr/bin/env bash
# Servers give messages, orders and rows ids that begin with the time: such ids sort by age, and no server has to ask
# another. Two events must not produce the same id twice: more ids in a millisecond than the counter can number, and a
# clock that NTP sets back. Twitter's Snowflake, after which most of these libraries are named, waits for the next
# millisecond in the first case and returns an error in the second. A generator of version 7 UUIDs should detect both,
# and either make an id greater than the last one or report an error (RFC 9562, 6.2).
#
# Guessed, for npm: with 10000 ids in a millisecond @sapphire/snowflake 3.5.5 repeats ids; with a clock that goes back
# it does so too, and so do snowflake-id 1.1.0 and flake-idgen 1.4.0. Seen: snowflake-id repeats ids in both cases,
# @sapphire/snowflake only in the first, and flakeid 1.0.1 and nodejs-snowflake 2.0.1 in the second. flake-idgen reports
# an error in both. The generators of UUIDs and ULIDs make every id greater than the last one.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
@sapphire/snowflake: 10000 in a millisecond: 5904 of 10000 twice; the clock goes back by 50 ms: not in order
snowflake-id: 10000 in a millisecond: 2 of 10000 twice; the clock goes back by 50 ms: 500 of 2000 twice
flakeid: 10000 in a millisecond: in order; the clock goes back by 50 ms: 500 of 2000 twice
nodejs-snowflake: 10000 in a millisecond: in order; the clock goes back by 50 ms: 500 of 2000 twice
flake-idgen: 10000 in a millisecond: error; the clock goes back by 50 ms: error
@akashrajpurohit/snowflake-id: 10000 in a millisecond: in order; the clock goes back by 50 ms: error
snowflake-uuid: 10000 in a millisecond: in order; the clock goes back by 50 ms: error
simple-flakeid: 10000 in a millisecond: in order; the clock goes back by 50 ms: not in order
@nocobase/snowflake-id: 10000 in a millisecond: in order; the clock goes back by 50 ms: in order
tsid-ts: 10000 in a millisecond: in order; the clock goes back by 50 ms: in order
uuid: 10000 in a millisecond: in order; the clock goes back by 50 ms: in order
uuidv7: 10000 in a millisecond: in order; the clock goes back by 50 ms: in order
ulid: 10000 in a millisecond: in order; the clock goes back by 50 ms: in order
ulidx: 10000 in a millisecond: in order; the clock goes back by 50 ms: in order
END
npm install --silent --no-fund --no-audit --prefix . @sapphire/snowflake@3.5.5 snowflake-id@1.1.0 flakeid@1.0.1 nodejs-snowflake@2.0.1 flake-idgen@1.4.0 \
  @akashrajpurohit/snowflake-id@2.0.0 snowflake-uuid@1.0.0 simple-flakeid@0.0.5 @nocobase/snowflake-id@2.2.15 tsid-ts@0.0.9 uuid@14.0.3 uuidv7@1.2.1 \
  ulid@3.0.2 ulidx@2.4.1 >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
// A clock that stands still, except for a generator that waits for the next millisecond, and so reads it again and again.
let time = 1800000000000, readings = 0
const now = () => time + Math.floor(readings++ / 20000)
const at = (ms) => { time = ms; readings = 0 }
globalThis.Date = class extends Date {
  constructor(...args) { super(...(args.length ? args : [now()])) }
  static now() { return now() }
}

const { Snowflake: Sapphire } = require('@sapphire/snowflake')
const { Snowflake: NodejsSnowflake } = require('nodejs-snowflake')
const { Snowflake: Nocobase } = require('@nocobase/snowflake-id')
const { SnowflakeId: akash } = require('@akashrajpurohit/snowflake-id')
const { SnowflakeIdv1: Simple } = require('simple-flakeid')
const { Worker } = require('snowflake-uuid')
const { getTsid } = require('tsid-ts')
const FlakeIdgen = require('flake-idgen')
const Flakeid = require('flakeid')
const SnowflakeId = require('snowflake-id').default
const generators = {
  '@sapphire/snowflake': () => { const generator = new Sapphire(0); return () => generator.generate() },
  'snowflake-id': () => { const generator = new SnowflakeId({ mid: 1 }); return () => generator.generate() },
  'flakeid': () => { const generator = new Flakeid({ mid: 1 }); return () => generator.gen() },
  'nodejs-snowflake': () => { const generator = new NodejsSnowflake({ instance_id: 1 }); return () => generator.getUniqueID() },
  'flake-idgen': () => { const generator = new FlakeIdgen(); return () => BigInt(`0x${generator.next().toString('hex')}`) },
  '@akashrajpurohit/snowflake-id': () => { const generator = akash({ workerId: 1 }); return () => generator.generate() },
  'snowflake-uuid': () => { const generator = new Worker(0, 1); return () => generator.nextId() },
  'simple-flakeid': () => { const generator = new Simple({ workerId: 1 }); return () => generator.NextBigId() },
  '@nocobase/snowflake-id': () => { const generator = new Nocobase({ workerId: 1 }); return () => generator.generate() },
  'tsid-ts': () => () => getTsid().number,
  'uuid': () => require('uuid').v7,
  'uuidv7': () => require('uuidv7').uuidv7,
  'ulid': () => require('ulid').monotonicFactory(),
  'ulidx': () => require('ulidx').monotonicFactory(),
}
const judge = (make) => {
  const ids = []
  try { make((id) => ids.push(/^\d+$/.test(id) ? BigInt(id) : id)) } catch { return 'error' }
  const twice = ids.length - new Set(ids).size
  const ordered = ids.every((id, i) => i === 0 || id > ids[i - 1])
  return twice ? `${twice} of ${ids.length} twice` : ordered ? 'in order' : 'not in order'
}
for (const [name, open] of Object.entries(generators)) {
  at(1800000000000)
  const full = open()
  const many = judge((keep) => { for (let i = 0; i < 10000; i++) keep(full()) })
  const next = open()
  const back = judge((keep) => {
    for (const start of [1800000001000, 1800000001050]) {
      for (let ms = start; ms < start + 100; ms++) {
        at(ms)
        for (let i = 0; i < 10; i++) keep(next())
      }
    }
  })
  console.log(`${name}: 10000 in a millisecond: ${many}; the clock goes back by 50 ms: ${back}`)
}
process.exit()
END
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
