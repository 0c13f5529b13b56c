package pubsub

// What counts as an attempt at a message is a delivery that a subscriber has had in its hands, and not each one that a
// broker has written to a connection: over a connection that is dead and not yet known to be, a broker would use up
// all attempts at a message that no worker has seen. (Amazon SQS counts each receive, and JetStream each delivery. Kafka's
// share groups take back, when a session ends, what was fetched and not handed to the application: SharePartition's
// releaseAcquiredRecords.)
//
// When AckWait is over, a broker therefore asks the subscriber whether the delivery has arrived, over the connection
// that it went over, and delivers once more meanwhile. Until there is an answer it neither delivers a third time nor gives
// the message up: it learns more when the subscriber answers, settles the message, comes back and says what it
// holds, or when its session ends.

// lossesForgiven is how many deliveries of a message can be lost in transit without counting as
// attempts. The limit ends the delivery of a message that no connection survives.
const lossesForgiven = 100

// maxUnheard is how many deliveries to a subscriber may be in transit, as far as is known.
const maxUnheard = 2

// doubt is what is unknown about the deliveries of a message to one member.
type doubt struct {
	last     *member // who was to get the last one
	unheard  int     // deliveries to last of which it is not known whether they arrived
	asked    int     // of them, are those that question is about
	question uint64  // the number of the question that last was asked; 0: none
}

// send records one more delivery.
func (f *flight) send(to *member) {
	if f.last != to {
		f.despair()
		f.last = to
	}
	f.to = to
	f.attempts++
	f.unheard++
}

// unsend undoes send: the delivery was not sent. Information about deliveries that arrived since
// then may have taken it for one that was.
func (f *flight) unsend() {
	f.attempts--
	f.unheard = max(0, f.unheard-1)
}

// counted returns how many deliveries count as attempts: a delivery lost in transit does not, and
// of those that may still be in transit one does.
func (f *flight) counted() int {
	return f.attempts - min(f.lost, lossesForgiven) - max(0, f.unheard-1)
}

// spent reports whether a message has had all its attempts.
func (g *group) spent(f *flight) bool { return g.maxAttempts > 0 && f.counted() >= g.maxAttempts }

// dead returns a message that is known to have had all its attempts, if there is one.
func (g *group) dead() *flight {
	for _, f := range g.flights {
		if f.to == nil && f.unheard == 0 && g.spent(f) {
			return f
		}
	}
	return nil
}

// arrived records that all deliveries to last have arrived.
func (f *flight) arrived() { f.unheard, f.asked, f.question = 0, 0, 0 }

// hasArrived records that the delivery with that number, to last, has arrived, and so have those
// before it. It says nothing about later deliveries over another connection, or about one that has
// not been sent yet.
func (f *flight) hasArrived(attempt int) {
	heard := f.unheard - max(0, f.attempts-attempt)
	if heard <= 0 {
		return
	}
	f.unheard -= heard
	if f.asked -= heard; f.asked <= 0 {
		f.asked, f.question = 0, 0
	}
}

// wentMissing records that the deliveries in doubt have not arrived.
func (f *flight) wentMissing() {
	f.lost += f.unheard
	f.arrived()
}

// despair records that nothing more will be heard from last. A process that dies of a message
// cannot report that it had it, so one delivery counts.
func (f *flight) despair() {
	f.lost += max(0, f.unheard-1)
	f.arrived()
	f.last = nil
}

// ask asks the member to which a message was sent whether it has arrived, unless it was asked
// already and has not answered.
func (g *group) ask(f *flight) {
	if f.unheard > 0 && f.question == 0 && f.last.connected() {
		f.question, f.asked = f.last.questions+1, f.unheard
		f.last.curious = true
	}
}

// questions returns the members to ask now whether everything sent to them has arrived, and numbers
// the questions.
func (g *group) questions() (asked []*member) {
	for _, m := range g.members {
		if m.curious {
			m.curious = false
			m.questions++
			asked = append(asked, m)
		}
	}
	return asked
}

// answered records that everything sent to a member before a question has arrived.
func (g *group) answered(m *member, question uint64) {
	for _, f := range g.flights {
		if f.last != m || f.question == 0 || f.question > min(question, m.questions) {
			continue
		}
		f.unheard -= f.asked
		f.asked, f.question = 0, 0
		if f.to == nil {
			g.ask(f)
		}
	}
}

// noteLost records which deliveries have not arrived at a member that has reconnected and reported
// what it holds.
func (g *group) noteLost(m *member, held []delivery) {
	m.curious = false
	for _, f := range g.flights {
		if f.last != m {
			continue
		}
		for _, d := range held {
			if d.Offset == f.offset {
				f.hasArrived(d.Attempt)
			}
		}
		f.wentMissing()
	}
}

// noteGone records that a member will report nothing more.
func (g *group) noteGone(m *member) {
	for _, f := range g.flights {
		if f.last == m {
			f.despair()
		}
	}
}
