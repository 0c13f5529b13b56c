package patterntest_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// The flaws that are built into the ledger: what is small in a demonstration, and what nobody has
// published yet.

// ring keeps so many events, and says nothing of those before.
func ring(size int) func(*ledgerServer, entry) error {
	return func(s *ledgerServer, e entry) error {
		s.add(e)
		s.mu.Lock()
		defer s.mu.Unlock()
		if more := len(s.entries) - size; more > 0 {
			s.entries, s.first = s.entries[more:], s.first+more
		}
		return nil
	}
}

// fresh makes a system of its own for each network: for those that remember something.
func fresh(l func() ledger) patterntest.NewSystem {
	return func(n *sim.Network) patterntest.System { return l().on(n) }
}

// atMost sends so many events of a backlog, and goes on at its end.
func atMost(count int) func(*ledgerServer, int) page {
	return func(s *ledgerServer, at int) page {
		p := s.after(at)
		p.Events = p.Events[:min(count, len(p.Events))]
		return p
	}
}

// sixty drops what is published faster than sixty times a second.
func sixty() func(*ledgerServer, entry) error {
	second, count := int64(0), 0
	return func(s *ledgerServer, e entry) error {
		if now := e.At.Unix(); now != second {
			second, count = now, 0
		}
		if count++; count <= 60 {
			s.add(e)
		}
		return nil
	}
}

// butEvery500th loses the event that fills a block.
func butEvery500th() func(*ledgerServer, entry) error {
	count := 0
	return func(s *ledgerServer, e entry) error {
		if count++; count%500 != 0 {
			s.add(e)
		}
		return nil
	}
}

// sixteenBits is what is left of a position on the wire.
func sixteenBits(s *ledgerServer, at int) page {
	p := s.after(at)
	p.Next &= 1<<16 - 1
	return p
}

// changed keeps what f makes of the data, if that is anything.
func changed(f func(data []byte) []byte) func(*ledgerServer, entry) error {
	return func(s *ledgerServer, e entry) error {
		if e.Data = f(e.Data); e.Data != nil {
			s.add(e)
		}
		return nil
	}
}

func dropsEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func asString(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("\ufffd")) }

func endsAtNUL(b []byte) []byte {
	before, _, _ := bytes.Cut(b, []byte{0})
	return before[:len(before):len(before)]
}

// asLines has a line end wherever JavaScript has.
func asLines(b []byte) []byte {
	return []byte(strings.NewReplacer("\u2028", "\n", "\u2029", "\n").Replace(string(b)))
}

func withoutControls(b []byte) []byte {
	if !utf8.Valid(b) {
		return b
	}
	return bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' {
			return -1
		}
		return r
	}, b)
}

func withoutMark(b []byte) []byte {
	return append([]byte{}, bytes.TrimPrefix(b, []byte("\ufeff"))...)
}

func lessThan64KiB(b []byte) []byte {
	if len(b) >= 1<<16 {
		return nil
	}
	return b
}

// inBlocks takes blocks of 16 KiB for text, each by itself.
func inBlocks(b []byte) []byte {
	if !utf8.Valid(b) {
		return b
	}
	whole := []byte{}
	for block := range slices.Chunk(b, 16<<10) {
		whole = append(whole, bytes.ToValidUTF8(block, []byte("?"))...)
	}
	return whole
}

// newTexts drops what it has seen, within so long.
func newTexts(within time.Duration) func(*ledgerServer, entry) error {
	seen := map[string]time.Time{}
	return func(s *ledgerServer, e entry) error {
		last, again := seen[string(e.Data)]
		seen[string(e.Data)] = e.At
		if !again || e.At.Sub(last) > within {
			s.add(e)
		}
		return nil
	}
}

// youngerThan leaves out what is older.
func youngerThan(age time.Duration) func(*ledgerServer, int) page {
	return func(s *ledgerServer, at int) page {
		s.mu.Lock()
		old := slices.IndexFunc(s.entries, func(e entry) bool { return time.Since(e.At) <= age })
		if old < 0 {
			old = len(s.entries)
		}
		s.mu.Unlock()
		return s.after(max(at, old))
	}
}

// upToTheExpired drops an event whose time is over and all before it, as a log is cut.
func upToTheExpired(s *ledgerServer, at int) page {
	s.mu.Lock()
	for i, e := range s.entries {
		if e.over() {
			at = max(at, i+1)
		}
	}
	s.mu.Unlock()
	return s.after(at)
}

// oneTimeForAll takes the time of the first of a page's events for that of all.
func oneTimeForAll(s *ledgerServer, at int) page {
	p := s.after(at)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at < len(s.entries) && s.entries[at].over() {
		p.Events = nil
	}
	return p
}

// timesBeginAgain gives what has a time all of it again after a restart.
func timesBeginAgain(s *ledgerServer) {
	for i, e := range s.entries {
		if !e.Until.IsZero() {
			s.entries[i].Until = time.Now().Add(e.Until.Sub(e.At))
		}
	}
}

// timesAreForgotten does not store how long an event lives.
func timesAreForgotten(s *ledgerServer) {
	for i := range s.entries {
		s.entries[i].Until = time.Time{}
	}
}

// drains goes on for 200 ms when it is asked to stop.
func drains(s *ledgerServer) { time.Sleep(200 * time.Millisecond) }

// unlessDraining accepts while it drains, and keeps nothing.
func unlessDraining(s *ledgerServer, e entry) error {
	if s.ctx.Err() == nil {
		s.add(e)
	}
	return nil
}

// registersLate sends a backlog, and takes 30 ms to note that this session wants what is new.
func registersLate(s *ledgerServer, c *session, p *page) error {
	first := c.sent.IsZero()
	err := s.write(c, p)
	if first {
		sleep(c.ended, 30*time.Millisecond)
		p.Next = s.after(p.Next).Next
	}
	return err
}

// slots takes so many sessions. Only who says goodbye gives his back.
func slots(most int) func(*ledgerServer, *session) bool {
	return func(s *ledgerServer, _ *session) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.slots++
		return s.slots <= most
	}
}

// room takes so many sessions at once.
func room(most int) ledger {
	add := func(s *ledgerServer, n int) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.slots += n
		return s.slots
	}
	return ledger{
		greet: func(s *ledgerServer, _ *session) bool {
			if add(s, 1) <= most {
				return true
			}
			add(s, -1)
			return false
		},
		farewell: func(s *ledgerServer, _ *session) { add(s, -1) },
	}
}

// watched leaves a goroutine that waits for a word when a session ends.
func watched(s *ledgerServer, _ *session) bool {
	go func() { <-s.ctx.Done() }()
	return true
}

// leftOpen is a client that opens the next connection and forgets the last.
func leftOpen(net.Conn) {}

// filedBy has clients that are filed under one name share a position, which is that of whoever is
// ahead.
func filedBy(file func(name string) string) func() ledger {
	return func() ledger {
		furthest := map[string]int{}
		return ledger{
			acks: true,
			greet: func(s *ledgerServer, c *session) bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				c.name = file(c.name)
				c.at.After = max(c.at.After, furthest[s.life+c.name])
				return true
			},
			send: func(s *ledgerServer, c *session, p *page) error {
				s.mu.Lock()
				furthest[s.life+c.name] = max(furthest[s.life+c.name], c.has)
				s.mu.Unlock()
				return s.write(c, p)
			},
		}
	}
}

func upToTheDot(name string) string {
	first, _, _ := strings.Cut(name, ".")
	return first
}

func lettersOnly(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' {
			return '_'
		}
		return r
	}, name)
}

func first32(name string) string { return name[:min(len(name), 32)] }

// takesLeave counts the sessions anew when one ends: for two seconds nobody is sent anything.
func takesLeave(s *ledgerServer, c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = time.Now().Add(2 * time.Second)
}

func unlessQuiet(s *ledgerServer, c *session, p *page) error {
	s.mu.Lock()
	quiet := time.Until(s.quiet)
	s.mu.Unlock()
	sleep(c.ended, quiet)
	return s.write(c, p)
}

// gathers sends a first event at once, and what follows within 100 ms when it is ten, or after two
// seconds.
func gathers(s *ledgerServer, c *session, p *page) error {
	if time.Since(c.sent) < 100*time.Millisecond && len(p.Events) < 10 {
		sleep(c.ended, 2*time.Second)
	}
	return s.write(c, p)
}

// atOnceAfterSilence waits unless it was a silence that ended the connection.
func atOnceAfterSilence(random *rand.Rand) pause {
	wait := spread(500*time.Millisecond, 30*time.Second)(random)
	return func(nth int, err error) time.Duration {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0
		}
		return wait(nth, err)
	}
}

// fromTheBeginning sends everybody all that there is when it has started.
func fromTheBeginning(s *ledgerServer, c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun[c.name] {
		s.begun[c.name], c.at.After = true, 0
	}
	return true
}

// afterTheLastWord does not close a connection before it has written what it began to write.
func afterTheLastWord(_ *ledgerServer, c *session) bool {
	c.Conn = patient{c.Conn, make(chan struct{}, 1)}
	return true
}

type patient struct {
	net.Conn
	writing chan struct{}
}

func (p patient) Write(b []byte) (int, error) {
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	return p.Conn.Write(b)
}

func (p patient) Close() error {
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	return p.Conn.Close()
}

// What the contract finds in the ledger's flaws.
var brokenLedgers = []flaw{
	{"the server keeps 256 events", ledger{accept: ring(256)}.on, "a long run", patterntest.Complete,
		"e601, accepted at 1m4.400001s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 11743 more)"},
	{"the server sends a thousand events of a backlog", ledger{page: atMost(1_000)}.on, "a long run", patterntest.Complete,
		"e1601, accepted at 1m4.400001s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 10999 more)"},
	{"the server sends ten thousand events of a backlog", ledger{page: atMost(10_000)}.on, "a long run", patterntest.Complete,
		"e10601, accepted at 1m4.400001s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 1999 more)"},
	{"the server takes sixty events a second", fresh(func() ledger { return ledger{accept: sixty()} }), "a long run", patterntest.Complete,
		"e61, accepted at 700ms, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 12299 more)"},
	{"the server loses every five hundredth event", fresh(func() ledger { return ledger{accept: butEvery500th()} }), "a long run", patterntest.Complete,
		"e500, accepted at 2.895s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 24 more)"},
	{"a position has sixteen bits", ledger{page: sixteenBits}.on, "an event after many others", patterntest.Once,
		"e1 reached phone twice, at * and at * (and 11 more)"},
	{"the server has all events again for a client after its restart, and says that they may repeat", ledger{durable: true, claims: patterntest.System{Repeats: true}, greet: fromTheBeginning}.on, "a long run", patterntest.Once,
		"e1 reached phone at 440ms and again at *; but by 1m3.400001s, after 599 others over a good network, the server knew that it had arrived (and 499 more)"},

	{"the server drops empty events", ledger{accept: changed(dropsEmpty)}.on, "events of any bytes", patterntest.Complete,
		"\"\", accepted at 400ms, had not reached phone 3m0s after all faults were over, and phone was told of no gap"},
	{"the server takes data for a string", ledger{accept: changed(asString)}.on, "events of any bytes", patterntest.Genuine,
		"\"\\xff\\xfe\" reached phone at 440ms changed to � (and 3 more)"},
	{"data ends at a NUL", ledger{accept: changed(endsAtNUL)}.on, "events of any bytes", patterntest.Genuine,
		"\"a\\x00b\" reached phone at 440ms changed to a (and 1 more)"},
	{"U+2028 ends a line", ledger{accept: changed(asLines)}.on, "events of any bytes", patterntest.Genuine,
		"\"\\u2028\" reached phone at 440ms changed to \"\\n\" (and 1 more)"},
	{"the server removes control characters", ledger{accept: changed(withoutControls)}.on, "events of any bytes", patterntest.Genuine,
		"\"a\\x00b\" reached phone at 440ms changed to ab (and 3 more)"},
	{"the server removes a byte order mark", ledger{accept: changed(withoutMark)}.on, "events of any bytes", patterntest.Genuine,
		"\"\\ufeffmark\" reached phone at 520ms changed to mark"},
	{"the server drops what has 64 KiB or more", ledger{accept: changed(lessThan64KiB)}.on, "events of any size", patterntest.Complete,
		"\"0 파도🌊1 파도🌊…\", accepted at 5.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 2 more)"},
	{"text is decoded in blocks", ledger{accept: changed(inBlocks)}.on, "events of any size", patterntest.Genuine,
		"\"0 파도🌊1 파도🌊…\" reached phone at 5.6s changed to \"0 파도🌊1 파도🌊…\" (and 2 more)"},
	{"the server drops a text that it has seen", fresh(func() ledger { return ledger{accept: newTexts(time.Hour)} }), "the same text again", patterntest.Complete,
		"on, accepted at 400ms, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 10 more)"},
	{"the server drops a text that it has seen just now", fresh(func() ledger { return ledger{accept: newTexts(5 * time.Second)} }), "the same text again", patterntest.Complete,
		"on, accepted at 20.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 4 more)"},

	{"the server leaves out what is older than half an hour", ledger{page: youngerThan(30 * time.Minute)}.on, "away for a week", patterntest.Complete,
		"e4, accepted at 3.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 14 more)"},
	{"the server leaves out what is older than three days", ledger{page: youngerThan(72 * time.Hour)}.on, "away for a week", patterntest.Complete,
		"e4, accepted at 3.4s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 9 more)"},
	{"an event that expires takes all before it along", ledger{expires: true, page: upToTheExpired}.on, "events expire in any order", patterntest.Complete,
		"e12, accepted at 1.9s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 4 more)"},
	{"a page expires with its first event", ledger{expires: true, page: oneTimeForAll}.on, "events expire in any order", patterntest.Complete,
		"e12, accepted at 1.9s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 9 more)"},
	{"a restart gives events all of their time again", ledger{expires: true, durable: true, begin: timesBeginAgain}.on, "events expire in any order", patterntest.Fresh,
		"e46 reached phone at 2m48.96s, but its time was over at 2m41.3s (and 1 more)"},
	{"the server does not store when events expire", ledger{expires: true, durable: true, begin: timesAreForgotten}.on, "events expire in any order", patterntest.Fresh,
		"e41 reached phone at 2m48.96s, but its time was over at 2m20.8s (and 3 more)"},

	{"the server accepts events while it drains, and forgets them", ledger{durable: true, stop: drains, accept: unlessDraining}.on, "events come while the server is redeployed", patterntest.Complete,
		"e77, accepted at 1.92s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 59 more)"},
	{"what comes within 30 ms after the backlog is lost", ledger{send: registersLate}.on, "events come while the client comes back", patterntest.Complete,
		"e40, accepted at 1.726s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 19 more)"},
	{"the server waits for a client to take what it has begun to write", ledger{greet: afterTheLastWord}.on, "the server is redeployed while a client does not read", patterntest.Obedient,
		"the server had not stopped 10s after it was asked to at 2.1s"},
	{"the client tries ten times a second for ever", ledger{retries: constant(100 * time.Millisecond)}.on, "the server is gone for ten minutes", patterntest.Gentle,
		"phone tried to connect 334 times within the minute from 1m3.48s on, although the server had been out of reach since 3.4s; 90 are enough"},
	{"nobody gives back the slots of connections that were lost", ledger{greet: slots(128)}.on, "the client comes and goes many times", patterntest.Complete,
		"e136, accepted at 23m25.9s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 67 more)"},
	{"each connection leaves a goroutine", ledger{greet: watched}.on, "the client comes and goes many times", patterntest.Bounded,
		"server had * goroutines at 3.4s and * at *, with the same clients"},
	{"the client does not close what it has given up", ledger{hang: leftOpen}.on, "the answer is lost", patterntest.Bounded,
		"phone had 1 connections at 400ms and 11 at 21m1.4s, with the same clients"},

	{"clients are filed by their names up to the first dot", fresh(filedBy(upToTheDot)), "three clients of six come and go", patterntest.Complete,
		"e10, accepted at 29.4s, had not reached pod.a 3m0s after all faults were over, and pod.a was told of no gap (and 87 more)"},
	{"clients are filed by their names without punctuation", fresh(filedBy(lettersOnly)), "three clients of six come and go", patterntest.Complete,
		"e10, accepted at 29.4s, had not reached pod.a 3m0s after all faults were over, and pod.a was told of no gap (and 29 more)"},
	{"clients are filed by the first 32 bytes of their names", fresh(filedBy(first32)), "three clients of six come and go", patterntest.Complete,
		"*, had not reached station-station-station-station-station-station-station-1 3m0s after all faults were over, and * was told of no gap (and * more)"},
	{"a client that goes has the others wait", ledger{farewell: takesLeave, send: unlessQuiet}.on, "three clients of six come and go", patterntest.Prompt,
		"e18 took 1.08s to reach pod, over a good network; 250ms is promised (and 6 more)"},
	{"the last of a burst waits for more", ledger{send: gathers}.on, "bursts", patterntest.Prompt,
		"e4 took 2.04s to reach phone, over a good network; 330ms is promised (and 31 more)"},
	{"there is room for 128 clients", room(128).on, "a hundred clients are sent away", patterntest.Complete,
		"*, accepted at *, had not reached phone* 3m0s after all faults were over, and phone* was told of no gap*"},
	{"clients that notice a silence come back at once", ledger{retries: atOnceAfterSilence}.on, "thirty clients notice a silence", patterntest.Gentle,
		"30 of 30 clients tried to connect within the 100ms from 47.54s on, after all had lost the server; at most 15 may"},
}
