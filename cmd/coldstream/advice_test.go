package main

import (
	"errors"
	"testing"

	"coldstream/restore"
	"coldstream/vault"
)

// Engines tell what is wrong, and the command says what to type.
func TestErrorsOfEnginesInWordsWithFlags(t *testing.T) {
	refused := func(r restore.Remedy, text string) error {
		return &restore.RefusedError{Reasons: []string{"why"}, Advice: restore.Advice{Remedy: r, Of: "min.insync.replicas", Text: text}}
	}
	_, noMap := restore.ParseMap("x")
	_, noConfig := restore.ParseConfigs([]string{"x"})
	_, noPartitions := restore.ParsePartitions("x")
	for _, tt := range []struct {
		err  error
		code int
		want string // text | hint
	}{
		{noMap, exitUsage, `--map "x": not old=new | write --map old=new, or --map '/regex/=new-$1'`},
		{noConfig, exitUsage, `--config "x": not NAME=VALUE | write --config retention.ms=604800000`},
		{noPartitions, exitUsage, `--partitions "x": not a list like 0-3,7 | `},
		{&restore.UsageError{Option: restore.OptionMap, Text: `to "x" renames none`}, exitUsage, `--map to "x" renames none | `},
		{&restore.UsageError{Text: "nothing", Advice: restore.Advice{Remedy: restore.RemedyChooseTopics}}, exitUsage, "nothing | choose topics with -t"},
		{refused(restore.RemedyOtherTopic, ""), exitFailed, "nothing was restored: why | restore into another topic with --map"},
		{refused(restore.RemedyOtherTopic, "wait"), exitFailed, "nothing was restored: why | wait, or restore into another topic with --map"},
		{refused(restore.RemedyRename, ""), exitFailed, "nothing was restored: why | give one topic another name with --map"},
		{refused(restore.RemedyNoGroups, "none has all"), exitFailed, "nothing was restored: why | restore without --groups; none has all"},
		{refused(restore.RemedyConfig, ""), exitFailed, "nothing was restored: why | choose a value that the cluster takes with " +
			"--config min.insync.replicas=VALUE, or take what its brokers have with --configs none"},
		{&vault.ChoiceError{Text: "none"}, exitUsage, "none | "},
		{&vault.ChoiceError{Reason: vault.ChoiceNoSnapshots, Text: "none"}, exitUsage, "none | make one with: coldstream backup"},
		{&vault.ChoiceError{Reason: vault.ChoiceUnknownID, Text: "none"}, exitUsage, "none | see: coldstream snapshots"},
		{&vault.ChoiceError{Reason: vault.ChoiceTagForm, Text: "x"}, exitUsage, "x | write it as --tag KEY=VALUE"},
		{&vault.ChoiceError{Reason: vault.ChoiceManyIDs, Text: "two"}, exitUsage, "two | give more digits; see: coldstream snapshots"},
		{&vault.ChoiceError{Reason: vault.ChoiceManyClusters, Text: "two"}, exitUsage, "two | choose one with --cluster-id"},
		{&vault.ChoiceError{Reason: vault.ChoiceScattered, Text: "none", Next: "a is in X"}, exitUsage, "none | a is in X; restore them one by one with --snapshot"},
	} {
		f := classify(t.Context(), tt.err)
		if got := f.Error() + " | " + f.hint; got != tt.want || f.code != tt.code {
			t.Errorf("code %d: %s\nwant %d: %s", f.code, got, tt.code, tt.want)
		}
		if !errors.Is(f, tt.err) {
			t.Errorf("%v is no longer what the engine said", f)
		}
	}
}

// Whatever a plan may advise is put into words.
func TestEveryRemedyHasWords(t *testing.T) {
	for r := restore.RemedyChooseTopics; r <= restore.RemedyRestoreOrState; r++ {
		if words := remedyText(restore.Advice{Remedy: r, Of: "x"}); words == "" {
			t.Errorf("remedy %d has no words", r)
		}
	}
	for _, tt := range []struct {
		remedy restore.Remedy
		want   string
	}{
		{restore.NoRemedy, "text"}, {restore.RemedyRename, "text; --map gives it another name"}, {restore.RemedySnapshot, "text. Restore them with --snapshot x"},
	} {
		if got := warningText(restore.Warning{Text: "text", Advice: restore.Advice{Remedy: tt.remedy, Of: "x"}}); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
