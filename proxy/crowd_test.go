package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// fewDescriptors has the test's own binary serve, with so many descriptors.
const (
	fewDescriptors = "PROXY_TEST_DESCRIPTORS"
	fewProvider    = "PROXY_TEST_PROVIDER"
)

// serveWithFew is a proxy in a process of its own, until its input ends. Then it
// says what it recorded.
func serveWithFew(few string) {
	n, err := strconv.ParseUint(few, 10, 64)
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fail(err)
	fail(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}))
	rec, reg := &memory{}, prometheus.NewRegistry()
	book, err := savings.BuiltinBook()
	fail(err)
	snap := classifier.NewSnapshot(classifier.Parts{Project: "acme"})
	p, err := New(Config{Project: "acme", DrainTimeout: time.Second, Providers: []Provider{{Name: "openai", Dialect: "openai", BaseURL: os.Getenv(fewProvider)}}},
		rec, func() *classifier.Snapshot { return snap }, book, nil, slog.New(slog.DiscardHandler), reg)
	fail(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	fmt.Println(ln.Addr())
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	fail(p.Serve(ctx, ln))
	count := map[schemas.Status]int{}
	for _, ev := range rec.events() {
		count[ev.Status]++
	}
	refused := 0.0
	families, err := reg.Gather()
	fail(err)
	for _, f := range families {
		if f.GetName() == "gnomon_connections_refused_total" {
			refused = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	fmt.Println(len(rec.begun), len(rec.events()), count[schemas.StatusOK], count[schemas.StatusRefused], refused)
}

// few is such a process, and the provider behind it, whose streams last until
// they are released.
type few struct {
	addr    string
	up      *standIn
	release func()
	end     func() (begun, ended, ok, refused, connections int)
}

func startFew(t *testing.T, descriptors int) few {
	t.Helper()
	up, free := newStandIn(t), make(chan struct{})
	up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
		<-free
		_, _ = io.WriteString(c, chunks(streamEvents[1:]...)+"0\r\n\r\n")
	})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", fewDescriptors, descriptors), fewProvider+"="+up.url())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	release := sync.OnceFunc(func() { close(free) })
	stop := sync.OnceFunc(func() { release(); in.Close() })
	t.Cleanup(func() { stop(); up.close(); _ = cmd.Wait() })
	said := bufio.NewReader(out)
	addr, err := said.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return few{addr: strings.TrimSpace(addr), up: up, release: release, end: func() (begun, ended, ok, refused, connections int) {
		stop()
		if _, err := fmt.Fscan(said, &begun, &ended, &ok, &refused, &connections); err != nil {
			t.Errorf("the process ended without a word: %v", err)
		}
		return begun, ended, ok, refused, connections
	}}
}

// join is one of a crowd: it asks for a stream and reads it to its end. settled is
// called when it is in, or refused.
func (f few) join(t *testing.T, served, told, untold, whole *atomic.Int64, settled func()) {
	defer settled()
	conn, err := net.DialTimeout("tcp", f.addr, 30*time.Second)
	if err != nil {
		t.Errorf("no connection: %v", err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
	if _, err := io.WriteString(conn, post("/v1/chat/completions", saidStream)); err != nil {
		untold.Add(1)
		return
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	switch {
	case err != nil:
		untold.Add(1)
	case resp.StatusCode == 503 && resp.Header.Get("x-gnomon-error") == "overloaded" && resp.Header.Get("Retry-After") != "":
		told.Add(1)
	case resp.StatusCode != 200:
		t.Errorf("answered %s %v", resp.Status, resp.Header)
	default:
		served.Add(1)
		settled()
		if body, err := io.ReadAll(resp.Body); err == nil && string(body) == strings.Join(streamEvents, "") {
			whole.Add(1)
		}
	}
}

// A crowd larger than there are descriptors for: as many as there is room for are
// served to the end of their streams, the rest is refused with a 503 of gnomon's
// own, and when the crowd is gone nothing has to be mended. PROXY_TEST_CROWD=20000
// (make crowd) is the real size.
func TestACrowdLargerThanTheDescriptorsIsServedInPartAndToldSo(t *testing.T) {
	crowd, descriptors := 400, 256
	if n, err := strconv.Atoi(os.Getenv("PROXY_TEST_CROWD")); err == nil {
		crowd, descriptors = n, min(n*2/5, 8000)
	}
	room := (descriptors - 64 - descriptors/16) / 2
	f := startFew(t, descriptors)
	var served, told, untold, whole atomic.Int64
	var all sync.WaitGroup
	entering := make(chan struct{}, 200) // at once
	began := time.Now()
	for range crowd {
		all.Go(func() {
			entering <- struct{}{}
			f.join(t, &served, &told, &untold, &whole, sync.OnceFunc(func() { <-entering }))
		})
	}
	for deadline := began.Add(3 * time.Minute); int(served.Load()+told.Load()+untold.Load()) < crowd && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	took := time.Since(began)
	f.release()
	all.Wait()
	t.Logf("%d connections at %d descriptors: %d served, %d told, %d cut off untold, in %v", crowd, descriptors, served.Load(), told.Load(), untold.Load(), took.Round(time.Millisecond))
	if int(served.Load()) != room || whole.Load() != served.Load() {
		t.Errorf("%d were served, %d of them to the end; there is room for %d", served.Load(), whole.Load(), room)
	}
	if told.Load() == 0 || int(served.Load()+told.Load()+untold.Load()) != crowd {
		t.Errorf("%d of %d have an answer", served.Load()+told.Load(), crowd)
	}
	eventually(t, "it serves as before", func() bool {
		resp, err := http.Post("http://"+f.addr+"/v1/chat/completions", "application/json", strings.NewReader(saidStream))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode == 200
	})
	http.DefaultClient.CloseIdleConnections()
	begun, ended, ok, _, connections := f.end()
	if begun != ended || ok < room+1 || connections < int(told.Load()) {
		t.Errorf("%d requests begun, %d ended, %d well; %d connections refused", begun, ended, ok, connections)
	}
}

// Many streams of few connections need more descriptors for their providers than
// there are: those that get none are refused as gnomon's own fault, and recorded.
func TestACallForWhichThereIsNoDescriptorIsRefusedAsOurOwn(t *testing.T) {
	const streams = 300
	f := startFew(t, 200)
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	if resp, err := (&http.Client{Transport: tr}).Get("http://" + f.addr + "/nowhere"); err != nil { // the one connection
		t.Fatal(err)
	} else {
		resp.Body.Close()
	}
	var served, told, whole atomic.Int64
	var all sync.WaitGroup
	for range streams {
		all.Go(func() {
			resp, err := (&http.Client{Transport: tr}).Post("http://"+f.addr+"/v1/chat/completions", "application/json", strings.NewReader(saidStream))
			if err != nil {
				t.Errorf("no answer: %v", err)
				return
			}
			defer resp.Body.Close()
			switch kind := resp.Header.Get("x-gnomon-error"); {
			case resp.StatusCode == 503 && kind == "overloaded":
				told.Add(1)
			case resp.StatusCode == 200:
				served.Add(1)
				if body, err := io.ReadAll(resp.Body); err == nil && string(body) == strings.Join(streamEvents, "") {
					whole.Add(1)
				}
			default:
				t.Errorf("answered %s %s", resp.Status, kind)
			}
		})
	}
	eventually(t, "each is at its provider or refused", func() bool { return served.Load()+told.Load() == streams })
	f.release()
	all.Wait()
	if told.Load() == 0 || served.Load() < 100 || whole.Load() != served.Load() {
		t.Errorf("%d served, %d to the end, %d told", served.Load(), whole.Load(), told.Load())
	}
	t.Logf("%d streams at 200 descriptors: %d served, %d told", streams, served.Load(), told.Load())
	tr.CloseIdleConnections()
	if begun, ended, ok, refused, _ := f.end(); begun != streams || ended != streams || ok != int(served.Load()) || refused != int(told.Load()) {
		t.Errorf("%d requests begun, %d ended, %d well, %d refused", begun, ended, ok, refused)
	}
}
