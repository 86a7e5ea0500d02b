package kafka

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// wire is the network of an embedded cluster. It can lose answers: the broker has done
// what a request asks for, and the connection ends before the client reads that.
type wire struct {
	mu    sync.Mutex
	lose  map[kmsg.Key]int
	conns map[kmsg.Key]map[net.Conn]bool
	// spoil says what is written in place of an answer, and whether the connection ends then.
	spoil func(key kmsg.Key, answer []byte) (written []byte, ends bool)
}

// spoilAnswers lets the network change what brokers answer.
func (w *wire) spoilAnswers(spoil func(key kmsg.Key, answer []byte) (written []byte, ends bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spoil = spoil
}

// spoiled is what becomes of an answer.
func (w *wire) spoiled(key kmsg.Key, answer []byte) (written []byte, ends bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.spoil == nil {
		return answer, false
	}
	return w.spoil(key, answer)
}

func newWire() *wire {
	return &wire{lose: make(map[kmsg.Key]int), conns: make(map[kmsg.Key]map[net.Conn]bool)}
}

// loseAnswers loses the next n answers to requests of the key.
func (w *wire) loseAnswers(key kmsg.Key, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose[key] = n
}

// left is how many answers are still to be lost.
func (w *wire) left(key kmsg.Key) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lose[key]
}

// connections is how many connections have carried a request of the key.
func (w *wire) connections(key kmsg.Key) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns[key])
}

func (w *wire) listen(network, address string) (net.Listener, error) {
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &wireListener{Listener: listener, wire: w}, nil
}

func (w *wire) carried(key kmsg.Key, conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns[key] == nil {
		w.conns[key] = make(map[net.Conn]bool)
	}
	w.conns[key][conn] = true
}

func (w *wire) takeLoss(key kmsg.Key) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lose[key] == 0 {
		return false
	}
	w.lose[key]--
	return true
}

type wireListener struct {
	net.Listener
	wire *wire
}

func (l *wireListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: conn, wire: l.wire}, nil
}

// wireConn is the broker's end of a connection. The broker reads in one goroutine and
// writes in another.
type wireConn struct {
	net.Conn
	wire *wire

	head []byte // of the request being read: its size and key
	skip int    // rest of the request being read

	mu  sync.Mutex
	key kmsg.Key // of the last request
}

func (c *wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for b = b[:n]; len(b) > 0; {
		if c.skip > 0 {
			some := min(c.skip, len(b))
			b, c.skip = b[some:], c.skip-some
			continue
		}
		c.head, b = append(c.head, b[0]), b[1:]
		if len(c.head) == 6 {
			key := kmsg.Key(binary.BigEndian.Uint16(c.head[4:]))
			c.skip = int(binary.BigEndian.Uint32(c.head)) - 2
			c.head = c.head[:0]
			c.mu.Lock()
			c.key = key
			c.mu.Unlock()
			c.wire.carried(key, c)
		}
	}
	return n, err
}

func (c *wireConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	key := c.key
	c.mu.Unlock()
	if c.wire.takeLoss(key) {
		return 0, errors.Join(net.ErrClosed, c.Conn.Close())
	}
	written, ends := c.wire.spoiled(key, b)
	n, err := c.Conn.Write(written)
	switch {
	case ends:
		return 0, errors.Join(net.ErrClosed, c.Conn.Close())
	case err != nil:
		return min(n, len(b)), err
	}
	return len(b), nil
}
