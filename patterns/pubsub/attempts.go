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

// lossesForgiven is how many deliveries of a message may be lost on the way without counting as
// attempts. One that no connection survives is not to be sent for ever.
const lossesForgiven = 100

// maxUnheard is how many deliveries to a subscriber may be on their way for all that is known.
const maxUnheard = 2

// doubt is what is not known of the deliveries of a message to one member.
type doubt struct {
	last     *member // who was to get the last one
	unheard  int     // deliveries to last of which it is not known whether they arrived
	asked    int     // of them, are those that question is about
	question uint64  // the number of the question that last was asked; 0: none
}

// send notes one more delivery.
func (f *flight) send(to *member) {
	if f.last != to {
		f.despair()
		f.last = to
	}
	f.to = to
	f.attempts++
	f.unheard++
}

// unsend undoes send: the delivery has not left. What was said of deliveries since, or that they are missing, may have
// taken it for one that had.
func (f *flight) unsend() {
	f.attempts--
	f.unheard = max(0, f.unheard-1)
}

// counted is how many deliveries count as attempts: a message that is lost on the way was not tried, and of those that
// may be on their way still one may have been.
func (f *flight) counted() int {
	return f.attempts - min(f.lost, lossesForgiven) - max(0, f.unheard-1)
}

// spent reports whether a message has had all its attempts.
func (g *group) spent(f *flight) bool { return g.maxAttempts > 0 && f.counted() >= g.maxAttempts }

// dead returns a message that has had all its attempts, as is known by now, if there is one.
func (g *group) dead() *flight {
	for _, f := range g.flights {
		if f.to == nil && f.unheard == 0 && g.spent(f) {
			return f
		}
	}
	return nil
}

// arrived notes that all deliveries to last have.
func (f *flight) arrived() { f.unheard, f.asked, f.question = 0, 0, 0 }

// hasArrived notes that the delivery of that number has, of which last speaks, and so what it was sent before: of one
// that followed it over another connection, or not yet, it says nothing.
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

// wentMissing notes that those of which it was not known have not.
func (f *flight) wentMissing() {
	f.lost += f.unheard
	f.arrived()
}

// despair notes that nothing more will be heard from last. What a process dies of it has had in its hands without a
// word: one delivery counts.
func (f *flight) despair() {
	f.lost += max(0, f.unheard-1)
	f.arrived()
	f.last = nil
}

// ask has the member that was to get a message asked whether it has arrived, unless it has been asked and has
// not answered.
func (g *group) ask(f *flight) {
	if f.unheard > 0 && f.question == 0 && f.last.connected() {
		f.question, f.asked = f.last.questions+1, f.unheard
		f.last.curious = true
	}
}

// questions returns the members to be asked now whether what they were sent so far has arrived. Their questions are numbered.
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

// answered notes that what a member was sent before a question, and all before it, has arrived.
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

// noteLost notes which deliveries have not arrived at a member that has come back with what it holds.
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

// noteGone notes that a member will say nothing more.
func (g *group) noteGone(m *member) {
	for _, f := range g.flights {
		if f.last == m {
			f.despair()
		}
	}
}
