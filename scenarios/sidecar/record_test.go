package sidecar_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A record is what both ends of a system saw of each other over HTTP, without times. It is a systems.Tap.
type record struct {
	now     func() time.Duration
	mu      sync.Mutex
	askers  map[string]*asker    // by their hosts' names
	arrived map[string][]arrival // what servers were given, in its order
	lives   int                  // of the server
}

// An arrival is that of a request at a server's handler.
type arrival struct {
	at time.Duration
	id string
}

// An asker is a host from which requests come.
type asker struct {
	asked []*exchange
	conns map[string]int // by their local addresses, in the order of first use
	told  []string       // what came of it all
}

// An exchange is a request and its answer, as both ends saw it.
type exchange struct {
	id       string
	on       []int // its connections, at the client: several if the transport has sent it again
	question message
	answers  []string // before the last
	answer   message
	failed   string     // why there is no answer
	served   []*service // nil: it did not arrive
}

// A service is what a server saw of an exchange.
type service struct {
	question, answer message
	early            []string // answers before the last
	end              string   // of the handler
}

// A message is a question or an answer.
type message struct {
	first   string      // line, without a version
	length  int64       // as it was told; -1: it was not
	fields  http.Header // nil: there is no message
	body    bytes.Buffer
	end     string // of the body
	trailer string
	frames  bool // the body is a WebSocket's
}

func newRecord(now func() time.Duration) *record {
	return &record{now: now, askers: map[string]*asker{}, arrived: map[string][]arrival{}}
}

func (r *record) asker(name string) *asker {
	if r.askers[name] == nil {
		r.askers[name] = &asker{conns: map[string]int{}}
	}
	return r.askers[name]
}

// tells returns how is noted what became of something that begins now.
func (r *record) tells(name string) func(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.asker(name)
	place := len(a.told)
	a.told = append(a.told, "")
	return func(format string, args ...any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		a.told[place] = fmt.Sprintf(format, args...)
	}
}

// exchangeHeader is how a server's part of an exchange is found: it is passed on as any other field.
const exchangeHeader = "Exchange"

// Client implements systems.Tap.
func (r *record) Client(h *sim.Host, next http.RoundTripper) http.RoundTripper {
	return recorder{r, h.Name(), next}
}

type recorder struct {
	record *record
	name   string
	next   http.RoundTripper
}

func (c recorder) CloseIdleConnections() { (&http.Client{Transport: c.next}).CloseIdleConnections() }

func (c recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r := c.record
	r.mu.Lock()
	a := r.asker(c.name)
	x := &exchange{id: fmt.Sprint(c.name, " ", len(a.asked)+1)}
	a.asked = append(a.asked, x)
	x.question.first = fmt.Sprintln(req.Method, req.URL.RequestURI(), cmp.Or(req.Host, req.URL.Host))
	x.question.length, x.question.fields = req.ContentLength, fieldsOf(req.Header)
	r.mu.Unlock()

	sent := req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { r.got(a, x, i.Conn.LocalAddr().String()) },
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			x.answers = append(x.answers, fmt.Sprintln(code)+text(fieldsOf(http.Header(header))))
			return nil
		},
	}))
	sent.Header = req.Header.Clone()
	if sent.Header == nil {
		sent.Header = http.Header{}
	}
	sent.Header.Set(exchangeHeader, x.id)
	if req.Body != nil && req.Body != http.NoBody {
		sent.Body = r.body(req.Body, &x.question, func() http.Header { return req.Trailer })
	}
	if req.GetBody != nil {
		sent.GetBody = func() (io.ReadCloser, error) {
			again, err := req.GetBody()
			r.mu.Lock()
			x.question.body.Reset()
			r.mu.Unlock()
			return r.body(again, &x.question, func() http.Header { return req.Trailer }), err
		}
	}
	resp, err := c.next.RoundTrip(sent)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		x.failed = err.Error()
		return nil, err
	}
	resp.Request = req
	x.answer.first, x.answer.length, x.answer.fields = fmt.Sprintln(resp.StatusCode), resp.ContentLength, fieldsOf(resp.Header)
	if conn, ok := resp.Body.(io.ReadWriteCloser); ok {
		x.question.frames, x.answer.frames = true, true
		resp.Body = &recordedConn{ReadWriteCloser: conn, record: r, in: &x.answer, out: &x.question}
	} else {
		resp.Body = r.body(resp.Body, &x.answer, func() http.Header { return resp.Trailer })
	}
	return resp, nil
}

// got notes on which of its connections a client sends a request.
func (r *record) got(a *asker, x *exchange, local string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.conns[local] == 0 {
		a.conns[local] = len(a.conns) + 1
	}
	x.on = append(x.on, a.conns[local])
}

// Server implements systems.Tap.
func (r *record) Server(h *sim.Host, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s := &service{}
		s.question.first, s.question.length, s.question.fields = fmt.Sprintln(req.Method, req.RequestURI, req.Host), req.ContentLength, fieldsOf(req.Header)
		id := req.Header.Get(exchangeHeader)
		r.mu.Lock()
		name, nth := "", 0
		fmt.Sscan(id, &name, &nth)
		if a := r.asker(name); nth > 0 && nth <= len(a.asked) {
			a.asked[nth-1].served = append(a.asked[nth-1].served, s)
		} else {
			a.told = append(a.told, "a request that nobody has sent: "+s.question.String())
		}
		r.arrived[h.Name()] = append(r.arrived[h.Name()], arrival{r.now(), id})
		r.mu.Unlock()

		seen := *req
		seen.Body = r.body(req.Body, &s.question, func() http.Header { return req.Trailer })
		out := &recordedWriter{ResponseWriter: w, record: r, service: s}
		defer func() {
			p := recover()
			r.mu.Lock()
			if s.end = "returned"; p != nil {
				s.end = fmt.Sprint(p)
			}
			s.answer.trailer = text(trailerOf(w.Header()))
			r.mu.Unlock()
			if p != nil {
				panic(p)
			}
		}()
		next.ServeHTTP(out, &seen)
	})
}

// apart are fields that are not compared: what is drawn, when something was sent, and what is about one connection. Lengths are compared with bodies.
var apart = []string{exchangeHeader, "Date", "Content-Length", "Connection", "Sec-Websocket-Key", "Sec-Websocket-Accept"}

// fieldsOf returns the fields of a header that are compared.
func fieldsOf(h http.Header) http.Header {
	own := http.Header{}
	for name, values := range h {
		if !slices.Contains(apart, name) {
			own[name] = slices.Clone(values)
		}
	}
	return own
}

// trailerOf returns what of a handler's header, as it is when that has returned, is the trailer.
func trailerOf(h http.Header) http.Header {
	own := http.Header{}
	for name, values := range h {
		bare, unannounced := strings.CutPrefix(name, http.TrailerPrefix)
		if unannounced || slices.Contains(h["Trailer"], name) {
			own[bare] = values
		}
	}
	return own
}

// text returns a header in lines.
func text(h http.Header) string {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(&all, "  %s: %q\n", name, h[name])
	}
	return string(momentless([]byte(all.String())))
}

// body has what is read of a body noted in m.
func (r *record) body(from io.ReadCloser, m *message, trailer func() http.Header) io.ReadCloser {
	return &recordedBody{from, r, m, trailer}
}

type recordedBody struct {
	io.ReadCloser
	record  *record
	m       *message
	trailer func() http.Header
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.record.read(b.m, p[:n], err)
	if err == io.EOF {
		b.record.mu.Lock()
		b.m.trailer = text(fieldsOf(b.trailer()))
		b.record.mu.Unlock()
	}
	return n, err
}

// read notes what was read, or written, of a body.
func (r *record) read(m *message, p []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.body.Write(p)
	if err != nil && m.end == "" {
		m.end = err.Error()
	}
}

// A recordedConn is a connection that was upgraded.
type recordedConn struct {
	io.ReadWriteCloser
	record  *record
	in, out *message
}

func (c *recordedConn) Read(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(p)
	c.record.read(c.in, p[:n], err)
	return n, err
}

func (c *recordedConn) Write(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Write(p)
	c.record.read(c.out, p[:n], err)
	return n, err
}

// recordedWriter is where a handler's answer goes.
type recordedWriter struct {
	http.ResponseWriter
	record  *record
	service *service
}

func (w *recordedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *recordedWriter) Flush()                      { w.FlushError() }

func (w *recordedWriter) FlushError() error {
	w.begins(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *recordedWriter) WriteHeader(status int) {
	w.begins(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *recordedWriter) begins(status int) {
	w.record.mu.Lock()
	defer w.record.mu.Unlock()
	switch m := &w.service.answer; {
	case m.fields != nil:
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.service.early = append(w.service.early, fmt.Sprintln(status)+text(fieldsOf(w.Header())))
	default:
		m.first, m.length, m.fields = fmt.Sprintln(status), -1, fieldsOf(w.Header())
		if length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil {
			m.length = length
		}
	}
}

func (w *recordedWriter) Write(p []byte) (int, error) {
	w.begins(http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.record.read(&w.service.answer, p[:n], err)
	return n, err
}

func (w *recordedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	s := w.service
	s.question.frames, s.answer.frames = true, true
	ahead, _ := buf.Reader.Peek(buf.Reader.Buffered())
	c := &hijacked{conn, &recordedConn{ReadWriteCloser: conn, record: w.record, in: &s.question, out: &s.answer}}
	w.record.read(&s.question, ahead, nil)
	return c, bufio.NewReadWriter(bufio.NewReader(io.MultiReader(bytes.NewReader(ahead), c)), bufio.NewWriter(c)), nil
}

// hijacked is a server's connection that was upgraded.
type hijacked struct {
	net.Conn
	seen *recordedConn
}

func (c *hijacked) Read(p []byte) (int, error)  { return c.seen.Read(p) }
func (c *hijacked) Write(p []byte) (int, error) { return c.seen.Write(p) }

// String is all of a message, but for times.
func (m *message) String() string {
	if m.fields == nil {
		return ""
	}
	length := fmt.Sprint(m.length)
	if int(m.length) == m.body.Len() {
		length = "as it was"
	}
	return string(momentless([]byte(m.first))) + text(m.fields) + "  " + strings.Join([]string{"length " + length, m.content(), failure(m.end), m.trailer}, ", ") + "\n"
}

func (m *message) content() string {
	if m.frames {
		return unmasked(m.body.Bytes())
	}
	return shortened(m.body.Bytes())
}

var (
	addresses = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+:\d+`)
	// What a server says of its time, where systems.Operations has the time at which a client begins, and what clients of push draw.
	moment = regexp.MustCompile(`("expires":"|"now_us":|[0-9a-f]{64}-|&run=)[0-9A-Z.:-]*`)
	acks   = regexp.MustCompile(`(\{"type":"ack","offset":\d+\})+(\{"type":"ack","offset":\d+\})`)
)

// failure returns what is said of an end. Who ends a connection itself need not have heard so; and where a client is silent until its host gives up, behind a sidecar
// the connection is reset.
func failure(text string) string {
	text = addresses.ReplaceAllString(text, "ADDRESS")
	if strings.HasSuffix(text, net.ErrClosed.Error()) {
		return ""
	}
	return strings.Replace(text, syscall.ETIMEDOUT.Error(), syscall.ECONNRESET.Error(), 1)
}

func momentless(b []byte) []byte { return moment.ReplaceAll(b, []byte("$1 TIME")) }

// shortened returns a body, or of a long one the beginning and the sum of the rest, in which there are times only behind the last comma.
func shortened(b []byte) string {
	if len(b) <= 1000 {
		return fmt.Sprintf("%q", momentless(b))
	}
	end := max(bytes.LastIndexByte(b, ','), len(b)-100)
	return fmt.Sprintf("%q, %d bytes with the CRC %x, %q", momentless(b[:200]), end-200, crc32.ChecksumIEEE(b[200:end]), momentless(b[end:]))
}

// unmasked returns what is in WebSocket's frames (RFC 6455, section 5.2) without their masks, which are drawn, and without their bounds: what is to be
// sent at one instant may go in one or in several. Of acknowledgements that follow each other the last one counts.
func unmasked(b []byte) string {
	var all strings.Builder
	for len(b) >= 2 {
		head, masked, size := b[0], b[1]&0x80 != 0, uint64(b[1]&0x7f)
		rest := b[2:]
		switch {
		case size == 126 && len(rest) >= 2:
			size, rest = uint64(binary.BigEndian.Uint16(rest)), rest[2:]
		case size == 127 && len(rest) >= 8:
			size, rest = binary.BigEndian.Uint64(rest), rest[8:]
		}
		var mask [4]byte
		if masked {
			rest = rest[copy(mask[:], rest):]
		}
		if uint64(len(rest)) < size {
			break
		}
		data := slices.Clone(rest[:size])
		for i := range data {
			data[i] ^= mask[i%4]
		}
		if head&0x8 != 0 {
			fmt.Fprintf(&all, "\ncontrol %x ", head)
		}
		all.Write(data)
		b = rest[size:]
	}
	return shortened([]byte(acks.ReplaceAllString(all.String(), "$2")))
}
