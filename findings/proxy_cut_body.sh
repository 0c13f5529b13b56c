#!/usr/bin/env bash
# If a server closes the connection in the middle of a body, the proxy has an incomplete answer. It must pass the answer
# on as incomplete (RFC 9112, 8: without the last chunk, or with fewer bytes than Content-Length), so that the client
# knows that something is missing.
#
# Guessed: nginx 1.22.1, HAProxy 2.6.12, Apache 2.4, Squid 5.7 and lighttpd 1.4.69, all of Debian 12, do so. Seen: when
# a chunked body is cut, between chunks or inside one, lighttpd's mod_proxy sends an answer whose Content-Length is the
# number of bytes that arrived, so that the client takes it for the whole. The other four are as guessed, and so is
# lighttpd with an answer that has a Content-Length.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
nginx: hands each cut on
haproxy: hands each cut on
lighttpd: makes a whole of what is cut between chunks, inside of a chunk
apache: hands each cut on
squid: hands each cut on
END
mkdir -p archives/partial tmp
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  nginx-light haproxy lighttpd apache2 squid ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
root=$dir/root
LD_LIBRARY_PATH=$root/usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH root
cat >main.mjs <<'END'
import net from 'node:net'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'

const half = 'x'.repeat(100_000)
const bodies = {
  whole: `Content-Length: 100000\r\n\r\n${half}`,
  'at half of its Content-Length': `Content-Length: 200000\r\n\r\n${half}`,
  'between chunks': `Transfer-Encoding: chunked\r\n\r\n186a0\r\n${half}\r\n`,
  'inside of a chunk': `Transfer-Encoding: chunked\r\n\r\n30d40\r\n${half}`,
}
const server = net.createServer((socket) => {
  socket.on('error', () => {})
  let got = ''
  socket.on('data', (data) => {
    got += data
    if (!got.includes('\r\n\r\n')) return
    const [, nth] = /^GET \/(\d) /.exec(got) ?? []
    got = ''
    if (nth === undefined) return socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n') // Squid asks for a thing of its own
    const body = bodies[Object.keys(bodies)[nth]]
    socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${body}`)
    setTimeout(() => socket.end(), 500)
  })
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const behind = server.address().port

const free = async () => {
  const probe = net.createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  return port
}
const here = process.cwd()
const { root } = process.env
const apache = ['mpm_event', 'proxy', 'proxy_http', 'authz_core'].map((name) => `LoadModule ${name}_module ${root}/usr/lib/apache2/modules/mod_${name}.so`)
const proxies = {
  nginx: [`${root}/usr/sbin/nginx`, ['-c', `${here}/nginx.conf`, '-p', here, '-e', `${here}/log`], (port) => `
    daemon off; master_process off; pid ${here}/nginx.pid; error_log ${here}/log; events {}
    http { access_log off;
      ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${here}/tmp/${what};`).join(' ')}
      server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${behind}; proxy_http_version 1.1; } } }`],
  haproxy: [`${root}/usr/sbin/haproxy`, ['-db', '-f', `${here}/haproxy.conf`], (port) => `
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen a
  bind 127.0.0.1:${port}
  server b 127.0.0.1:${behind}
`],
  lighttpd: [`${root}/usr/sbin/lighttpd`, ['-D', '-m', `${root}/usr/lib/lighttpd`, '-f', `${here}/lighttpd.conf`], (port) => `
server.modules = ("mod_proxy")
server.document-root = "${here}"
server.upload-dirs = ("${here}/tmp")
server.bind = "127.0.0.1"
server.port = ${port}
proxy.server = ("" => (("host" => "127.0.0.1", "port" => ${behind})))
`],
  apache: [`${root}/usr/sbin/apache2`, ['-X', '-f', `${here}/apache.conf`], (port) => `
ServerRoot ${here}
ServerName a
PidFile ${here}/apache.pid
ErrorLog ${here}/log
Mutex file:${here}/tmp
Listen 127.0.0.1:${port}
${apache.join('\n')}
User nobody
Group nogroup
ProxyPass / http://127.0.0.1:${behind}/
`],
  squid: [`${root}/usr/sbin/squid`, ['-N', '-f', `${here}/squid.conf`], (port) => `
http_port 127.0.0.1:${port} accel defaultsite=a
cache_peer 127.0.0.1 parent ${behind} 0 no-query originserver
http_access allow all
cache deny all
pinger_enable off
pid_filename ${here}/squid.pid
cache_log ${here}/log
access_log none
coredump_dir ${here}
mime_table ${root}/usr/share/squid/mime.conf
error_directory ${root}/usr/share/squid/errors/en
icon_directory ${root}/usr/share/squid/icons
unlinkd_program ${root}/usr/lib/squid/unlinkd
`],
}
const get = (url) => fetch(url).then((res) => res.text()).then((text) => text === half, (err) => {
  if (err.cause?.code === 'ECONNREFUSED') throw err
  return false
})
for (const [name, [command, args, config]] of Object.entries(proxies)) {
  const port = await free()
  writeFileSync(`${name}.conf`, config(port))
  const proxy = spawn(command, args, { stdio: 'ignore' })
  process.once('exit', () => proxy.kill('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  for (let tries = 0; !await get(`${url}/0`).catch(() => false); tries++) {
    if (tries === 100) throw new Error(`${name} does not answer`)
    await new Promise((later) => setTimeout(later, 100))
  }
  const whole = []
  for (const [nth, cut] of Object.keys(bodies).entries()) if (nth > 0 && await get(`${url}/${nth}`)) whole.push(cut)
  console.log(`${name}: ${whole.length ? `makes a whole of what is cut ${whole.join(', ')}` : 'hands each cut on'}`)
}
process.exit()
END
timeout 90 node --no-warnings main.mjs >have
diff want have
cat have
