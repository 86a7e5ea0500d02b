package main

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/kafka/kafkatest"
)

const relayListener = "RELAYED"

// relay stands before a listener of the shared broker, which advertises it, and can hold a request back
// for longer than the one who sent it lives.
type relay struct {
	listener net.Listener
	serving  sync.Once

	mu sync.Mutex
	// gate is asked for each request; one that it gives a channel for waits for that.
	gate func(key kmsg.Key) <-chan struct{}
	// late is closed when the broker has answered a request that waited.
	late chan struct{}
}

// relayed is there before the broker, which must know its address.
var relayed = newRelay()

func newRelay() *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return &relay{listener: l}
}

func (r *relay) address() string { return r.listener.Addr().String() }

// serve takes connections from now on, through the gate.
func (r *relay) serve(c *kafkatest.Cluster, gate func(key kmsg.Key) <-chan struct{}) (late <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate, r.late = gate, make(chan struct{})
	r.serving.Do(func() {
		go func() {
			for {
				client, err := r.listener.Accept()
				if err != nil {
					return
				}
				go r.carry(client, c.ListenerAddrs(relayListener)[0])
			}
		}()
	})
	return r.late
}

func (r *relay) carry(client net.Conn, address string) {
	broker, err := net.Dial("tcp", address)
	if err != nil {
		_ = client.Close()
		return
	}
	waited := make(chan chan struct{}, 1) // the late channel, once a request waited
	go func() {
		defer client.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := broker.Read(b)
			if err != nil {
				return
			}
			select {
			case late := <-waited:
				close(late)
			default:
			}
			_, _ = client.Write(b[:n]) // nobody may be there any more
		}
	}()
	for {
		request, err := readRequest(client)
		if err != nil {
			if len(waited) == 0 {
				_ = broker.Close()
			}
			return // the broker's answer to what waited is still awaited
		}
		r.mu.Lock()
		gate, late := r.gate, r.late
		r.mu.Unlock()
		if wait := gate(kmsg.Key(binary.BigEndian.Uint16(request[4:]))); wait != nil {
			<-wait
			waited <- late
		}
		if _, err := broker.Write(request); err != nil {
			_ = client.Close()
			return
		}
	}
}

func readRequest(from io.Reader) ([]byte, error) {
	size := make([]byte, 4)
	if _, err := io.ReadFull(from, size); err != nil {
		return nil, err
	}
	request := make([]byte, 4+binary.BigEndian.Uint32(size))
	copy(request, size)
	_, err := io.ReadFull(from, request[4:])
	return request, err
}

// Each flag that the list names is one, and the others tell one restore from another.
func TestCommandOfARestore(t *testing.T) {
	var o resumeOptions
	global := &globalOptions{}
	cmd, root := newRestoreCommand(global, testEnv(nil)), newRootCommand(global, testEnv(nil))
	for _, name := range mannerFlags() {
		if cmd.Flags().Lookup(name) == nil && root.PersistentFlags().Lookup(name) == nil {
			t.Errorf("there is no flag --%s", name)
		}
	}
	err := cmd.ParseFlags([]string{"--groups", "--map", "a=b c", "-t", "a,b", "-tc", "--offsets", "auto", "--resume", "--yes", "--memory", "1GiB", "--vault", "/v", "--map=d=e", "--state", "f"})
	if err != nil {
		t.Fatal(err)
	}
	o.read(cmd.Flags())
	if want := []string{"--groups", "--map", "a=b c", "--map", "d=e", "--state", "f", "-t", "a,b", "-t", "c"}; !slices.Equal(o.command, want) {
		t.Errorf("command %q, want %q", o.command, want)
	}
	if got, want := resumeLine(o.line), "coldstream restore --groups --map 'a=b c' --map d=e --memory 1.0GiB --state f -t a,b -t c --vault /v --yes --resume"; got != want {
		t.Errorf("line %s\nwant %s", got, want)
	}
}

// The last request of a restore that was killed reaches the broker when the next one has looked how
// far it came: right before that sends the same batch, or long after. Nothing is there twice.
func TestLateRequestOfAKilledRestore(t *testing.T) {
	c := realCluster(t)
	binary := buildProgram(t)
	for name, atTheEnd := range map[string]bool{"before the same batch": false, "after all": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, []string{relayed.address()})
			open := func(kmsg.Key) <-chan struct{} { return nil }
			relayed.serve(c, open)
			w.fillLarge("late")
			before := w.read("late")
			w.backup("late")
			args := []string{"-t", "late", "--map", "late=late-copy", "--partitions", "1"}
			held, deliver := make(chan struct{}), make(chan struct{})
			var produced int
			late := relayed.serve(c, func(key kmsg.Key) <-chan struct{} {
				if key != kmsg.Produce {
					return nil
				}
				if produced++; produced < 3 {
					return nil
				}
				close(held)
				return deliver
			})
			p := w.startProcess(binary, "restore", append(args, "--yes")...)
			select {
			case <-held:
			case <-p.ended:
				t.Fatalf("it ended: %s", p.stderr.String())
			}
			if err := p.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-p.ended
			there := w.logRanges("late-copy")[1].Next

			w.restoring(args...).must(t, exitFailed).says(t, "of the same command line", "--partitions 1", "--resume", "coldstream forget --restore ")
			deliverLate := func() {
				close(deliver)
				<-late
			}
			var once sync.Once
			relayed.serve(c, func(key kmsg.Key) <-chan struct{} {
				if key == kmsg.Produce && !atTheEnd {
					once.Do(deliverLate)
				}
				return nil
			})
			d := w.restore(append(args, "--resume")...)
			if atTheEnd {
				deliverLate()
			}
			got := w.read("late-copy")
			want := slices.DeleteFunc(before, func(r kafkatest.Record) bool { return r.Partition != 1 })
			sameContent(t, got, want)
			same(t, "records of the result", d.Partitions[0].Records, int64(len(want)))
			if there == 0 || there >= int64(len(want)) {
				t.Errorf("the killed restore wrote %d of %d records: the test proves nothing", there, len(want))
			}
			w.delete("late")
			w.delete("late-copy")
		})
	}
}
