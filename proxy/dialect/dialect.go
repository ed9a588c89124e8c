package dialect

import "strings"

// The dialects, as events name them.
const (
	OpenAIChat        = "openai.chat"
	OpenAIResponses   = "openai.responses"
	OpenAICompletions = "openai.completions"
	OpenAIEmbeddings  = "openai.embeddings"
	AnthropicMessages = "anthropic.messages"
	GeminiGenerate    = "gemini.generate"
	Other             = "other"
)

// The families of provider rows: whose error shape and credential header a
// provider uses.
const (
	FamilyOpenAI    = "openai"
	FamilyAnthropic = "anthropic"
	FamilyGemini    = "gemini"
)

// Dialect is one API shape. It does no I/O and keeps no state.
type Dialect struct {
	Name      string
	Family    string // "" for Other
	Operation string // gen_ai.operation.name
	// Readable: the body of its requests is one JSON object that may be looked at.
	Readable bool
	// AsksUsage: a stream states its usage only when stream_options asks for it.
	AsksUsage bool

	suffixes    []string                            // of the path at the provider, POST only
	modelInPath bool                                // Gemini: /models/{model}:generateContent
	body        func(a *Answer, body []byte)        // reads a whole JSON answer
	event       func(a *Answer, event, data []byte) // reads one event of a stream
	settle      func(a *Answer)                     // after the last byte: puts Usage together
}

// rows is the table of vendors' shapes. Order matters where suffixes nest.
var rows = []*Dialect{
	{Name: OpenAIChat, Family: FamilyOpenAI, Operation: "chat", Readable: true, AsksUsage: true, suffixes: []string{"/chat/completions"}, body: openAIBody, event: openAIEvent},
	{Name: OpenAICompletions, Family: FamilyOpenAI, Operation: "text_completion", Readable: true, suffixes: []string{"/completions"}, body: openAIBody, event: openAIEvent},
	{Name: OpenAIResponses, Family: FamilyOpenAI, Operation: "chat", Readable: true, suffixes: []string{"/responses"}, body: responsesBody, event: responsesEvent},
	{Name: OpenAIEmbeddings, Family: FamilyOpenAI, Operation: "embeddings", Readable: true, suffixes: []string{"/embeddings"}, body: openAIBody, event: openAIEvent},
	{Name: AnthropicMessages, Family: FamilyAnthropic, Operation: "chat", Readable: true, suffixes: []string{"/v1/messages"}, body: anthropicBody, event: anthropicEvent, settle: anthropicSettle},
	{Name: GeminiGenerate, Family: FamilyGemini, Operation: "generate_content", Readable: true, suffixes: []string{":generateContent", ":streamGenerateContent"}, modelInPath: true, body: geminiBody, event: geminiEvent},
}

var other = &Dialect{Name: Other, Operation: "other", body: plainBody, event: plainEvent}

// Of returns the dialect of a call by its method and its path at the provider
// (without query). What no row knows is Other: forwarded, sizes recorded.
func Of(method, path string) *Dialect {
	if method != "POST" {
		return other
	}
	for _, d := range rows {
		for _, s := range d.suffixes {
			if strings.HasSuffix(path, s) {
				return d
			}
		}
	}
	return other
}

// Named returns the dialect of a name that an event carries, Other for one that
// is not known.
func Named(name string) *Dialect {
	for _, d := range rows {
		if d.Name == name {
			return d
		}
	}
	return other
}

// pathModel reads the model of a Gemini path: …/models/{model}:generateContent.
func pathModel(path string) (model string, stream bool) {
	last := path[strings.LastIndexByte(path, '/')+1:]
	model, verb, _ := strings.Cut(last, ":")
	return model, verb == "streamGenerateContent"
}
