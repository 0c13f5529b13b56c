#!/usr/bin/env bash
# An MQTT broker keeps messages for a QoS 1 client that is away, and sends them in the order in which they arrived (MQTT
# 3.1.1, 4.6: topics are ordered by default). It sends a message without the DUP flag the first time and with it
# afterwards (3.3.1.1), and without RETAIN, because the subscription is older than the message (3.3.1.3).
#
# Guessed: mochi-mqtt 2.7.9 and aedes 1.2.0 do all of this. Seen: mochi sends twenty messages in an order that differs
# from run to run (it sorts them by the second in which they arrived). This concerns messages that it never sent before,
# which it sends with DUP, and messages that were not acknowledged. aedes keeps the order. It sends messages again
# without DUP, and sends those published as retained with RETAIN.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
mochi-mqtt 2.7.9: kept while away: all 20, in another order, DUP on 20, RETAIN on 0; not acknowledged: all 20, in another order, DUP on 20, RETAIN on 0
aedes 1.2.0: kept while away: all 20, in order, DUP on 0, RETAIN on 1; not acknowledged: all 20, in order, DUP on 0, RETAIN on 0
END
npm install --silent --no-fund --no-audit --prefix . aedes@1.2.0 mqtt-packet@9.0.2 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require github.com/mochi-mqtt/server/v2 v2.7.9
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	broker := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = broker.AddHook(new(auth.AllowHook), nil)
	}
	if err == nil {
		err = broker.AddListener(listeners.NewNet("l", l))
	}
	if err == nil {
		err = broker.Serve()
	}
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	io.Copy(io.Discard, os.Stdin)
}
END
{ go mod tidy && go build -o mochi .; } >log 2>&1 || { cat log; exit 1; }
cat >main.mjs <<'END'
import { spawn } from 'node:child_process'
import net from 'node:net'
import { Aedes } from 'aedes'
import packets from 'mqtt-packet'

const count = 20
const pause = (ms) => new Promise((done) => setTimeout(done, ms))

// dial connects and waits for the answer; what is published comes into got.
const dial = async (port, clientId, { clean = false, acknowledges = true } = {}) => {
  const socket = net.connect(port, '127.0.0.1')
  const send = (p) => socket.write(packets.generate(p))
  const client = { got: [], send, socket }
  const parser = packets.parser()
  socket.on('data', (data) => parser.parse(data))
  socket.on('error', () => {})
  const answers = { connack: [], suback: [] }
  const next = (kind) => new Promise((done) => answers[kind].push(done))
  parser.on('packet', (p) => {
    if (p.cmd === 'publish') {
      client.got.push(p)
      if (acknowledges) send({ cmd: 'puback', messageId: p.messageId })
    } else {
      answers[p.cmd]?.shift()?.()
    }
  })
  client.subscribe = (topic) => {
    send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] })
    return next('suback')
  }
  send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean, clientId, keepalive: 0 })
  await next('connack')
  return client
}

const until = async (condition) => {
  for (let tries = 0; !condition() && tries < 100; tries++) await pause(50)
  await pause(200) // for what is too much
}

const judge = ({ got }) => {
  const texts = got.map((p) => Number(p.payload))
  const order = texts.every((n, i) => n === i) ? 'in order' : 'in another order'
  const all = new Set(texts).size === count && texts.length === count ? `all ${count}` : `${texts.length}`
  const on = (flag) => got.filter((p) => p[flag]).length
  return `${all}, ${order}, DUP on ${on('dup')}, RETAIN on ${on('retain')}`
}

const show = async (name, port) => {
  const publisher = await dial(port, 'publisher', { clean: true })
  const publish = (topic, retained) => {
    for (let i = 0; i < count; i++) {
      publisher.send({ cmd: 'publish', topic, payload: String(i), qos: 1, messageId: i + 1, retain: i === retained, dup: false })
    }
  }
  let client = await dial(port, 'away')
  await client.subscribe('kept')
  client.send({ cmd: 'disconnect' })
  client.socket.end()
  await pause(200)
  publish('kept', count - 1)
  await pause(200)
  client = await dial(port, 'away')
  await until(() => client.got.length >= count)
  const kept = judge(client)

  client = await dial(port, 'silent', { acknowledges: false })
  await client.subscribe('again')
  publish('again')
  await until(() => client.got.length >= count)
  client.socket.destroy()
  await pause(200)
  client = await dial(port, 'silent')
  await until(() => client.got.length >= count)
  console.log(`${name}: kept while away: ${kept}; not acknowledged: ${judge(client)}`)
}

const mochi = spawn('./mochi', { stdio: ['pipe', 'pipe', 'inherit'] })
await show('mochi-mqtt 2.7.9', await new Promise((ready) => mochi.stdout.once('data', (text) => ready(Number(text)))))
const broker = await Aedes.createBroker()
const server = net.createServer(broker.handle)
await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
await show('aedes 1.2.0', server.address().port)
process.exit()
END
timeout 60 node main.mjs >have
diff want have
cat have
