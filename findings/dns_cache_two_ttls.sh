#!/usr/bin/env bash
# The records of a set, such as the addresses of a name, have one time to live. A cache that receives different ones
# treats them "as if all TTLs in the RRSet had been set to the value of the lowest TTL" (RFC 2181, 5.2). It must not
# return part of a set, because all clients would then go to one of the servers.
#
# Guessed: dnsmasq 2.90 and Unbound 1.17.1 ask for the whole set again when the lowest time is over; npm's
# cacheable-lookup 7.0.0 keeps the set for the longest time. Seen: dnsmasq answers with only the address that has the
# longer time, without asking, for as long as that time lasts. The other two are as guessed.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
dnsmasq: 192.0.2.1 and 192.0.2.2; later 192.0.2.2, without asking
Unbound: 192.0.2.1 and 192.0.2.2; later 192.0.2.1 and 192.0.2.2, asked again
npm, cacheable-lookup: 192.0.2.1 and 192.0.2.2; later 192.0.2.1 and 192.0.2.2, without asking
END
npm install --silent --no-fund --no-audit --prefix . cacheable-lookup@7.0.0 dns-packet@5.6.1 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  dnsmasq-base unbound ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
export LD_LIBRARY_PATH="$dir/root/usr/lib/$(uname -m)-linux-gnu" PATH="$PATH:$dir/root/usr/sbin"
cat >main.mjs <<'END'
import dgram from 'node:dgram'
import dns from 'node:dns'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import CacheableLookup from 'cacheable-lookup'
import packet from 'dns-packet'

// The server that has the set, and free ports for the caches.
let asked = 0
const socket = async () => {
  const made = dgram.createSocket('udp4')
  await new Promise((ready) => made.bind(0, '127.0.0.1', ready))
  return made
}
const server = await socket()
server.on('message', (data, from) => {
  const { id, questions } = packet.decode(data)
  const { name, type } = questions[0]
  const set = type !== 'A' || name.toLowerCase() !== 'www.example.net' ? [] : [{ type, name, ttl: 2, data: '192.0.2.1' }, { type, name, ttl: 600, data: '192.0.2.2' }]
  if (set.length) asked++
  server.send(packet.encode({ type: 'response', id, flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE, questions, answers: set }), from.port, from.address)
})
const { port } = server.address()
const free = async () => {
  const made = await socket()
  const { port } = made.address()
  made.close()
  return port
}
const ask = async (port, tries = 50) => {
  const made = await socket()
  const query = packet.encode({ type: 'query', id: 1, flags: packet.RECURSION_DESIRED, questions: [{ type: 'A', name: 'www.example.net' }] })
  const told = await new Promise((told) => {
    made.on('message', (data) => told(packet.decode(data).answers.map(({ data }) => data)))
    made.on('error', () => {})
    made.connect(port, '127.0.0.1', () => made.send(query))
    setTimeout(told, 200)
  })
  made.close()
  return told ?? (tries ? ask(port, tries - 1) : [])
}
const dnsmasq = await free(), unbound = await free()
writeFileSync('unbound.conf', `server:
  interface: 127.0.0.1@${unbound}
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  directory: "${process.cwd()}"
  do-not-query-localhost: no
  use-syslog: no
  module-config: "iterator"
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@${port}
`)
const servers = [
  spawn('dnsmasq', ['-d', '-p', dnsmasq, '-a', '127.0.0.1', '-z', '-R', '-h', '-S', `127.0.0.1#${port}`, '-C', '/dev/null', '-u', 'root', '-x', ''], { stdio: 'ignore' }),
  spawn('unbound', ['-c', 'unbound.conf'], { stdio: 'ignore' }),
]
const resolver = new dns.promises.Resolver()
resolver.setServers([`127.0.0.1:${port}`])
const lookup = new CacheableLookup({ resolver })
const caches = {
  'dnsmasq': () => ask(dnsmasq),
  'Unbound': () => ask(unbound),
  'npm, cacheable-lookup': () => lookup.lookupAsync('www.example.net', { all: true, family: 4 }).then((list) => list.map(({ address }) => address)),
}
for (const [name, get] of Object.entries(caches)) {
  asked = 0
  const told = []
  for (let i = 0; i < 2; i++) {
    told.push((await get()).sort().join(' and '))
    if (i === 0) await new Promise((later) => setTimeout(later, 3500))
  }
  console.log(`${name}: ${told[0]}; later ${told[1]}, ${asked === 1 ? 'without asking' : 'asked again'}`)
}
for (const server of servers) server.kill()
process.exit()
END
timeout 60 node --no-warnings main.mjs >have
diff want have
cat have
