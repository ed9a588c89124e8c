package dashboards

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/gnomon-llm/gnomon/analyzer/whatif"
)

func TestQuestionsThatReadTheWholeLogWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		release := make(chan struct{})
		s := &server{whatIfs: make(chan struct{}, whatIfSlots), patience: whatIfPatience, Config: Config{WhatIf: func(context.Context, WhatIf) (*whatif.Result, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			<-release
			return &whatif.Result{}, nil
		}}}
		var done sync.WaitGroup
		for range whatIfSlots {
			done.Go(func() {
				if _, err := s.askWhatIf(t.Context(), WhatIf{}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		var refused *Error
		if _, err := s.askWhatIf(t.Context(), WhatIf{}); !errors.As(err, &refused) || refused.Code != "busy" {
			t.Errorf("one too many: %v", err)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := s.askWhatIf(gone, WhatIf{}); !errors.Is(err, context.Canceled) {
			t.Errorf("one who has left: %v", err)
		}
		close(release)
		done.Wait()
		if _, err := s.askWhatIf(t.Context(), WhatIf{}); err != nil || most.Load() != whatIfSlots {
			t.Errorf("after them: %v; %d at a time", err, most.Load())
		}
	})
}
