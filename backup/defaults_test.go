package backup

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/vault"
)

// savedMetadata is that of the newest snapshot.
func (w *world) savedMetadata(t *testing.T) *vault.Metadata {
	t.Helper()
	catalog, err := w.vault.OpenCatalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snapshots := catalog.Snapshots()
	metadata, err := w.vault.Metadata(t.Context(), &snapshots[len(snapshots)-1])
	if err != nil {
		t.Fatal(err)
	}
	return metadata
}

func TestWhatTopicsHaveFromTheirBrokersIsSaved(t *testing.T) {
	w := newWorld(t)
	w.create(t, "orders", 1)
	w.run(t, Options{})
	first := w.savedMetadata(t)
	if got := first.Defaults.Of("cleanup.policy"); len(got) != 1 || got[0].Value != "delete" {
		t.Errorf("cleanup.policy is saved as %v", got)
	}
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.ClusterAuthorizationFailed, Count: -1})
	watch := &warnings{}
	w.run(t, Options{Observer: watch})
	refused := w.savedMetadata(t)
	if refused.Defaults != nil || !strings.Contains(refused.Missing[vault.SectionDefaults], "CLUSTER_AUTHORIZATION_FAILED") {
		t.Errorf("what was refused is saved as %v, missing %v", refused.Defaults, refused.Missing)
	}
	if !slices.ContainsFunc(*watch, func(s string) bool {
		return strings.Contains(s, "the configs that topics have from their brokers are not saved")
	}) {
		t.Errorf("warned of %q", *watch)
	}
}

func TestTopicsThatHideLeastAreAskedFirst(t *testing.T) {
	configs := func(n int) []coldstream.Config { return make([]coldstream.Config, n) }
	got := fewestConfigsFirst([]coldstream.Topic{
		{Name: "two", Configs: configs(2)}, {Name: "denied", ConfigsErr: coldstream.ErrDenied}, {Name: "none"}, {Name: "gone", Err: coldstream.ErrUnknownTopic}, {Name: "one", Configs: configs(1)},
	})
	if want := []string{"none", "one", "two"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
