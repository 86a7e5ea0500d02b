package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestRunUnderAServiceManager starts run as systemd does, reloads it, and stops it.
func TestRunUnderAServiceManager(t *testing.T) {
	realCluster(t)
	w := newWorld(t)
	w.fill("served-a", 1, 3)
	w.fill("served-b", 1, 3)
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "notify"), filepath.Join(dir, "c.yaml")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var heard strings.Builder
	go func() {
		message := make([]byte, 1000)
		for {
			n, err := listener.Read(message)
			if err != nil {
				return // closed
			}
			mu.Lock()
			fmt.Fprintf(&heard, "%s\n", message[:n])
			mu.Unlock()
		}
	}()
	defer func() { _ = listener.Close() }()
	has := func(text string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(heard.String(), text)
		}
	}
	configured := func(topic, more string) {
		write(t, file, fmt.Sprintf("vault: %s\nbootstrap-server: %s\ntopic: %s\ninterval: 1s\n%s", w.vault, w.bootstrap, topic, more))
	}
	configured("served-a", "")
	cmd := exec.Command(buildProgram(t), "run", "--config", file)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=1000000")
	p := w.start(cmd)
	w.await("it is ready", has("READY=1"))
	w.await("it is alive, and says how it is", has("WATCHDOG=1\nSTATUS=1 topics"))
	w.protected("served-a")

	reloads := 0
	reload := func() {
		reloads++
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		w.await("it told of the reload", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Count(heard.String(), "RELOADING=1\nREADY=1\n") == reloads
		})
	}
	configured("served-b", "topik: x\n")
	reload()
	configured("[served-a, served-b]", "patience: 1h\n")
	reload()
	w.protected("served-a", "served-b")
	w.terminated(p)
	w.await("it told that it stops", has("STOPPING=1"))
	for _, says := range []string{file + `:5: unknown key \"topik\"`, `"after_a_restart":"patience"`} {
		if !strings.Contains(p.stderr.String(), says) {
			t.Errorf("it did not say %s:\n%s", says, &p.stderr)
		}
	}
}

// TestCredentialsOfSystemdAreKeyFiles: their mode shows the rights of an access control list.
func TestCredentialsOfSystemdAreKeyFiles(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "vault.key")
	write(t, key, "no key")
	if err := os.Chmod(key, 0o440); err != nil {
		t.Fatal(err)
	}
	const refused = "can be read by other users"
	if _, err := readKeyFile(key, testEnv(nil)); err == nil || !strings.Contains(err.Error(), refused) {
		t.Errorf("a file that others can read: %v", err)
	}
	if _, err := readKeyFile(key, testEnv([]string{"CREDENTIALS_DIRECTORY=" + dir})); err == nil || strings.Contains(err.Error(), refused) {
		t.Errorf("a credential: %v", err)
	}
}
