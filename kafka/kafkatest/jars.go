package kafkatest

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed poms
var poms embed.FS

// CacheDir is where what tests download is kept between runs, outside the tree:
// COLDSTREAM_TEST_CACHE, else a folder among the user's caches, else (without a home) a
// folder among the temporary ones.
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

// Versions are the versions of Apache Kafka that Config can name.
func Versions() []string {
	entries, err := poms.ReadDir("poms")
	if err != nil {
		panic(err) // it is part of this program
	}
	var out []string
	for _, entry := range entries {
		out = append(out, entry.Name())
	}
	return out
}

// jars returns the folder with the jars of a Kafka version, and fetches them first if
// they are not there. Several processes may do so at once; one of them fetches.
func jars(ctx context.Context, version string) (string, error) {
	pom, err := poms.ReadFile("poms/" + version + "/pom.xml")
	if err != nil {
		return "", fmt.Errorf("kafka version %q: there is a pom.xml for %s only", version, strings.Join(Versions(), ", "))
	}
	if err := need("java"); err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache for Kafka's jars: %w", err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache for Kafka's jars: %w", err)
	}
	sum := sha256.Sum256(pom)
	dir := filepath.Join(cache, "kafka-"+version+"-"+hex.EncodeToString(sum[:6]))
	if there, err := exists(dir); there || err != nil { // it came by a rename, so it is whole
		return dir, err
	}
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if there, err := exists(dir); there || err != nil { // perhaps we waited for who fetched it
		return dir, err
	}
	if err := fetchJars(ctx, pom, dir); err != nil {
		return "", fmt.Errorf("fetch the jars of Kafka %s: %w", version, err)
	}
	return dir, nil
}

// need says what to install if a program is missing.
func need(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("tests with a real Kafka need Java 17 and Maven, install them"+
			" (Debian, Ubuntu: apt-get install openjdk-17-jre-headless maven): %w", err)
	}
	return nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// fetchJars fills a folder beside dir and renames it when it is complete. Who holds the
// lock is alone, but for a Maven whose test was killed: so each try has a folder of its
// own, and removes those of others.
func fetchJars(ctx context.Context, pom []byte, dir string) error {
	if err := need("mvn"); err != nil {
		return err
	}
	left, err := filepath.Glob(dir + ".fetching-*")
	if err != nil {
		return err
	}
	for _, old := range left {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".fetching-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // the next try does it, else
	pomFile, jarDir := filepath.Join(temp, "pom.xml"), filepath.Join(temp, "jars")
	if err := os.WriteFile(pomFile, pom, 0o644); err != nil {
		return err
	}
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pomFile, "dependency:copy-dependencies", "-DoutputDirectory="+jarDir)
	if _, err := output(mvn); err != nil {
		return fmt.Errorf("mvn dependency:copy-dependencies: %w", err)
	}
	return os.Rename(jarDir, dir)
}

// lock takes a lock between processes, which ends with the process at the latest.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the lock %s: %w", path, ctx.Err()), f.Close())
		}
	}
}

const tailLines = 40

func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
