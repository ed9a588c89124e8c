package main

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

var chat = request{path: "/v1/chat/completions", size: 1024}

// measure runs the scenarios and prints their tables.
func measure(f *fleet, o *options) error {
	fmt.Printf("Rounds that take turns: %d of %v a target; medians of times, the least of processor time, which is of the target alone.\n", o.rounds, o.length)
	scenarios := map[string]func(*fleet, *options) error{
		"requests": requests, "shadow": shadow, "rate": rate, "stream": streams, "large": large, "idle": idle, "soak": soak,
	}
	for name := range strings.SplitSeq(o.scenarios, ",") {
		s, ok := scenarios[name]
		if !ok {
			return fmt.Errorf("scenario %q is none of requests, shadow, rate, stream, large, idle, soak", name)
		}
		kept := func() {}
		if o.profiles != "" {
			kept = f.profile(o, name)
		}
		err := s(f, o)
		kept()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return f.complete()
}

// interleave measures every target in each round.
func interleave(targets []*target, rounds int, one func(*target) (*sample, error)) (map[string][]*sample, error) {
	all := map[string][]*sample{}
	for round := range rounds + 1 {
		for _, t := range targets {
			s, err := t.around(func() (*sample, error) { return one(t) })
			if err != nil {
				return nil, err
			}
			if round > 0 { // the first warms up
				all[t.name] = append(all[t.name], s)
			}
		}
	}
	return all, nil
}

// of is the median of a figure of samples.
func of(samples []*sample, figure func(*sample) float64) float64 {
	return median(figures(samples, figure))
}

// least is the smallest of a figure of samples. Processor time is taken so: what
// else a machine does can only add to it.
func least(samples []*sample, figure func(*sample) float64) float64 {
	v := figures(samples, figure)
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Min(v)
}

func figures(samples []*sample, figure func(*sample) float64) []float64 {
	v := make([]float64, len(samples))
	for i, s := range samples {
		v[i] = figure(s)
	}
	return v
}

func cpuOf(s *sample) float64     { return s.perRequest(s.cpu) }
func settledOf(s *sample) float64 { return s.perRequest(s.settled) }

// against is a figure over that of another target, "" where that is not there.
func against(all map[string][]*sample, name, other string, pick func([]*sample, func(*sample) float64) float64, figure func(*sample) float64) string {
	if all[name] == nil || all[other] == nil {
		return ""
	}
	return fmt.Sprintf("%.3g", pick(all[name], figure)/pick(all[other], figure))
}

func requests(f *fleet, o *options) error {
	targets := f.targets
	if f.portkey != nil {
		targets = append(slices.Clip(targets), f.portkey)
	}
	all, err := interleave(targets, o.rounds, func(t *target) (*sample, error) { return t.closed(chat, o.conns, o.length, 0) })
	if err != nil {
		return err
	}
	fmt.Printf("\n### 1 KB requests, %d connections, as fast as they go\n\n", o.conns)
	fmt.Print("| target | CPU µs a request | with its shipping | requests/s a core | against gin | CPU against ReverseProxy | against nginx | against portkey | requests/s seen | cores used |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, t := range targets {
		s := all[t.name]
		cpu := least(s, cpuOf)
		fmt.Printf("| %s | %.1f | %.1f | %.0f | %s | %s | %s | %s | %.0f | %.2f |\n", t.name, cpu, least(s, settledOf), 1e6/cpu, against(all, "gin", t.name, least, cpuOf),
			against(all, t.name, "reverse", least, cpuOf), against(all, t.name, "nginx", least, cpuOf), against(all, t.name, "portkey", least, cpuOf),
			of(s, func(s *sample) float64 { return float64(s.requests) / s.wall.Seconds() }), of(s, func(s *sample) float64 { return s.cpu.Seconds() / s.wall.Seconds() }))
	}
	return nil
}

// shadow compares requests that are looked at with the same ones on a path that
// no dialect reads: recorded, but neither captured, assessed, decided nor priced.
func shadow(f *fleet, o *options) error {
	var both []*target
	for _, t := range f.targets {
		if t.admin != "" {
			on, off := *t, *t
			on.name, off.name = t.name+", shadow on", t.name+", shadow off"
			both = append(both, &on, &off)
		}
	}
	if len(both) == 0 {
		return nil
	}
	unread := chat
	unread.path = "/v1/unread"
	all, err := interleave(both, o.rounds, func(t *target) (*sample, error) {
		if strings.HasSuffix(t.name, "off") {
			return t.closed(unread, o.conns, o.length, 0)
		}
		return t.closed(chat, o.conns, o.length, 0)
	})
	if err != nil {
		return err
	}
	fmt.Print("\n### Shadow on and off: the same requests on a path that no dialect reads\n\n| | CPU µs a request | with its shipping |\n|---|---|---|\n")
	for i, t := range both {
		s := all[t.name]
		fmt.Printf("| %s | %.1f | %.1f |\n", t.name, least(s, cpuOf), least(s, settledOf))
		if i%2 == 1 {
			on := all[both[i-1].name]
			fmt.Printf("| the shadow costs | %+.1f | %+.1f |\n", least(on, cpuOf)-least(s, cpuOf), least(on, settledOf)-least(s, settledOf))
		}
	}
	return nil
}

func rate(f *fleet, o *options) error {
	targets := append([]*target{f.standin}, f.targets...)
	all, err := interleave(targets, o.rounds, func(t *target) (*sample, error) { return t.paced(chat, 64, 1000, o.length) })
	if err != nil {
		return err
	}
	p := func(q float64) func(*sample) float64 {
		return func(s *sample) float64 { return percentile(s.latencies, q) }
	}
	fmt.Print("\n### 1,000 requests/s, 1 KB: latency in µs from when a request was due\n\n| target | p50 | p99 | added p50 | added p99 | added p50 against nginx | added p99 against nginx | CPU µs a request |\n|---|---|---|---|---|---|---|---|\n")
	d50, d99 := of(all["direct"], p(.5)), of(all["direct"], p(.99))
	for _, t := range targets {
		s := all[t.name]
		over := func(q, direct float64) string {
			if all["nginx"] == nil || t == f.standin {
				return ""
			}
			return fmt.Sprintf("%.2f", (of(s, p(q))-direct)/(of(all["nginx"], p(q))-direct))
		}
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %.0f | %s | %s | %.1f |\n", t.name, of(s, p(.5)), of(s, p(.99)), of(s, p(.5))-d50, of(s, p(.99))-d99, over(.5, d50), over(.99, d99), least(s, cpuOf))
	}
	return nil
}

func streams(f *fleet, o *options) error {
	q := request{path: chat.path, size: 1024, stream: true, shape: "events=50 gap=10ms"}
	targets := append([]*target{f.standin}, f.targets...)
	all, err := interleave(targets, o.rounds, func(t *target) (*sample, error) { return t.paced(q, 64, 20, o.length) })
	if err != nil {
		return err
	}
	p := func(q float64) func(*sample) float64 {
		return func(s *sample) float64 { return percentile(s.delays, q) }
	}
	fmt.Print("\n### 20 streams/s of 50 events, 10 ms apart: µs from an event's writing to its reading\n\n| target | p50 | p99 | p50 against nginx | CPU µs a stream |\n|---|---|---|---|---|\n")
	for _, t := range targets {
		s := all[t.name]
		fmt.Printf("| %s | %.0f | %.0f | %s | %.0f |\n", t.name, of(s, p(.5)), of(s, p(.99)), against(all, t.name, "nginx", of, p(.5)), least(s, cpuOf))
	}
	return nil
}

func large(f *fleet, o *options) error {
	q := request{path: chat.path, size: 1 << 20}
	all, err := interleave(f.targets, o.rounds, func(t *target) (*sample, error) { return t.closed(q, 8, o.length, 0) })
	if err != nil {
		return err
	}
	fmt.Print("\n### 1 MB requests, 8 connections\n\n| target | CPU µs a request | against gin |\n|---|---|---|\n")
	for _, t := range f.targets {
		fmt.Printf("| %s | %.0f | %s |\n", t.name, least(all[t.name], cpuOf), against(all, t.name, "gin", least, cpuOf))
	}
	return nil
}

func idle(f *fleet, o *options) error {
	fmt.Printf("\n### %d streams open and silent\n\n| target | KB a stream |\n|---|---|\n", o.idle)
	for _, t := range f.targets {
		kb, err := t.held(o.idle)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Printf("| %s | %.1f |\n", t.name, kb)
	}
	return nil
}

// soak sends many requests and looks at memory on the way.
func soak(f *fleet, o *options) error {
	fmt.Printf("\n### %d requests\n\n| target | resident MB after each tenth |\n|---|---|\n", o.requests)
	for _, t := range f.targets {
		if t.admin == "" {
			continue
		}
		fmt.Printf("| %s |", t.name)
		for range 10 {
			s, err := t.around(func() (*sample, error) { return t.closed(chat, 64, 0, o.requests/10) })
			if err != nil {
				return err
			}
			fmt.Printf(" %.0f", float64(s.resident)/1e6)
		}
		fmt.Println(" |")
	}
	return nil
}

// complete says that a gnomon's figures were not bought by dropping records.
func (f *fleet) complete() error {
	for _, t := range f.targets {
		if t.admin == "" {
			continue
		}
		dropped, err := t.metric("gnomon_events_dropped_total")
		if err != nil {
			return err
		}
		accepted, err := t.metric("gnomon_requests_total")
		if err != nil {
			return err
		}
		fmt.Printf("\n%s: %.0f requests recorded, %.0f events dropped.\n", t.name, accepted, dropped)
		if dropped > 0 {
			return fmt.Errorf("%s dropped %.0f events: its figures are of no use", t.name, dropped)
		}
	}
	return nil
}

// profile keeps a processor profile of gnomon during a scenario, and its
// allocations at the end.
func (f *fleet) profile(o *options, scenario string) func() {
	var done []chan error
	seconds := (o.rounds + 1) * len(f.targets) * int(o.length/time.Second)
	keep := func(t *target, what, query string) error {
		resp, err := http.Get("http://" + t.admin + "/debug/pprof/" + what + query)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", what, resp.Status)
		}
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
		path := filepath.Join(o.profiles, t.name+"."+scenario+"."+what+".pprof")
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		defer out.Close()
		if _, err = io.Copy(out, resp.Body); err == nil {
			fmt.Println("kept", path)
		}
		return err
	}
	for _, t := range f.targets {
		if t.admin == "" {
			continue
		}
		ch := make(chan error, 1)
		done = append(done, ch)
		go func() {
			err := keep(t, "profile", fmt.Sprintf("?seconds=%d", seconds))
			if err == nil {
				err = keep(t, "allocs", "")
			}
			ch <- err
		}()
	}
	return func() {
		for _, ch := range done {
			if err := <-ch; err != nil {
				fmt.Println("profile:", err)
			}
		}
	}
}
