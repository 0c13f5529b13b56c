package patterntest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// A clerk is a service that takes jobs, which it has on its disk, and whose clients come back for the result. Its fields
// break it.
type clerk struct {
	claims    func(s *patterntest.Service)
	inMemory  bool          // jobs are not on the disk
	late      time.Duration // after which a result is on the disk
	lease     time.Duration // after which a job is given to another worker, too; 0: never
	readOnce  bool          // a result that was read is gone
	impatient bool          // the client gives up at the first failure
	inStep    bool          // the client's delays are not drawn
	numbered  bool          // a job's ID is the server's: its number in this life
}

// on is the clerk as a service.
func (c clerk) on(n *sim.Network) patterntest.Service {
	s := patterntest.Service{
		Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
			d := &jobs{clerk: c, app: app, file: filepath.Join(app.Folder, "jobs"), all: map[string]*job{}}
			d.load()
			return patterntest.ServeHTTP(ctx, h, d)
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			p := &principal{clerk: c, http: h.HTTPClient(), url: "http://" + servers[0] + "/jobs/", draw: n.Rand("clerk " + h.Name() + n.Elapsed().String()).Uint64N}
			p.life = p.draw(1 << 63)
			context.AfterFunc(ctx, p.http.CloseIdleConnections)
			return p.ask
		},
		Bound:   600 * time.Millisecond, // it comes each 300 ms
		Keys:    &patterntest.Keys{Durable: !c.inMemory},
		Durable: true,
	}
	if c.claims != nil {
		c.claims(&s)
	}
	return s
}

// jobs is a server's life.
type jobs struct {
	clerk clerk
	app   *patterntest.App
	file  string

	mu  sync.Mutex
	all map[string]*job
}

type job struct{ Data, Answer string }

type jobLine struct {
	ID string
	job
}

// load reads the jobs of an earlier life, and goes on with those that have no result.
func (d *jobs) load() {
	text, err := os.ReadFile(d.file)
	for in := json.NewDecoder(bytes.NewReader(text)); err == nil; {
		var l jobLine
		if err = in.Decode(&l); err == nil {
			d.all[l.ID] = &l.job
		}
	}
	for id, j := range d.all {
		if j.Answer == "" {
			go d.work(id, j)
		}
	}
}

// store appends a job to the file, in which the last line of a job counts. It is locked.
func (d *jobs) store(id string, j *job) {
	if d.clerk.inMemory {
		return
	}
	f, err := os.OpenFile(d.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return
	}
	defer f.Close()
	json.NewEncoder(f).Encode(jobLine{id, *j})
}

// work does a job.
func (d *jobs) work(id string, j *job) {
	if d.clerk.lease > 0 {
		time.AfterFunc(d.clerk.lease, func() {
			d.mu.Lock()
			done := j.Answer != ""
			d.mu.Unlock()
			if !done {
				d.app.Do(context.Background(), j.Data)
			}
		})
	}
	answer, err := d.app.Do(context.Background(), j.Data)
	if err != nil {
		return // the process has ended
	}
	if d.clerk.late > 0 {
		time.Sleep(d.clerk.late)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	j.Answer = answer
	d.store(id, j)
}

// ServeHTTP takes a job, or says how it stands.
func (d *jobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(r.URL.Path, "/jobs/")
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	j := d.all[id]
	switch {
	case r.Method == http.MethodPut && j == nil:
		if d.clerk.numbered {
			id = fmt.Sprint(len(d.all) + 1)
		}
		j = &job{Data: string(data)}
		d.all[id] = j
		d.store(id, j)
		go d.work(id, j)
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, id)
	case r.Method == http.MethodPut && j.Data != string(data):
		w.WriteHeader(http.StatusUnprocessableEntity)
	case j == nil:
		w.WriteHeader(http.StatusNotFound)
	case j.Answer == "":
		w.WriteHeader(http.StatusAccepted)
	default:
		if d.clerk.readOnce {
			delete(d.all, id)
		}
		io.WriteString(w, j.Answer)
	}
}

// principal is a client's life.
type principal struct {
	clerk clerk
	http  *http.Client
	url   string
	life  uint64
	nth   atomic.Int64

	mu   sync.Mutex
	draw func(uint64) uint64
}

// ask submits a job, under an ID of its own, until it is accepted, and comes back until it is done.
func (p *principal) ask(ctx context.Context, r patterntest.Request) (string, error) {
	id := r.Key
	if id == "" {
		id = fmt.Sprintf("%x-%d", p.life, p.nth.Add(1))
	}
	method, data, sent := http.MethodPut, r.Data, false
	for wait := 300 * time.Millisecond; ; {
		status, answer, err := p.send(ctx, method, id, data)
		sent = sent || err == nil || !strings.Contains(err.Error(), "dial")
		switch {
		case err == nil && status == http.StatusOK:
			return answer, nil
		case err == nil && status == http.StatusUnprocessableEntity:
			return "", fmt.Errorf("%w: %d", patterntest.ErrNotExecuted, status)
		case err == nil && status == http.StatusAccepted:
			if method == http.MethodPut && answer != "" {
				id = answer
			}
			method, data, wait = http.MethodGet, "", 300*time.Millisecond
		case p.clerk.impatient:
			return "", errors.Join(err, errors.New(fmt.Sprint(status)))
		default:
			wait = min(2*wait, 5*time.Second)
		}
		pause := wait
		if wait > 300*time.Millisecond && !p.clerk.inStep {
			pause = wait/2 + p.upTo(wait)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			if !sent {
				return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, ctx.Err())
			}
			return "", ctx.Err()
		}
	}
}

// upTo draws up to a delay.
func (p *principal) upTo(d time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(p.draw(uint64(d)))
}

// send sends one request, which may take 5 s.
func (p *principal) send(ctx context.Context, method, id, data string) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url+id, io.NopCloser(body(data)))
	if err != nil {
		return 0, "", err
	}
	req.ContentLength = int64(len(data))
	if data == "" {
		req.Body = nil
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}
