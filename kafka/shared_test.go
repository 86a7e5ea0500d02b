package kafka

import (
	"os"
	"sync"
	"testing"

	"coldstream/kafka/kafkatest"
)

// shared is the one real broker of this package's tests.
var shared struct {
	start   sync.Once
	cluster *kafkatest.Cluster
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		shared.cluster.Close()
	}
	os.Exit(code)
}

// nowhereListener answers, and sends clients on to where nobody listens.
const nowhereListener = "NOWHERE"

// realCluster returns a real broker, which the first test that needs it starts and all
// tests share: they use topics and groups with names of their own.
func realCluster(t *testing.T) *kafkatest.Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Kafka: run without -short")
	}
	shared.start.Do(func() {
		shared.cluster, shared.err = kafkatest.StartShared(kafkatest.Config{
			Users:      map[string]string{"reader": "reader-password"},
			Listeners:  map[string]string{nowhereListener: "PLAINTEXT"},
			Advertised: map[string]string{nowhereListener: "127.0.0.1:1"},
		})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}
