#!/usr/bin/env bash
# A fake Redis in tests must answer as Redis does. Otherwise a test that passes with it says nothing. This script
# sends commands in the order in which programs use them for queues, streams and counters, to the fake and to Redis
# 7.0.15 (Debian 12).
#
# Guessed: miniredis 2.40.0 (Go) serves clients that wait in BLPOP in no particular order, and its XAUTOCLAIM does not
# report deleted entries. Otherwise it does as Redis. Seen: it also drops a deleted entry of a stream from the pending
# entries, so that the counts differ. It forgets the last ID of a stream that was trimmed, so that IDs go backwards,
# which Redis refuses. And it lets HINCRBY overflow into negative numbers.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
what is pending after a consumer read two entries and one was deleted:
  redis: [2,"1-1","1-2",[["c","2"]]]
  miniredis: [1,"1-2","1-2",[["c","1"]]]
entries deleted, told by XAUTOCLAIM:
  redis: ["0-0",[],["1-1"]]
  miniredis: ["0-0",[],[]]
XADD 2-1 after 5-1 was trimmed:
  redis: "ERR The ID specified in XADD is equal or smaller than the target stream top item"
  miniredis: "2-1"
XADD 9-* after 9-1 was deleted:
  redis: "9-2"
  miniredis: "9-2"
INCR of 2^63-1:
  redis: "ERR increment or decrement would overflow"
  miniredis: "ERR increment or decrement would overflow"
HINCRBY of 2^63-1:
  redis: "ERR increment or decrement would overflow"
  miniredis: -9223372036854778000
six that wait in BLPOP, in the order in which they are served:
  redis: who came first
  miniredis: any
END
npm install --silent --no-fund --no-audit --prefix . ioredis@5.11.1 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  redis-server ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
export PATH="$PATH:$dir/root/usr/bin" LD_LIBRARY_PATH="$dir/root/usr/lib/$(uname -m)-linux-gnu"
cat >go.mod <<'END'
module finding

go 1.26

require github.com/alicebob/miniredis/v2 v2.40.0
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	m, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	fmt.Println(m.Port())
	time.Sleep(time.Minute)
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
./main >mini &
redis-server --port 0 --unixsocket "$dir/socket" --save '' --dir "$dir" >log 2>&1 &
until [ -s mini ] && [ -S socket ]; do sleep 0.1; done
cat >main.mjs <<'END'
import { readFileSync } from 'node:fs'
import Redis from 'ioredis'

const makers = {
  redis: () => new Redis({ path: './socket' }),
  miniredis: () => new Redis(Number(readFileSync('mini', 'utf8'))),
}
const stories = {
  'what is pending after a consumer read two entries and one was deleted': [
    ['xadd', 's', '1-1', 'a', '1'], ['xadd', 's', '1-2', 'a', '2'], ['xgroup', 'CREATE', 's', 'g', '0'],
    ['xreadgroup', 'GROUP', 'g', 'c', 'STREAMS', 's', '>'], ['xdel', 's', '1-1'], ['xpending', 's', 'g']],
  'entries deleted, told by XAUTOCLAIM': [
    ['xadd', 's', '1-1', 'a', '1'], ['xgroup', 'CREATE', 's', 'g', '0'],
    ['xreadgroup', 'GROUP', 'g', 'c', 'STREAMS', 's', '>'], ['xdel', 's', '1-1'], ['xautoclaim', 's', 'g', 'd', '0', '0']],
  'XADD 2-1 after 5-1 was trimmed': [['xadd', 's', '5-1', 'a', '1'], ['xtrim', 's', 'MAXLEN', '0'], ['xadd', 's', '2-1', 'a', '1']],
  'XADD 9-* after 9-1 was deleted': [['xadd', 's', '9-1', 'a', '1'], ['xdel', 's', '9-1'], ['xadd', 's', '9-*', 'a', '1']],
  'INCR of 2^63-1': [['set', 'k', '9223372036854775807'], ['incr', 'k']],
  'HINCRBY of 2^63-1': [['hset', 'h', 'a', '9223372036854775807'], ['hincrby', 'h', 'a', '1']],
}
for (const [story, commands] of Object.entries(stories)) {
  console.log(`${story}:`)
  for (const [name, make] of Object.entries(makers)) {
    const redis = make()
    await redis.flushall()
    let told
    for (const [command, ...args] of commands) told = await redis[command](...args).catch((err) => err.message)
    console.log(`  ${name}: ${JSON.stringify(told)}`)
    redis.disconnect()
  }
}
console.log('six that wait in BLPOP, in the order in which they are served:')
for (const [name, make] of Object.entries(makers)) {
  const redis = make()
  await redis.flushall()
  const served = []
  const waiting = []
  for (let i = 0; i < 6; i++) {
    const client = make()
    waiting.push(client.blpop('queue', 10).then(() => { served.push(i); client.disconnect() }))
    await new Promise((later) => setTimeout(later, 100))
  }
  for (let i = 1; i <= 6; i++) {
    await redis.rpush('queue', 'job')
    while (served.length < i) await new Promise((later) => setTimeout(later, 10))
  }
  await Promise.all(waiting)
  console.log(`  ${name}: ${served.join() === '0,1,2,3,4,5' ? 'who came first' : 'any'}`)
  redis.disconnect()
}
process.exit()
END
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
