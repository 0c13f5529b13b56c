package sim_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

func TestVictimWithArtifacts(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(phone, server, netem.Config{Delay: 40 * ms})
		server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(2 * time.Second)
			log.Print("the work is done </script>")
			slog.Info("so it is")
			io.WriteString(w, "done")
		}))
		n.Inject(time.Second, time.Minute, sim.Down(link))
		resp, err := phone.HTTPClient().Get("http://server/")
		require.NoError(t, err)
		resp.Body.Close()
		if os.Getenv("SQUALL_VICTIM_PASSES") == "" {
			t.Errorf("it took %v,\nwhich is <b>too long</b>", n.Elapsed())
		}
	})
}

// Four goroutines log at the same instant.
func TestVictimThatLogs(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		done := make(chan bool)
		for i := range 4 {
			go func() {
				for range 20 {
					log.Print(i)
				}
				done <- true
			}()
		}
		for range 4 {
			<-done
		}
		t.Error("to be kept")
	})
}

// A program that logs has the same schedule whether or not its run leaves a folder, so the printed command repeats what the folder shows.
func TestArtifactsLeaveTheSchedule(t *testing.T) {
	sim.NeedExact(t)
	schedule := regexp.MustCompile(`schedule [0-9a-f]{16} of \d+ turns`)
	plain, _ := outputOf(t, "TestVictimThatLogs", "SQUALL_ARTIFACTS=")
	kept, _ := outputOf(t, "TestVictimThatLogs", "SQUALL_ARTIFACTS="+t.TempDir())
	require.Contains(t, kept, "report.html")
	require.NotEmpty(t, schedule.FindString(plain), plain)
	require.Equal(t, schedule.FindString(plain), schedule.FindString(kept))
	require.NotContains(t, kept, "in another order")
}

// leftBy runs the victim and returns its output and the folder that it leaves, or "" if it leaves none.
func leftBy(t *testing.T, env ...string) (output, folder string) {
	dir := t.TempDir()
	output, _ = outputOf(t, "TestVictimWithArtifacts", append(env, "SQUALL_ARTIFACTS="+dir)...)
	folder = filepath.Join(dir, "sim", "TestVictimWithArtifacts", "seed-1")
	if _, err := os.Stat(folder); err != nil {
		all, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, all)
		return output, ""
	}
	return output, folder
}

func TestAFailedTestLeavesAFolder(t *testing.T) {
	out, folder := leftBy(t)
	require.Contains(t, out, "To look at it: "+filepath.Join(folder, "report.html"))

	var names []string
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, f := range files {
		names = append(names, f.Name())
	}
	require.Equal(t, []string{"phone.pcapng", "report.html", "result.json", "server.pcapng", "story.go", "trace.jsonl"}, names)

	var result struct {
		Test, Sentence, Trace, Command string
		Seed                           uint64
		Failed                         bool
		Events                         int
		Elapsed                        time.Duration
	}
	text := readFile(t, folder, "result.json")
	require.NoError(t, json.Unmarshal([]byte(text), &result))
	require.Equal(t, "TestVictimWithArtifacts", result.Test)
	require.Equal(t, "it took 1m13.84s,\nwhich is <b>too long</b>", result.Sentence, "without the report of the network")
	require.True(t, result.Failed)
	require.Equal(t, uint64(1), result.Seed)
	require.Equal(t, 73840*ms, result.Elapsed, "as in the README")
	require.Contains(t, out, fmt.Sprintf("%d events, trace %s", result.Events, result.Trace))
	require.Contains(t, result.Command, "SQUALL_SEED=1 "+sim.GoTest())

	trace := strings.Split(strings.TrimSpace(readFile(t, folder, "trace.jsonl")), "\n")
	require.Len(t, trace, 1+result.Events, "a line for the run, and one for each event")
	require.Contains(t, trace[1], `"kind":"sent"`)

	story := readFile(t, folder, "story.go")
	_, err = parser.ParseFile(token.NewFileSet(), "story.go", story, 0)
	require.NoError(t, err, story)
	require.Contains(t, story, "func faults(n *sim.Network, phoneServer *sim.Link) {\n\tn.Inject(time.Second, 60*time.Second, sim.Down(phoneServer))\n}\n")
}

// The page of a failure loads nothing from elsewhere: its content security policy forbids that, and it contains no address to load from.
func TestThePageOfAFailureIsWhole(t *testing.T) {
	_, folder := leftBy(t)
	page := readFile(t, folder, "report.html")
	require.Contains(t, page, `content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"`)
	for _, outside := range []string{" src=", " href=\"h", "@import", "url(", "fetch(", "XMLHttpRequest", "{{"} {
		require.NotContains(t, page, outside)
	}
	require.Equal(t, 2, strings.Count(page, "</script>"), "that of the program's line is escaped")

	data := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindStringSubmatch(page)
	require.NotNil(t, data)
	var run struct {
		Sentence string
		Packets  struct{ At, End, Fate []int64 }
		States   struct{ At []int64 }
		Hosts    []struct{ Name string }
		Conns    []struct{ Local string }
		Faults   []struct {
			Name        string
			Begun, Over int64
			Met         int
		}
		Lines []struct {
			At   int64
			Text string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(data[1]), &run))
	require.Equal(t, "it took 1m13.84s,\nwhich is <b>too long</b>", run.Sentence)
	require.Len(t, run.Hosts, 2)
	require.Len(t, run.Conns, 2, "both ends of the connection")
	require.NotEmpty(t, run.States.At)
	require.Equal(t, int64(40e6), run.Packets.End[0], "the SYN takes the delay of the link")
	require.Equal(t, "phone - server: link down", run.Faults[0].Name)
	require.Equal(t, []int64{1e9, 61e9}, []int64{run.Faults[0].Begun, run.Faults[0].Over})
	require.Len(t, run.Lines, 2)
	require.Equal(t, int64(2120e6), run.Lines[0].At, "SYN, SYN-ACK and request take 40 ms each, the work 2 s")
	require.Contains(t, run.Lines[0].Text, "the work is done </script>")
	require.Contains(t, run.Lines[1].Text, "so it is")

	drops, fate := 0, int64(0)
	for _, d := range run.Packets.Fate { // told by differences
		if fate += d; fate == 2 {
			drops++
		}
	}
	require.Equal(t, run.Faults[0].Met, drops, "what the fault met is what is drawn as dropped")
}

func TestAPacketThatIsLostIsInItsSendersFileAlone(t *testing.T) {
	_, folder := leftBy(t)
	sent := readCapture(t, filepath.Join(folder, "server.pcapng"))
	got := readCapture(t, filepath.Join(folder, "phone.pcapng"))
	first := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	require.Equal(t, first, got[0].at, "the SYN as it was sent")
	require.Equal(t, first.Add(40*ms), sent[0].at, "and as it arrived")
	require.Equal(t, got[0].frame, sent[0].frame)

	lost := 0
	for _, p := range sent {
		if strings.Contains(p.comment, "link down") {
			lost++
			require.Contains(t, p.comment, "dropped at ")
		}
	}
	answers := func(all []captured) (k int) {
		for _, p := range all {
			if bytes.Contains(p.frame, []byte("HTTP/1.1 200 OK")) {
				k++
			}
		}
		return k
	}
	// The answer is sent at 2.12 s, as a tail loss probe at 2.4 s, then 280 ms later, and then after twice the previous wait each time:
	// at 2.4 s + 280 ms (2^k - 1). The eighth of these, at 73.8 s, is the first after 61 s.
	require.Equal(t, 9, lost)
	require.Equal(t, 10, answers(sent))
	require.Equal(t, 1, answers(got))
}

func TestWhatLeavesNoFolder(t *testing.T) {
	_, folder := leftBy(t, "SQUALL_VICTIM_PASSES=1")
	require.Empty(t, folder, "a test that passes")
	_, folder = leftBy(t, "SQUALL_VICTIM_PASSES=1", "SQUALL_CHECK=1")
	require.Empty(t, folder, "nor its second run")
	_, folder = leftBy(t, "SQUALL_VICTIM_PASSES=1", "SQUALL_ARTIFACTS_ALL=1")
	require.Contains(t, readFile(t, folder, "result.json"), `"failed": false`)
}

// Recording for the folder changes nothing that happens in the run.
func TestAFilmChangesNoTrace(t *testing.T) {
	with, _ := leftBy(t)
	without, _ := outputOf(t, "TestVictimWithArtifacts")
	hash := regexp.MustCompile(`trace [0-9a-f]{16}`)
	require.NotEmpty(t, hash.FindString(with))
	require.Equal(t, hash.FindString(without), hash.FindString(with))
}

// A run removes the files of an earlier run from its folder, but no other files.
func TestAFolderIsReplaced(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "sim", "TestVictimWithArtifacts", "seed-1")
	require.NoError(t, os.MkdirAll(folder, 0o777))
	for _, name := range []string{"other.pcapng", "notes.txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), nil, 0o666))
	}
	outputOf(t, "TestVictimWithArtifacts", "SQUALL_ARTIFACTS="+dir)
	require.NoFileExists(t, filepath.Join(folder, "other.pcapng"))
	require.FileExists(t, filepath.Join(folder, "notes.txt"), "which is somebody's own")
	require.FileExists(t, filepath.Join(folder, "phone.pcapng"))
}

func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	return string(text)
}

type captured struct {
	at      time.Time
	frame   []byte
	comment string
}

// readCapture reads a pcapng file that has one section and one interface (format: the IETF draft of pcapng).
func readCapture(t *testing.T, name string) (all []captured) {
	t.Helper()
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	r := bufio.NewReader(f)
	for k := 0; ; k++ {
		head := make([]byte, 8)
		if _, err := io.ReadFull(r, head); err == io.EOF {
			return all
		}
		require.NoError(t, err)
		kind, total := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:])
		require.Zero(t, total%4)
		body := make([]byte, total-8)
		_, err := io.ReadFull(r, body)
		require.NoError(t, err)
		require.Equal(t, total, binary.LittleEndian.Uint32(body[len(body)-4:]))
		require.Equal(t, []uint32{0x0a0d0d0a, 1, 6}[min(k, 2)], kind)
		if kind != 6 {
			continue
		}
		length := binary.LittleEndian.Uint32(body[12:])
		p := captured{frame: body[20 : 20+length]}
		ns := uint64(binary.LittleEndian.Uint32(body[4:]))<<32 | uint64(binary.LittleEndian.Uint32(body[8:]))
		p.at = time.Unix(0, int64(ns)).UTC()
		for rest := body[20+(length+3)&^3:]; binary.LittleEndian.Uint16(rest) != 0; {
			n := binary.LittleEndian.Uint16(rest[2:])
			if binary.LittleEndian.Uint16(rest) == 1 {
				p.comment = string(rest[4 : 4+n])
			}
			rest = rest[4+(n+3)&^3:]
		}
		all = append(all, p)
	}
}
