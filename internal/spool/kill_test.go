package spool

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// With childEnv set, the test binary is a proxy's spool under load that says on
// its standard output what it was promised, until it is killed.
const childEnv = "GNOMON_SPOOL_TEST_CHILD"

func childMain() {
	stallAfter = time.Minute // on a busy machine a write takes long: what is said here is of writes alone
	s, err := Open(Config{Dir: os.Getenv(childEnv), SegmentBytes: 64 << 10, MaxBytes: 8 << 20})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("boot", s.BootID())
	var mu sync.Mutex
	for range 4 {
		go func() {
			for {
				mu.Lock() // numbers and ids go together in these tests
				seq := begin(s)
				mu.Unlock()
				fmt.Println("b", seq) // os.Stdout has no buffer: it was said once this returns
				if seq%7 == 0 {
					continue // hangs for ever
				}
				end(s, seq)
				fmt.Println("e", seq)
			}
		}()
	}
	time.Sleep(time.Minute)
	os.Exit(1)
}

func TestKillDashNineLosesNothingThatWasPromised(t *testing.T) {
	for round := range 3 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var (
			boot, last  uint64
			began       = map[uint64]bool{}
			ended       = map[uint64]bool{}
			killAt      = 500 * (round + 1)
			lines, seq  = 0, uint64(0)
			word        string
			scanner     = bufio.NewScanner(out)
			killed      = false
			_, whatever = fmt.Sscan("0", &seq)
		)
		_ = whatever
		for scanner.Scan() {
			if _, err := fmt.Sscan(scanner.Text(), &word, &seq); err != nil {
				continue // cut by the kill
			}
			switch word {
			case "boot":
				boot = seq
			case "b":
				began[seq], last = true, max(last, seq)
			case "e":
				ended[seq] = true
			}
			if lines++; lines == killAt && !killed {
				killed = true
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		if boot == 0 || len(ended) == 0 {
			t.Fatalf("the child said nothing: %d lines", lines)
		}
		s := open(t, Config{Dir: dir})
		h := s.Heartbeats(time.Now())[0]
		f := drain(t, s, boot)
		if h.Accepted < last {
			t.Errorf("accepted %d, promised up to %d", h.Accepted, last)
		}
		f.accounted(t, h.Accepted)
		for seq := range began {
			switch {
			case ended[seq] && f.ended[seq] != 1:
				t.Errorf("sequence %d had ended and was handed out %d times", seq, f.ended[seq])
			case !ended[seq] && f.ended[seq] == 0 && f.lost[seq] != ReasonKilled:
				t.Errorf("sequence %d was begun and is %q", seq, f.lost[seq])
			}
		}
		for seq, reason := range f.declared { // a segment's head may count one that its caller was not yet promised
			if began[seq] || reason != ReasonHole {
				t.Errorf("sequence %d is declared without a name: %s", seq, reason)
			}
		}
		closeSpool(t, s)
	}
}
