package translate

import (
	"errors"

	"github.com/tidwall/gjson"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// ErrBroken says that a stream has ended without being complete: what was
// returned with it is the last that may be sent, and the connection must be
// aborted, never closed as if all was well.
var ErrBroken = errors.New("translate: the stream broke off")

// Stream puts an event stream in the client's dialect as it comes, in pieces of
// any size. It holds back at most the event it is in; for Gemini clients also
// the tool call it is in, since Gemini's are never in pieces.
type Stream struct {
	back   *Back
	reader *dialect.Reader // for the usage, in all its kinds
	scan   dialect.Scanner
	take   func(gjson.Result) error
	sink   sink
	out    *emitter

	id       string
	begun    bool
	calls    int
	inCall   bool // a call is open
	argued   bool // some of its arguments have come
	whole    string
	finished bool // why it ended has been said
	mustEnd  bool // the dialect says explicitly that it is complete
	ended    bool
	broken   bool
}

// sink writes a client's stream.
type sink interface {
	start(id, model string)
	text(lit string)        // a piece of text
	refusal(lit string)     // a piece of a refusal
	call(id, name string)   // begins a tool call
	args(lit string)        // a piece of its arguments, as a literal
	stop(stop, seq string)  // why it ended
	end(u *schemas.Usage)   // it is complete
	fault(f *dialect.Fault) // it is not, and never will be
}

// emitter collects what is to be sent.
type emitter struct {
	dst []byte
	err error
}

// data adds an event; name is "" in dialects whose events have none.
func (e *emitter) data(name string, o *out) {
	if name != "" {
		e.dst = append(append(append(e.dst, "event: "...), name...), '\n')
	}
	e.dst = append(append(append(e.dst, "data: "...), o.b...), "\n\n"...)
}

// Stream begins to put a stream in the client's dialect. maxEvent bounds the
// bytes of one event; a longer one breaks the stream off.
func (b *Back) Stream(maxEvent int) (*Stream, error) {
	from, to := vendors[b.From], vendors[b.To]
	if from == nil || to == nil {
		return nil, ErrAnswer
	}
	s := &Stream{back: b, reader: dialect.Named(b.From).NewReader("text/event-stream", maxEvent), out: &emitter{}}
	s.scan = dialect.Scanner{Max: maxEvent, Emit: s.event}
	s.take, s.sink = from.source(s), to.sink(b)
	s.sink.(interface{ into(*emitter) }).into(s.out)
	return s, nil
}

// Append appends to dst what can be sent now that p has come.
func (s *Stream) Append(dst, p []byte) ([]byte, error) {
	s.out.dst = dst
	if s.broken {
		return dst, ErrBroken
	}
	_, _ = s.reader.Write(p)
	_, _ = s.scan.Write(p)
	if s.scan.Skipped() > 0 {
		s.fail(unreadable)
	}
	return s.sent()
}

// Held is how much memory the event takes that the stream is in.
func (s *Stream) Held() int { return s.reader.Held() + s.scan.Held() }

// Close ends the stream where its source ended. One that was not complete gets
// the error event of the client's dialect, and ErrBroken.
func (s *Stream) Close(dst []byte) ([]byte, error) {
	s.out.dst = dst
	if !s.broken {
		s.scan.Close()
	}
	if s.finished && !s.mustEnd {
		s.done()
	}
	if !s.ended {
		s.fail(brokenOff)
	}
	return s.sent()
}

// Abort ends a stream whose source failed. It returns the error event of the
// client's dialect, or nothing if the stream had ended.
func (s *Stream) Abort(dst []byte) []byte {
	s.out.dst = dst
	s.fail(brokenOff)
	dst, _ = s.sent()
	return dst
}

func (s *Stream) sent() ([]byte, error) {
	dst := s.out.dst
	s.out.dst = nil
	if s.broken {
		return dst, ErrBroken
	}
	return dst, nil
}

var (
	brokenOff  = dialect.Fault{Status: 502, Kind: faultyKind, Message: "gnomon: the provider broke the answer off"}
	unreadable = dialect.Fault{Status: 502, Kind: "upstream_invalid", Message: "gnomon: the provider's answer cannot be said in this dialect"}
)

func (s *Stream) event(_, data []byte) {
	switch {
	case s.ended || s.broken:
	case string(data) == "[DONE]":
		if s.finished {
			s.done()
		}
	case !valid(data):
		s.fail(unreadable)
	default:
		if err := s.take(gjson.ParseBytes(data)); err != nil || s.out.err != nil {
			s.fail(unreadable)
		}
	}
}

// fail ends the stream with an error event.
func (s *Stream) fail(f dialect.Fault) {
	if !s.ended && !s.broken {
		s.broken = true
		s.sink.fault(&f)
	}
}

func (s *Stream) begin(id, model string) {
	if s.begun {
		return
	}
	s.begun = true
	if id == "" {
		id = s.back.ID
	}
	if model == "" {
		model = s.back.Model
	}
	s.id = id
	s.sink.start(id, model)
}

func (s *Stream) text(lit string) {
	s.begin("", "")
	s.endCall()
	s.sink.text(lit)
}

func (s *Stream) call(id, name string) error {
	s.begin("", "")
	s.endCall()
	if name == "" {
		return bad("a tool call without a name")
	}
	if id == "" {
		id = callID(s.id, s.calls)
	}
	s.calls++
	s.inCall, s.argued, s.whole = true, false, ""
	s.sink.call(id, name)
	return nil
}

func (s *Stream) args(lit string) {
	if lit != `""` {
		s.argued = true
		s.sink.args(lit)
	}
}

// endCall ends the open call; one without arguments has the empty object.
func (s *Stream) endCall() {
	if s.inCall && !s.argued {
		if s.whole == "" {
			s.whole = "{}"
		}
		s.sink.args(quote(s.whole))
	}
	s.inCall = false
}

func (s *Stream) finish(stop, sequence string) {
	s.begin("", "")
	s.endCall()
	if !s.finished {
		s.finished = true
		s.sink.stop(stop, sequence)
	}
}

// done completes the stream. The usage is what the source had stated by then.
func (s *Stream) done() {
	if s.ended || s.broken {
		return
	}
	s.ended = true
	s.sink.end(&s.reader.Close().Usage)
	if s.out.err != nil {
		s.broken = true
		f := unreadable
		s.sink.fault(&f)
	}
}
