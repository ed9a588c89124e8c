package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// The group that shares the requests among ingesters.
const (
	topic = "gnomon.requests.v1"
	group = "gnomon-ingest." + topic
)

// The requests of Kafka's protocol that a member sends, and what it may be told.
const (
	joinGroup, heartbeat, syncGroup = 11, 12, 14

	noLongerOurs, unknownMember = 22, 25
)

// joinAndDie is a member of ingest's group that is gone before it is told its
// share, as an ingester that is killed at that moment: by a few words of Kafka's
// protocol, since a process cannot be killed at a moment so short but by chance.
// The broker waits for the other members, who hear of it within a second. The
// embedded one then keeps it until its session ends, or for ever: whether it sees
// that its answer cannot be delivered is a coin's throw of its own.
func joinAndDie(ctx context.Context, w *world, _ *rand.Rand) error {
	conn, err := joins(ctx, w)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Its bytes have to be read before the connection ends.
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 512)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: the broker answered at once, so it has no other member to wait for, or refused (%v)", errNone, err)
	}
	return nil
}

// joinAndHang is a member of ingest's group that takes its share and does nothing
// with it, as an ingester that hangs while what says that it lives goes on. It goes
// on after the fault is over, until the others have the group shared anew and the
// broker puts it out, which does not come by itself.
func joinAndHang(ctx context.Context, w *world, _ *rand.Rand) error {
	conn, err := joins(ctx, w)
	if err != nil {
		return err
	}
	who, err := takesShare(conn)
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("%w: %w", errNone, err)
	}
	w.hung.Go(func() {
		defer conn.Close()
		defer context.AfterFunc(w.lives, func() { _ = conn.Close() })()
		for {
			answer, err := exchange(conn, message(heartbeat, 0, who))
			if err != nil || len(answer) < 2 {
				return
			}
			// That it should join again it hears, and does not.
			if code := binary.BigEndian.Uint16(answer); code == noLongerOurs || code == unknownMember {
				return
			}
			select {
			case <-w.lives.Done():
				return
			case <-time.After(time.Second):
			}
		}
	})
	return nil
}

// joins is a connection on which somebody has asked to be a member.
func joins(ctx context.Context, w *world) (conn net.Conn, err error) {
	err = w.back.until(ctx, 20*time.Second, func() error { // the broker may be on its way back from another fault
		addr, err := coordinator(ctx, w.brokers, group)
		if err == nil {
			conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNone, err)
	}
	metadata := append(binary.BigEndian.AppendUint32([]byte{0, 0}, 1), word(topic)...)
	metadata = binary.BigEndian.AppendUint32(metadata, 0) // no data of its own
	body := word(group)
	body = binary.BigEndian.AppendUint32(body, 10_000) // session
	body = binary.BigEndian.AppendUint32(body, 4_000)  // rebalance
	body = append(append(body, word("")...), word("consumer")...)
	body = binary.BigEndian.AppendUint32(body, 2)
	for _, balancer := range []string{"range", "roundrobin"} {
		body = append(body, word(balancer)...)
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(metadata))), metadata...)
	}
	// Apache Kafka 4 knows no version below 2.
	if _, err := conn.Write(message(joinGroup, 2, body)); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: %w", errNone, err)
	}
	return conn, nil
}

// takesShare waits until the others have joined again and somebody among them has
// said who has what. It returns who the member is: group, generation and name.
func takesShare(conn net.Conn) (who []byte, err error) {
	answer, err := answered(conn)
	if err != nil {
		return nil, fmt.Errorf("joining: %w", err)
	}
	r := wire{b: answer}
	r.take(4) // throttled for so long
	code := r.uint16()
	generation := r.take(4)
	r.word() // how it is shared
	leader, name := r.word(), r.word()
	switch {
	case code != 0 || r.broken:
		return nil, fmt.Errorf("joining: error %d", code)
	case leader == name:
		return nil, errors.New("it has no other member, and would have to share")
	}
	who = append(append(word(group), generation...), word(name)...)
	answer, err = exchange(conn, message(syncGroup, 0, binary.BigEndian.AppendUint32(who[:len(who):len(who)], 0)))
	if err != nil {
		return nil, fmt.Errorf("being told its share: %w", err)
	}
	if len(answer) < 6 || binary.BigEndian.Uint16(answer) != 0 {
		return nil, fmt.Errorf("being told its share: %x", answer)
	}
	return who, nil
}

// coordinator is the address of the broker that keeps a group.
func coordinator(ctx context.Context, brokers, group string) (string, error) {
	var errs []error
	for addr := range strings.SplitSeq(brokers, ",") {
		at, err := askCoordinator(ctx, addr, group)
		if err == nil {
			return at, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("who keeps %s: %w", group, errors.Join(errs...))
}

func askCoordinator(ctx context.Context, addr, group string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	const findCoordinator = 10
	answer, err := exchange(conn, message(findCoordinator, 0, word(group)))
	if err != nil {
		return "", err
	}
	r := wire{b: answer}
	code := r.uint16()
	r.take(4) // its number
	host, port := r.word(), r.take(4)
	if code != 0 || r.broken {
		return "", fmt.Errorf("%s: error %d", addr, code)
	}
	return net.JoinHostPort(host, strconv.FormatUint(uint64(binary.BigEndian.Uint32(port)), 10)), nil
}

// exchange asks and waits for the answer.
func exchange(conn net.Conn, request []byte) ([]byte, error) {
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	return answered(conn)
}

// answered is the next answer, without its number. A group that is shared anew
// takes its time.
func answered(conn net.Conn) ([]byte, error) {
	_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
	var head [8]byte // size, number
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > 1<<20 {
		return nil, fmt.Errorf("an answer of %d bytes", size)
	}
	body := make([]byte, size-4)
	_, err := io.ReadFull(conn, body)
	return body, err
}

// wire takes an answer apart. Past its end everything is empty, and it is broken.
type wire struct {
	b      []byte
	broken bool
}

func (r *wire) take(n int) []byte {
	if n > len(r.b) {
		r.broken = true
		return make([]byte, n)
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *wire) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *wire) word() string   { return string(r.take(int(r.uint16()))) }

// word is a string of Kafka's protocol, message a request of it.
func word(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func message(key, version uint16, body []byte) []byte {
	head := binary.BigEndian.AppendUint16(nil, key)
	head = binary.BigEndian.AppendUint16(head, version)
	head = binary.BigEndian.AppendUint32(head, 1)
	head = append(head, word("chaos")...)
	all := binary.BigEndian.AppendUint32(nil, uint32(len(head)+len(body)))
	return append(append(all, head...), body...)
}
