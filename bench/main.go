// Command bench measures gnomon's data plane beside what it is compared with:
// bare gin, httputil.ReverseProxy and, where they are installed, nginx and the Portkey gateway.
//
// The one idea: everything is measured in one run, in rounds that take turns, so
// that what else the machine does falls on all alike; and the first figure is
// processor time a request (from /proc), which hardly moves on a busy machine
// while requests a second and percentiles do. Each target has the first
// processor to itself; the stand-in provider and the load share the second.
// gnomon runs as its proxy role alone, with the durable record, capture,
// classification and decision on; broker, store and the rest run in a second
// gnomon process on the second processor, in time that the load leaves (SCHED_IDLE).
//
// It measures loopback only, and no provider's work: figures are of the bytes'
// way through a gateway.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	role := "run"
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		role = os.Args[1]
		os.Args = slices.Delete(os.Args, 1, 2)
	}
	var err error
	switch role {
	case "run":
		err = run()
	case "standin":
		err = serveStandIn(flagAddr())
	case "gin", "reverse":
		err = serveFloor(role)
	default:
		err = fmt.Errorf("%q is none of run, standin, gin, reverse", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func flagAddr() string {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	return *addr
}

// options of a run.
type options struct {
	bin       string
	only      string
	scenarios string
	rounds    int
	length    time.Duration
	idle      int
	conns     int
	requests  int
	profiles  string
	portkey   string
	extra     []string
}

func run() error {
	var o options
	flag.StringVar(&o.bin, "gnomon", "../bin/gnomon", "the binary to measure; others as -extra")
	flag.StringVar(&o.only, "only", "", "comma-separated targets; empty: all that are there")
	flag.StringVar(&o.scenarios, "scenarios", "requests,shadow,rate,stream,large,idle", "what to measure; also: soak")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each scenario; the median is printed")
	flag.DurationVar(&o.length, "length", 2*time.Second, "of one round of one target")
	flag.IntVar(&o.conns, "conns", 64, "connections that send 1 KB requests; more keep a target busy where the load is starved")
	flag.IntVar(&o.idle, "idle", 2000, "streams held open for the memory figure")
	flag.IntVar(&o.requests, "soak", 1_000_000, "requests of the soak")
	flag.StringVar(&o.profiles, "profiles", "", "folder: keep processor and allocation profiles of gnomon in each scenario")
	flag.StringVar(&o.portkey, "portkey", os.Getenv("PORTKEY"), "folder of an installed @portkey-ai/gateway (npm), to measure it, too; also the variable PORTKEY")
	flag.Func("extra", "one more gnomon binary, name=path (repeatable): two builds side by side", func(s string) error {
		o.extra = append(o.extra, s)
		return nil
	})
	flag.Parse()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	f := &fleet{}
	defer f.stop()
	go func() {
		<-stop
		f.stop()
		os.Exit(130)
	}()
	if err := f.start(&o); err != nil {
		return err
	}
	return measure(f, &o)
}
