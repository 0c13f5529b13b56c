package sim

import (
	"fmt"
	"time"

	"github.com/squall-sim/squall/sim/internal/dns"
)

// A nameTrouble is what a fault does to the answers about a name, or with the empty name about all names.
type nameTrouble struct {
	fault *Fault
	name  string
	kind  nameTroubleKind
	code  NameCode
	by    time.Duration
}

type nameTroubleKind uint8

const (
	nameSilence nameTroubleKind = iota
	nameDelay
	nameTruncation
	nameFailure
	nameMisleads
	nameTroubleKinds
)

// nameTroubles are the troubles of one question, by kind; a kind without a fault has none.
type nameTroubles [nameTroubleKinds]nameTrouble

// FailNames is [NameServer.Fail] as a fault: the server answers questions about a name with a code. With the
// empty name it is for all questions. FailNames panics if code is not one of the declared constants.
func FailNames(s *NameServer, name string, code NameCode) *Fault {
	return s.failing("FailNames", name, code).enlisted()
}

func (s *NameServer) failing(function, name string, code NameCode) *Fault {
	s.must(function)
	if nameCodes[code] == "" {
		panic(fmt.Sprintf("sim: %s(%q, %v): the code must be one of the constants, NameFormatError to NameRefused", function, name, code))
	}
	return s.troubling(function, code.String(), nameTrouble{name: name, kind: nameFailure, code: code}, expression{"FailNames", []any{s, name, code}})
}

// SilenceNames is [NameServer.Silence] as a fault: questions about a name get no answer.
func SilenceNames(s *NameServer, name string) *Fault {
	return s.silent("SilenceNames", name).enlisted()
}

func (s *NameServer) silent(function, name string) *Fault {
	s.must(function)
	return s.troubling(function, "silence", nameTrouble{name: name, kind: nameSilence}, expression{"SilenceNames", []any{s, name}})
}

// DelayNames is [NameServer.Delay] as a fault: answers about a name are late. It panics unless by is
// positive.
func DelayNames(s *NameServer, name string, by time.Duration) *Fault {
	return s.late("DelayNames", name, by).enlisted()
}

func (s *NameServer) late(function, name string, by time.Duration) *Fault {
	s.must(function)
	if by <= 0 {
		panic(fmt.Sprintf("sim: %s(%q, %v): the delay must be positive", function, name, by))
	}
	return s.troubling(function, fmt.Sprintf("answers %v late", by), nameTrouble{name: name, kind: nameDelay, by: by}, expression{"DelayNames", []any{s, name, by}})
}

// TruncateNames is [NameServer.Truncate] as a fault: answers over UDP have no records, so clients ask again
// over TCP.
func TruncateNames(s *NameServer, name string) *Fault {
	return s.truncating("TruncateNames", name).enlisted()
}

func (s *NameServer) truncating(function, name string) *Fault {
	s.must(function)
	return s.troubling(function, "truncated answers", nameTrouble{name: name, kind: nameTruncation}, expression{"TruncateNames", []any{s, name}})
}

// MisleadNames makes a fault that gives a name other records for a while, in the form of [NameServerConfig]'s
// Records: old ones, wrong ones, or none, so that the name does not exist. Clients that cache answers
// ([ResolverConfig]'s Cache) keep them for their TTL. MisleadNames panics if the name is empty or a record is
// not valid.
func MisleadNames(s *NameServer, name string, records ...string) *Fault {
	const function = "MisleadNames"
	s.must(function)
	checkedName(function, name, false)
	args := []any{s, name}
	for _, r := range records {
		args = append(args, r)
	}
	parsed := s.parse(name, records)
	f := s.troubling(function, "is "+inWords(records), nameTrouble{name: name, kind: nameMisleads}, expression{function, args})
	s.mu.Lock()
	s.wrong[f] = parsed
	s.mu.Unlock()
	return f.enlisted()
}

// must panics if s is not a name server; it names the function.
func (s *NameServer) must(function string) {
	if s == nil || s.host == nil {
		panic("sim: " + function + ": the name server is nil, or was not made by Host.ServeNames")
	}
}

// troubling makes a fault of a trouble with the answers about a name.
func (s *NameServer) troubling(function, what string, t nameTrouble, made expression) *Fault {
	said := t.name
	t.name = checkedName(function, t.name, true)
	if said != "" {
		said += ": "
	}
	f := s.host.n.newFault("names: "+said+what, &s.host.node, nil, made)
	f.miss = "question"
	t.fault = f
	f.begin = func() { s.troubles = append(s.troubles, t) }
	f.end = func() { s.heal(func(u *nameTrouble) bool { return u.fault == f }) }
	return f
}

// heal ends some troubles, and returns their faults. The lock is held.
func (s *NameServer) heal(which func(t *nameTrouble) bool) (ended []*Fault) {
	var left []nameTrouble
	for _, t := range s.troubles {
		if which(&t) {
			ended = append(ended, t.fault)
		} else {
			left = append(left, t)
		}
	}
	s.troubles = left
	return ended
}

// troublesOf returns the troubles of a name. Of several of a kind it is the one for the name itself that
// began last, or else the one for all names. The lock is held.
func (s *NameServer) troublesOf(name string) (all nameTroubles) {
	for _, t := range s.troubles {
		if at := &all[t.kind]; t.name == name || t.name == "" && (at.fault == nil || at.name == "") {
			*at = t
		}
	}
	return all
}

// felt returns the kinds that show in an answer, over UDP or not.
func (t *nameTroubles) felt(udp bool) (kinds []nameTroubleKind) {
	has := func(kind nameTroubleKind) bool { return t[kind].fault != nil }
	if has(nameSilence) {
		return []nameTroubleKind{nameSilence}
	}
	if has(nameDelay) {
		kinds = append(kinds, nameDelay)
	}
	switch {
	case has(nameTruncation) && udp:
		kinds = append(kinds, nameTruncation)
	case has(nameFailure):
		kinds = append(kinds, nameFailure)
	}
	return kinds
}

// misled returns the records that a fault gives a name, if there is one.
func (s *NameServer) misled(name string) (records []dns.Record, is bool) {
	n := s.host.n
	f := get(n, func() *Fault {
		f := s.troublesOf(name)[nameMisleads].fault
		if f != nil {
			f.hit(n.now())
		}
		return f
	})
	if f == nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.wrong[f] {
		r.Name = name
		records = append(records, r)
	}
	return records, true
}
