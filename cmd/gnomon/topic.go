package main

import (
	"context"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/schemas"
)

// policyTopic is the policy log on the broker, as activation.Keeper uses it.
type policyTopic struct{ cfg pipeline.Config }

// Follow implements activation.Topic.
func (t policyTopic) Follow(ctx context.Context, to activation.Follower) error {
	return pipeline.FollowLog(ctx, t.cfg, schemas.TopicPolicies, pipeline.Follow{
		Record:   func(m pipeline.Message) { to.Record(m.Offset, m.Value) },
		CaughtUp: func(int64) { to.CaughtUp() },
		Reset:    to.Reset,
		Lost:     to.Lost,
	})
}

// Append implements activation.Topic.
func (t policyTopic) Append(ctx context.Context, key string, value []byte) (int64, error) {
	return pipeline.AppendLog(ctx, t.cfg, schemas.TopicPolicies, pipeline.Message{Key: []byte(key), Value: value})
}
