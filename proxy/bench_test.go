package proxy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// discard is a Recorder that keeps nothing.
type discard struct{}

func (discard) BootID() uint64                           { return 1 }
func (discard) Begin(string, time.Time, [16]byte) uint64 { return 1 }
func (discard) End(*schemas.RequestEvent)                {}

func benchServer(b *testing.B, h http.Handler) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(ln) }()
	b.Cleanup(func() { srv.Close() })
	return "http://" + ln.Addr().String()
}

// benchProxy serves the proxy as it is served, and returns its address.
func benchProxy(b *testing.B, upstream string, count Tokenizer) string {
	book := testBook(b)
	snap := classifier.NewSnapshot(classifier.Parts{Project: "acme", Prices: book, DraftThreshold: .5, Ladders: classifier.BuiltinLadders(), Capabilities: classifier.BuiltinCapabilities()})
	p, err := New(Config{Project: "acme", Providers: []Provider{{Name: "openai", Dialect: "openai", BaseURL: upstream, IncludeUsage: true}}, Tokens: count}, discard{}, func() *classifier.Snapshot { return snap }, book, nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, ln) }()
	b.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOneCall measures a whole call over loopback – client, proxy and
// stand-in provider in one process – so only differences between the rows are
// the proxy's.
func BenchmarkOneCall(b *testing.B) {
	body := strings.Replace(chatBody, "Where is my parcel?", strings.Repeat("Where is my parcel? ", 45), 1) // 1 KB
	events := strings.Repeat(streamEvents[0], 50) + strings.Join(streamEvents, "")
	for _, kind := range []string{"plain", "stream"} {
		upstream := benchServer(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if kind == "plain" {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, chatAnswer)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, events)
			w.(http.Flusher).Flush()
		}))
		target, _ := url.Parse(upstream)
		if kind == "stream" {
			body = strings.Replace(body, `{"model"`, `{"stream":true,"model"`, 1)
		}
		transport := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
		reverse := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
		bare := gin.New()
		bare.NoRoute(func(c *gin.Context) {
			req, _ := http.NewRequestWithContext(c.Request.Context(), c.Request.Method, upstream+c.Request.URL.Path, c.Request.Body)
			req.Header, req.ContentLength = c.Request.Header, c.Request.ContentLength
			resp, err := transport.RoundTrip(req)
			if err != nil {
				c.Status(502)
				return
			}
			defer resp.Body.Close()
			for k, v := range resp.Header {
				c.Writer.Header()[k] = v
			}
			c.Writer.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(c.Writer, resp.Body)
		})
		for _, row := range []struct {
			name string
			addr string
		}{
			{"direct", upstream}, {"bare gin", benchServer(b, bare)}, {"gin and ReverseProxy", benchServer(b, reverse)}, {"gnomon, no text kept", benchProxy(b, upstream, nil)}, {"gnomon", benchProxy(b, upstream, letters)},
		} {
			b.Run(kind+"/"+row.name, func(b *testing.B) {
				client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
				defer client.CloseIdleConnections()
				b.ReportAllocs()
				began := cpuTime()
				for b.Loop() {
					resp, err := client.Post(row.addr+"/v1/chat/completions", "application/json", strings.NewReader(body))
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				// Hardly moves when the machine is busy with other work.
				b.ReportMetric(float64((cpuTime()-began).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
		transport.CloseIdleConnections()
	}
}

// BenchmarkObserve measures what is done for a request beside its bytes: peek,
// assessment, decision, reading the answer, pricing, the event.
func BenchmarkObserve(b *testing.B) {
	book := testBook(b)
	snap := classifier.NewSnapshot(classifier.Parts{Project: "acme", Prices: book, DraftThreshold: .5, Ladders: classifier.BuiltinLadders(), Capabilities: classifier.BuiltinCapabilities()})
	o := NewObserver("acme", func() *classifier.Snapshot { return snap }, book)
	for _, size := range []int{1, 8, 64} {
		body := []byte(strings.Replace(chatBody, "Where is my parcel?", strings.Repeat("Where is my parcel? ", size*51), 1))
		req := Request{Ts: time.Now(), Provider: "openai", Dialect: dialect.OpenAIChat, Path: "/v1/chat/completions", Feature: "mail", Session: "s", CredentialHash: "c", Body: body}
		b.Run("decide/"+strconv.Itoa(size)+"KB", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = o.Decide(&req)
			}
		})
		b.Run("peek/"+strconv.Itoa(size)+"KB", func(b *testing.B) {
			d := dialect.Named(dialect.OpenAIChat)
			b.ReportAllocs()
			for b.Loop() {
				_ = d.Peek("", body)
			}
		})
	}
	req := Request{Ts: time.Now(), Provider: "openai", Dialect: dialect.OpenAIChat, Feature: "mail", Session: "s", Body: []byte(chatBody)}
	d := o.Decide(&req)
	b.Run("event", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a := Answer{HTTPStatus: 200, Body: []byte(chatAnswer)}
			_ = o.Event(&req, &d, &a)
		}
	})
	stream := []byte(strings.Repeat(streamEvents[0], 100))
	readAndCut := func(b *testing.B, keep bool) {
		r := dialect.Named(dialect.OpenAIChat).NewReader("text/event-stream", 1<<20)
		h := heard{texts: &texts{}}
		if keep {
			r.Listen(&h)
		}
		cut := dialect.UsageCut{}
		var out []byte
		one := stream[:len(stream)/100]
		b.ReportAllocs()
		for b.Loop() {
			_, _ = r.Write(one)
			out = cut.Append(out[:0], one)
			if h.kept > chunkBytes/2 { // of a usual answer
				h.free()
				h = heard{texts: h.texts}
			}
		}
		if !bytes.Equal(out, one) || keep && h.kept == 0 {
			b.Fatal("changed")
		}
	}
	b.Run("stream event, read and cut", func(b *testing.B) { readAndCut(b, false) })
	b.Run("stream event, read, kept and cut", func(b *testing.B) { readAndCut(b, true) })
}
