package epochs

import (
	"slices"
	"strings"

	"coldstream/internal/sim"
)

// StoreKind is what a schedule runs on.
type StoreKind int

// The kinds of stores.
const (
	// Conditional stores refuse to create what is there.
	Conditional StoreKind = iota
	// Unconditional stores replace it, so that only one keeper makes bases.
	Unconditional
)

func (k StoreKind) String() string {
	return [...]string{"conditional create", "no conditional create"}[k]
}

// Schedule says which one to run.
type Schedule struct {
	Seed    uint64
	Store   StoreKind
	Without RuleSet
	Tracing bool
}

const steps = 1000

// Run runs a schedule: everybody at once, then one keeper alone. The counts say which
// states it reached, by their names; a violation is a [*sim.Failure].
func Run(schedule Schedule) (map[string]int, error) {
	m := &model{left: schedule.Without, store: sim.NewStore()}
	m.store.Conditional = schedule.Store == Conditional
	m.sched = sim.New(sim.Config{
		Seed:  schedule.Seed,
		Steps: steps,
		Faults: sim.Faults{
			Die: .005, Sleep: .015, InFlight: .3,
			LostAnswer: func(op *sim.Op) float64 {
				if strings.HasPrefix(op.Key, epochsPrefix) && op.Body != nil && op.Kind != sim.OpDelete {
					return .12
				}
				return 0
			},
		},
		Tick:    m.tick,
		Check:   func() error { m.judge.check(); return nil },
		Died:    func(p *sim.Proc) { m.judge.died(p) },
		Tracing: schedule.Tracing,
	}, m.store)
	m.judge = newJudge(m)
	m.store.Add(begunKey(0), nil)
	m.store.Add(baseKey(0), &base{})
	m.store.Changed = m.judge.changed
	for i := range m.log {
		m.log[i].next = 2
	}
	writers, keepers, readers := m.role("w", runWriter), m.role("k", keeper), m.role("r", runReader)
	roles := []*sim.Role{writers, writers, writers, keepers, keepers, readers, readers}
	if schedule.Store == Unconditional {
		roles = slices.Delete(roles, 3, 4)
	}
	for _, r := range roles {
		m.sched.Spawn(r)
	}
	err := m.sched.Run()
	m.judge.sumUp()
	if err == nil {
		err = m.quiet()
	}
	return m.sched.Counts, err
}

// tick moves the world: logs grow, log starts move, metadata changes, and sometimes
// somebody ends the holds of dead restores.
func (m *model) tick() {
	if !m.sched.Chance(.13) {
		return
	}
	log := &m.log[m.sched.Rand.IntN(streams)]
	log.next = min(maxOffset, log.next+m.sched.Between(0, 2))
	if m.sched.Chance(.25) {
		log.start = min(log.next, log.start+m.sched.Between(0, 3))
	}
	if m.sched.Chance(.2) {
		m.config = m.sched.Between(0, 2)
	}
	if m.sched.Chance(.05) {
		for _, key := range slices.Clone(m.store.Keys(holdsPrefix)) {
			name, _, _ := strings.Cut(strings.TrimPrefix(key, holdsPrefix), "-")
			if !m.sched.Alive(name) {
				m.store.Remove(key)
			}
		}
	}
}

// quiet lets one keeper turn two epochs alone; then nothing superfluous may be left.
func (m *model) quiet() error {
	for _, key := range slices.Clone(m.store.Keys(holdsPrefix)) {
		m.store.Remove(key)
	}
	clear(m.judge.holding)
	last := begunKey(m.judge.newestBegun() + 3)
	err := m.sched.RunCalm(m.role("z", keeper), func() bool {
		if !m.store.Has(last) {
			return false
		}
		m.judge.check()
		if m.keeps(Key) && m.keeps(Begun) {
			m.judge.checkGarbage()
		}
		return true
	})
	return err
}
