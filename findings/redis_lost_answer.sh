#!/usr/bin/env bash
# A Redis server executes INCR, and its connection breaks before the answer. The client cannot know whether the
# counter grew. If it sends INCR again, the counter grows twice.
#
# Guessed: ioredis 6.0.0 and go-redis 9.23.0 send it again, as often as their limits allow (maxRetriesPerRequest and
# MaxRetries, 3 here). npm's redis 6.3.1, redigo 1.9.3 and rueidis 1.0.79 do not. Seen: ioredis sends it as long as
# connections are made and break, here 20 times: its limit counts attempts to connect, and a successful one starts a
# new count. The others do as guessed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
ioredis 6.0.0, maxRetriesPerRequest 3: the answer is 21
redis 6.3.1: Error; the counter is at 1
go-redis 9.23.0, MaxRetries 3: error; the counter is at 4
redigo 1.9.3: error; the counter is at 1
rueidis 1.0.79: error; the counter is at 1
END
npm install --silent --no-fund --no-audit --prefix . ioredis@6.0.0 redis@6.3.1 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/gomodule/redigo v1.9.3
	github.com/redis/go-redis/v9 v9.23.0
	github.com/redis/rueidis v1.0.79
)
END
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

func main() {
	at, ctx := os.Args[2], context.Background()
	var err error
	switch os.Args[1] {
	case "go-redis":
		err = goredis.NewClient(&goredis.Options{Addr: at, MaxRetries: 3}).Incr(ctx, "counter").Err()
	case "redigo":
		conn, broken := redis.Dial("tcp", at)
		if broken != nil {
			panic(broken)
		}
		_, err = conn.Do("INCR", "counter")
	case "rueidis":
		client, broken := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{at}, DisableCache: true})
		if broken != nil {
			panic(broken)
		}
		err = client.Do(ctx, client.B().Incr().Key("counter").Build()).Error()
	}
	if err == nil {
		fmt.Print("no ")
	}
	fmt.Print("error")
}
END
{ go mod tidy && go build -o client .; } >log 2>&1 || { cat log; exit 1; }
# The server does what INCR asks for and resets the connection, the first twenty times.
cat >main.mjs <<'END'
import { execFile } from 'node:child_process'
import net from 'node:net'
import { promisify } from 'node:util'
import Redis from 'ioredis'
import { createClient } from 'redis'

let counter
const take = (text) => { // one command from the beginning: its words, and its length
  const head = /^\*(\d+)\r\n/.exec(text)
  if (!head) return
  let at = head[0].length
  const words = []
  while (words.length < Number(head[1])) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at))
    if (!size) return
    at += size[0].length
    words.push(text.slice(at, at + Number(size[1])))
    at += Number(size[1]) + 2
  }
  return at > text.length ? undefined : { words, length: at }
}
const server = net.createServer((socket) => {
  let text = ''
  socket.on('error', () => {})
  socket.on('data', (data) => {
    text += data
    for (let c; (c = take(text)); text = text.slice(c.length)) {
      switch (c.words[0].toUpperCase()) {
        case 'INCR':
          if (++counter <= 20) return socket.resetAndDestroy()
          socket.write(`:${counter}\r\n`)
          break
        case 'HELLO':
          socket.write('%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n')
          break
        case 'INFO':
          socket.write('$21\r\nredis_version:7.0.0\r\n\r\n')
          break
        case 'CLUSTER':
          socket.write('-ERR This instance has cluster support disabled\r\n')
          break
        default:
          socket.write('+OK\r\n')
      }
    }
  })
})
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
const { port } = server.address()
const show = async (name, f) => {
  counter = 0
  let became
  try {
    became = `the answer is ${await f()}`
  } catch (err) {
    became = `${err.name}; the counter is at ${counter}`
  }
  console.log(`${name}: ${became}`)
}
await show('ioredis 6.0.0, maxRetriesPerRequest 3', () => {
  const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: 3 })
  client.on('error', () => {})
  return client.incr('counter')
})
await show('redis 6.3.1', async () => {
  const client = createClient({ url: `redis://127.0.0.1:${port}` })
  client.on('error', () => {})
  await client.connect()
  return client.incr('counter')
})
for (const [client, name] of [['go-redis', 'go-redis 9.23.0, MaxRetries 3'], ['redigo', 'redigo 1.9.3'], ['rueidis', 'rueidis 1.0.79']]) {
  counter = 0
  const { stdout } = await promisify(execFile)('./client', [client, `127.0.0.1:${port}`])
  console.log(`${name}: ${stdout}; the counter is at ${counter}`)
}
process.exit()
END
timeout 60 node main.mjs >have
diff want have
cat have
