package sim

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/squall-sim/squall/sim/internal/exact"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// With SQUALL_CHECK=1 in exact mode both runs of a test record what their schedulers decide. Two runs may
// have the same trace though their goroutines ran in different orders, perhaps only while the machine is
// busy, so that no third run would show where.

const mostDecisions = 1 << 20 // of a run; 8 MB

// decisions are those of the running bubble: there is only one at a time.
var decisions []uint64

// noteDecisions makes the caller's bubble record its decisions, if its run is going to be compared.
func (r *runner) noteDecisions() {
	if r.check != checkAll && (!recordsRuns || recording == schedulesValue) {
		return
	}
	if decisions == nil {
		decisions = make([]uint64, mostDecisions)
	}
	exact.Note(decisions)
	r.notes = true
}

// scheduled returns how the caller's bubble was scheduled, and its decisions if they were recorded.
func (r *runner) scheduled() (s exact.Schedule, noted []uint64) {
	s = exact.Now()
	if r.notes {
		noted = slices.Clone(decisions[:min(mostDecisions, s.Turns+s.Points)])
	}
	return s, noted
}

// packed returns decisions as text without spaces; unpacked reverses it.
func packed(all []uint64) string {
	if len(all) == 0 {
		return "" // as of every run in plain mode
	}
	var b bytes.Buffer
	to := base64.NewEncoder(base64.RawStdEncoding, &b)
	w, err := flate.NewWriter(to, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is one
	}
	binary.Write(w, binary.LittleEndian, all) // to memory
	w.Close()
	to.Close()
	return b.String()
}

func unpacked(text string) ([]uint64, error) {
	if text == "" {
		return nil, nil
	}
	from := flate.NewReader(base64.NewDecoder(base64.RawStdEncoding, strings.NewReader(text)))
	raw, err := io.ReadAll(from)
	if err != nil {
		return nil, err
	}
	all := make([]uint64, len(raw)/8)
	_, err = binary.Decode(raw, binary.LittleEndian, all)
	return all, err
}

// otherOrder describes where a second run's decisions depart from those of the first.
func otherOrder(first []uint64, second string) string {
	other, err := unpacked(second)
	if err != nil {
		return fmt.Sprintf("The second run's decisions are unknown: %v", err)
	}
	at := 0
	for at < len(first) && at < len(other) && first[at] == other[at] {
		at++
	}
	if at == len(first) && at == len(other) {
		return fmt.Sprintf("Their first %d decisions are the same.", at)
	}
	const shown = 5
	text := fmt.Sprintf("Decision number %d is the first that differs:\n  first:  %s\n  second: %s", at+1, decisionAt(first, at), decisionAt(other, at))
	for i := at - 1; i >= max(0, at-shown); i-- {
		text += "\n  before: " + decisionAt(first, i)
	}
	return text
}

// decisionAt describes a decision, as runtime.squallNote recorded it.
func decisionAt(all []uint64, i int) string {
	if i >= len(all) {
		return "none: the test had ended"
	}
	const point = 1 << 63
	what, others := all[i]&(1<<48-1), all[i]>>48&(1<<15-1)
	if all[i]&point == 0 {
		return fmt.Sprintf("goroutine %d of the test ran next; %d more were ready", what, others)
	}
	calls := runtime.CallersFrames([]uintptr{exact.Beginning() + uintptr(what)})
	for more := true; more; {
		var f runtime.Frame
		f, more = calls.Next()
		if at := (stacks.Frame{Function: f.Function, Where: fmt.Sprintf("%s:%d", f.File, f.Line)}); !at.Standard() {
			return fmt.Sprintf("a goroutine passed %s (%s), where it can be preempted; %d more were ready", at.Where, at.Short(), others)
		}
	}
	return fmt.Sprintf("a goroutine passed a place where it can be preempted; %d more were ready", others)
}
