package proxy

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

func TestLargeBodiesOfManyRequestsAreNotMixed(t *testing.T) {
	r := newRig(t)
	r.up.handle(func(c *call) {
		body := string(c.body)
		nonce := body[strings.Index(body, "<")+1 : strings.Index(body, ">")]
		if n := c.req.Header.Get("X-Nonce"); n != nonce || strings.Count(body, nonce) != strings.Count(body, "|") || !strings.HasSuffix(body, `"}]}`) {
			_, _ = io.WriteString(c, "HTTP/1.1 500 Mixed\r\nContent-Length: 0\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c, ok200("application/json", chatAnswer))
	})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 8 {
				nonce := fmt.Sprintf("n%d-%d-", i, j)
				body := `{"model":"gpt-4o","messages":[{"role":"user","content":"<` + nonce + `>|` + strings.Repeat(nonce+"|", 2000+1500*j*(i%3)) + `"}]}`
				if i%2 == 0 {
					if a := ask(t, r.addr, post("/v1/chat/completions", body, "X-Nonce: "+nonce)); a.err != nil || a.StatusCode != 200 {
						t.Errorf("%s: %v %v", nonce, a.Response, a.err)
					}
					continue
				}
				raw := "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nX-Nonce: " + nonce + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(body[:100], body[100:]) + "0\r\n\r\n"
				if a := ask(t, r.addr, raw); a.err != nil || a.StatusCode != 200 {
					t.Errorf("%s in chunks: %v %v", nonce, a.Response, a.err)
				}
			}
		})
	}
	wg.Wait()
}

func TestABodyGrowsWithWhatHasCome(t *testing.T) {
	for _, row := range []struct {
		name          string
		have, claimed int64
		want          int
	}{
		{"fourfold", 64 << 10, 4 << 20, 256 << 10},
		{"to what is claimed, where that is less", 64 << 10, 100 << 10, 100<<10 + 1},
		{"fourfold where nothing is claimed", 64 << 10, -1, 256 << 10},
		{"past a claim that was too small", 64 << 10, 64 << 10, 64<<10 + 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := cap(grown(make([]byte, row.have), row.claimed)); got < row.want || got > row.want*5/4 {
				t.Errorf("room for %d, want about %d", got, row.want)
			}
		})
	}
}
