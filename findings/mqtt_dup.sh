#!/usr/bin/env bash
# An MQTT client sends a PUBLISH that was not acknowledged again on the session's next connection, with the DUP flag
# set: "The DUP flag MUST be set to 1 by the Client or Server when it attempts to re-deliver a PUBLISH Packet" (MQTT
# 3.1.1, 3.3.1.1; 5.0 alike). A broker that counts or drops duplicates relies on it.
#
# Guessed: every mature client sets it. Seen: npm's mqtt 5.16.0 does not, with QoS 1 or 2, protocol 3.1.1 or 5.0.
# paho.golang 0.23.0 does.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
mqtt 5.16.0, version 4, QoS 1: DUP 0, again DUP 0, the same packet
mqtt 5.16.0, version 4, QoS 2: DUP 0, again DUP 0, the same packet
mqtt 5.16.0, version 5, QoS 1: DUP 0, again DUP 0, the same packet
paho.golang 0.23.0, version 5, QoS 1: DUP 0, again DUP 1, the same packet
END
npm install --silent --no-fund --no-audit --prefix . mqtt@5.16.0 mqtt-packet@9.0.2 >log 2>&1 || { cat log; exit 1; }
# A broker that closes the first connection of each client after its PUBLISH, and tells of the second one.
cat >main.mjs <<'END'
import net from 'node:net'
import { spawn } from 'node:child_process'
import mqtt from 'mqtt'
import packets from 'mqtt-packet'

let first, name, told
const broker = net.createServer((socket) => {
  let version = 4
  const parser = packets.parser()
  const send = (p) => socket.write(packets.generate(p, { protocolVersion: version }))
  parser.on('packet', (p) => {
    if (p.cmd === 'connect') {
      version = p.protocolVersion
      send({ cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: first !== undefined })
    } else if (p.cmd === 'publish' && first === undefined) {
      first = p
      socket.destroy()
    } else if (p.cmd === 'publish') {
      const same = p.messageId === first.messageId ? 'the same packet' : 'another number'
      console.log(`${name}, version ${version}, QoS ${p.qos}: DUP ${Number(first.dup)}, again DUP ${Number(p.dup)}, ${same}`)
      told()
    }
  })
  socket.on('data', (data) => parser.parse(data))
  socket.on('error', () => {})
})
await new Promise((ready) => broker.listen(0, '127.0.0.1', ready))
const at = `127.0.0.1:${broker.address().port}`
const again = (who) => { first = undefined; name = who; return new Promise((done) => { told = done }) }

for (const [protocolVersion, qos] of [[4, 1], [4, 2], [5, 1]]) {
  const seen = again('mqtt 5.16.0')
  const properties = protocolVersion === 5 ? { sessionExpiryInterval: 1000 } : undefined
  const client = mqtt.connect(`mqtt://${at}`, { protocolVersion, properties, clientId: 'a', clean: false, reconnectPeriod: 200 })
  client.publish('topic', 'hello', { qos }, () => {})
  await seen
  client.end(true)
}
const seen = again('paho.golang 0.23.0')
const paho = spawn('./paho', [at], { stdio: 'inherit' })
await seen
paho.kill()
process.exit()
END
cat >go.mod <<'END'
module finding

go 1.26

require github.com/eclipse/paho.golang v0.23.0
END
cat >main.go <<'END'
package main

import (
	"context"
	"net/url"
	"os"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

func main() {
	client, err := autopaho.NewConnection(context.Background(), autopaho.ClientConfig{
		ServerUrls: []*url.URL{{Scheme: "mqtt", Host: os.Args[1]}}, SessionExpiryInterval: 1000, KeepAlive: 20,
		ReconnectBackoff: autopaho.NewConstantBackoff(200 * time.Millisecond), ClientConfig: paho.ClientConfig{ClientID: "b"},
	})
	if err != nil {
		panic(err)
	}
	if err := client.AwaitConnection(context.Background()); err != nil {
		panic(err)
	}
	client.Publish(context.Background(), &paho.Publish{Topic: "topic", QoS: 1, Payload: []byte("hello")})
	time.Sleep(time.Minute)
}
END
{ go mod tidy && go build -o paho .; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node main.mjs >have
diff want have
cat have
