package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// shapeHeader tells the stand-in how to answer: "events=50 gap=10ms". Every
// gateway passes it through. Without events the answer is one JSON body.
const shapeHeader = "X-Shape"

// serveStandIn is the provider that all targets are in front of. Each event of a
// stream carries the time it was written, so that a reader on the same machine
// knows how long it was under way.
func serveStandIn(addr string) error {
	text := strings.Repeat("The parcel is on its way. ", 24)
	answer := []byte(`{"id":"chatcmpl-standin","object":"chat.completion","created":1763700000,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		text + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":220,"completion_tokens":140,"total_tokens":360,"prompt_tokens_details":{"cached_tokens":0}}}`)
	length := []string{strconv.Itoa(len(answer))}
	jsonType := []string{"application/json"}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		head := w.Header()
		head["X-Request-Id"], head["Openai-Processing-Ms"] = []string{"req_standin"}, []string{"12"}
		head["X-Ratelimit-Remaining-Requests"], head["X-Ratelimit-Remaining-Tokens"] = []string{"9999"}, []string{"1999780"}
		if s := r.Header.Get(shapeHeader); s != "" {
			stream(w, r, s)
			return
		}
		head["Content-Type"], head["Content-Length"] = jsonType, length
		_, _ = w.Write(answer)
	})
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return (&http.Server{Handler: h}).Serve(ln) //nolint:gosec // loopback, for as long as a measurement
}

func stream(w http.ResponseWriter, r *http.Request, shape string) {
	var events int
	var gap time.Duration
	for part := range strings.FieldsSeq(shape) {
		switch k, v, _ := strings.Cut(part, "="); k {
		case "events":
			events, _ = strconv.Atoi(v)
		case "gap":
			gap, _ = time.ParseDuration(v)
		}
	}
	w.Header()["Content-Type"] = []string{"text/event-stream"}
	rc := http.NewResponseController(w)
	for i := range events {
		if i > 0 && gap > 0 {
			select {
			case <-time.After(gap):
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-standin\",\"object\":\"chat.completion.chunk\",\"created\":1763700000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"parcel \"},\"finish_reason\":null}],\"t\":%d}\n\n", time.Now().UnixNano())
		if rc.Flush() != nil {
			return
		}
	}
	_, _ = io.WriteString(w, "data: {\"id\":\"chatcmpl-standin\",\"object\":\"chat.completion.chunk\",\"created\":1763700000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[],\"usage\":{\"prompt_tokens\":220,\"completion_tokens\":50,\"total_tokens\":270}}\n\ndata: [DONE]\n\n")
}

// envUpstream tells a floor where the stand-in is.
const envUpstream = "BENCH_UPSTREAM"

func upstream() string { return os.Getenv(envUpstream) }
