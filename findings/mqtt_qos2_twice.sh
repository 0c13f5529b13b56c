#!/usr/bin/env bash
# An MQTT message with QoS 2 arrives once. If a client's PUBREC is lost, the broker sends the PUBLISH again. Until the
# PUBREL arrives the client answers it with a PUBREC, but "MUST NOT cause duplicate messages to be delivered to any
# onward recipients in this case" (MQTT 3.1.1, 4.3.3, MQTT-4.3.3-2; 5.0 alike). To do so it must remember the packet's
# identifier.
#
# Guessed: paho.mqtt.golang 1.5.1, paho.golang 0.23.0 and npm's mqtt 5.16.0 deliver it to the program once. Seen:
# paho.mqtt.golang delivers it twice, both on the session's next connection and on the same one: it takes the packet
# with the DUP flag and the same identifier for another message. Its QoS 2 is QoS 1 with two more packets. The other two
# are as guessed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
mqtt, version 4: sent again on the same connection, given to the program once
mqtt, version 4: sent again on the next connection, given to the program once
mqtt, version 5: sent again on the same connection, given to the program once
mqtt, version 5: sent again on the next connection, given to the program once
paho.golang, version 5: sent again on the same connection, given to the program once
paho.golang, version 5: sent again on the next connection, given to the program once
paho.mqtt.golang, version 4: sent again on the same connection, given to the program 2 times
paho.mqtt.golang, version 4: sent again on the next connection, given to the program 2 times
END
npm install --silent --no-fund --no-audit --prefix . mqtt@5.16.0 mqtt-packet@9.0.2 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/eclipse/paho.golang v0.23.0
	github.com/eclipse/paho.mqtt.golang v1.5.1
)
END
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

func main() {
	switch os.Args[1] {
	case "paho.mqtt.golang":
		options := mqtt.NewClientOptions().AddBroker("tcp://" + os.Args[2]).SetClientID("a").SetCleanSession(false)
		options.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { fmt.Println(string(m.Payload())) })
		mqtt.NewClient(options).Connect().Wait()
	case "paho.golang":
		received := func(p paho.PublishReceived) (bool, error) {
			fmt.Println(string(p.Packet.Payload))
			return true, nil
		}
		_, err := autopaho.NewConnection(context.Background(), autopaho.ClientConfig{
			ServerUrls: []*url.URL{{Scheme: "mqtt", Host: os.Args[2]}}, SessionExpiryInterval: 1000, KeepAlive: 20,
			ReconnectBackoff: autopaho.NewConstantBackoff(200 * time.Millisecond),
			ClientConfig:     paho.ClientConfig{ClientID: "a", OnPublishReceived: []func(paho.PublishReceived) (bool, error){received}},
		})
		if err != nil {
			panic(err)
		}
	}
	time.Sleep(time.Minute)
}
END
# A broker that sends one message and behaves, after the client's PUBREC, as if that had not arrived: it closes the connection, or sends
# the message again on the same one.
cat >main.mjs <<'END'
import net from 'node:net'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import mqtt from 'mqtt'
import packets from 'mqtt-packet'

let on, connections, pubrecs, got, done
const broker = net.createServer((socket) => {
  let protocolVersion
  connections++
  const parser = packets.parser()
  const send = (packet) => socket.write(packets.generate(packet, { protocolVersion }))
  const publish = (dup) => send({ cmd: 'publish', topic: 'topic', payload: 'hello', qos: 2, messageId: 5, dup })
  parser.on('packet', (packet) => {
    if (packet.cmd === 'connect') {
      protocolVersion = packet.protocolVersion
      send({ cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: connections > 1 })
      publish(connections > 1)
    } else if (packet.cmd === 'pingreq') send({ cmd: 'pingresp' })
    else if (packet.cmd === 'pubrec') {
      if (++pubrecs === 2) send({ cmd: 'pubrel', messageId: 5 })
      else if (on === 'the same connection') publish(true)
      else socket.destroy()
    } else if (packet.cmd === 'pubcomp') done()
  })
  socket.on('data', (data) => parser.parse(data))
  socket.on('error', () => {})
})
broker.listen(0, '127.0.0.1')
await once(broker, 'listening')
const at = `127.0.0.1:${broker.address().port}`

const npm = (protocolVersion) => () => {
  const properties = protocolVersion === 5 ? { sessionExpiryInterval: 1000 } : undefined
  const client = mqtt.connect(`mqtt://${at}`, { protocolVersion, properties, clientId: 'a', clean: false, reconnectPeriod: 200 })
  client.on('message', () => { got++ })
  return () => client.end(true)
}
const go = (name) => () => {
  const child = spawn('./main', [name, at], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.on('data', (data) => { got += String(data).split('\n').length - 1 })
  return () => child.kill()
}
const clients = {
  'mqtt, version 4': npm(4), 'mqtt, version 5': npm(5),
  'paho.golang, version 5': go('paho.golang'), 'paho.mqtt.golang, version 4': go('paho.mqtt.golang'),
}
for (const [name, start] of Object.entries(clients)) {
  for (on of ['the same connection', 'the next connection']) {
    connections = pubrecs = got = 0
    const completed = new Promise((told) => { done = told })
    const stop = start()
    await completed
    await new Promise((later) => setTimeout(later, 300))
    console.log(`${name}: sent again on ${on}, given to the program ${got === 1 ? 'once' : `${got} times`}`)
    stop()
  }
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
