package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// DeclareLost says that the disk of a proxy's life is gone: of its sequences up to
// last, those of which the store has no row count as declared from then on. A row
// that still comes beats it, as it beats every declaration, and nothing is
// acknowledged by it, so that a spool which comes back after all loses nothing.
func DeclareLost(ctx context.Context, cfg Config, boot, last uint64, at time.Time) (err error) {
	d := schemas.Declared{Version: schemas.SchemaVersion, BootID: boot, FirstSeq: 1, LastSeq: last, Reason: schemas.ReasonDiskLost, At: at.UTC()}
	value, err := json.Marshal(&d)
	if err != nil {
		return err
	}
	p, err := NewPublisher(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return p.Publish(ctx, schemas.TopicRequests, declaredMessage(boot, value))
}
