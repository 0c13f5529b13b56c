#!/usr/bin/env bash
# An MQTT 5 server announces its limits in CONNACK, and a client must not exceed them: no more messages of QoS 1 and 2
# at once than Receive Maximum (5.0, 3.3.4), no packet larger than Maximum Packet Size (3.2.2.3.6), no QoS above Maximum
# QoS (3.2.2.3.4), and no RETAIN if that is not available (3.2.2.3.5). The server may disconnect a client that does
# (4.13).
#
# Guessed: npm's mqtt 5.16.0 ignores the first limit and returns an error for the other three; paho.golang 0.23.0
# respects the first. Seen: npm's ignores all four and sends everything without an error; paho.golang respects all but
# the size.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
mqtt: Receive Maximum 2: 6 at once
mqtt: Maximum Packet Size 50: a packet of more
mqtt: Maximum QoS 1: a message of QoS 2
mqtt: Retain Available 0: a message with RETAIN
paho.golang: Receive Maximum 2: 2 at once
paho.golang: Maximum Packet Size 50: a packet of more
paho.golang: Maximum QoS 1: an error
paho.golang: Retain Available 0: an error
END
npm install --silent --no-fund --no-audit --prefix . mqtt@5.16.0 mqtt-packet@9.0.2 >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import net from 'node:net'
import { spawn } from 'node:child_process'
import mqtt from 'mqtt'
import packets from 'mqtt-packet'

// A broker that waits for 500 ms with an acknowledgement.
let properties, open, most, message, size
const broker = net.createServer((socket) => {
  const parser = packets.parser({ protocolVersion: 5 })
  const send = (p) => socket.destroyed || socket.write(packets.generate(p, { protocolVersion: 5 }))
  parser.on('packet', (p) => {
    if (p.cmd === 'connect') send({ cmd: 'connack', reasonCode: 0, sessionPresent: false, properties })
    if (p.cmd !== 'publish') return
    message = p
    size = p.length
    most = Math.max(most, ++open)
    setTimeout(() => { open--; send({ cmd: p.qos === 2 ? 'pubrec' : 'puback', messageId: p.messageId, reasonCode: 0 }) }, 500)
  })
  socket.on('data', (data) => parser.parse(data))
  socket.on('error', () => {})
})
await new Promise((ready) => broker.listen(0, '127.0.0.1', ready))
const at = `127.0.0.1:${broker.address().port}`

const clients = {
  mqtt: async (count, { qos, retain, length }) => {
    const client = mqtt.connect(`mqtt://${at}`, { protocolVersion: 5, clientId: 'a', reconnectPeriod: 0 })
    await new Promise((connected) => client.once('connect', connected))
    for (let i = 0; i < count; i++) client.publish('topic', 'x'.repeat(length), { qos, retain }, (err) => { refused ||= err })
    await new Promise((later) => setTimeout(later, 2500))
    client.end(true)
  },
  'paho.golang': (count, { qos, retain, length }) => new Promise((done) => {
    const args = [at, count, qos, retain, length].map(String)
    spawn('./paho', args, { stdio: 'ignore' }).on('exit', (code) => { refused ||= code; done() })
  }),
}
let refused
for (const [name, publish] of Object.entries(clients)) {
  const run = async (what, limits, count, options, seen) => {
    properties = limits
    open = most = 0
    message = refused = undefined
    await publish(count, { qos: 1, retain: false, length: 1, ...options })
    console.log(`${name}: ${what}: ${message ? seen() : refused ? 'an error' : 'nothing'}`)
  }
  await run('Receive Maximum 2', { receiveMaximum: 2 }, 6, {}, () => `${most} at once`)
  await run('Maximum Packet Size 50', { maximumPacketSize: 50 }, 1, { length: 100 }, () => size > 50 ? 'a packet of more' : size)
  await run('Maximum QoS 1', { maximumQoS: 1 }, 1, { qos: 2 }, () => `a message of QoS ${message.qos}`)
  await run('Retain Available 0', { retainAvailable: false }, 1, { retain: true }, () => message.retain ? 'a message with RETAIN' : 'one without')
}
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
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/eclipse/paho.golang/paho"
)

// Arguments: the broker, how many messages, their QoS, retain, their length.
func main() {
	conn, err := net.Dial("tcp", os.Args[1])
	if err != nil {
		panic(err)
	}
	client := paho.NewClient(paho.ClientConfig{Conn: conn})
	if _, err := client.Connect(context.Background(), &paho.Connect{ClientID: "b", KeepAlive: 30, CleanStart: true}); err != nil {
		panic(err)
	}
	var sending sync.WaitGroup
	for range number(2) {
		sending.Go(func() {
			message := &paho.Publish{Topic: "topic", QoS: byte(number(3)), Retain: os.Args[4] == "true", Payload: []byte(strings.Repeat("x", number(5)))}
			if _, err := client.PublishWithOptions(context.Background(), message, paho.PublishOptions{Method: paho.PublishMethod_Blocking}); err != nil {
				os.Exit(1)
			}
		})
	}
	sending.Wait()
}

func number(arg int) int {
	n, err := strconv.Atoi(os.Args[arg])
	if err != nil {
		panic(err)
	}
	return n
}
END
{ go mod tidy && go build -o paho . ; } >log 2>&1 || { cat log; exit 1; }
timeout 40 node main.mjs >have
diff want have
cat have
