package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// Call is one request that rehearsal makes itself.
type Call struct {
	Provider string // the configured row's name
	Model    string
	Dialect  string
	Path     string // at the provider
	Body     []byte
	Again    bool // the baseline is asked once more
}

// Reply is what came back. A provider's error is a Reply, not an error.
type Reply struct {
	HTTPStatus int
	Body       []byte
	Latency    time.Duration // of the attempt that answered
}

// Sender sends a call and returns its answer. It fails when there was none:
// no connection, or no answer in time. Implementations are called concurrently
// and wait out a provider's "too many requests" as an SDK would.
type Sender interface {
	Send(ctx context.Context, c Call) (Reply, error)
}

// ErrUnsendable says that a call cannot be made as configured: there is no such
// provider or no credential. That is nobody's quality: nothing is recorded.
var ErrUnsendable = errors.New("the rehearsal call cannot be made")

// newCall turns an observed request into one for route (provider/model): the
// model's value is replaced, a stream becomes a plain answer, and every other
// byte stays.
func newCall(dialect, path, route string, body []byte, again bool) (Call, error) {
	provider, model, ok := strings.Cut(route, "/")
	if !ok {
		return Call{}, fmt.Errorf("route %q is not provider/model", route)
	}
	if gjson.GetBytes(body, "model").Type != gjson.String {
		return Call{}, errors.New("the request names no model")
	}
	out, err := sjson.SetBytes(body, "model", model)
	if err == nil && gjson.GetBytes(out, "stream").Bool() {
		out, err = sjson.SetBytes(out, "stream", false)
		if err == nil && gjson.GetBytes(out, "stream_options").Exists() {
			out, err = sjson.DeleteBytes(out, "stream_options") // only streams may have it
		}
	}
	if err != nil {
		return Call{}, fmt.Errorf("rewrite the request: %w", err)
	}
	return Call{Provider: provider, Model: model, Dialect: dialect, Path: path, Body: out, Again: again}, nil
}
