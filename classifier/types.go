package classifier

import (
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Features is what one pass over a request's JSON finds: everything of the
// request that a decision may use. Fixed size, no pointers, no text.
type Features struct {
	Gates         schemas.Gate
	SystemPrint   uint64 // fingerprint that names the workload: the system prompt's template (names, dates, ids, documents ironed out), tools and shape where it is short; 0 without any
	SystemHash    uint64 // of the system prompt's texts as sent, xxhash64 of the xxhash64 of each; 0 without one
	FirstUserHash uint64 // likewise of the first user turn
	PromptHash    uint64 // likewise of all turns and their roles: duplicates cluster
	PromptTokens  uint32 // predicted from bytes
	MaxOutput     uint32 // requested output ceiling in tokens; 0 when none
	Bytes         uint32 // of the body
	SystemBytes   uint32
	LastUserBytes uint32
	Turns         uint16 // messages, system not counted
	Tools         uint16 // tool definitions
	Images        uint16
	Lexical       [16]int16 // counts and shares in fixed point, as the version defines them
}

// TaskClass is what a request is about.
type TaskClass uint8

// The task classes. Values are stored: never renumber.
const (
	TaskOther TaskClass = iota
	TaskChat
	TaskExtraction
	TaskClassification
	TaskSummary
	TaskRAG
	TaskCode
	TaskMath
	TaskAgent
	TaskWriting
	TaskTranslation
)

// Assessment is what the classifier says of a request.
type Assessment struct {
	Score   uint16 // how much the strong model is needed, in 1/65535; fixed point so that every machine agrees
	Novelty uint16 // in 1/65535
	Task    TaskClass
	Version uint32 // of features and weights together
}

// Inputs is everything Decide reads of one request. It is recorded with the
// event, packed (see Inputs.AppendBinary).
type Inputs struct {
	Workload     string
	Provider     string // of the baseline
	RequestModel string
	Dialect      string // openai.chat, anthropic.messages, …
	Operation    string // chat, embeddings, …
	Features     Features
	Assessment   Assessment
	Arm          schemas.Arm
	Bypassed     bool
	Unhealthy    uint64 // bit i: candidate i of the ladder is left alone for now
	Barred       uint64 // bit i: candidate i is at another provider, whose credential the caller's gnomon key may not spend
	CacheWarm    uint64 // bit i: candidate i would hold the session's prefix in its cache
	BaselineWarm bool   // the baseline holds it
	Hour         uint32 // hours since the Unix epoch, UTC: which prices hold
}

// Decision is the route chosen for a request, and why each other candidate was
// not.
type Decision struct {
	Route          string           // provider/model: the would-be route; the baseline's when nothing was chosen
	Candidates     []string         // provider/model in ladder order; shared with the Snapshot, never written to
	Rejects        []schemas.Reject // one per candidate
	BaselineReject schemas.Reject   // why no candidate was looked at at all (bypassed, operation, unknown model …); 0 otherwise
	Act            bool             // live: send it to Route. Never while observing, for control, or, but for an override, without evidence or on a novel prompt
	Held           schemas.Held     // why Route, where it is a candidate's, is not acted on
	Expected       schemas.OptUSD   // of Route, predicted
	Evidence       schemas.EvidenceState
	Adequate       Chance // that the answer of Route is no worse; where Route is the baseline, of the first candidate that only its score kept back
	Mode           schemas.Mode
	PolicyVersion  uint32
	SnapshotHash   uint64
}

// Chance is a probability, where there is evidence for one.
type Chance struct {
	P     uint16 // in 1/65535
	Known bool
}

// Pricer prices usage; savings.Book is one.
type Pricer interface {
	// Cost returns the list price, and the part of it that the output makes.
	// It fails when the model has no price: an unpriced model is never free.
	Cost(provider, model, tier string, u schemas.Usage, at time.Time) (total, output schemas.NanoUSD, err error)
	// Hash identifies every price in the book.
	Hash() uint64
}

// Capability is what a model can do; a request that needs more is refused.
type Capability struct {
	Model         string // provider/model
	Supports      schemas.Gate
	ContextWindow uint32 // tokens, prompt and output together; 0 = unknown
	MaxOutput     uint32 // tokens; 0 = unknown
	MinCached     uint32 // tokens: the shortest prefix its provider keeps in a cache; 0 = 1,024, which most have
}

// Ladder names the cheaper models a baseline may be routed to, first choice
// first.
type Ladder struct {
	Baseline   string   // provider/model; the model may be a dated snapshot of it
	Candidates []string // provider/model
}

// Evidence is what is known of one candidate beside one baseline in one
// workload. It speaks of what was scored by its Scorer, and of the discovered
// workloads that went by the name then: of nothing else is anything known by it.
type Evidence struct {
	Workload, Provider, RequestModel, Candidate string
	State                                       schemas.EvidenceState
	OutputRatio                                 float64 // candidate's output tokens per baseline's; 0 = unmeasured, 1 is taken
	Adequacy                                    schemas.Calibration
	Profile                                     schemas.Profile
	Scorer                                      schemas.Scorer
	Members                                     []string // discovered workloads that went by the workload's name; none: it is a name that clients send
}

// Name is what a person calls a discovered workload. Several may have the same.
type Name struct{ Found, Name string }

// Provider is what a decision needs to know of a configured provider.
type Provider struct {
	Name       string
	Dialects   []string // it can be spoken to in: openai.chat, anthropic.messages
	Credential bool     // one is stored
}

// Parts are what a Snapshot is made of.
type Parts struct {
	Project        string
	Ladders        []Ladder
	Capabilities   []Capability
	Providers      []Provider
	Policies       []schemas.Policy // the accepted version of each workload
	Names          []Name           // of discovered workloads; the Workload of Inputs is named already
	Evidence       []Evidence
	Prices         Pricer  `json:"-"` // kept apart: a book is large, and the same for months
	Model          *Model  `json:"-"` // whose weights assess; nil: the shipped ones. Kept apart, and named by the Origin
	DraftThreshold float64 // of workloads without a policy
	Sealed         bool    `json:",omitempty"` // each policy's salt is only its digest: such a snapshot decides, and assigns nobody
}
