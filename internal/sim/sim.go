// Package sim runs processes against a model of a store in every order that a seed can
// name, and lets them die, sleep and lose answers at any operation: so a protocol, or the
// code that follows it, is tried in schedules that no real machine would show. The order
// comes from the seed alone.
package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Faults are probabilities.
type Faults struct {
	// Die and Sleep are per step of the scheduler, and hit any process.
	Die, Sleep float64
	// InFlight is how likely what a dying process had asked for takes effect later.
	InFlight float64
	// LostAnswer is how likely an operation that took effect is answered with an error.
	LostAnswer func(op *Op) float64
	// Refused is how likely an operation fails without effect.
	Refused float64
	// Late is how likely an operation is answered with an error first, and takes effect
	// after that, while its process goes on.
	Late float64
	// Misread is how likely a read gives other bytes than are stored, once.
	Misread float64
	// Doze is how likely a process falls asleep for long just before an operation.
	Doze func(op *Op) float64
}

const (
	minSleep = 30
	maxSleep = 350
	maxDoze  = 1000
	maxLate  = 200
)

// Config is what a schedule is made of.
type Config struct {
	Seed   uint64
	Steps  int
	Faults Faults
	// Tick is called before each step: the world outside moves.
	Tick func()
	// Check is called after every few steps and at the end, when no operation is half
	// done. Its error ends the schedule.
	Check func() error
	// Died is told of each process that will not run again while others do.
	Died func(p *Proc)
	// Lost is told of each operation that took effect and was answered with an error.
	Lost func(op *Op)
	// Tracing keeps the trace of all operations.
	Tracing bool
}

// Role is a kind of process. When one dies another one of its role is born.
type Role struct {
	Name string
	// Body runs as a process. It ends when its process dies: every operation fails then.
	Body func(p *Proc)
	// Start says how it runs: [Coroutine] or [Goroutine].
	Start func(body func(), p *Proc) Resumer
}

// Scheduler lets one process at a time do one operation.
type Scheduler struct {
	Rand  *rand.Rand
	Store *Store
	// Counts are what happened, by name, for those who require that it did.
	Counts map[string]int

	config  Config
	slots   []*slot
	late    []lateOp
	born    int
	step    int
	calm    bool
	landing bool
	failure error
	trace   []string
}

// slot is where processes of one role follow each other.
type slot struct {
	role   *Role
	proc   *Proc
	weight float64
	asleep int // until this step
}

// lateOp is what a dead process had asked for, or was told to have failed, still on its way.
type lateOp struct {
	due    int
	op     Op
	who    *Proc
	failed bool
}

// New makes a scheduler with no processes.
func New(config Config, store *Store) *Scheduler {
	return &Scheduler{
		Rand:   rand.New(rand.NewPCG(config.Seed, 0x5eed)),
		Store:  store,
		Counts: map[string]int{},
		config: config,
	}
}

// Failure says what was violated, in which schedule.
type Failure struct {
	Seed  uint64
	Step  int
	Cause error
	Trace []string
}

func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d, step %d: %v", f.Seed, f.Step, f.Cause)
}

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// Story is the end of the trace, one operation per line.
func (f *Failure) Story(lines int) string {
	return strings.Join(f.Trace[max(0, len(f.Trace)-lines):], "\n")
}

// Spawn adds a process of a role.
func (s *Scheduler) Spawn(role *Role) {
	// Most are slow, some are very slow: so others go far between two of their steps.
	x := s.Rand.Float64()
	sl := &slot{role: role, weight: x*x*x + .02}
	s.slots = append(s.slots, sl)
	s.birth(sl)
}

func (s *Scheduler) birth(sl *slot) {
	s.born++
	p := &Proc{Name: fmt.Sprintf("%s%02d%d", sl.role.Name, s.Rand.IntN(100), s.born), sched: s, role: sl.role}
	p.body = sl.role.Start(func() { sl.role.Body(p) }, p)
	sl.proc, sl.asleep = p, 0
}

// Run lets the processes run, then ends them all. What they had in flight lands. The
// error is a [*Failure].
func (s *Scheduler) Run() error {
	for s.step = 0; s.step < s.config.Steps && s.failure == nil; s.step++ {
		s.landLate()
		s.misfortune()
		s.config.Tick()
		sl := s.choose()
		if sl == nil {
			continue
		}
		s.advance(sl)
		if s.step%checkEvery == 0 {
			s.Fail(s.config.Check())
		}
	}
	s.Fail(s.config.Check())
	s.End()
	return s.Failed()
}

const checkEvery = 5

// RunCalm starts one more process, lets nothing befall it, and runs it alone until done
// says so or too many steps have gone by.
func (s *Scheduler) RunCalm(role *Role, done func() bool) error {
	s.calm = true
	sl := &slot{role: role}
	s.birth(sl)
	for range 20000 {
		s.advance(sl)
		if done() || s.failure != nil {
			s.kill(sl.proc)
			return s.Failed()
		}
	}
	s.kill(sl.proc)
	s.Fail(fmt.Errorf("%s does not end when it is alone", sl.proc.Name))
	return s.Failed()
}

// End kills all processes; what was in flight lands.
func (s *Scheduler) End() {
	for _, sl := range s.slots {
		s.kill(sl.proc)
	}
	s.slots = nil
	for _, l := range s.late {
		s.land(l)
	}
	s.late = nil
}

// Failed gives the [*Failure] of the schedule, if there is one.
func (s *Scheduler) Failed() error {
	if s.failure == nil {
		return nil
	}
	return &Failure{Seed: s.config.Seed, Step: s.step, Cause: s.failure, Trace: s.trace}
}

// Fail ends the schedule with a violation; the first one counts.
func (s *Scheduler) Fail(err error) {
	if s.failure == nil && err != nil {
		s.failure = err
		s.Note(func() string { return "VIOLATION: " + err.Error() })
	}
}

// Count notes that something happened.
func (s *Scheduler) Count(what string) { s.Counts[what]++ }

// Between draws from [low, high].
func (s *Scheduler) Between(low, high int) int { return low + s.Rand.IntN(high-low+1) }

// Chance is true with the probability given.
func (s *Scheduler) Chance(probability float64) bool { return s.Rand.Float64() < probability }

// InFlight says whether something may still happen that dead processes of a role have
// asked for.
func (s *Scheduler) InFlight(role string) bool {
	return slices.ContainsFunc(s.late, func(l lateOp) bool { return l.who.role.Name == role })
}

// Landing says, while a change of the store is reported, that it is one that a dead
// process had asked for.
func (s *Scheduler) Landing() bool { return s.landing }

// Alive says whether the process of that name may still run.
func (s *Scheduler) Alive(name string) bool {
	return slices.ContainsFunc(s.slots, func(sl *slot) bool { return sl.proc.Name == name && !sl.proc.dead })
}

// Note adds a line to the trace, if there is one.
func (s *Scheduler) Note(line func() string) {
	if s.config.Tracing {
		s.trace = append(s.trace, fmt.Sprintf("%4d %s", s.step, line()))
	}
}

func (s *Scheduler) choose() *slot {
	total := 0.0
	for _, sl := range s.slots {
		if s.ready(sl) {
			total += sl.weight
		}
	}
	x := s.Rand.Float64() * total
	var last *slot
	for _, sl := range s.slots {
		if !s.ready(sl) {
			continue
		}
		if last = sl; x < sl.weight {
			break
		}
		x -= sl.weight
	}
	return last
}

func (s *Scheduler) ready(sl *slot) bool { return sl.asleep <= s.step && !sl.proc.ended }

// advance lets a process do its operation and go on to the next.
func (s *Scheduler) advance(sl *slot) {
	sl.proc.resume()
	if sl.proc.ended && s.failure == nil {
		s.died(sl.proc)
		s.birth(sl)
	}
	if op := sl.proc.pending; op != nil && !s.calm && s.config.Faults.Doze != nil {
		if chance := s.config.Faults.Doze(op); chance > 0 && s.Chance(chance) {
			sl.asleep = s.step + s.Between(minSleep, maxDoze)
		}
	}
}

func (s *Scheduler) misfortune() {
	x := s.Rand.Float64()
	if x >= s.config.Faults.Die+s.config.Faults.Sleep || len(s.slots) == 0 {
		return
	}
	if x >= s.config.Faults.Die {
		sl := s.slots[s.Rand.IntN(len(s.slots))]
		sl.asleep = s.step + s.Between(minSleep, maxSleep)
		return
	}
	sl := s.victim()
	pending := sl.proc.pending
	if pending != nil && pending.Kind.changes() && s.Chance(s.config.Faults.InFlight) {
		s.late = append(s.late, lateOp{due: s.step + s.Between(1, maxLate), op: *pending, who: sl.proc})
	}
	s.Note(func() string { return sl.proc.Name + " dies" })
	s.kill(sl.proc)
	s.died(sl.proc)
	s.birth(sl)
}

// victim is anybody; every other time one who is about to change something, if there is
// one: that is when a death matters.
func (s *Scheduler) victim() *slot {
	if s.Chance(.5) {
		start := s.Rand.IntN(len(s.slots))
		for i := range s.slots {
			sl := s.slots[(start+i)%len(s.slots)]
			if sl.proc.pending != nil && sl.proc.pending.Kind.changes() {
				return sl
			}
		}
	}
	return s.slots[s.Rand.IntN(len(s.slots))]
}

func (s *Scheduler) kill(p *Proc) {
	if p.dead {
		return
	}
	p.dead = true
	if !p.ended {
		p.resume()
	}
}

func (s *Scheduler) died(p *Proc) {
	p.dead = true
	if s.config.Died != nil {
		s.config.Died(p)
	}
}

func (s *Scheduler) landLate() {
	s.late = slices.DeleteFunc(s.late, func(l lateOp) bool {
		if l.due > s.step {
			return false
		}
		s.land(l)
		return true
	})
}

func (s *Scheduler) land(l lateOp) {
	s.landing = true
	answer := s.Store.do(&l.op)
	s.landing = false
	how := "dead"
	if l.failed {
		how = "late"
		s.Count(CountLateAnswer)
	} else {
		s.Count(CountLateEffect)
	}
	s.Note(func() string { return fmt.Sprintf("%s (%s) %v: %v", l.who.Name, how, l.op, answer) })
}
