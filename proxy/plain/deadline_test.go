package plain

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A body that has come with its head is read without waiting, and a handler may all
// the same have set a deadline for it: the next request has its own.
func TestADeadlineForABodyDoesNotOutliveItsRequest(t *testing.T) {
	const bound = 50 * time.Millisecond
	_, addr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(bound)); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	request := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
	c := open(t, addr, request)
	answers := bufio.NewReader(c)
	for n := range 3 {
		if n > 0 {
			time.Sleep(3 * bound) // idle: that the bound passes is what is tried
			if _, err := io.WriteString(c, request); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("request %d on an idle connection: %v", n+1, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

// A handler may bound reads of a body that is through, while the client's next
// request is coming in.
func TestADeadlineForABodyThatIsThroughIsNone(t *testing.T) {
	bound := make(chan error, 1)
	asked, on := make(chan struct{}), make(chan struct{})
	_, addr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/next" {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		close(asked)
		<-on
		for range 100 {
			if err := http.NewResponseController(w).SetReadDeadline(time.Now()); err != nil {
				bound <- err
				return
			}
			time.Sleep(time.Millisecond)
		}
		bound <- nil
	})
	c := open(t, addr, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
	<-asked
	close(on)
	_, _ = io.WriteString(c, "GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if err := <-bound; err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(c); err != nil || strings.Count(string(got), "HTTP/1.1 200 OK") != 2 {
		t.Errorf("%q %v", got, err)
	}
}
