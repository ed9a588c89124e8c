package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// row is what the store says of a request.
type row struct {
	user, id, status, source string
	input, output            int
}

// counts is what a run came to.
type counts struct {
	sent, complete, stored, lost, ranges int
}

const clock = "15:04:05.000"

// settled says whether the store accounts for everything that proxies accepted,
// by what each of them said after the given time: an older heartbeat says nothing
// of what came since.
func (w *world) settled(since time.Time) error {
	// What a proxy said while its clock was ahead is none of them.
	heard, err := w.back.rows(fmt.Sprintf("SELECT uniqExact(proxy) FROM gnomon.heartbeats WHERE at > fromUnixTimestamp64Milli(%d) AND at < now64(3) + INTERVAL 1 MINUTE", since.UnixMilli()))
	if err != nil {
		return err
	}
	if want := strconv.Itoa(len(w.fronts)); heard[0][0] != want {
		return fmt.Errorf("%s of %s proxies were heard since the load ended", heard[0][0], want)
	}
	open, err := w.back.rows("SELECT boot_id, proxy, accepted, stored, declared FROM gnomon.completeness WHERE difference != 0")
	if err != nil {
		return err
	}
	if len(open) > 0 {
		return fmt.Errorf("not accounted for (boot id, proxy, accepted, stored, declared): %v", open)
	}
	return nil
}

// patience is how long the difference of a life stands until a person is called.
const patience = 15 * time.Second

// declareGone does what an operator does when a proxy's disk is gone: a life whose
// difference has stood for so long is declared. It is called until everything is
// settled.
func (w *world) declareGone(stands map[string]time.Time) error {
	open, err := w.back.rows("SELECT boot_id, difference FROM gnomon.completeness WHERE difference > 0")
	if err != nil {
		return err
	}
	now := map[string]time.Time{}
	for _, l := range open {
		key := l[0] + " " + l[1]
		now[key] = time.Now()
		if since, stood := stands[key]; stood {
			now[key] = since
		}
		if time.Since(now[key]) < patience {
			continue
		}
		cmd := exec.Command(w.back.bin, "declare-lost", "--silent", "-48h", l[0]) // its clock may have been ahead
		cmd.Env, cmd.Dir = w.beside.env, w.beside.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("gnomon declare-lost: %w: %s", err, out)
		}
		delete(now, key)
	}
	clear(stands)
	maps.Copy(stands, now)
	return nil
}

// settle waits until everything is accounted for. When it is not in time, the
// error tells what moved until the end, as on a machine that is too busy, from what
// stood still, which is lost or stuck.
func (w *world) settle(ctx context.Context, limit time.Duration, ended time.Time, plan []fault) error {
	stands := map[string]time.Time{}
	person := slices.ContainsFunc(plan, func(f fault) bool { return f.gone })
	last, moved := "", time.Now()
	err := w.back.until(ctx, limit, func() error {
		err := w.settled(ended)
		if err == nil {
			return nil
		}
		if said := err.Error(); said != last {
			last, moved = said, time.Now()
		}
		if person {
			err = errors.Join(err, w.declareGone(stands))
		}
		return err
	})
	if err == nil {
		return nil
	}
	still := time.Since(moved).Round(time.Second)
	if still > limit/3 {
		return fmt.Errorf("STANDS STILL since %v: %w", still, err)
	}
	return fmt.Errorf("TOO SLOW, it moved %v ago: %w", still, err)
}

// stored is what the store has: rows that are no loss, by user and by id.
type stored struct {
	byUser, byID map[string]row
}

// read files the store's rows, and says of those that should not be there.
func (l *ledger) read(got [][]string, c *counts, say func(string, ...any)) stored {
	s := stored{map[string]row{}, map[string]row{}}
	for _, r := range got {
		x := row{user: r[0], id: r[1], status: r[2], source: r[3]}
		x.input, _ = strconv.Atoi(r[4])
		x.output, _ = strconv.Atoi(r[5])
		if _, twice := s.byID[x.id]; twice {
			say("request %s is there twice", x.id)
		}
		s.byID[x.id] = x
		if x.status == "lost" {
			c.lost++
			continue
		}
		c.stored++
		if _, twice := s.byUser[x.user]; twice {
			say("%s is there twice", x.user)
		}
		s.byUser[x.user] = x
		if l.entries[x.user] == nil {
			say("%q is in the store, and nobody sent it", x.user)
		}
	}
	return s
}

// allowance is how many records the faults took from disks, and whether whole
// answers may be dropped.
func allowance(plan []fault) (records int, drops bool) {
	for _, f := range plan {
		records, drops = records+f.tear, drops || f.drops
	}
	return records, drops
}

// judge holds the store against the ledger, by what the faults may have cost.
func (w *world) judge(l *ledger, plan []fault) (c counts, err error) {
	allowed, drops := allowance(plan)
	var broken []error
	say := func(format string, args ...any) { broken = append(broken, fmt.Errorf(format, args...)) }
	got, err := w.back.rows("SELECT user_id, toString(request_id), status, usage_source, input_tokens, output_tokens FROM gnomon.requests FINAL")
	if err != nil {
		return c, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	has := l.read(got, &c, say)
	gone, err := w.back.rows("SELECT toUInt64(sum(declared)) FROM gnomon.completeness")
	if err != nil {
		return c, err
	}
	declared, _ := strconv.Atoi(gone[0][0])
	c.ranges = declared - c.lost
	missing, spare := 0, allowed
	if drops {
		spare += declared // by name, too: what was begun while there was room, and ended where nothing could be written
	}
	for _, e := range l.entries {
		c.sent++
		r, stored := has.byUser[e.name]
		if e.complete {
			c.complete++
		}
		if !e.complete && e.kind != leaves && e.kind != dies && !w.fronts[e.front].wasAway(e.took) {
			say("%s (%s): its client got no whole answer, and %s was well from %s to %s", e.name, e.kind, w.fronts[e.front].name, e.took.from.Format(clock), e.took.to.Format(clock))
		}
		if e.asked > 1 {
			say("the provider was asked %d times for %s", e.asked, e.name)
		}
		switch in, out := usage(e.name); {
		case stored:
			if (e.kind == plain || e.kind == stream) && e.complete && (r.status != "ok" || r.source != "provider" || r.input != in || r.output != out) {
				say("%s (%s): the store has %+v, the provider said %d and %d tokens", e.name, e.kind, r, in, out)
			}
			if e.id != "" && r.id != e.id {
				say("%s was given the id %s and is stored as %s", e.name, e.id, r.id)
			}
		case e.complete:
			missing++
			if spare--; spare < 0 {
				say("%s (%s): its client has the answer, the store has nothing (declared lost by name: %v)", e.name, e.kind, has.byID[e.id].status == "lost")
			}
		case e.id != "" && has.byID[e.id].id == "" && c.ranges == 0:
			missing++
			if spare--; spare < 0 {
				say("%s (%s): begun as %s, and nobody knows", e.name, e.kind, e.id)
			}
		case e.asked > 0:
			missing++
		}
	}
	if unstored := c.sent - c.stored; declared > unstored {
		say("%d are declared, and only %d requests are not stored", declared, unstored)
	}
	if missing > declared+allowed {
		say("%d requests reached the provider and are not stored; only %d are declared", missing, declared)
	}
	const tell = 8
	if n := len(broken) - tell; n > 0 {
		broken = append(broken[:tell], fmt.Errorf("and %d more", n))
	}
	return c, errors.Join(broken...)
}
