package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// webSocket reports whether an Upgrade header names WebSocket, and that alone. No
// other protocol is relayed: behind HTTP/2 (h2c) any number of requests could follow
// that no key's limits and no record would see.
func webSocket(upgrade []string) bool {
	return len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket")
}

// upgrade relays a connection that has changed its protocol (WebSocket), byte
// for byte until one side ends it. It is recorded as one request, unpriced.
func (x *exchange) upgrade(resp *http.Response) {
	back, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !webSocket(resp.Header["Upgrade"]) {
		x.refuse(dialect.Fault{Status: http.StatusBadGateway, Kind: "upgrade", Message: "gnomon: the provider's connection cannot be taken over"}, schemas.StatusProviderError)
		return
	}
	h := x.w.Header().Clone()
	passHeaders(h, resp.Header)
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, resp.Header["Upgrade"]
	x.withhold(h)
	if x.at.holds(resp.Status) {
		resp.Status = ""
	}
	conn, rw, err := x.c.Writer.Hijack()
	if err != nil {
		x.refuse(dialect.Fault{Status: http.StatusBadGateway, Kind: "upgrade", Message: "gnomon: this connection cannot change its protocol"}, schemas.StatusRefused)
		return
	}
	x.headSent = true
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{})
	resp.Header, resp.Body = h, nil
	if err := resp.Write(rw); err != nil || rw.Flush() != nil {
		x.leave()
		back.Close()
		return
	}
	// Either side's end, or the end of the drain, ends both.
	ended := make(chan struct{}, 2)
	var sent int64
	go func() { sent, _ = io.Copy(back, rw.Reader); ended <- struct{}{} }()
	go func() { x.ans.ResponseBytes, _ = io.Copy(conn, back); ended <- struct{}{} }()
	left := 2
	select {
	case <-ended:
		left--
	case <-x.ctx.Done():
		if errors.Is(context.Cause(x.ctx), errTotal) {
			x.setStatus(schemas.StatusTimeout, "total_timeout")
		}
	}
	conn.Close()
	back.Close()
	for range left {
		<-ended
	}
	if x.upload != nil {
		x.upload.n.Add(sent)
	} else {
		x.req.BodyBytes += int(sent)
	}
}
