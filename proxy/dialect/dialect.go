package dialect

import (
	"net/url"
	"strings"
)

// The dialects, as events name them.
const (
	OpenAIChat        = "openai.chat"
	OpenAIResponses   = "openai.responses"
	OpenAICompletions = "openai.completions"
	OpenAIEmbeddings  = "openai.embeddings"
	AzureChat         = "azure.chat"
	AzureCompletions  = "azure.completions"
	AzureEmbeddings   = "azure.embeddings"
	AnthropicMessages = "anthropic.messages"
	VertexAnthropic   = "vertex.anthropic"
	BedrockAnthropic  = "bedrock.anthropic"
	BedrockConverse   = "bedrock.converse"
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

	suffixes []string                            // of the path at the provider, POST only
	within   string                              // what the path must also hold
	model    func(path string) (string, bool)    // reads the model, and whether it is a stream's verb, where the path names them
	body     func(a *Answer, body []byte)        // reads a whole JSON answer
	event    func(a *Answer, event, data []byte) // reads one event of a stream
	settle   func(a *Answer)                     // after the last byte: puts Usage together
}

// rows is the table of vendors' shapes. Order matters where suffixes nest.
// Those that name the model in the path are never routed: no other route has
// the same path.
var rows = []*Dialect{
	{Name: AzureChat, Family: FamilyOpenAI, Operation: "chat", Readable: true, AsksUsage: true, suffixes: []string{"/chat/completions"}, within: deployments, model: deployment, body: openAIBody, event: openAIEvent},
	{Name: AzureCompletions, Family: FamilyOpenAI, Operation: "text_completion", Readable: true, suffixes: []string{"/completions"}, within: deployments, model: deployment, body: openAIBody, event: openAIEvent},
	{Name: AzureEmbeddings, Family: FamilyOpenAI, Operation: "embeddings", Readable: true, suffixes: []string{"/embeddings"}, within: deployments, model: deployment, body: openAIBody, event: openAIEvent},
	{Name: OpenAIChat, Family: FamilyOpenAI, Operation: "chat", Readable: true, AsksUsage: true, suffixes: []string{"/chat/completions"}, body: openAIBody, event: openAIEvent},
	{Name: OpenAICompletions, Family: FamilyOpenAI, Operation: "text_completion", Readable: true, suffixes: []string{"/completions"}, body: openAIBody, event: openAIEvent},
	{Name: OpenAIResponses, Family: FamilyOpenAI, Operation: "chat", Readable: true, suffixes: []string{"/responses"}, body: responsesBody, event: responsesEvent},
	{Name: OpenAIEmbeddings, Family: FamilyOpenAI, Operation: "embeddings", Readable: true, suffixes: []string{"/embeddings"}, body: openAIBody, event: openAIEvent},
	{Name: AnthropicMessages, Family: FamilyAnthropic, Operation: "chat", Readable: true, suffixes: []string{"/v1/messages"}, body: anthropicBody, event: anthropicEvent, settle: anthropicSettle},
	{Name: VertexAnthropic, Family: FamilyAnthropic, Operation: "chat", Readable: true, suffixes: []string{":rawPredict", ":streamRawPredict"}, within: "/publishers/anthropic/models/", model: pathModel, body: anthropicBody, event: anthropicEvent, settle: anthropicSettle},
	{Name: BedrockAnthropic, Family: FamilyAnthropic, Operation: "chat", Readable: true, suffixes: []string{"/invoke", "/invoke-with-response-stream"}, within: "anthropic.", model: bedrockModel, body: anthropicBody, event: invokeEvent, settle: anthropicSettle},
	{Name: BedrockConverse, Operation: "chat", Readable: true, suffixes: []string{"/converse", "/converse-stream"}, within: "/model/", model: bedrockModel, body: converseBody, event: converseEvent, settle: anthropicSettle},
	{Name: GeminiGenerate, Family: FamilyGemini, Operation: "generate_content", Readable: true, suffixes: []string{":generateContent", ":streamGenerateContent"}, model: pathModel, body: geminiBody, event: geminiEvent},
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
			if strings.HasSuffix(path, s) && strings.Contains(path, d.within) {
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

// ModelInPath reports whether the model is named by the path, not by the body.
func (d *Dialect) ModelInPath() bool { return d.model != nil }

// Path is the path of a call for another model, where the path names it: an
// Azure deployment, a model at Vertex or Bedrock. All else stays as it is.
func (d *Dialect) Path(path, model string) string {
	if d.model == nil || model == "" {
		return path
	}
	from, stop := 0, 0
	switch {
	case d.within == deployments:
		from = strings.Index(path, deployments) + len(deployments)
		stop = from + strings.IndexByte(path[from:], '/')
	case strings.HasPrefix(d.Name, "bedrock."):
		stop = strings.LastIndexByte(path, '/')
		from = strings.LastIndexByte(path[:stop], '/') + 1
	default:
		from = strings.LastIndexByte(path, '/') + 1
		stop = strings.LastIndexByte(path, ':')
	}
	return path[:from] + url.PathEscape(model) + path[stop:]
}

// pathModel reads the model of a Google path: …/models/{model}:generateContent,
// and of Vertex's :rawPredict.
func pathModel(path string) (model string, stream bool) {
	model, verb := path[strings.LastIndexByte(path, '/')+1:], ""
	if i := strings.LastIndexByte(model, ':'); i >= 0 {
		model, verb = model[:i], model[i+1:]
	}
	return plainPath(model), strings.HasPrefix(verb, "stream")
}

// deployments is what parts an Azure path that names a deployment from one that
// names its model in the body (Azure's /openai/v1/…).
const deployments = "/deployments/"

// deployment reads …/openai/deployments/{name}/chat/completions. The name is
// the customer's, not that of a model. Whether it streams, the body says.
func deployment(path string) (string, bool) {
	_, rest, _ := strings.Cut(path, deployments)
	name, _, _ := strings.Cut(rest, "/")
	return plainPath(name), false
}

// bedrockModel reads /model/{id}/converse-stream and its like. The id may be a
// whole ARN with escaped slashes.
func bedrockModel(path string) (string, bool) {
	i := strings.LastIndexByte(path, '/')
	name := path[:i]
	return plainPath(name[strings.LastIndexByte(name, '/')+1:]), strings.HasSuffix(path[i:], "-stream")
}

func plainPath(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
