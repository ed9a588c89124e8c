package main

import (
	"context"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
)

// recordTopic is a log of policies or keys on the broker, as activation.Keeper
// uses it.
type recordTopic struct {
	cfg  pipeline.Config
	name string
}

// Follow implements activation.Topic.
func (t recordTopic) Follow(ctx context.Context, to activation.Follower) error {
	return pipeline.FollowLog(ctx, t.cfg, t.name, pipeline.Follow{
		Record:   func(m pipeline.Message) { to.Record(m.Offset, m.Value) },
		CaughtUp: func(int64) { to.CaughtUp() },
		Reset:    to.Reset,
		Lost:     to.Lost,
	})
}

// Append implements activation.Topic.
func (t recordTopic) Append(ctx context.Context, key string, value []byte) (int64, error) {
	return pipeline.AppendLog(ctx, t.cfg, t.name, pipeline.Message{Key: []byte(key), Value: value})
}
