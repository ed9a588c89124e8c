package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

// rawColumn is a column as ch-go encodes it, and how a row gets into it.
type rawColumn struct {
	name string
	data proto.ColInput
	add  func(*schemas.RequestEvent)
}

func raw[T any](name string, c interface {
	proto.ColInput
	Append(T)
}, get func(*schemas.RequestEvent) T) rawColumn {
	return rawColumn{name, c, func(e *schemas.RequestEvent) { c.Append(get(e)) }}
}

func rawText(name string, get func(*schemas.RequestEvent) string) rawColumn {
	return raw(name, new(proto.ColStr), get)
}

// rawDecimal says its scale, which ch-go leaves out.
type rawDecimal struct{ *proto.ColDecimal64 }

func (rawDecimal) Type() proto.ColumnType { return "Decimal(18, 9)" }

func rawMoney(name string, get func(*schemas.RequestEvent) schemas.OptUSD) rawColumn {
	return raw(name, proto.NewColNullable[proto.Decimal64](rawDecimal{new(proto.ColDecimal64)}), func(e *schemas.RequestEvent) proto.Nullable[proto.Decimal64] {
		usd := get(e)
		return proto.Nullable[proto.Decimal64]{Set: usd.Known, Value: proto.Decimal64(usd.Nano)}
	})
}

func rawCount(name string, get func(*schemas.RequestEvent) uint32) rawColumn {
	return raw(name, new(proto.ColUInt32), get)
}

func rawHash(name string, get func(*schemas.RequestEvent) uint64) rawColumn {
	return raw(name, new(proto.ColUInt64), get)
}

type ev = schemas.RequestEvent

// rawColumns are all columns of gnomon.requests.
func rawColumns() []rawColumn {
	byte1 := func(name string, get func(*ev) uint8) rawColumn { return raw(name, new(proto.ColUInt8), get) }
	short := func(name string, get func(*ev) uint16) rawColumn { return raw(name, new(proto.ColUInt16), get) }
	yes := func(name string, get func(*ev) bool) rawColumn { return raw(name, new(proto.ColBool), get) }
	return append(rawWords(),
		raw("request_id", new(proto.ColUUID), func(e *ev) uuid.UUID { return uuid.MustParse(e.RequestID) }),
		raw("ts", new(proto.ColDateTime64).WithPrecision(proto.PrecisionMilli), func(e *ev) time.Time { return e.Ts }),
		byte1("revision", func(e *ev) uint8 { return e.Revision }), byte1("client_retry", func(e *ev) uint8 { return e.ClientRetry }),
		rawHash("boot_id", func(e *ev) uint64 { return e.BootID }), rawHash("seq", func(e *ev) uint64 { return e.Seq }),
		raw("tags", proto.NewMap[string, string](new(proto.ColStr), new(proto.ColStr)), func(e *ev) map[string]string { return e.Tags }),
		yes("bypassed", func(e *ev) bool { return e.Bypassed }), yes("fallback", func(e *ev) bool { return e.Fallback }), yes("stream", func(e *ev) bool { return e.Stream }), yes("simulated", func(e *ev) bool { return e.Simulated }),
		short("http_status", func(e *ev) uint16 { return e.HTTPStatus }), short("baseline_reject", func(e *ev) uint16 { return uint16(e.BaselineReject) }),
		rawCount("input_tokens", func(e *ev) uint32 { return e.InputTokens }), rawCount("cache_read_tokens", func(e *ev) uint32 { return e.CacheReadTokens }),
		rawCount("cache_write_tokens", func(e *ev) uint32 { return e.CacheWriteTokens }), rawCount("cache_write_1h_tokens", func(e *ev) uint32 { return e.CacheWrite1hTokens }),
		rawCount("audio_input_tokens", func(e *ev) uint32 { return e.AudioInputTokens }), rawCount("output_tokens", func(e *ev) uint32 { return e.OutputTokens }),
		rawCount("reasoning_tokens", func(e *ev) uint32 { return e.ReasoningTokens }), rawCount("audio_output_tokens", func(e *ev) uint32 { return e.AudioOutputTokens }),
		rawCount("price_version", func(e *ev) uint32 { return e.PriceVersion }), rawCount("classifier_version", func(e *ev) uint32 { return e.ClassifierVer }),
		rawCount("policy_version", func(e *ev) uint32 { return e.PolicyVersion }), rawCount("request_bytes", func(e *ev) uint32 { return e.RequestBytes }),
		rawCount("response_bytes", func(e *ev) uint32 { return e.ResponseBytes }), rawCount("latency_ms", func(e *ev) uint32 { return e.LatencyMS }), rawCount("overhead_us", func(e *ev) uint32 { return e.OverheadUS }),
		rawMoney("cost", func(e *ev) schemas.OptUSD { return e.Cost }), rawMoney("list_cost", func(e *ev) schemas.OptUSD { return e.ListCost }), rawMoney("baseline_cost", func(e *ev) schemas.OptUSD { return e.BaselineCost }),
		rawMoney("would_cost", func(e *ev) schemas.OptUSD { return e.WouldCost }), rawMoney("would_output_cost", func(e *ev) schemas.OptUSD { return e.WouldOutputCost }), rawMoney("expected_cost", func(e *ev) schemas.OptUSD { return e.ExpectedCost }),
		raw("score", new(proto.ColFloat32), func(e *ev) float32 { return e.Score }), raw("novelty", new(proto.ColFloat32), func(e *ev) float32 { return e.Novelty }),
		raw("p_adequate", proto.NewColNullable[float32](new(proto.ColFloat32)), func(e *ev) proto.Nullable[float32] { return optional(e.PAdequate) }),
		raw("ttft_ms", proto.NewColNullable[uint32](new(proto.ColUInt32)), func(e *ev) proto.Nullable[uint32] { return optional(e.TTFTMS) }),
		rawHash("gates", func(e *ev) uint64 { return uint64(e.Gates) }), rawHash("snapshot_hash", func(e *ev) uint64 { return e.SnapshotHash }), rawHash("prompt_hash", func(e *ev) uint64 { return e.PromptHash }),
		raw("candidates", proto.NewArray[string](new(proto.ColStr)), func(e *ev) []string { return e.Candidates }),
		raw("rejects", proto.NewArray[uint16](new(proto.ColUInt16)), func(e *ev) []uint16 {
			codes := make([]uint16, len(e.Rejects))
			for i, r := range e.Rejects {
				codes[i] = uint16(r)
			}
			return codes
		}),
	)
}

func optional[T any](p *T) proto.Nullable[T] {
	if p == nil {
		return proto.Nullable[T]{}
	}
	return proto.Nullable[T]{Set: true, Value: *p}
}

func rawWords() (words []rawColumn) {
	for name, get := range map[string]func(*ev) string{
		"project": func(e *ev) string { return e.Project }, "status": func(e *ev) string { return string(e.Status) }, "workload": func(e *ev) string { return e.Workload }, "feature": func(e *ev) string { return e.Feature },
		"team": func(e *ev) string { return e.Team }, "user_id": func(e *ev) string { return e.UserID }, "session": func(e *ev) string { return e.Session }, "trace_id": func(e *ev) string { return e.TraceID },
		"key_id": func(e *ev) string { return e.KeyID }, "dialect": func(e *ev) string { return e.Dialect }, "operation": func(e *ev) string { return e.Operation }, "provider": func(e *ev) string { return e.Provider },
		"baseline_provider": func(e *ev) string { return e.BaselineProvider }, "request_model": func(e *ev) string { return e.RequestModel }, "served_model": func(e *ev) string { return e.ServedModel },
		"response_model": func(e *ev) string { return e.ResponseModel }, "response_id": func(e *ev) string { return e.ResponseID }, "service_tier": func(e *ev) string { return e.ServiceTier },
		"mode": func(e *ev) string { return string(e.Mode) }, "arm": func(e *ev) string { return string(e.Arm) }, "error_type": func(e *ev) string { return e.ErrorType }, "finish_reason": func(e *ev) string { return e.FinishReason },
		"usage_source": func(e *ev) string { return string(e.UsageSource) }, "would_route": func(e *ev) string { return e.WouldRoute }, "task_class": func(e *ev) string { return e.TaskClass },
		"evidence_state": func(e *ev) string { return string(e.EvidenceState) }, "held": func(e *ev) string { return string(e.Held) }, "inputs": func(e *ev) string { return string(e.Inputs) },
		"schema_version": func(e *ev) string { return e.Version }, "extra": func(e *ev) string { return e.Extra },
	} {
		words = append(words, rawText(name, get))
	}
	return words
}

// insertRaw encodes rows with ch-go alone and posts them as one block: what any
// ingester into this engine has to do at least.
func insertRaw(ctx context.Context, dsn string, evs []schemas.RequestEvent) error {
	columns := rawColumns()
	names, input := make([]string, len(columns)), make([]proto.InputColumn, len(columns))
	for i, c := range columns {
		for j := range evs {
			c.add(&evs[j])
		}
		names[i], input[i] = c.name, proto.InputColumn{Name: c.name, Data: c.data}
	}
	var buf proto.Buffer
	if err := (proto.Block{Rows: len(evs), Columns: len(columns)}).EncodeRawBlock(&buf, 0, input); err != nil {
		return err
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return err
	}
	secret, _ := u.User.Password()
	at := "http://" + u.Host + "/?query=" + url.QueryEscape("INSERT INTO gnomon.requests ("+strings.Join(names, ", ")+") FORMAT Native")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(buf.Buf))
	if err != nil {
		return err
	}
	req.SetBasicAuth(u.User.Username(), secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-ClickHouse-Exception-Code") != "" {
		return fmt.Errorf("%s: %.300s", resp.Status, answer)
	}
	return nil
}
