package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"
)

// joinAndDie is a member of ingest's group that is gone before it is told its
// share, as an ingester that is killed at that moment: by a few words of Kafka's
// protocol, since a process cannot be killed at a moment so short but by chance.
// The broker waits for the other members, who hear of it within a second. The
// embedded one then keeps it until its session ends; by its source it may keep it
// for ever, where it knows that its answer cannot be delivered.
func joinAndDie(ctx context.Context, w *world, _ *rand.Rand) error {
	const topic = "gnomon.requests.v1"
	const group = "gnomon-ingest." + topic
	var conn net.Conn
	err := w.back.until(ctx, 20*time.Second, func() error { // the broker may be on its way back from another fault
		addr, err := coordinator(ctx, w.brokers, group)
		if err == nil {
			conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errNone, err)
	}
	defer conn.Close()
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
	const joinGroup = 11
	if _, err := conn.Write(message(joinGroup, 1, body)); err != nil {
		return fmt.Errorf("%w: %w", errNone, err)
	}
	// Its bytes have to be read before the connection ends.
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 512)); n > 0 {
		return fmt.Errorf("%w: the broker answered at once, so it has no other member to wait for (%v)", errNone, err)
	}
	return nil
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
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	const findCoordinator = 10
	if _, err := conn.Write(message(findCoordinator, 0, word(group))); err != nil {
		return "", err
	}
	var head [16]byte // size, correlation, error, node, length of the host
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return "", err
	}
	if code := binary.BigEndian.Uint16(head[8:]); code != 0 {
		return "", fmt.Errorf("%s: error %d", addr, code)
	}
	rest := make([]byte, int(binary.BigEndian.Uint16(head[14:]))+4)
	if _, err := io.ReadFull(conn, rest); err != nil {
		return "", err
	}
	host, port := rest[:len(rest)-4], binary.BigEndian.Uint32(rest[len(rest)-4:])
	return net.JoinHostPort(string(host), strconv.FormatUint(uint64(port), 10)), nil
}

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
