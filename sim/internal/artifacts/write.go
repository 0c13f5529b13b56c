package artifacts

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Names of the files in the folder. There is also a HOST.pcapng for each host that sent or received packets.
const (
	ReportFile = "report.html"
	TraceFile  = "trace.jsonl"
	StoryFile  = "story.go"
	ResultFile = "result.json"
)

// mostCaptures is the largest number of hosts that get a file of their packets: the ones with the lowest numbers among those that had
// packets.
const mostCaptures = 100

// Write writes the files into a folder, which it creates if necessary. It replaces the files of an earlier run.
func (r *Run) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := removeEarlier(dir); err != nil {
		return err
	}
	inOrder := make([]*Event, len(r.Events))
	for i := range r.Events {
		inOrder[i] = &r.Events[i]
	}
	slices.SortStableFunc(inOrder, func(a, b *Event) int { return cmp.Compare(a.At, b.At) })
	files := map[string]func(io.Writer) error{
		ReportFile: func(w io.Writer) error { return r.writePage(w, inOrder) },
		TraceFile:  r.writeTrace,
		ResultFile: r.writeResult,
	}
	if r.Story != "" {
		files[StoryFile] = func(w io.Writer) error { _, err := io.WriteString(w, r.Story); return err }
	}
	fates := r.fates()
	for host, name := range r.captures() {
		files[name] = func(w io.Writer) error { return r.writeCapture(w, host, inOrder, fates) }
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := writeFile(filepath.Join(dir, name), files[name]); err != nil {
			return err
		}
	}
	return nil
}

// removeEarlier removes the files that an earlier run may have written, possibly for other hosts.
func removeEarlier(dir string) error {
	old, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.pcapng"))
	if err != nil {
		return err
	}
	for _, name := range append(old, filepath.Join(dir, StoryFile)) {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	return cmp.Or(err, f.Close())
}

// captures returns the names of the files of packets, by the numbers of hosts.
func (r *Run) captures() map[int]string {
	has := make([]bool, len(r.Hosts))
	for i := range r.Events {
		switch e := &r.Events[i]; {
		case e.Frame == nil:
		case e.Kind == Delivered:
			has[e.To] = true
		default:
			has[e.From] = true
		}
	}
	names := map[int]string{}
	taken := map[string]bool{}
	for host, h := range r.Hosts {
		if !has[host] || h.Router || len(names) == mostCaptures {
			continue
		}
		name := FileName(h.Name)
		if taken[strings.ToLower(name)] { // some systems ignore case in the names of files
			name = fmt.Sprintf("%s-%d", name, host)
		}
		taken[strings.ToLower(name)] = true
		names[host] = name + ".pcapng"
	}
	return names
}

// fates returns what became of each packet that did not simply arrive.
func (r *Run) fates() map[int]string {
	fates := map[int]string{}
	for i := range r.Events {
		e := &r.Events[i]
		if e.Kind != Dropped && e.Kind != Held {
			continue
		}
		text := fmt.Sprintf("%s at %v: %s", e.Kind, e.At, e.Note)
		if e.Kind == Held && e.Note == "" {
			text = fmt.Sprintf("held at %v", e.At)
		}
		if before := fates[e.Packet]; before != "" {
			text = before + "; " + text
		}
		fates[e.Packet] = text
	}
	return fates
}

// FileName makes a name for a file or folder from any text. It keeps letters, digits and characters that are harmless everywhere, and
// replaces the rest. Names that would be the same after the replacement get different endings.
func FileName(text string) string {
	changed := false
	name := strings.Map(func(c rune) rune {
		if c < unicode.MaxASCII && (unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("-_.=,+@", c)) {
			return c
		}
		changed = true
		return '_'
	}, text)
	const most = 100
	if len(name) > most || strings.HasPrefix(name, ".") || name == "" {
		name, changed = "_"+name[:min(len(name), most)], true
	}
	if !changed {
		return name
	}
	sum := uint32(2166136261) // FNV-1a
	for _, b := range []byte(text) {
		sum = (sum ^ uint32(b)) * 16777619
	}
	return fmt.Sprintf("%s-%08x", name, sum)
}

// traceLine is an event as a line of JSON.
type traceLine struct {
	Number   int           `json:"n"`
	At       time.Duration `json:"at"` // ns
	Kind     Kind          `json:"kind"`
	From     string        `json:"from,omitempty"`
	To       string        `json:"to,omitempty"`
	Note     string        `json:"note,omitempty"`
	Protocol string        `json:"proto,omitempty"`
	Source   uint16        `json:"sport,omitempty"`
	Target   uint16        `json:"dport,omitempty"`
	Flags    string        `json:"flags,omitempty"`
	Seq      uint64        `json:"seq,omitempty"`
	Ack      uint64        `json:"ack,omitempty"`
	Length   int           `json:"len,omitempty"`
	Size     int           `json:"size,omitempty"`
	IPv6     bool          `json:"ipv6,omitempty"`
	Again    bool          `json:"again,omitempty"`
	Content  string        `json:"crc32c,omitempty"`
	Packet   *int          `json:"packet,omitempty"`
	Before   *int          `json:"before,omitempty"`
}

// writeTrace writes one line for the run, and one for each event.
func (r *Run) writeTrace(w io.Writer) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(r.result()); err != nil {
		return err
	}
	for i := range r.Events {
		e := &r.Events[i]
		line := traceLine{Number: e.Number, At: e.At, Kind: e.Kind, From: r.hostName(e.From), To: r.hostName(e.To), Note: e.Note,
			Protocol: e.Protocol, Source: e.SourcePort, Target: e.TargetPort, Flags: e.Flags, Seq: e.Seq, Ack: e.Ack,
			Length: e.Length, Size: e.Size, IPv6: e.IPv6, Again: e.Again}
		if e.Content != 0 {
			line.Content = fmt.Sprintf("%08x", e.Content)
		}
		if e.Kind != Noted && e.Packet >= 0 {
			line.Packet = &e.Packet
		}
		if e.Before >= 0 {
			line.Before = &e.Before
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) hostName(number int) string {
	if number < 0 {
		return ""
	}
	return r.Hosts[number].Name
}

// A Result summarises a run for programs.
type Result struct {
	Version  int           `json:"squall"` // version of this format: 1
	Test     string        `json:"test"`
	Package  string        `json:"package"`
	Seed     uint64        `json:"seed"`
	Failed   bool          `json:"failed"`
	Hash     string        `json:"trace"`
	Elapsed  time.Duration `json:"elapsed"` // ns of virtual time
	Events   int           `json:"events"`
	Sentence string        `json:"sentence,omitempty"`
	Command  string        `json:"command"`
	Faults   []FaultResult `json:"faults,omitempty"` // in the order of their beginnings
}

// A FaultResult is a period during which a fault lasted.
type FaultResult struct {
	Number int           `json:"number"` // number of the fault, as in SQUALL_FAULTS
	Name   string        `json:"name"`
	Code   string        `json:"code,omitempty"` // Go code
	Begun  time.Duration `json:"begun"`          // ns
	Over   time.Duration `json:"over"`           // ns; -1: it lasted to the end
	Part   bool          `json:"part,omitempty"` // another fault is made of it
}

func (r *Run) result() Result {
	out := Result{Version: 1, Test: r.Test, Package: r.Package, Seed: r.Seed, Failed: r.Failed, Hash: r.Hash,
		Elapsed: r.Elapsed, Events: r.Total, Sentence: r.Sentence, Command: r.Command}
	for _, f := range r.Faults {
		if !f.NeverBegan {
			out.Faults = append(out.Faults, FaultResult{f.Number, f.Name, f.Code, f.Begun, f.Over, f.Part})
		}
	}
	return out
}

func (r *Run) writeResult(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(r.result())
}
