package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sync"

	"coldstream/blob"
)

// ErrDead is what a dead process gets from every operation: its code has to return.
var ErrDead = errors.New("this process is dead")

// ErrNoAnswer says that an operation may have happened or not.
var ErrNoAnswer = fmt.Errorf("no answer: %w", blob.ErrTemporary)

// The names of what the scheduler counts itself.
const (
	CountLostAnswer = "lost answer"
	CountLateEffect = "late effect of a dead process"
	CountLateAnswer = "late effect of an operation that was answered with an error"
	CountMisread    = "other bytes read than are stored"
)

// Proc is one process: what it asks of the store waits until the scheduler lets it go.
type Proc struct {
	Name string

	asking  sync.Mutex // held while an operation waits or happens
	sched   *Scheduler
	role    *Role
	body    Resumer
	pending *Op
	last    Op
	misread int
	badKey  string // that was misread last
	dead    bool
	ended   bool
}

// Resumer is how a body runs: Resume lets it go on until it waits again, and says
// whether it has ended; Wait is called by the body, and gives control back.
type Resumer interface {
	Resume() (ended bool)
	Wait()
}

func (p *Proc) resume() { p.ended = p.body.Resume() || p.ended }

// Dead says that the process was killed: what its code still computes does not count.
func (p *Proc) Dead() bool { return p.dead }

// Last is the operation that the process did last, and Pending the one it waits to do.
func (p *Proc) Last() Op { return p.last }

// Misread is how often the process was given other bytes than are stored.
func (p *Proc) Misread() int { return p.misread }

// Pending is the operation that the process waits to do, if any.
func (p *Proc) Pending() (Op, bool) {
	if p.pending == nil {
		return Op{}, false
	}
	return *p.pending, true
}

// Do waits for its turn and does one operation. After the process was killed nothing
// happens any more.
func (p *Proc) Do(op Op) (Answer, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	if p.dead {
		return Answer{}, ErrDead
	}
	p.pending = &op
	p.body.Wait()
	if p.dead {
		return Answer{}, ErrDead
	}
	p.pending = nil
	p.last = op
	return p.sched.execute(p, &op)
}

func (s *Scheduler) execute(p *Proc, op *Op) (Answer, error) {
	if !s.calm && s.config.Faults.Refused > 0 && s.Chance(s.config.Faults.Refused) {
		s.Note(func() string { return fmt.Sprintf("%s %v: refused", p.Name, *op) })
		return Answer{}, ErrNoAnswer
	}
	if !s.calm && s.config.Faults.Late > 0 && op.Kind.changes() && s.Chance(s.config.Faults.Late) {
		s.late = append(s.late, lateOp{due: s.step + s.Between(1, maxLate), op: *op, who: p, failed: true})
		s.Note(func() string { return fmt.Sprintf("%s %v: fails, and is still on its way", p.Name, *op) })
		return Answer{}, ErrNoAnswer
	}
	answer := s.Store.do(op)
	if body, ok := answer.Body.([]byte); ok && !s.calm && s.config.Faults.Misread > 0 && s.Chance(s.misread(p, op)) {
		answer.Body = s.Spoil(body)
		p.misread, p.badKey = p.misread+1, op.Key
		s.Count(CountMisread)
		s.Note(func() string { return fmt.Sprintf("%s %v: misread", p.Name, *op) })
	}
	if answer.Err == nil && !s.calm && s.config.Faults.LostAnswer != nil && op.Kind.changes() {
		if chance := s.config.Faults.LostAnswer(op); chance > 0 && s.Chance(chance) {
			s.Count(CountLostAnswer)
			if s.config.Lost != nil {
				s.config.Lost(op)
			}
			answer.Lost, answer.Err = true, ErrNoAnswer
			if op.Kind == OpCreate && s.Store.Conditional && s.Chance(.5) {
				// The driver asked again, and now the key is taken: by itself.
				answer.Err = fs.ErrExist
			}
		}
	}
	s.Note(func() string { return fmt.Sprintf("%s %v: %v", p.Name, *op, answer) })
	return answer, answer.Err
}

// misread is how likely a read gives other bytes: what was misread is so again more likely.
func (s *Scheduler) misread(p *Proc, op *Op) float64 {
	if op.Key == p.badKey {
		return .3
	}
	return s.config.Faults.Misread
}

// Spoil gives other bytes: one bit is not as it was, or the end is missing.
func (s *Scheduler) Spoil(body []byte) []byte {
	if len(body) == 0 {
		return []byte{byte(s.Rand.IntN(256))}
	}
	if s.Chance(.3) {
		return append([]byte{}, body[:s.Rand.IntN(len(body))]...)
	}
	out := append([]byte{}, body...)
	out[s.Rand.IntN(len(out))] ^= 1 << s.Rand.IntN(8)
	return out
}

// coroutine runs a body that is written for it: it calls Wait on its own stack only.
type coroutine struct {
	next  func() (struct{}, bool)
	yield func(struct{}) bool
}

// Coroutine runs a body as a coroutine: fast, for code that starts no goroutines.
func Coroutine(body func(), _ *Proc) Resumer {
	c := &coroutine{}
	c.next, _ = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		body()
	})
	return c
}

func (c *coroutine) Resume() bool {
	_, more := c.next()
	return !more
}

func (c *coroutine) Wait() { c.yield(struct{}{}) }

// goroutine runs a body that may start goroutines of its own, as long as one of them at
// a time asks the store: the order of several would not be the seed's.
type goroutine struct {
	start   func()
	started bool
	turn    chan struct{} // to the body
	waits   chan bool     // from it: false when it has ended
}

// Goroutine runs a body in a goroutine that the scheduler lets go and waits for.
func Goroutine(body func(), _ *Proc) Resumer {
	g := &goroutine{turn: make(chan struct{}), waits: make(chan bool)}
	g.start = func() {
		defer func() { g.waits <- false }()
		body()
	}
	return g
}

func (g *goroutine) Resume() bool {
	if g.started {
		g.turn <- struct{}{}
	} else {
		g.started = true
		go g.start()
	}
	return !<-g.waits
}

func (g *goroutine) Wait() {
	g.waits <- true
	<-g.turn
}
