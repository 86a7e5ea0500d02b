//go:build long

package main

import (
	"os"
	"os/exec"
	"testing"

	"coldstream/kafka/kafkatest"
)

// TestOlderBrokers runs this package's tests against older versions of Kafka.
func TestOlderBrokers(t *testing.T) {
	if os.Getenv(kafkaVersionVariable) != "" {
		return // this is such a run
	}
	for _, version := range kafkatest.Versions() {
		if version == kafkatest.DefaultVersion {
			continue // as in every other run
		}
		t.Run(version, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.timeout=40m", "-test.skip=^(TestFidelityOfManySeeds|TestManyKilledBackups|TestOlderBrokers)$")
			cmd.Env = append(os.Environ(), kafkaVersionVariable+"="+version)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
