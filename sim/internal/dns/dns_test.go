package dns

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

func query(t testing.TB, name string, kind dnsmessage.Type, edns int) []byte {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 0x1234, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	if edns > 0 {
		var h dnsmessage.ResourceHeader
		require.NoError(t, h.SetEDNS0(edns, 0, false))
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	b, err := m.Pack()
	require.NoError(t, err)
	return b
}

// What is written is read by another implementation.
func TestAnswersAreRead(t *testing.T) {
	q, ok := Read(query(t, "Web.Example.", dnsmessage.TypeALL, 1400))
	require.True(t, ok)
	require.Equal(t, Query{Name: "web.example", Type: Any, Class: 1, EDNS: true, Size: 1400, id: q.id, flags: q.flags, question: q.question}, q)
	var a Answer
	a.Size = 1232
	want := []string{
		"A 10.0.0.2", "AAAA 2001:db8::2", "CNAME a.example.", "NS ns.example", "PTR web", "MX 10 mail.example.", "SRV 1 2 3 b.example", `TXT "a b" "c"`, "TXT",
	}
	for i, text := range want {
		r, err := Parse(text, uint32(i))
		require.NoError(t, err, text)
		r.Name = "web.example"
		a.Records = append(a.Records, r)
	}
	var m dnsmessage.Message
	require.NoError(t, m.Unpack(a.Append(nil, &q)))
	require.Equal(t, dnsmessage.Header{ID: 0x1234, Response: true, RecursionDesired: true, RecursionAvailable: true}, m.Header)
	require.Equal(t, "Web.Example.", m.Questions[0].Name.String(), "in the letters of the client")
	bodies := []dnsmessage.ResourceBody{
		&dnsmessage.AResource{A: [4]byte{10, 0, 0, 2}},
		&dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: 2}},
		&dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("a.example.")},
		&dnsmessage.NSResource{NS: dnsmessage.MustNewName("ns.example.")},
		&dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("web.")},
		&dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName("mail.example.")},
		&dnsmessage.SRVResource{Priority: 1, Weight: 2, Port: 3, Target: dnsmessage.MustNewName("b.example.")},
		&dnsmessage.TXTResource{TXT: []string{"a b", "c"}},
		&dnsmessage.TXTResource{TXT: []string{""}},
	}
	require.Len(t, m.Answers, len(bodies))
	for i, r := range m.Answers {
		require.Equal(t, bodies[i], r.Body)
		require.EqualValues(t, i, r.Header.TTL)
		require.Equal(t, "Web.Example.", r.Header.Name.String(), "a pointer to the question")
	}
	require.Len(t, m.Additionals, 1)
	require.EqualValues(t, 1232, m.Additionals[0].Header.Class)
}

// A message has at most its size, and says when records are missing.
func TestAnswersAreCut(t *testing.T) {
	for _, edns := range []int{0, 1232} {
		q, _ := Read(query(t, "a.", dnsmessage.TypeA, edns))
		a := Answer{Size: 512}
		cut := 0
		for range 60 {
			b := a.Append(nil, &q)
			require.LessOrEqual(t, len(b), 512)
			var m dnsmessage.Message
			require.NoError(t, m.Unpack(b))
			require.Equal(t, len(m.Answers) < len(a.Records), m.Truncated)
			require.Equal(t, edns > 0, len(m.Additionals) == 1)
			if m.Truncated {
				cut++
			}
			r, err := Parse("A 10.0.0.2", 0)
			require.NoError(t, err)
			r.Name = "a"
			a.Records = append(a.Records, r)
		}
		// 512 bytes less the header (12), the question (7) and with EDNS the OPT record (11) take 30 records of 16 bytes.
		require.Equal(t, 60-31, cut)
	}
}

// An answer may be kept for its least TTL, what does not exist for as long as the SOA record says.
func TestTTL(t *testing.T) {
	q, _ := Read(query(t, "a.", dnsmessage.TypeA, 1232))
	record := func(text string) Record {
		r, err := Parse(text, 60)
		require.NoError(t, err)
		r.Name = "a"
		return r
	}
	soa := func(ttl, least uint32) []Record {
		data := append(AppendName(AppendName(nil, "ns"), "hostmaster.ns"), make([]byte, 16)...)
		return []Record{{Name: "example", Type: SOA, TTL: ttl, Data: binary.BigEndian.AppendUint32(data, least)}}
	}
	for name, row := range map[string]struct {
		answer Answer
		want   uint32
	}{
		"the least":           {Answer{Records: []Record{record("300 A 10.0.0.1"), record("20 A 10.0.0.2")}}, 20},
		"of an alias as well": {Answer{Records: []Record{record("5 CNAME b"), record("20 A 10.0.0.2")}}, 5},
		"none":                {Answer{Records: []Record{record("0 A 10.0.0.1")}}, 0},
		"no such name":        {Answer{Code: NXDomain, Authority: soa(60, 10)}, 10},
		"that of the SOA":     {Answer{Code: NXDomain, Authority: soa(7, 10)}, 7},
		"no such record":      {Answer{Authority: soa(60, 10)}, 10},
		"an alias to nowhere": {Answer{Code: NXDomain, Records: []Record{record("5 CNAME b")}, Authority: soa(60, 10)}, 5},
		"without a SOA":       {Answer{Code: NXDomain}, 0},
		"SERVFAIL":            {Answer{Code: ServFail, Authority: soa(60, 10)}, 0},
		"truncated":           {Answer{Records: []Record{record("300 A 10.0.0.1")}, Truncated: true}, 0},
	} {
		row.answer.Size = 1232
		b := row.answer.Append(nil, &q)
		require.Equal(t, row.want, TTL(b), name)
		for i := range b {
			TTL(b[:i]) // must not panic
		}
	}
}

// Malformed queries are answered with FORMERR, others with the code that real servers have for them.
func TestOddQueries(t *testing.T) {
	good := query(t, "a.example.", dnsmessage.TypeA, 0)
	edns := query(t, "a.example.", dnsmessage.TypeA, 1232)
	change := func(b []byte, at int, v ...byte) []byte {
		b = append([]byte(nil), b...)
		copy(b[at:], v)
		return b
	}
	for name, row := range map[string]struct {
		message []byte
		code    dnsmessage.RCode
		none    bool
	}{
		"a good one":            {message: good, code: dnsmessage.RCodeSuccess},
		"nothing":               {none: true},
		"half a header":         {message: good[:11], none: true},
		"an answer":             {message: change(good, 2, 0x80), none: true},
		"an update":             {message: change(good, 2, 5<<3), code: dnsmessage.RCodeNotImplemented},
		"no question":           {message: change(good, 5, 0), code: dnsmessage.RCodeFormatError},
		"two questions":         {message: change(good, 5, 2), code: dnsmessage.RCodeFormatError},
		"an answer inside":      {message: change(good, 7, 1), code: dnsmessage.RCodeFormatError},
		"the name is cut":       {message: good[:16], code: dnsmessage.RCodeFormatError},
		"the type is cut":       {message: good[:len(good)-3], code: dnsmessage.RCodeFormatError},
		"a pointer":             {message: change(good, 12, 0xc0, 12), code: dnsmessage.RCodeFormatError},
		"a long label":          {message: change(good, 12, 64), code: dnsmessage.RCodeFormatError},
		"a record is missing":   {message: change(good, 11, 1), code: dnsmessage.RCodeFormatError},
		"two OPT records":       {message: append(change(edns, 11, 2), edns[len(edns)-11:]...), code: dnsmessage.RCodeFormatError},
		"OPT is not the root's": {message: append(change(good, 11, 1), append([]byte{1, 'x'}, edns[len(edns)-11:]...)...), code: dnsmessage.RCodeFormatError},
		"OPT is too long":       {message: change(edns, len(edns)-1, 1), code: dnsmessage.RCodeFormatError},
		"EDNS of version 1":     {message: change(edns, len(edns)-5, 1), code: 16},
		"what follows it":       {message: append(change(good, 0), 1, 2, 3), code: dnsmessage.RCodeSuccess},
	} {
		q, ok := Read(row.message)
		require.Equal(t, row.none, !ok, name)
		if !ok {
			continue
		}
		var p dnsmessage.Parser
		h, err := p.Start(Answer{Code: q.Code, Size: 512}.Append(nil, &q))
		require.NoError(t, err, name)
		require.EqualValues(t, 0x1234, h.ID)
		require.True(t, h.Response)
		require.NoError(t, p.SkipAllQuestions(), name)
		require.NoError(t, p.SkipAllAnswers())
		require.NoError(t, p.SkipAllAuthorities())
		code := h.RCode
		if r, err := p.AdditionalHeader(); err == nil {
			code = r.ExtendedRCode(code)
		}
		require.Equal(t, row.code, code, name)
	}
}

// Whatever comes, the answer is a message, and names are not mixed up.
func TestRandomQueries(t *testing.T) {
	draws := rand.New(rand.NewPCG(1, 2))
	good := query(t, "a.b.example.", dnsmessage.TypeA, 1232)
	for range 20_000 {
		b := append([]byte(nil), good[:12+draws.IntN(len(good)-11)]...)
		for range draws.IntN(4) {
			b[draws.IntN(len(b))] = byte(draws.Uint32())
		}
		q, ok := Read(b)
		if !ok {
			continue
		}
		answer := Answer{Code: q.Code, Size: 512}.Append(nil, &q)
		var m dnsmessage.Message
		if err := m.Unpack(answer); err != nil {
			require.Fail(t, "not a message", "%v: to %x: %x", err, b, answer)
		}
	}
}

func TestNamesAreNotMixedUp(t *testing.T) {
	b := append(query(t, "x.", dnsmessage.TypeA, 0)[:12], 3, 'a', '.', 'b', 2, 'C', 0, 0, 0, 1, 0, 1)
	q, ok := Read(b)
	require.True(t, ok)
	require.Equal(t, `a\.b.c\000`, q.Name)
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"", "300", "A", "A ::1", "A 10.0.0.1 10.0.0.2", "AAAA 10.0.0.1", "AAAA fe80::1%eth0", "MX mail", "MX 70000 mail", "SRV 1 2 www", "CNAME", "CNAME a b",
		"CNAME a..b", "NS " + strings.Repeat("x", 64), `TXT "open`, `TXT "a" b`, "2147483648 A 10.0.0.1", "SOA x", "TXT " + strings.Repeat("x", 1<<15),
	} {
		_, err := Parse(text, 0)
		require.Error(t, err, text)
	}
	r, err := Parse("2147483647 cname Web.", 5)
	require.NoError(t, err)
	require.Equal(t, Record{Type: CNAME, TTL: MaxTTL, Data: []byte("\x03Web\x00"), Target: "web"}, r)
}
