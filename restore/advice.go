package restore

import "strings"

// Remedy is what helps against an error or a warning. Callers have names of their own for the
// choices of a [Request], so they put a remedy into words.
type Remedy int

// The remedies.
const (
	// NoRemedy leaves it to [Advice.Text].
	NoRemedy Remedy = iota
	// RemedyForm is to write the choice as it is to be written.
	RemedyForm
	// RemedyChooseTopics is to choose topics.
	RemedyChooseTopics
	// RemedySnapshot is to restore what is left out from the snapshot of [Advice.Of].
	RemedySnapshot
	// RemedyRename is to give a topic another name.
	RemedyRename
	// RemedyOtherTopic is to restore into another topic.
	RemedyOtherTopic
	// RemedyAddPartitions is to add partitions to a topic, or RemedyOtherTopic.
	RemedyAddPartitions
	// RemedyAppend is to allow targets that hold records, or RemedyOtherTopic.
	RemedyAppend
	// RemedyOtherOffsets is to ask for other offsets than exact ones.
	RemedyOtherOffsets
	// RemedyConfig is to choose a value for the config of [Advice.Of], or to restore no configs.
	RemedyConfig
	// RemedyNoGroups is to restore without groups.
	RemedyNoGroups
	// RemedyGroups is to restore the topics again, with their groups.
	RemedyGroups
	// RemedyRestoreOrGroups is to name the restore of the topics, or to restore them with their groups.
	RemedyRestoreOrGroups
	// RemedyRestoreOrState is to name the restore of the topics, or the state file that it wrote.
	RemedyRestoreOrState
	// RemedyResume is to resume the restore of [Advice.Command], or to give it up as for RemedyGiveUp.
	RemedyResume
	// RemedyGiveUp is to end the restore of [Advice.Of], which is empty where no vault knows it, and to
	// restore into topics that are empty or not there.
	RemedyGiveUp
)

// Advice says what to do.
type Advice struct {
	Remedy Remedy
	Of     string // what the remedy speaks of
	Text   string // more facts and words, behind those of the remedy
	// Command is that of the restore to be resumed: see [Request].
	Command []string
}

// Option is one of the choices of a [Request].
type Option string

// The options that errors speak of.
const (
	OptionMap        Option = "map"
	OptionConfig     Option = "config"
	OptionPartitions Option = "partitions"
	OptionUntil      Option = "until"
)

// UsageError is a request that cannot be meant.
type UsageError struct {
	// Option is the choice that cannot be meant; empty if it is no single one.
	Option Option
	// Text goes on behind the option's name.
	Text   string
	Advice Advice
}

func (e *UsageError) Error() string {
	if e.Option == "" {
		return e.Text
	}
	return string(e.Option) + " " + e.Text
}

// RefusedError says why a plan cannot be carried out. Nothing was changed.
type RefusedError struct {
	Reasons []string
	Advice  Advice
}

func (e *RefusedError) Error() string {
	return "nothing was restored: " + strings.Join(e.Reasons, "; ")
}

// Warning is what a plan does otherwise than one may think.
type Warning struct {
	Text   string
	Advice Advice
}
