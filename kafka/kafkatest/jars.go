package kafkatest

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"coldstream/internal/testproc"
)

//go:embed poms
var poms embed.FS

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
	cache, err := testproc.CacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache for Kafka's jars: %w", err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache for Kafka's jars: %w", err)
	}
	sum := sha256.Sum256(pom)
	dir := filepath.Join(cache, "kafka-"+version+"-"+hex.EncodeToString(sum[:6]))
	if there, err := testproc.Exists(dir); there || err != nil { // it came by a rename, so it is whole
		return dir, err
	}
	unlock, err := testproc.Lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if there, err := testproc.Exists(dir); there || err != nil { // perhaps we waited for who fetched it
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
	if _, err := testproc.Output(mvn); err != nil {
		return fmt.Errorf("mvn dependency:copy-dependencies: %w", err)
	}
	return os.Rename(jarDir, dir)
}
