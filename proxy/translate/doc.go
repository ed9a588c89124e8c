// Package translate says in one vendor's words what was said in another's:
// requests, answers, streams and their errors, between OpenAI chat completions,
// Anthropic messages and Gemini generateContent.
//
// The one idea: nothing is lost quietly. A request is read into a small common
// form by a strict reader, which knows every member it accepts, and written by a
// writer that knows what its dialect can say; whatever the two do not share is a
// Refusal with a fixed word, found before anything is routed. Strings, numbers
// and schemas move as the bytes they came in.
//
// What may be left out without being a loss is a short list: who the caller's
// user is (user, metadata, safety_identifier, labels), where and how long a
// prompt is cached (cache_control, prompt_cache_*), the default service tier,
// and store: false. Members whose value is null say nothing. Members of answers
// that the other dialect has no word for are left out.
//
// It does no I/O, knows no prices and no models, and never decides: whether a
// model has a capability is the classifier's matter.
package translate
