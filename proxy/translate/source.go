package translate

import "github.com/tidwall/gjson"

func openAISource(s *Stream) func(gjson.Result) error {
	current, refused := -1, false
	return func(v gjson.Result) error {
		if e := v.Get("error"); e.Exists() && e.Type != gjson.Null {
			s.fail(readFault(e))
			return nil
		}
		choices := v.Get("choices").Array()
		if len(choices) == 0 {
			return nil // usage, or a filter's result
		}
		if len(choices) > 1 || choices[0].Get("index").Int() != 0 {
			return bad("more than one choice")
		}
		s.begin(v.Get("id").Str, v.Get("model").Str)
		delta := choices[0].Get("delta")
		if t := delta.Get("content"); t.Type == gjson.String && t.Str != "" {
			s.text(t.Raw)
		}
		if t := delta.Get("refusal"); t.Type == gjson.String && t.Str != "" {
			refused = true
			s.sink.refusal(t.Raw)
		}
		for _, c := range delta.Get("tool_calls").Array() {
			if err := s.openAIPiece(c, &current); err != nil {
				return err
			}
		}
		if reason := choices[0].Get("finish_reason"); reason.Type == gjson.String {
			stop, err := openAIStop(reason.Str, s.calls > 0, refused)
			if err != nil {
				return err
			}
			s.finish(stop, "")
		}
		return nil
	}
}

// openAIPiece takes a piece of a tool call. Calls come one after the other; one
// that was left is not gone back to.
func (s *Stream) openAIPiece(c gjson.Result, current *int) error {
	at, name := int(c.Get("index").Int()), c.Get("function.name").Str
	switch {
	case at == *current && s.inCall:
	case at == s.calls || !c.Get("index").Exists() && name != "":
		*current = at
		if err := s.call(c.Get("id").Str, name); err != nil {
			return err
		}
	default:
		return bad("pieces of several tool calls, mixed")
	}
	if a := c.Get("function.arguments"); a.Type == gjson.String {
		s.args(a.Raw)
	}
	return nil
}

func anthropicSource(s *Stream) func(gjson.Result) error {
	s.mustEnd = true
	block := int64(-1)
	return func(v gjson.Result) error {
		kind := v.Get("type").Str
		switch kind {
		case "content_block_start":
			block = v.Get("index").Int()
		case "content_block_delta", "content_block_stop":
			if v.Get("index").Int() != block {
				return bad("pieces of several blocks, mixed")
			}
		}
		switch kind {
		case "message_start":
			s.begin(v.Get("message.id").Str, v.Get("message.model").Str)
		case "content_block_start":
			return s.anthropicBlock(v.Get("content_block"))
		case "content_block_delta":
			return s.anthropicDelta(v.Get("delta"))
		case "content_block_stop":
			s.endCall()
		case "message_delta":
			reason := v.Get("delta.stop_reason")
			if reason.Type != gjson.String {
				return nil
			}
			stop, err := anthropicStop(reason.Str)
			if err != nil {
				return err
			}
			sequence := ""
			if q := v.Get("delta.stop_sequence"); q.Type == gjson.String {
				sequence = q.Raw
			}
			s.finish(stop, sequence)
		case "message_stop":
			if s.finished {
				s.done()
			}
		case "error":
			s.fail(readFault(v.Get("error")))
		}
		return nil // ping, and kinds of event that are yet to come
	}
}

func (s *Stream) anthropicBlock(b gjson.Result) error {
	switch b.Get("type").Str {
	case "text":
		if t := b.Get("text"); t.Str != "" {
			s.text(t.Raw)
		}
	case "tool_use":
		if err := s.call(b.Get("id").Str, b.Get("name").Str); err != nil {
			return err
		}
		if input := b.Get("input"); len(input.Map()) > 0 {
			s.whole = compact(input.Raw) // a host that does not say it in pieces
		}
	case "thinking", "redacted_thinking":
	default:
		return bad("a block of a kind that nobody asked for")
	}
	return nil
}

func (s *Stream) anthropicDelta(d gjson.Result) error {
	switch d.Get("type").Str {
	case "text_delta":
		if t := d.Get("text"); t.Type == gjson.String && t.Str != "" {
			s.text(t.Raw)
		}
	case "input_json_delta":
		if t := d.Get("partial_json"); t.Type == gjson.String && s.inCall {
			s.args(t.Raw)
		}
	case "thinking_delta", "signature_delta", "citations_delta":
	default:
		return bad("a delta of a kind that nobody asked for")
	}
	return nil
}

func geminiSource(s *Stream) func(gjson.Result) error {
	return func(v gjson.Result) error {
		if e := v.Get("error"); e.IsObject() {
			s.fail(readFault(e))
			return nil
		}
		s.begin(v.Get("responseId").Str, v.Get("modelVersion").Str)
		if v.Get("promptFeedback.blockReason").Exists() && !v.Get("candidates.0").Exists() {
			s.finish(byFilter, "")
			return nil
		}
		candidates := v.Get("candidates").Array()
		if len(candidates) == 0 {
			return nil // usage
		}
		if len(candidates) > 1 {
			return bad("more than one candidate")
		}
		for _, p := range candidates[0].Get("content.parts").Array() {
			b, ok, err := geminiSpoken(p)
			switch {
			case err != nil && p.Get("text").Exists(), err == nil && !ok:
			case err != nil:
				return err
			case b.kind == call:
				if err := s.call(b.id, b.tool); err != nil {
					return err
				}
				s.args(quote(compact(b.input)))
				s.endCall()
			default:
				s.text(b.text)
			}
		}
		if reason := candidates[0].Get("finishReason"); reason.Str != "" {
			stop, err := geminiStop(reason.Str, s.calls > 0)
			if err != nil {
				return err
			}
			s.finish(stop, "")
		}
		return nil
	}
}
