package wire

import (
	"errors"
	"os"
	"syscall"
)

// direct sends a request on a TCP connection in one go with the waiting for its
// answer: it looks whether the connection is as it was left, writes, and waits until
// there is something to read. Done one by one, the last costs a read that finds
// nothing.
//
// All three happen while the runtime's poller is armed: what comes after the look,
// also the provider's closing, ends the wait.
type direct struct {
	fd    syscall.RawConn
	steps func(fd uintptr) bool // made once: it is one allocation a request less

	out   []byte
	again bool // the connection has served before
	wrote int
	err   error
	sent  bool
}

func newDirect(fd syscall.RawConn) *direct {
	d := &direct{fd: fd}
	d.steps = d.step
	return d
}

// send returns how much was written, when the answer has begun to come, or the wait
// for it has ended otherwise: reading says how. Where less was written than all,
// nothing was waited for. errUnseen: a connection that has served before was closed
// since, or holds bytes that nobody asked for.
func (d *direct) send(out []byte, again bool) (wrote int, err error) {
	d.out, d.again, d.wrote, d.err, d.sent = out, again, 0, nil, false
	waited := d.fd.Read(d.steps)
	d.out = nil
	if !d.sent && waited != nil { // it was not come to: the connection is closed, or out of time
		return 0, waited
	}
	return d.wrote, d.err
}

// step is called by the poller: false asks it to wait.
func (d *direct) step(fd uintptr) (done bool) {
	if d.sent {
		return true
	}
	d.sent = true
	still := quiet(int(fd))
	if !still && d.again {
		d.err = errUnseen
		return true
	}
	for {
		n, err := syscall.Write(int(fd), d.out)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return true // the rest is written the usual way
		case err != nil:
			d.err = os.NewSyscallError("write", err)
			return true
		}
		d.wrote = n
		return n < len(d.out) || !still // what came before the look ends no wait
	}
}

// quiet reports whether a socket is open and has nothing to read.
func quiet(fd int) bool {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if !errors.Is(err, syscall.EINTR) {
			return errors.Is(err, syscall.EAGAIN)
		}
	}
}
