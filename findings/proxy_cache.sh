#!/usr/bin/env bash
# A proxy may answer from its cache for max-age or s-maxage seconds, or for the time from Date to Expires, both by the
# server's clock (RFC 9111, 4.2.1). From this it subtracts the Age that an earlier cache gave the answer (4.2.3). It
# must not answer from its cache if one of several lines of Cache-Control says no-store (5.2.2.5), or if the answer has
# "Vary: *" (4.1). It must forget what it stored for a URL when a POST to that URL is answered without an error (4.4).
#
# Guessed: nginx 1.22.1 and HAProxy 2.6.12 ignore Age, nginx compares Expires with its own clock, and only Squid 5.7 and
# Apache 2.4 forget after a POST, not Varnish 7.1.1; the rest is right. Seen: HAProxy also compares Expires with its own
# clock, but forgets after a POST. After a CDN both keep an answer for up to twice its time. Squid and Apache are right
# in everything. All versions are those of Debian 12.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
nginx: heeds no Age, compares Expires with its own clock, does not forget after a POST
HAProxy: heeds no Age, compares Expires with its own clock
Squid: all well
Apache: all well
Varnish: does not forget after a POST
END
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  nginx-light haproxy squid apache2-bin varnish gcc libc6-dev ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs:$dir/root/$libs/varnish" PATH="$PATH:$dir/root/usr/bin:$dir/root/usr/sbin"
chmod 755 "$dir"
cat >main.mjs <<'END'
import http from 'node:http'
import net from 'node:net'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'

const later = (ms) => new Promise((done) => setTimeout(done, ms))
const hour = 3_600_000
const answers = {
  '/max-age': { 'Cache-Control': 'max-age=52' },
  '/age': { 'Cache-Control': 'max-age=52', Age: '50' },
  '/s-maxage': { 'Cache-Control': 'max-age=52, s-maxage=2' },
  '/two-lines': { 'Cache-Control': ['max-age=52', 'no-store'] },
  '/vary': { 'Cache-Control': 'max-age=52', Vary: '*' },
  '/expires': () => ({ Date: new Date(Date.now() + hour).toUTCString(), Expires: new Date(Date.now() + hour + 2000).toUTCString() }),
  '/post': { 'Cache-Control': 'max-age=52' },
}
const asked = {}
const server = http.createServer((req, res) => {
  const answer = answers[req.url] ?? {}
  if (req.method === 'GET') asked[req.url] = (asked[req.url] ?? 0) + 1
  const fields = req.method === 'GET' ? typeof answer === 'function' ? answer() : answer : {}
  req.resume().on('end', () => res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 5, ...fields }).end('hello'))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const behind = server.address().port

const free = async () => {
  const holder = net.createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address()
  await new Promise((closed) => holder.close(closed))
  return port
}
const here = process.cwd()
const modules = `${here}/root/usr/lib/apache2/modules`
const proxies = {
  nginx: (port) => {
    mkdirSync('nginx')
    writeFileSync('nginx.conf', `daemon off; master_process off; pid ${here}/nginx/pid; error_log ${here}/nginx/error;
events {}
http { access_log off; client_body_temp_path nginx/a; fastcgi_temp_path nginx/b; uwsgi_temp_path nginx/c; scgi_temp_path nginx/d; proxy_temp_path nginx/e;
proxy_cache_path ${here}/nginx/cache keys_zone=cache:1m;
server { listen 127.0.0.1:${port}; location / { proxy_cache cache; proxy_pass http://127.0.0.1:${behind}; } } }`)
    return ['nginx', '-p', here, '-c', `${here}/nginx.conf`]
  },
  HAProxy: (port) => {
    writeFileSync('haproxy.cfg', `defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
cache cache
  total-max-size 4
frontend front
  bind 127.0.0.1:${port}
  http-request cache-use cache
  http-response cache-store cache
  default_backend back
backend back
  server server 127.0.0.1:${behind}
`)
    return ['haproxy', '-db', '-f', 'haproxy.cfg']
  },
  Squid: (port) => {
    writeFileSync('squid.conf', `http_port 127.0.0.1:${port} accel defaultsite=127.0.0.1
cache_peer 127.0.0.1 parent ${behind} 0 no-query originserver
http_access allow all
cache_mem 8 MB
memory_cache_shared off
shutdown_lifetime 0 seconds
access_log none
cache_log /dev/null
pid_filename none
cache_effective_user nobody
mime_table ${here}/root/usr/share/squid/mime.conf
icon_directory ${here}/root/usr/share/squid/icons
error_directory ${here}/root/usr/share/squid/errors/templates
logfile_rotate 0
netdb_filename none
pinger_enable off
unlinkd_program ${here}/root/usr/lib/squid/unlinkd
logfile_daemon ${here}/root/usr/lib/squid/log_file_daemon
`)
    return ['squid', '-N', '-f', `${here}/squid.conf`]
  },
  Apache: (port) => {
    mkdirSync('apache')
    chmodSync('apache', 0o777)
    writeFileSync('apache.conf', `ServerRoot ${here}/apache
ServerName 127.0.0.1
PidFile ${here}/apache/pid
DefaultRuntimeDir ${here}/apache
ErrorLog ${here}/apache/error
Listen 127.0.0.1:${port}
${['mpm_event', 'authz_core', 'proxy', 'proxy_http', 'cache', 'cache_disk'].map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join('\n')}
User nobody
Group nogroup
Mutex file:${here}/apache
CacheRoot ${here}/apache
CacheEnable disk /
CacheQuickHandler on
ProxyPass / http://127.0.0.1:${behind}/
`)
    return ['apache2', '-X', '-f', `${here}/apache.conf`]
  },
  Varnish: (port) => ['varnishd', '-F', '-a', `127.0.0.1:${port}`, '-b', `127.0.0.1:${behind}`, '-n', `${here}/varnish`, '-s', 'malloc,8m', '-j', 'none'],
}
const wrong = async (name, make) => {
  const port = await free()
  const [command, ...args] = make(port)
  const proxy = spawn(command, args, { stdio: ['ignore', 'ignore', process.env.SHOW ? 'inherit' : 'ignore'] })
  const ask = (path, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method, body: method === 'POST' ? 'x' : undefined }).then((answer) => answer.text())
  let ready
  for (let i = 0; i < 150 && ready !== 'hello'; i++) {
    await later(100)
    ready = await ask('/ready').catch(() => undefined)
  }
  if (ready !== 'hello') throw new Error(`${name} does not run`)
  for (const path of Object.keys(answers)) {
    asked[path] = 0
    await ask(path)
  }
  await later(4000)
  await ask('/post', 'POST')
  for (const path of Object.keys(answers)) await ask(path)
  proxy.kill()
  await once(proxy, 'exit')
  if (asked['/max-age'] !== 1) throw new Error(`${name} keeps nothing`)
  return Object.keys(answers).filter((path) => path !== '/max-age' && asked[path] === 1)
}
const what = { '/age': 'heeds no Age', '/s-maxage': 'heeds no s-maxage', '/two-lines': 'heeds one line of Cache-Control', '/vary': 'keeps what has "Vary: *"', '/expires': 'compares Expires with its own clock', '/post': 'does not forget after a POST' }
for (const [name, make] of Object.entries(proxies)) console.log(`${name}: ${(await wrong(name, make)).map((path) => what[path]).join(', ') || 'all well'}`)
process.exit()
END
timeout 120 node --no-warnings main.mjs >have
diff want have
cat have
