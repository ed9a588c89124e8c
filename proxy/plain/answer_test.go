package plain

import (
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
)

// wrapped is a connection that says how much is written at a time.
type wrapped struct {
	net.Conn
	writes *[]int
}

func (w wrapped) Write(p []byte) (int, error) {
	*w.writes = append(*w.writes, len(p))
	return w.Conn.Write(p)
}

func TestNothingIsNotWritten(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	go func() { _, _ = io.Copy(io.Discard, there) }()
	var writes []int
	a := &answer{c: &conn{s: &Server{}, rwc: wrapped{here, &writes}, cancel: func() {}}, header: http.Header{"Content-Length": {"40000"}}}
	for range 2 {
		_, _ = a.Write(make([]byte, 20000))
		a.Flush()
	}
	if len(writes) != 3 || slices.Contains(writes, 0) { // the head, and twice what follows
		t.Errorf("%v", writes)
	}
}
