package main

import (
	"errors"
	"fmt"
	"strings"

	"coldstream/internal/keyring"
	"coldstream/internal/terminal"
	"coldstream/kafka/auth"
	"coldstream/restore"
	"coldstream/vault"
)

// Engines do not know flags and commands: their errors say what is wrong, and this file says
// what to type.

// restoreFlag names an option of a restore as people know it.
func restoreFlag(o restore.Option) string { return "--" + string(o) }

// spokenError is an error in words with flags.
type spokenError struct {
	err  error
	text string
}

func (e *spokenError) Error() string { return e.text }
func (e *spokenError) Unwrap() error { return e.err }

// sayUsage is what a request of a restore is told that cannot be meant.
func sayUsage(e *restore.UsageError) *failure {
	f := &failure{exitUsage, e, adviceText(e.Advice)}
	if e.Option != "" {
		f.err = &spokenError{e, restoreFlag(e.Option) + " " + e.Text}
	}
	if e.Advice.Remedy == restore.RemedyForm {
		f.hint = "write " + restoreForm(e.Option)
	}
	return f
}

func restoreForm(o restore.Option) string {
	switch o {
	case restore.OptionMap:
		return "--map old=new, or --map '/regex/=new-$1'"
	case restore.OptionConfig:
		return "--config retention.ms=604800000"
	case restore.OptionPartitions:
		return "--partitions 0-3,7"
	}
	return restoreFlag(o)
}

// warningText is a warning of a plan, with what to do.
func warningText(w restore.Warning) string {
	switch w.Advice.Remedy {
	case restore.RemedyRename:
		return w.Text + "; --map gives it another name"
	case restore.RemedySnapshot:
		return w.Text + ". Restore them with --snapshot " + w.Advice.Of
	}
	return w.Text
}

// adviceText is a hint.
func adviceText(a restore.Advice) string {
	words := remedyText(a)
	if a.Remedy == restore.RemedyOtherTopic && a.Text != "" {
		return a.Text + ", or " + words
	}
	return strings.Trim(words+"; "+a.Text, "; ")
}

func remedyText(a restore.Advice) string {
	switch a.Remedy {
	case restore.RemedyChooseTopics:
		return "choose topics with -t"
	case restore.RemedySnapshot:
		return "restore them with --snapshot " + a.Of
	case restore.RemedyRename:
		return "give one topic another name with --map"
	case restore.RemedyOtherTopic:
		return "restore into another topic with --map"
	case restore.RemedyAddPartitions:
		return "add partitions, or restore into another topic with --map"
	case restore.RemedyAppend:
		return "restore into another topic with --map, or behind the records with --append"
	case restore.RemedyOtherOffsets:
		return "restore with --offsets auto or translate"
	case restore.RemedyConfig:
		return fmt.Sprintf("choose a value that the cluster takes with --config %s=VALUE, or take what its brokers have with --configs none", a.Of)
	case restore.RemedyNoGroups:
		return "restore without --groups"
	case restore.RemedyGroups:
		return "restore the topics again, with --groups"
	case restore.RemedyRestoreOrGroups:
		return "restore the topics with --groups, or name a restore with --restore ID"
	case restore.RemedyRestoreOrState:
		return "name the file that the restore of the topics wrote, or with --restore ID a restore that the vault knows"
	case restore.RemedyResume:
		return fmt.Sprintf("go on with it: %s; or, to begin anew, %s", resumeLine(a.Command), giveUpText(a.Of))
	case restore.RemedyGiveUp:
		return giveUpText(a.Of)
	case restore.NoRemedy, restore.RemedyForm:
	}
	return ""
}

// resumeLine is what goes on with a restore.
func resumeLine(command []string) string {
	words := []string{"coldstream", "restore"}
	for _, word := range command {
		words = append(words, terminal.Quote(word))
	}
	return strings.Join(append(words, "--resume"), " ")
}

// giveUpText says how a restore that was cut off is given up.
func giveUpText(id string) string {
	const topics = "restore into topics that are empty or not there"
	if id == "" {
		return "name another state file with --state, and " + topics
	}
	return fmt.Sprintf("give it up with: coldstream forget --restore %s; then %s", id, topics)
}

// unrecordedHint says what to do after a restore whose last record could not be stored.
func unrecordedHint(e *restore.UnrecordedError) string {
	const later = "do not restore again for that. Consumer groups cannot be restored later through this restore"
	if !e.Held {
		return later
	}
	return later + ", and its snapshot stays until you run: coldstream forget --restore " + e.Restore.String()
}

// choiceHint says how to choose a snapshot.
func choiceHint(e *vault.ChoiceError) string {
	switch e.Reason {
	case vault.ChoiceNoSnapshots:
		return "make one with: coldstream backup"
	case vault.ChoiceUnknownID:
		return "see: coldstream snapshots"
	case vault.ChoiceManyIDs:
		return "give more digits; see: coldstream snapshots"
	case vault.ChoiceManyClusters:
		return "choose one with --cluster-id"
	case vault.ChoiceTagForm:
		return "write it as --tag KEY=VALUE"
	case vault.ChoiceTooEarly:
		return "choose a later time; see: coldstream snapshots"
	case vault.ChoiceScattered:
		return e.Next + "; restore them one by one with --snapshot"
	case vault.ChoiceNoMatch:
	}
	return e.Next
}

// withInput names the flag of what the hint of an error speaks of.
func withInput(err error, hint string) string {
	var about interface{ Input() auth.Input }
	if errors.As(err, &about) {
		return inputText(hint, about.Input())
	}
	return hint
}

func inputText(hint string, input auth.Input) string {
	name := ""
	switch input {
	case auth.InputProperties:
		name = "--command-config"
	case auth.InputAddress:
		name = "--bootstrap-server"
	}
	switch {
	case name == "":
		return hint
	case hint == "":
		return "see " + name
	}
	return hint + " (" + name + ")"
}

// keyHint says how to give the key that is needed.
func keyHint(e *keyring.WrongKeyError) string {
	if e.Need == "" {
		return e.KeyHint()
	}
	return needText(e.Need)
}

func needText(n keyring.Need) string {
	switch n {
	case keyring.NeedAny:
		return "name a key file with --key-file or COLDSTREAM_KEY_FILE, or a command that prints one with COLDSTREAM_KEY_COMMAND"
	case keyring.NeedVaults:
		return "name its own key file with --key-file or COLDSTREAM_KEY_FILE"
	case keyring.NeedPutBack:
		return "use another key. If nobody removed this one on purpose, put it back with the recovery sheet and: coldstream key add"
	case keyring.NeedAdded:
		return "ask somebody who can open the vault for: coldstream key add --recipient YOUR-PUBLIC-KEY"
	case keyring.NeedRecords:
		return "use the key of somebody who may read records, with --key-file"
	case keyring.NeedKeeper:
		return "name the file that coldstream init --keeper wrote, or none"
	case keyring.NeedOperator:
		return "use the keeper's key, in the file that coldstream init wrote, with --key-file"
	}
	return ""
}
