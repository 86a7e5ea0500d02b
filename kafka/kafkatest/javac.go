package kafkatest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// CompileJava compiles Java sources, by their file names, against the jars of a Kafka
// version into dir, which Config can name as Classes. The error wraps exec.ErrNotFound
// where there is no compiler: a runtime of Java, which is enough for all else, has none.
func CompileJava(ctx context.Context, version, dir string, sources map[string]string) error {
	if _, err := exec.LookPath("javac"); err != nil {
		return fmt.Errorf("compile Java (Debian, Ubuntu: apt-get install openjdk-17-jdk-headless): %w", err)
	}
	if version == "" {
		version = DefaultVersion
	}
	lib, err := jars(ctx, version)
	if err != nil {
		return err
	}
	args := []string{"-J-XX:TieredStopAtLevel=1", "-nowarn", "-d", dir, "-cp", filepath.Join(lib, "*")}
	for name, source := range sources {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
			return err
		}
		args = append(args, path)
	}
	if out, err := exec.CommandContext(ctx, "javac", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("javac: %w\n%s", err, out)
	}
	return nil
}
