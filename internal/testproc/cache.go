// Package testproc installs the programs that tests talk to, once per machine, and runs
// them so that none outlives the tests, however these end. It is for tests.
package testproc

import (
	"bytes"
	"context"
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

const pollInterval = 50 * time.Millisecond

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

// Exists says whether there is something at path.
func Exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Lock takes a lock between processes, which ends with the process at the latest.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
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

// GoProgram names a main package of the Go module proxy.
type GoProgram struct {
	Package string
	Version string
}

func (p GoProgram) name() string {
	return p.Package[strings.LastIndexByte(p.Package, '/')+1:]
}

// GoInstall returns the path of a program, which is built first if it is not in the cache:
// that can take minutes. Several processes may do so at once; one of them builds.
func GoInstall(ctx context.Context, p GoProgram) (string, error) {
	return fill(ctx, "bin/"+p.name()+"-"+p.Version, func(temp string) (string, error) {
		cmd := exec.CommandContext(ctx, "nice", "go", "install", p.Package+"@"+p.Version)
		cmd.Env = append(os.Environ(), "GOBIN="+temp, "GOFLAGS=")
		cmd.Dir = temp // of no module
		_, err := Output(cmd)
		return filepath.Join(temp, p.name()), err
	})
}

// NpmInstall returns the folder that has node_modules with a package of the npm registry.
func NpmInstall(ctx context.Context, name, version string) (string, error) {
	return fill(ctx, name+"-"+version, func(temp string) (string, error) {
		cmd := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", temp, name+"@"+version)
		_, err := Output(cmd)
		return temp, err
	})
}

// DebianPackage returns the folder with the files of a package of the system's own Debian release. It
// is not installed, and what it depends on is not fetched.
func DebianPackage(ctx context.Context, name string) (string, error) {
	return fill(ctx, "debian/"+name, func(temp string) (string, error) {
		cmd := exec.CommandContext(ctx, "apt-get", "download", name)
		cmd.Dir = temp
		if _, err := Output(cmd); err != nil {
			return "", err
		}
		files, err := filepath.Glob(filepath.Join(temp, "*.deb"))
		if err != nil || len(files) != 1 {
			return "", fmt.Errorf("apt-get download left %q: %w", files, err)
		}
		made := filepath.Join(temp, "files")
		_, err = Output(exec.CommandContext(ctx, "dpkg", "-x", files[0], made))
		return made, err
	})
}

// fill makes an entry of the cache in a temporary folder, and gives it its name when it is
// whole.
func fill(ctx context.Context, entry string, install func(temp string) (made string, err error)) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache of the tests: %w", err)
	}
	path := filepath.Join(cache, filepath.FromSlash(entry))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	if there, err := Exists(path); there || err != nil {
		return path, err
	}
	unlock, err := Lock(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if there, err := Exists(path); there || err != nil {
		return path, err
	}
	temp, err := os.MkdirTemp(filepath.Dir(path), "installing-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp) //nolint:errcheck // what is left there is in nobody's way
	made, err := install(temp)
	if err != nil {
		return "", fmt.Errorf("install %s: %w", entry, err)
	}
	return path, os.Rename(made, path)
}

// Output runs a command that ends by itself, or with this process.
func Output(cmd *exec.Cmd) ([]byte, error) {
	unlock := lockThread() // its end would be the command's
	defer unlock()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := Tied(cmd).Output()
	if err != nil {
		return out, fmt.Errorf("%w\n%s\n%s", err, Tail(string(out)), Tail(stderr.String()))
	}
	return out, nil
}

const tailLines = 40

// Tail is the last lines of a text.
func Tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
