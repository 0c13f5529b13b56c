package patterntest

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// changes applies an execution to a state, and returns the next state and the answer, which
// contains it.
func (w *CallWorld) changes(e *execution, state string) (next, answer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next = e.of.question.on(state, e.of.id)
	e.end, e.effect = w.Net.Elapsed(), true
	e.answer = padded(fmt.Sprintf("answer %d to %s %s", e.nth, e.of.id, shownState(next)), e.of.id, e.of.question.Answer)
	return next, e.answer
}

// on returns the next state after a question: the entries of an object, with a space before
// each.
func (q Question) on(state, id string) string {
	switch {
	case q.Read:
		return state
	case q.Clear:
		return ""
	}
	return state + " " + id
}

func shownState(state string) string { return "[" + strings.TrimPrefix(state, " ") + "]" }

// stateIn returns the state that an answer contains.
func stateIn(answer string) (state string, ok bool) {
	_, rest, _ := strings.Cut(answer, "[")
	list, _, ok := strings.Cut(rest, "]")
	if list != "" {
		list = " " + list
	}
	return list, ok
}

// A visit is a call about an object.
type visit struct {
	x     *call
	at    time.Duration
	end   time.Duration // math.MaxInt64: it may yet take place
	known bool          // what it was told
	state string
}

// judgeState looks for an order of the calls about each object that explains their answers.
func (w *CallWorld) judgeState(f *findings) {
	if w.service.State == nil {
		return
	}
	objects := map[string][]visit{}
	var names []string
	for _, x := range w.calls {
		name := x.question.Object
		if name == "" || x.of.calls[0] != x || x.of.nobodyElse() {
			continue
		}
		if w.service.State.Own {
			name += " of " + x.by.Name
		}
		if objects[name] == nil {
			names = append(names, name)
		}
		objects[name] = append(objects[name], x.visit())
	}
	for _, name := range names {
		w.judgeObject(name, objects[name], f)
	}
}

// visit returns a call as its caller saw it. For calls with one key, it is as the first caller
// with an answer saw it.
func (x *call) visit() visit {
	t := visit{x: x, at: x.at, end: math.MaxInt64}
	for _, y := range x.of.calls {
		if state, ok := stateIn(y.Answer); y.isDone() && ok && y.end() < t.end {
			t.end, t.known, t.state = y.end(), true, state
		}
	}
	return t
}

// judgeObject finds the first answer that no order of the calls until then explains.
func (w *CallWorld) judgeObject(name string, all []visit, f *findings) {
	if linearizable, _ := inSomeOrder(all); linearizable {
		return
	}
	told := slices.DeleteFunc(slices.Clone(all), func(t visit) bool { return !t.known })
	slices.SortFunc(told, func(a, b visit) int { return cmp.Compare(a.end, b.end) })
	nth, _ := slices.BinarySearchFunc(told, false, func(t visit, _ bool) int {
		if linearizable, _ := inSomeOrder(until(all, t.end)); linearizable {
			return -1
		}
		return 0
	})
	t := told[min(nth, len(told)-1)]
	text := fmt.Sprintf("%s was told at %v of %s that %s is %s, which no order of the calls until then explains",
		t.x.by.Name, t.end.Round(tie), t.x.of.id, name, shownState(t.state))
	if file := w.draw(name, until(all, t.end)); file != "" {
		text += "; " + file + " shows them"
	}
	f.addAt(t.end, Linearizable, t.x.by.Name, "%s", text)
}

// until returns the visits that had begun at a time, with the answers known by
// then.
func until(all []visit, at time.Duration) (some []visit) {
	for _, t := range all {
		if t.end > at {
			t.end, t.known, t.state = math.MaxInt64, false, ""
		}
		if t.at <= at {
			some = append(some, t)
		}
	}
	return some
}

// artifacts is the environment variable that names the folder for output of failures that is too
// large for a log, as for package sim.
const artifacts = "SQUALL_ARTIFACTS"

// draw writes a picture of a history to a file, if there is a folder for it, and returns the
// file's name.
func (w *CallWorld) draw(name string, all []visit) (file string) {
	folder := os.Getenv(artifacts)
	if folder == "" || folder == "off" {
		return ""
	}
	_, info := inSomeOrder(all)
	file = filepath.Join(folder, fmt.Sprintf("linearizable-%s-%016x.html", strings.ReplaceAll(name, " ", "-"), w.Net.Trace().Hash()))
	err := os.MkdirAll(folder, 0o777)
	if err == nil {
		err = porcupine.VisualizePath(model(all), info, file)
	}
	if err != nil {
		return fmt.Sprintf("%s (%v)", file, err)
	}
	return file
}

// inSomeOrder reports whether some order of the calls explains all answers.
func inSomeOrder(all []visit) (bool, porcupine.LinearizationInfo) {
	seen := seenIn(all)
	var operations []porcupine.Operation
	var lanes []time.Duration // of the picture: when each is free
	for _, t := range all {
		// A call without an answer, whose entry nobody has seen, may come after all others.
		if !t.known && (t.x.question.Read || !t.x.question.Clear && !slices.ContainsFunc(seen, func(s string) bool { return strings.Contains(s+" ", " "+t.x.of.id+" ") })) {
			continue
		}
		lane := slices.IndexFunc(lanes, func(free time.Duration) bool { return free < t.at })
		if lane < 0 {
			lane, lanes = len(lanes), append(lanes, 0)
		}
		lanes[lane] = t.end
		operations = append(operations, porcupine.Operation{ClientId: lane, Input: t, Output: t, Call: int64(t.at), Return: int64(t.end)})
	}
	result, info := porcupine.CheckOperationsVerbose(model(all), operations, 0)
	return result == porcupine.Ok, info
}

// seenIn returns the states in the answers.
func seenIn(all []visit) (seen []string) {
	for _, t := range all {
		if t.known {
			seen = append(seen, t.state)
		}
	}
	return seen
}

// model is the model of an object: a list of entries.
func model(all []visit) porcupine.Model {
	seen := seenIn(all)
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			t := input.(visit)
			next := t.x.question.on(state.(string), t.x.of.id)
			if t.known {
				return next == t.state, next
			}
			// A call without an answer led to a state that somebody saw, or to a prefix of one. Otherwise it can be taken to come last.
			return t.x.question.Clear || slices.ContainsFunc(seen, func(s string) bool { return strings.HasPrefix(s+" ", next+" ") }), next
		},
		DescribeOperation: func(input, _ any) string {
			t := input.(visit)
			what := "add " + t.x.of.id
			if t.x.question.Read {
				what = "read"
			} else if t.x.question.Clear {
				what = "clear"
			}
			if !t.known {
				return what + ": not told"
			}
			return what + ": " + shownState(t.state)
		},
		DescribeState: func(state any) string { return shownState(state.(string)) },
	}
}
