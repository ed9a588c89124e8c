package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/internal/sabotage"
)

// telling names the fault under which a missing safeguard shows.
var telling = map[string]string{
	sabotage.BeginRecord:    "a proxy is killed",
	sabotage.EndRecord:      "a proxy is killed",
	sabotage.FrameChecksum:  "a proxy is killed and its spool ends in garbage",
	sabotage.StoreConfirms:  "broker and engine are killed, and the broker's folder is gone",
	sabotage.OffsetLast:     "broker and engine are killed",
	sabotage.DedupToken:     relayFaults[0].name,
	sabotage.EngineRoom:     "the engine's disk is full",
	sabotage.OrphansWatched: "an ingester hangs with its share",
}

// sabotageAll takes the safeguard that is named away, or each in turn, and says
// whether it was noticed.
func sabotageAll(ctx context.Context, o options, which string, seeds []uint64) error {
	among := append([]string{"nothing"}, sabotage.Safeguards...)
	if which != "all" {
		if among = []string{which}; telling[which] == "" {
			return fmt.Errorf("no safeguard is called %q: there are %v", which, sabotage.Safeguards)
		}
	}
	// Less than a minute: then the spool sends again what the store has not
	// confirmed, and makes good what one safeguard less has lost.
	o.settle = min(o.settle, 45*time.Second)
	fmt.Printf("%-16s %-62s %s\n", "taken away", "fault", "noticed")
	for _, safeguard := range among {
		o.env, o.only = []string{"SABOTAGE=" + safeguard}, telling[safeguard]
		said := fmt.Sprintf("no, in %d seeds", len(seeds))
		for _, seed := range seeds {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if o.renew != nil {
				if err := o.renew(); err != nil {
					return err
				}
			}
			_, _, err := run(ctx, o, seed)
			if errors.Is(err, errNotUp) {
				said += fmt.Sprintf(", seed %d did not start", seed)
				continue
			}
			if err != nil {
				said = fmt.Sprintf("seed %d: %s", seed, strings.SplitN(err.Error(), "\n", 2)[0])
				break
			}
		}
		fmt.Printf("%-16s %-62s %.160s\n", safeguard, telling[safeguard], said)
	}
	return nil
}
