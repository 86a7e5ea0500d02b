package epochs

import (
	"fmt"
	"strconv"

	"coldstream/internal/sim"
)

// model is one schedule's world.
type model struct {
	sched *sim.Scheduler
	store *sim.Store
	left  RuleSet
	judge *judge

	log    [streams]struct{ start, next int }
	clock  int
	config int
}

func (m *model) keeps(r Rule) bool { return !m.left.Has(r) }

func (m *model) count(s State) { m.sched.Count(s.String()) }

// The layout. Numbers have a fixed width, so that the order of keys is theirs.
const (
	epochsPrefix   = "epochs/"
	packsPrefix    = "packs/"
	tablesPrefix   = "tables/"
	sectionsPrefix = "sections/"
	commitsPrefix  = "commits/"
	holdsPrefix    = "restores/"
)

func number(n int) string {
	s := strconv.Itoa(n)
	return "0000"[min(4, len(s)):] + s
}

func begunKey(epoch int) string      { return epochsPrefix + number(epoch) + "/begun" }
func baseKey(epoch int) string       { return epochsPrefix + number(epoch) + "/base" }
func commitsOf(epoch int) string     { return commitsPrefix + number(epoch) + "/" }
func isBegun(key string) (int, bool) { return epochOf(key), key[len(key)-1] == 'n' }

// epochOf reads the number behind the first folder.
func epochOf(key string) int {
	for i := range len(key) {
		if key[i] == '/' {
			n := 0
			for _, digit := range []byte(key[i+1 : i+5]) {
				n = n*10 + int(digit-'0')
			}
			return n
		}
	}
	return 0
}

// client is a process's way to the store. Once the process is dead every call ends it.
type client struct {
	*model
	proc *sim.Proc
}

// gone unwinds the code of a dead process.
type gone struct{}

// role makes processes of a function.
func (m *model) role(name string, run func(c *client)) *sim.Role {
	return &sim.Role{Name: name, Start: sim.Coroutine, Body: func(p *sim.Proc) {
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(gone); !ok {
					panic(r)
				}
			}
		}()
		run(&client{m, p})
	}}
}

func (c *client) do(op sim.Op) (sim.Answer, error) {
	answer, err := c.proc.Do(op)
	if c.proc.Dead() {
		panic(gone{})
	}
	return answer, err
}

// violated ends the schedule, and this process.
func (c *client) violated(what string) {
	c.sched.Fail(violation(c.proc.Name + ": " + what))
	panic(gone{})
}

type violation string

func (v violation) Error() string { return string(v) }

func (c *client) idle() { _, _ = c.do(sim.Op{Kind: sim.OpIdle}) }

func (c *client) create(key string, body any) error {
	_, err := c.do(sim.Op{Kind: sim.OpCreate, Key: key, Body: body})
	return err
}

// put makes an object under a key that nobody else uses, or that says what is in it: it
// does not matter if it is there.
func (c *client) put(key string, body any) { _ = c.create(key, body) }

func (c *client) remove(key string) { _, _ = c.do(sim.Op{Kind: sim.OpDelete, Key: key}) }

func (c *client) read(key string) (any, bool) {
	answer, err := c.do(sim.Op{Kind: sim.OpRead, Key: key})
	return answer.Body, err == nil
}

func (c *client) has(key string) bool {
	_, ok := c.read(key)
	return ok
}

func (c *client) list(prefix string) []sim.Object {
	answer, _ := c.do(sim.Op{Kind: sim.OpList, Key: prefix})
	return answer.Objects
}

// newest is the newest begun epoch.
func (c *client) newest() int {
	newest := 0
	for _, o := range c.list(epochsPrefix) {
		if epoch, begun := isBegun(o.Key); begun {
			newest = max(newest, epoch)
		}
	}
	return newest
}

// isNewest is the look: nothing newer than this epoch has begun.
func (c *client) isNewest(epoch int) bool {
	answer, _ := c.do(sim.Op{Kind: sim.OpList, Key: epochsPrefix, After: begunKey(epoch), Limit: 1})
	return len(answer.Objects) == 0
}

func (c *client) base(epoch int) *base {
	body, ok := c.read(baseKey(epoch))
	if !ok {
		return nil
	}
	return body.(*base)
}

// tablesThere reads the tables that a base names.
func (c *client) tablesThere(b *base) bool {
	for _, t := range b.tables {
		if t.key != "" && !c.has(t.key) {
			return false
		}
	}
	return true
}

// commits lists an epoch's commits in pages, and reads each. It is false if one vanished.
func (c *client) commits(epoch int) ([]*commit, bool) {
	op := sim.Op{Kind: sim.OpList, Key: commitsOf(epoch)}
	if c.keeps(Pages) {
		op.Limit = 2
	}
	var out []*commit
	for {
		answer, _ := c.do(op)
		for _, o := range answer.Objects {
			body, ok := c.read(o.Key)
			if !ok {
				return nil, false
			}
			out = append(out, body.(*commit))
		}
		if op.Limit == 0 || len(answer.Objects) < op.Limit {
			return out, true
		}
		op.After = answer.Objects[len(answer.Objects)-1].Key
	}
}

func (c *client) packKey(epoch, n int) object {
	return object{epoch, fmt.Sprintf("%s%s/%s/%d", packsPrefix, number(epoch), c.proc.Name, n)}
}
