package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"coldstream"
)

// settlement finds out, by asking the cluster and changing nothing, with which configs a
// topic is restored: those of the restore, those it ends with, and the way from the one to
// the other. Brokers and policies say no to a whole request; here they are asked which
// config they mean.
type settlement struct {
	*Plan
	topic *topicPlan
}

// settle is an error where the cluster refuses what the restore cannot do without.
func (p *Plan) settle(ctx context.Context, t *topicPlan) error {
	s := &settlement{p, t}
	if t.create {
		if err := s.settleFinal(ctx); err != nil {
			return err
		}
		if err := s.settleDuring(ctx); err != nil {
			return err
		}
		return s.settleRight(ctx)
	}
	return s.settleDuring(ctx)
}

func (s *settlement) checkCreate(ctx context.Context, configs map[string]string) error {
	n := s.topic.newTopic
	n.Configs = configs
	return s.target.CheckTopic(ctx, n)
}

// settleFinal leaves out what the cluster refuses and data does not depend on.
func (s *settlement) settleFinal(ctx context.Context) error {
	t, c := s.topic, s.topic.configs
	whole := s.checkCreate(ctx, c.final)
	if whole == nil {
		return nil
	}
	if !isAnswer(ctx, whole) || len(c.final) == 0 || s.checkCreate(ctx, nil) != nil {
		return fmt.Errorf("topic %s cannot be made: %w", t.target, whole)
	}
	accepted, refused := map[string]string{}, map[string]error{}
	names := slices.Sorted(maps.Keys(c.final))
	for before := -1; before != len(accepted); { // one config may need another
		before = len(accepted)
		for _, name := range names {
			if _, ok := accepted[name]; ok {
				continue
			}
			accepted[name] = c.final[name]
			if refused[name] = s.checkCreate(ctx, accepted); refused[name] != nil {
				delete(accepted, name)
			}
		}
	}
	for _, name := range names {
		if _, ok := accepted[name]; ok {
			continue
		}
		value, err := c.final[name], refused[name]
		_, asked := c.asked[name]
		switch {
		case asked:
			return refusedAskedConfig(t.target, name, value, err)
		case slices.Contains(decides(), name):
			return &refusedConfigError{t.target, name, value, err}
		}
		c.leaveOut(name, value, err.Error())
	}
	return nil
}

// refusedConfigError is about a config that decides over data.
type refusedConfigError struct {
	topic, name, value string
	cause              error
}

func (e *refusedConfigError) Error() string {
	return fmt.Sprintf("topic %s: the cluster refuses %s=%s, which decides over its data: %v", e.topic, e.name, e.value, e.cause)
}

func (e *refusedConfigError) Unwrap() error { return e.cause }

// refusedAskedConfig is about a config that was asked for.
func refusedAskedConfig(topic, name, value string, cause error) error {
	return fmt.Errorf("topic %s: the cluster refuses config %s=%s, which was asked for: %w", topic, name, value, cause)
}

// isAnswer says that an error is the cluster's word, and not that it gave none: then nobody
// should ask on.
func isAnswer(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, coldstream.ErrGaveUp)
}

// checkDuring asks about the configs of the restore, and about the way back.
func (s *settlement) checkDuring(ctx context.Context, during map[string]string) error {
	c := s.topic.configs
	if s.topic.create {
		return s.checkCreate(ctx, c.createWith(during))
	}
	if err := s.target.CheckTopicConfigs(ctx, s.topic.target, coldstream.ConfigChange{Set: during}); err != nil {
		return err
	}
	as := *c
	as.during = during
	return s.target.CheckTopicConfigs(ctx, s.topic.target, as.putBackBut(nil))
}

// settleDuring does without those of its configs that the cluster refuses, where the topic's
// final ones do no harm for the restore's time.
func (s *settlement) settleDuring(ctx context.Context) error {
	c := s.topic.configs
	whole := s.checkDuring(ctx, c.during)
	if whole == nil || !isAnswer(ctx, whole) {
		return whole
	}
	for _, name := range slices.Sorted(maps.Keys(c.asked)) {
		if err := s.checkAsked(ctx, name, c.asked[name]); err != nil {
			return err
		}
	}
	during := maps.Clone(c.during)
	for _, name := range slices.Sorted(maps.Keys(c.during)) {
		alone := map[string]string{name: c.during[name]}
		err := s.checkDuring(ctx, alone)
		if err == nil {
			continue
		}
		if err := s.doWithout(ctx, during, name, err); err != nil {
			return err
		}
	}
	if err := s.checkDuring(ctx, during); err != nil {
		return fmt.Errorf("topic %s: the cluster refuses the configs that a restore needs: %w", s.topic.target, err)
	}
	c.during = during
	return nil
}

// checkAsked tells the refusal of a config that was asked for from that of ours.
func (s *settlement) checkAsked(ctx context.Context, name, value string) error {
	if s.topic.create {
		return nil // settleFinal asked
	}
	err := s.target.CheckTopicConfigs(ctx, s.topic.target, coldstream.ConfigChange{Set: map[string]string{name: value}})
	if err != nil {
		return refusedAskedConfig(s.topic.target, name, value, err)
	}
	return nil
}

// doWithout takes a config out of those of the restore, or finds another value.
func (s *settlement) doWithout(ctx context.Context, during map[string]string, name string, refusal error) error {
	t := s.topic
	ours := during[name]
	if s.harmless(name) {
		delete(during, name)
		s.warn("topic %s: the cluster refuses %s=%s for the time of the restore, which does without it (%v)", t.target, name, ours, refusal)
		return nil
	}
	if name == cfgRetentionMs {
		if value := s.longEnough(); s.checkDuring(ctx, map[string]string{name: value}) == nil {
			during[name] = value
			s.warn("topic %s: the cluster refuses %s=%s for the time of the restore; it is %s instead, which keeps all that is restored for a day (%v)",
				t.target, name, ours, value, refusal)
			return nil
		}
	}
	if errors.Is(refusal, coldstream.ErrDenied) {
		return fmt.Errorf("topic %s: configs cannot be changed, and a restore needs %s=%s for its time: %w", t.target, name, ours, refusal)
	}
	return fmt.Errorf("topic %s: the cluster refuses %s=%s, which a restore needs for its time so that brokers take and keep records as they are: %w",
		t.target, name, ours, refusal)
}

// restoreTime is more than a restore takes: what retention would not delete within that time
// it does not delete during the restore.
const restoreTime = 24 * time.Hour

// longEnough is a retention that keeps the oldest record for restoreTime.
func (s *settlement) longEnough() string {
	oldest := s.topic.retained().oldestMs
	return strconv.FormatInt(max(0, s.req.Now().UnixMilli()-oldest)+restoreTime.Milliseconds(), 10)
}

// harmless says whether a restore can do without changing a config: with the value that the
// topic ends with brokers take and keep all its records as they are.
func (s *settlement) harmless(name string) bool {
	t, later := s.topic, s.req.Now().Add(restoreTime)
	values := s.values(t, name)
	all := func(ok func(value string) bool) bool {
		return len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return !ok(v) })
	}
	switch name {
	case cfgCleanup:
		return all(func(v string) bool { return !coldstream.HasPolicy(v, "compact") })
	case cfgRetentionMs, cfgRetentionBytes:
		_, deletes := s.wouldDelete(t, name, t.retained(), later)
		return len(values) > 0 && !deletes
	case cfgTimestampType:
		return all(func(v string) bool { return v == "CreateTime" })
	case cfgBefore:
		return all(func(v string) bool { return number(v) >= later.UnixMilli() })
	case cfgAfter:
		newest := s.topic.newestMs()
		return all(func(v string) bool { return number(v) >= newest-s.req.Now().UnixMilli() })
	case cfgDifference:
		return all(func(v string) bool { return number(v) == math.MaxInt64 })
	case cfgMaxMessage, cfgSegmentBytes:
		return all(func(v string) bool { return number(v) >= t.configs.needs })
	case cfgCompression, cfgIndexBytes: // brokers may compress again, and make larger files
		return true
	}
	return false
}

// newestMs is the largest timestamp of a topic.
func (t *topicPlan) newestMs() int64 {
	newest := int64(math.MinInt64)
	for _, part := range t.partitions {
		for i := range part.stream.Runs {
			newest = max(newest, part.stream.Runs[i].MaxTimestampMs)
		}
	}
	return newest
}

// settleRight finds out whether configs of a topic that is not there yet may be changed at
// the end. Whoever may only create makes it with the final ones at once, if those do.
func (s *settlement) settleRight(ctx context.Context) error {
	t, c := s.topic, s.topic.configs
	change := c.putBackBut(nil)
	err := s.target.CheckTopicConfigs(ctx, t.target, change)
	switch {
	case err == nil, errors.Is(err, coldstream.ErrUnknownTopic):
		return nil
	case !errors.Is(err, coldstream.ErrDenied):
		s.notCheck("whether the configs of topic %s can be changed when it is restored: needs brokers that validate changes of configs (%v)", t.target, err)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.during)) {
		if !s.harmless(name) {
			return fmt.Errorf("topic %s: needs the right AlterConfigs on it: it is made with %s=%s so that brokers take and keep records as they are, which could not be taken back: %w",
				t.target, name, c.during[name], err)
		}
	}
	c.direct, c.during = true, map[string]string{}
	if err := s.checkCreate(ctx, c.create()); err != nil {
		return fmt.Errorf("topic %s cannot be made: %w", t.target, err)
	}
	s.warn("topic %s: the right AlterConfigs is missing, so it is made with its own configs at once", t.target)
	return nil
}

// notCheck says what a plan could not find out.
func (p *Plan) notCheck(format string, args ...any) {
	p.NotChecked = append(p.NotChecked, fmt.Sprintf(format, args...))
}
