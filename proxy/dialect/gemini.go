package dialect

import (
	"strings"

	"github.com/gnomon-llm/gnomon/schemas"
)

// geminiBody reads a GenerateContentResponse, or the array of them that
// streamGenerateContent answers without alt=sse.
func geminiBody(a *Answer, body []byte) {
	if at := blank(body, 0); at < len(body) && body[at] == '[' {
		for e := array(body); e.next(); {
			geminiEvent(a, nil, e.value)
		}
	} else {
		geminiEvent(a, nil, body)
	}
	a.Final = a.HasUsage
}

func geminiEvent(a *Answer, _, data []byte) {
	for m := object(data); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "responseId":
			first(&a.ID, v)
		case "modelVersion":
			first(&a.Model, v)
		case "usageMetadata":
			a.geminiUsage(v)
		case "error":
			a.fail(v)
		case "promptFeedback":
			set(&a.FinishReason, get(v, "blockReason"))
		case "candidates":
			for e := array(v); e.next(); {
				set(&a.FinishReason, get(e.value, "finishReason"))
				for p := array(get(get(e.value, "content"), "parts")); p.next(); {
					a.say(get(p.value, "text"))
				}
			}
		}
	}
	a.Final = a.HasUsage && a.FinishReason != ""
}

// geminiUsage: promptTokenCount includes cachedContentTokenCount; thoughts are
// reported beside candidates and are output.
func (a *Answer) geminiUsage(b []byte) {
	if isNull(b) {
		return
	}
	var u schemas.Usage
	var tools, thoughts uint32
	sane, said := true, false
	for m := object(b); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "promptTokenCount":
			counter(&u.InputTokens, v, &sane)
			said = true
		case "cachedContentTokenCount":
			counter(&u.CacheReadTokens, v, &sane)
		case "toolUsePromptTokenCount":
			counter(&tools, v, &sane)
		case "candidatesTokenCount":
			counter(&u.OutputTokens, v, &sane)
		case "thoughtsTokenCount":
			counter(&thoughts, v, &sane)
		case "promptTokensDetails":
			geminiAudio(&u.AudioInputTokens, v, &sane)
		case "candidatesTokensDetails":
			geminiAudio(&u.AudioOutputTokens, v, &sane)
		case "trafficType": // Vertex: bought throughput has no price a token
			if s := text(v); s != "" && s != "ON_DEMAND" {
				a.ServiceTier = strings.ToLower(word(v))
			}
		}
	}
	if !sane || !said {
		a.Odd = true
		return
	}
	u.InputTokens += tools
	u.OutputTokens += thoughts
	u.ReasoningTokens = thoughts
	a.Usage, a.HasUsage = u, true
	a.mend()
}

// geminiAudio takes the audio part of a list by modality.
func geminiAudio(dst *uint32, b []byte, sane *bool) {
	for e := array(b); e.next(); {
		if text(get(e.value, "modality")) == "AUDIO" {
			counter(dst, get(e.value, "tokenCount"), sane)
		}
	}
}
