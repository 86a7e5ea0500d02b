package kafkatest

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed poms/*.xml
var poms embed.FS

// copyPlugin is pinned, so that the same jars come whatever Maven's own defaults are.
const copyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

// CacheDir is where what tests download is kept between runs: COLDSTREAM_TEST_CACHE, or
// a folder among the user's caches.
func CacheDir() (string, error) {
	if dir := os.Getenv("COLDSTREAM_TEST_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "coldstream-test"), nil
}

// jars returns the folder with the jars of a Kafka version, and fetches them first if
// they are not there. Several processes may do so at once; one of them fetches.
func jars(ctx context.Context, version string) (string, error) {
	pom, err := poms.ReadFile("poms/" + version + ".xml")
	if err != nil {
		return "", fmt.Errorf("kafka version %q: no pom for it in kafka/kafkatest/poms", version)
	}
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("tests with a real Kafka need %s: install Java 17 and Maven (%w)", tool, err)
		}
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(pom)
	dir := filepath.Join(cache, "kafka-"+version+"-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, fetchJars(ctx, pom, dir)
}

// fetchJars fills a folder beside dir, and renames it when it is complete.
func fetchJars(ctx context.Context, pom []byte, dir string) error {
	temp := dir + ".fetching"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := os.MkdirAll(temp, 0o755); err != nil {
		return err
	}
	pomFile := filepath.Join(temp, "pom.xml")
	if err := os.WriteFile(pomFile, pom, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pomFile, copyPlugin,
		"-DincludeScope=runtime", "-DoutputDirectory="+temp)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch Kafka's jars with Maven: %w\n%s", err, tail(string(out)))
	}
	return os.Rename(temp, dir)
}

// lock takes a lock between processes, which ends with the process at the latest.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

const tailLines = 40

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
