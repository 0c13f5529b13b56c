#!/usr/bin/env bash
# When a mail has arrived, its server may have to scan and store it before it answers. A client should wait ten
# minutes for that answer (RFC 5321, 4.5.3.2.6). A client that gives up earlier reports an error for a mail that the
# server delivers, and if it sends the mail again, it arrives twice (RFC 1047). Here the server answers after 70
# seconds, and each client has its default settings.
#
# Guessed: go-mail 0.8.1, go-simple-mail 2.16.0, npm's emailjs 5.0.3, aiosmtplib 2.0.0, Ruby's net-smtp 0.3.1 and
# swaks 20201014.0 give up, after 5 to 60 seconds; the others wait. Seen: mail.v2 2.3.1, a fork of gomail.v2, which
# waits, gives up after 10 seconds, and s-nail 14.9.24 after 45. go-simple-mail waits for the answer, but then reports
# that its 10 seconds are over.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
go, net/smtp: waits
go, go-smtp: waits
go, jordan-wright/email: waits
go, go-mail: gives up after 15 s
go, go-simple-mail: waits, reports an error
go, gomail.v2: waits
go, mail.v2: gives up after 10 s
npm, nodemailer: waits
npm, emailjs: gives up after 5 s
npm, smtp-client: waits
python, smtplib: waits
python, aiosmtplib: gives up after 60 s
perl, Net::SMTP: waits
ruby, net-smtp: gives up after 60 s
curl: waits
msmtp: waits
swaks: gives up after 30 s
s-nail: gives up after 45 s
END
npm install --silent --no-fund --no-audit --prefix . nodemailer@10.6.0 emailjs@5.0.3 smtp-client@0.4.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  curl msmtp swaks s-nail python3-aiosmtplib ruby ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0"
for gem in "$dir"/root/usr/share/rubygems-integration/all/gems/*/lib "$dir"/root/usr/lib/ruby/gems/3.1.0/gems/*/lib; do
  RUBYLIB+=:$gem
done
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/emersion/go-smtp v0.26.0
	github.com/jordan-wright/email v4.0.1-0.20210109023952-943e75fe5223+incompatible
	github.com/wneessen/go-mail v0.8.1
	github.com/xhit/go-simple-mail/v2 v2.16.0
	gopkg.in/gomail.v2 v2.0.0-20160411212932-81ebce5c23df
	gopkg.in/mail.v2 v2.3.1
)
END
# Each sends a mail to the port that it is given, and fails if that does.
cat >main.go <<'END'
package main

import (
	"fmt"
	"net/smtp"
	"os"
	"strconv"
	"strings"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/jordan-wright/email"
	gomail "github.com/wneessen/go-mail"
	simple "github.com/xhit/go-simple-mail/v2"
	oldmail "gopkg.in/gomail.v2"
	mail "gopkg.in/mail.v2"
)

const from, to, text = "a@example.org", "b@example.org", "Subject: hello\r\n\r\nhello\r\n"

func send(name string, port int) error {
	address := fmt.Sprint("127.0.0.1:", port)
	switch name {
	case "net/smtp":
		return smtp.SendMail(address, nil, from, []string{to}, []byte(text))
	case "go-smtp":
		client, err := gosmtp.Dial(address)
		if err != nil {
			return err
		}
		return client.SendMail(from, []string{to}, strings.NewReader(text))
	case "jordan-wright/email":
		return (&email.Email{From: from, To: []string{to}, Text: []byte("hello")}).Send(address, nil)
	case "go-mail":
		message := gomail.NewMsg()
		if err := message.From(from); err != nil {
			return err
		}
		if err := message.To(to); err != nil {
			return err
		}
		client, err := gomail.NewClient("127.0.0.1", gomail.WithPort(port), gomail.WithTLSPolicy(gomail.NoTLS))
		if err != nil {
			return err
		}
		return client.DialAndSend(message)
	case "go-simple-mail":
		server := simple.NewSMTPClient()
		server.Host, server.Port = "127.0.0.1", port
		client, err := server.Connect()
		if err != nil {
			return err
		}
		message := simple.NewMSG().SetFrom(from).AddTo(to).SetBody(simple.TextPlain, "hello")
		return message.Send(client)
	case "gomail.v2":
		message := oldmail.NewMessage()
		message.SetHeader("From", from)
		message.SetHeader("To", to)
		message.SetBody("text/plain", "hello")
		return (&oldmail.Dialer{Host: "127.0.0.1", Port: port}).DialAndSend(message)
	case "mail.v2":
		message := mail.NewMessage()
		message.SetHeader("From", from)
		message.SetHeader("To", to)
		message.SetBody("text/plain", "hello")
		dialer := mail.NewDialer("127.0.0.1", port, "", "")
		return dialer.DialAndSend(message)
	}
	panic(name)
}

func main() {
	port, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	if err := send(os.Args[1], port); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
END
cat >main.py <<'END'
import asyncio, sys
name, port = sys.argv[1], int(sys.argv[2])
mail = 'a@example.org', ['b@example.org'], 'Subject: hello\r\n\r\nhello\r\n'
if name == 'smtplib':
    import smtplib
    smtplib.SMTP('127.0.0.1', port).sendmail(*mail)
else:
    import aiosmtplib
    async def send():
        client = aiosmtplib.SMTP(hostname='127.0.0.1', port=port, start_tls=False)
        await client.connect()
        await client.sendmail(*mail)
    asyncio.run(send())
END
cat >main.pl <<'END'
use Net::SMTP;
my $client = Net::SMTP->new('127.0.0.1', Port => $ARGV[0]) or exit 1;
$client->mail('a@example.org') && $client->to('b@example.org') && $client->data("Subject: hello\r\n\r\nhello\r\n") or exit 1;
END
cat >main.rb <<'END'
require 'net/smtp'
Net::SMTP.start('127.0.0.1', ARGV[0].to_i) { |client| client.send_message("Subject: hello\r\n\r\nhello\r\n", 'a@example.org', 'b@example.org') }
END
cat >send.mjs <<'END'
const [name, port] = process.argv.slice(2)
const mail = { from: 'a@example.org', to: 'b@example.org', subject: 'hello', text: 'hello' }
const senders = {
  nodemailer: async () => {
    const { default: nodemailer } = await import('nodemailer')
    await nodemailer.createTransport({ host: '127.0.0.1', port: Number(port) }).sendMail(mail)
  },
  emailjs: async () => {
    const { SMTPClient } = await import('emailjs')
    await new SMTPClient({ host: '127.0.0.1', port: Number(port) }).sendAsync(mail)
  },
  'smtp-client': async () => {
    const { SMTPClient } = (await import('smtp-client')).default
    const client = new SMTPClient({ host: '127.0.0.1', port: Number(port) })
    await client.connect()
    await client.greet({ hostname: 'client' })
    await client.mail({ from: mail.from })
    await client.rcpt({ to: mail.to })
    await client.data('Subject: hello\r\n\r\nhello\r\n')
  },
}
await senders[name]()
process.exit()
END
printf 'Subject: hello\r\n\r\nhello\r\n' >mail
cat >main.mjs <<'END'
import net from 'node:net'
import { execFile } from 'node:child_process'
import { once } from 'node:events'

// serve is a server for one client, and gives how long that waited for the last answer.
const serve = async () => {
  let waited
  const server = net.createServer((socket) => {
    let text = '', inMail = false, ended, timer
    socket.on('error', () => {}).on('close', () => {
      clearTimeout(timer)
      if (ended && waited === undefined) waited = Date.now() - ended
    })
    socket.write('220 server\r\n')
    socket.on('data', (data) => {
      text += data
      for (let end; (end = text.indexOf('\r\n')) >= 0;) {
        const line = text.slice(0, end)
        text = text.slice(end + 2)
        if (inMail && line !== '.') continue
        if (inMail) {
          inMail = false
          ended = Date.now()
          timer = setTimeout(() => { waited = Infinity; socket.write('250 stored\r\n') }, 70000)
        } else if (/^data/i.test(line)) {
          inMail = true
          socket.write('354 go on\r\n')
        } else if (/^ehlo/i.test(line)) socket.write('250-server\r\n250 8BITMIME\r\n')
        else if (/^quit/i.test(line)) socket.end('221 bye\r\n')
        else socket.write('250 well\r\n')
      }
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: server.address().port, waited: () => waited }
}
const commands = {}
for (const name of ['net/smtp', 'go-smtp', 'jordan-wright/email', 'go-mail', 'go-simple-mail', 'gomail.v2', 'mail.v2']) commands[`go, ${name}`] = (port) => ['./main', name, port]
for (const name of ['nodemailer', 'emailjs', 'smtp-client']) commands[`npm, ${name}`] = (port) => ['node', 'send.mjs', name, port]
for (const name of ['smtplib', 'aiosmtplib']) commands[`python, ${name}`] = (port) => ['/usr/bin/python3', 'main.py', name, port]
commands['perl, Net::SMTP'] = (port) => ['perl', 'main.pl', port]
commands['ruby, net-smtp'] = (port) => ['ruby3.1', 'main.rb', port]
commands.curl = (port) => ['curl', '-s', `smtp://127.0.0.1:${port}/client`, '--mail-from', 'a@example.org', '--mail-rcpt', 'b@example.org', '-T', 'mail']
commands.msmtp = (port) => ['sh', '-c', `msmtp --host=127.0.0.1 --port=${port} --from=a@example.org b@example.org <mail`]
commands.swaks = (port) => ['perl', 'root/usr/bin/swaks', '--server', '127.0.0.1', '--port', port, '--from', 'a@example.org', '--to', 'b@example.org']
commands['s-nail'] = (port) => ['sh', '-c', `echo hello | s-nail -n -Ssendwait -Sv15-compat -Smta=smtp://127.0.0.1:${port} -Ssmtp-auth=none -SDEAD=/dev/null -Sfrom=a@example.org -s hello b@example.org`]
const told = await Promise.all(Object.entries(commands).map(async ([name, command]) => {
  const server = await serve()
  const [path, ...args] = command(server.port)
  const output = await new Promise((ended) => {
    execFile(path, args, { timeout: 150000, env: { ...process.env, HOME: '.' } }, (error, stdout, stderr) => ended({ error, text: `${stdout}${stderr}` }))
  })
  if (server.waited() === undefined) throw new Error(`${name} sends no mail: ${output.text}`)
  if (server.waited() === Infinity) return `${name}: waits${output.error ? ', reports an error' : ''}`
  if (!output.error) throw new Error(`${name} reports no error`)
  return `${name}: gives up after ${Math.round(server.waited() / 5000) * 5} s`
}))
console.log(told.join('\n'))
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 250 node --no-warnings main.mjs >have
diff want have
cat have
