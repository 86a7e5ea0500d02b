package notify

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestSend(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@coldstream-notify-" + strconv.Itoa(os.Getpid())} {
		listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		env := map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())}
		m := New(func(name string) string { return env[name] })
		if err := m.Send(Ready, Status("two\nlines")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 100)
		n, err := listener.Read(got)
		if want := "READY=1\nSTATUS=two lines"; err != nil || string(got[:n]) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got[:n], err, want)
		}
		if m.Alive() != 30*time.Second {
			t.Errorf("alive each %v", m.Alive())
		}
		_ = listener.Close()
		env["WATCHDOG_PID"] = "1" // it is for another process
		if m := New(func(name string) string { return env[name] }); m.Alive() != 0 {
			t.Errorf("alive each %v", m.Alive())
		}
		if name[0] == '/' && m.Send(Ready) == nil {
			t.Error("nobody listens, and that was not told")
		}
	}
	none := New(func(string) string { return "" })
	if err := none.Send(Ready); err != nil || none.Listens() {
		t.Errorf("without a manager: %v", err)
	}
}
