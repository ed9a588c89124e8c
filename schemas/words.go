package schemas

// Status says how a request ended.
type Status string

// The statuses of a request.
const (
	StatusOK            Status = "ok"
	StatusProviderError Status = "provider_error" // a status of 400 or more, or an error event inside a stream
	StatusClientAbort   Status = "client_abort"   // the client left before the answer's end
	StatusTruncated     Status = "truncated"      // the provider left in the middle of the answer
	StatusTimeout       Status = "timeout"        // a limit of the proxy ended it
	StatusRefused       Status = "refused"        // by gnomon, after accepting it
	StatusLost          Status = "lost"           // begun, never seen to end; declared
)

// Mode is what a policy lets a workload do.
type Mode string

// The modes of a workload.
const (
	ModeObserve Mode = "observe"
	ModeCanary  Mode = "canary"
	ModeLive    Mode = "live"
	ModePaused  Mode = "paused"
)

// Arm is the experimental arm of a request's session.
type Arm string

// The arms.
const (
	ArmNone    Arm = "none"    // not (yet) in the experiment
	ArmControl Arm = "control" // always the baseline
	ArmTreated Arm = "treated" // takes the decided route
)

// UsageSource says where a request's token counts come from.
type UsageSource string

// The sources of usage.
const (
	UsageProvider  UsageSource = "provider"
	UsageEstimated UsageSource = "estimated" // from bytes; never invoiced
	UsageTokenizer UsageSource = "tokenizer" // an estimate too: gnomon counted the text; never invoiced
	UsageNone      UsageSource = "none"
)

// Estimated says whether the counts are gnomon's own, not the provider's.
func (s UsageSource) Estimated() bool { return s == UsageEstimated || s == UsageTokenizer }

// EvidenceState says what is known of a candidate's quality in a workload when
// a decision is recorded.
type EvidenceState string

// The states of evidence.
const (
	EvidenceNone       EvidenceState = "none"
	EvidenceCollecting EvidenceState = "collecting"
	EvidenceReady      EvidenceState = "ready"
	EvidenceWorse      EvidenceState = "worse"
	// EvidenceStale was ready, and speaks no longer of what is decided: requests are
	// scored otherwise, or other traffic goes by the workload's name.
	EvidenceStale EvidenceState = "stale"
)

// Held says why a would-be route is not acted on.
type Held string

// What holds a route, the first that applies. The words are stored.
const (
	HeldNot      Held = ""         // acted on; or there is no route to act on
	HeldWeights  Held = "weights"  // the evidence stands on the scores of other weights or features than those in force
	HeldMembers  Held = "members"  // the evidence is of other discovered workloads than go by the name now
	HeldNovel    Held = "novel"    // the prompt is unlike those that were graded in its workload, or they are not known
	HeldEvidence Held = "evidence" // it is not sufficient, and nobody overrode
	HeldMode     Held = "mode"     // the workload observes, or is paused
	HeldArm      Held = "arm"      // the session is not treated
)

// Sentence says it to people.
func (h Held) Sentence() string {
	switch h {
	case HeldNot:
		return ""
	case HeldWeights:
		return "The evidence stands on the scores of other weights, or of a build that reads prompts otherwise: the route is held until enough pairs are graded of requests that those in force have scored."
	case HeldMembers:
		return "Workloads were merged into this one, or taken from it, since its evidence was gathered: it is held until the analyzer has judged the traffic that goes by the name now."
	case HeldNovel:
		return "The prompt is unlike those that were graded in this workload, or what those are like is not known: their evidence does not speak of it."
	case HeldEvidence:
		return "The evidence on this candidate in this workload is not sufficient, and nobody overrode."
	case HeldMode:
		return "The workload is not switched on."
	case HeldArm:
		return "The session is in the control group, or outside the share that is switched."
	}
	return "A reason of a newer gnomon."
}

// Readiness is the word of a verdict.
type Readiness string

// The verdict words.
const (
	Collecting    Readiness = "collecting"
	Ready         Readiness = "ready"
	NotWorthwhile Readiness = "not worthwhile"
	Worse         Readiness = "worse"
)

// Topics. A topic's dead letters go to its name plus DLQSuffix.
const (
	TopicRequests    = "gnomon.requests.v1"
	TopicHeartbeats  = "gnomon.heartbeats.v1"
	TopicAcks        = "gnomon.acks.v1"
	TopicEvaluations = "gnomon.evaluations.v1"
	TopicFeedback    = "gnomon.feedback.v1"
	TopicPayloads    = "gnomon.payloads.v1"
	TopicVerdicts    = "gnomon.verdicts.v1"
	TopicEvidence    = "gnomon.evidence.v1"
	TopicPolicies    = "gnomon.policies.v1"
	TopicKeys        = "gnomon.keys.v1"
	TopicNames       = "gnomon.names.v1"
	TopicSnapshots   = "gnomon.snapshots.v1"

	DLQSuffix = ".dlq"
)

// SchemaVersion is the version of all records, "major.minor". Readers accept
// any minor of their own major and keep what they do not know.
const SchemaVersion = "1.0"
