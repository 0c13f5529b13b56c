package mux

import (
	"sync"
	"time"
)

// deadlines are separate because few streams have them, so that the other
// streams are smaller.
type deadlines struct {
	read, write deadline
	done        chan struct{} // of Done; nil: nobody asked
	closed      bool          // it is
}

type deadline struct {
	timer  *time.Timer
	set    int // how often: a timer of an earlier one does nothing
	passed bool
}

// SetDeadline sets both deadlines.
func (st *Stream) SetDeadline(t time.Time) error {
	st.SetReadDeadline(t)
	return st.SetWriteDeadline(t)
}

// SetReadDeadline sets when reads fail with os.ErrDeadlineExceeded. The zero
// time: never.
func (st *Stream) SetReadDeadline(t time.Time) error {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if st.limits == nil {
		st.limits = &deadlines{}
	}
	st.setDeadline(&st.limits.read, t, &st.readable)
	return nil
}

// SetWriteDeadline sets when writes fail with os.ErrDeadlineExceeded. The zero
// time: never.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if st.limits == nil {
		st.limits = &deadlines{}
	}
	st.setDeadline(&st.limits.write, t, &st.writable)
	return nil
}

func (st *Stream) setDeadline(d *deadline, t time.Time, wake *sync.Cond) {
	d.stop()
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		wake.Broadcast()
		st.interrupt(wake)
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		st.s.mu.Lock()
		defer st.s.mu.Unlock()
		if d.set == set {
			d.passed = true
			wake.Broadcast()
			st.interrupt(wake)
		}
	})
}

func (d *deadline) stop() {
	d.set++
	d.passed = false
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (d *deadlines) stop() {
	if d != nil {
		d.read.stop()
		d.write.stop()
	}
}
