package main

import (
	"context"

	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/schemas"
)

// policyTopic is the policy log on the broker, as activation.Keeper uses it.
type policyTopic struct{ cfg pipeline.Config }

// Follow implements activation.Topic.
func (t policyTopic) Follow(ctx context.Context, fn func(offset int64, value []byte), caughtUp func(end int64), reset func()) error {
	return pipeline.FollowLog(ctx, t.cfg, schemas.TopicPolicies, func(m pipeline.Message) { fn(m.Offset, m.Value) }, caughtUp, reset)
}

// Append implements activation.Topic.
func (t policyTopic) Append(ctx context.Context, key string, value []byte) (int64, error) {
	return pipeline.AppendLog(ctx, t.cfg, schemas.TopicPolicies, pipeline.Message{Key: []byte(key), Value: value})
}
