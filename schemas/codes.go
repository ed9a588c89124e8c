package schemas

// Gate is one fixed bit a capability that a request needs. Bits are never
// reused: the store keeps them for 400 days.
type Gate uint64

// What a request may need of the model that serves it.
const (
	GateTools Gate = 1 << iota
	GateParallelTools
	GateVision
	GateAudio
	GateJSONMode
	GateJSONSchema
	GateLogprobs
	GateMultipleChoices // n > 1
	GateReasoning       // asks for thinking or a reasoning effort
	GateSignedThinking  // history holds signed thinking: bound to its model
	GateServerState     // Responses store, previous_response_id, conversation, background
	GateRepeatedKey     // a repeated top-level key: two readers could differ
	GateUnreadable      // no JSON object, or a body gnomon and a provider could read differently
	GateNoModel         // no model named
	GatePrediction      // predicted outputs
	GateWebSearch       // provider-side tools

	// Not needs but ways: the request was looked at for a candidate in another
	// dialect, and can be said in it.
	GateInOpenAI    // in openai.chat
	GateInAnthropic // in anthropic.messages
	GateInGemini    // in gemini.generate

	// GateAnonymous is no need either: the caller brought no credential, so that
	// no other provider than its own is asked for it.
	GateAnonymous
)

// Reject says why a candidate was not chosen. 0 means it was chosen. Codes are
// never reused.
type Reject uint16

// The reject reasons.
const (
	RejectNone Reject = iota
	RejectTools
	RejectParallelTools
	RejectVision
	RejectAudio
	RejectJSONMode
	RejectJSONSchema
	RejectLogprobs
	RejectMultipleChoices
	RejectContextWindow
	RejectOutputCeiling
	RejectReasoning
	RejectSignedThinking
	RejectServerState
	RejectRepeatedKey
	RejectUnreadable
	RejectNoLadder // no ladder begins at the baseline, and no policy speaks of it; or no model was named
	RejectUnpriced // candidate or baseline has no price
	RejectNotCheaper
	RejectDialect
	RejectNoCredential
	RejectUnhealthy
	RejectScore // the assessment says the strong model is needed
	RejectNovel
	RejectBypassed
	RejectOperation // embeddings, audio, files …: never routed
	RejectBetterChoice
	RejectResidency
	RejectPrediction
	RejectWebSearch
	RejectUnknownCandidate // the candidate's capabilities are not known
	RejectClassifier       // the classifier failed or exceeded its budget
	RejectAnonymous        // another provider is asked for nobody
	RejectKeyScope         // the caller's gnomon key may not spend at the candidate's provider
)

// rejectWords holds the code and the sentence of each reason. The code is the
// word used in JSON, SQL and on screens.
var rejectWords = map[Reject][2]string{
	RejectNone:             {"chosen", "This candidate was chosen."},
	RejectTools:            {"tools", "The request uses tools, which the candidate does not support."},
	RejectParallelTools:    {"parallel_tools", "The request wants parallel tool calls, which the candidate does not support."},
	RejectVision:           {"vision", "The request holds an image, which the candidate cannot read."},
	RejectAudio:            {"audio", "The request holds or asks for audio, which the candidate does not handle."},
	RejectJSONMode:         {"json_mode", "The request wants JSON mode, which the candidate does not offer."},
	RejectJSONSchema:       {"json_schema", "The request wants a JSON schema enforced, which the candidate does not offer."},
	RejectLogprobs:         {"logprobs", "The request wants log probabilities, which the candidate does not return."},
	RejectMultipleChoices:  {"multiple_choices", "The request wants more than one choice, which the candidate does not return."},
	RejectContextWindow:    {"context", "Prompt and requested output do not fit the candidate's context window."},
	RejectOutputCeiling:    {"output_ceiling", "The requested output is above the candidate's ceiling."},
	RejectReasoning:        {"reasoning", "The request asks for reasoning, which the candidate does not offer."},
	RejectSignedThinking:   {"signed_thinking", "The history holds signed thinking, which is bound to the model that made it."},
	RejectServerState:      {"server_state", "The request is bound to state kept at the provider."},
	RejectRepeatedKey:      {"repeated_key", "A top-level key is repeated: two readers could read two requests."},
	RejectUnreadable:       {"unreadable", "The body is not a JSON object that gnomon can read with certainty."},
	RejectNoLadder:         {"no_ladder", "No ladder begins at the model that was asked for, or none was named; and no policy has a candidate for it."},
	RejectUnpriced:         {"unpriced", "The candidate or the baseline has no price: savings cannot be told."},
	RejectNotCheaper:       {"not_cheaper", "The candidate would not be cheaper for this request."},
	RejectDialect:          {"dialect", "The candidate speaks another dialect, and this request cannot be said in it."},
	RejectNoCredential:     {"no_credential", "The candidate is at another provider for which no credential is stored."},
	RejectUnhealthy:        {"unhealthy", "The candidate has been failing and is left alone for now."},
	RejectScore:            {"score", "The assessment says that this request needs the stronger model."},
	RejectNovel:            {"novel", "The prompt is unlike what was graded in its workload."},
	RejectBypassed:         {"bypassed", "The caller asked to be forwarded untouched."},
	RejectOperation:        {"operation", "This kind of call is never routed."},
	RejectBetterChoice:     {"better_choice", "A candidate before it in the ladder was chosen."},
	RejectResidency:        {"residency", "The candidate's provider is not approved for this project."},
	RejectPrediction:       {"prediction", "The request carries a predicted output, which the candidate does not take."},
	RejectWebSearch:        {"provider_tools", "The request uses tools that run at its provider."},
	RejectUnknownCandidate: {"unknown_candidate", "The candidate's capabilities are not known."},
	RejectClassifier:       {"classifier", "The classifier failed or took too long."},
	RejectAnonymous:        {"anonymous", "The caller brought no credential, and the candidate is at another provider: a stored credential is not spent for nobody."},
	RejectKeyScope:         {"key_scope", "The candidate is at a provider whose credential the caller's gnomon key may not spend."},
}

// Code returns the fixed word of the reason, as used in JSON, SQL and screens.
func (r Reject) Code() string {
	if w, ok := rejectWords[r]; ok {
		return w[0]
	}
	return "unknown"
}

// Sentence returns the reason as a sentence for people.
func (r Reject) Sentence() string {
	if w, ok := rejectWords[r]; ok {
		return w[1]
	}
	return "A reason of a newer gnomon."
}

// RejectCodes returns the words of all reasons by code, for the store's view.
func RejectCodes() map[Reject]string {
	m := make(map[Reject]string, len(rejectWords))
	for r, w := range rejectWords {
		m[r] = w[0]
	}
	return m
}
