package classifier

import (
	"strings"

	"github.com/gnomon-llm/gnomon/schemas"
)

// taskNames are the words of the task classes, as stored and shown.
var taskNames = [...]string{
	TaskOther: "other", TaskChat: "chat", TaskExtraction: "extraction", TaskClassification: "classification", TaskSummary: "summary",
	TaskRAG: "rag", TaskCode: "code", TaskMath: "math", TaskAgent: "agent", TaskWriting: "writing", TaskTranslation: "translation",
}

// String returns the class's word.
func (t TaskClass) String() string {
	if int(t) < len(taskNames) {
		return taskNames[t]
	}
	return "unknown"
}

// wordReason marks words that ask for steps rather than name a task.
const wordReason = uint8(TaskTranslation) + 1

// keywords are the words that hint at a task.
var keywords = map[uint8]string{
	uint8(TaskExtraction):     "extract extraction extracts parse parsing fields field json entities entity invoice schema",
	uint8(TaskClassification): "classify classification classifier label labels category categories categorise categorize sentiment intent spam toxic triage",
	uint8(TaskSummary):        "summarise summarize summary summaries summarising summarizing tldr condense digest",
	uint8(TaskRAG):            "context passage passages documents sources cite citation citations excerpt excerpts retrieved",
	uint8(TaskCode):           "code function python javascript typescript golang rust java sql bug compile debug refactor implement class unittest",
	uint8(TaskMath):           "calculate compute equation integral derivative probability theorem algebra triangle polynomial matrix",
	uint8(TaskWriting):        "write draft compose essay story poem blog article headline tagline rewrite",
	uint8(TaskTranslation):    "translate translation translator translated",
	wordReason:                "why how explain prove derive step steps reason therefore suppose assume determine calculate find each every total many much remaining",
}

// keywordTable finds a word's hint by its hash; open addressing, a power of two
// well above the number of words.
var keywordTable = func() (t [512]struct {
	hash uint32
	kind uint8
}) {
	for kind := uint8(0); kind <= wordReason; kind++ {
		for _, word := range strings.Fields(keywords[kind]) {
			h := wordHash(word)
			for i := h % uint32(len(t)); ; i = (i + 1) % uint32(len(t)) {
				if t[i].kind == 0 {
					t[i].hash, t[i].kind = h, kind
					break
				}
				if t[i].hash == h {
					break // the first class has it
				}
			}
		}
	}
	return t
}()

func keywordAt(h uint32) uint8 {
	for i := h % uint32(len(keywordTable)); keywordTable[i].kind != 0; i = (i + 1) % uint32(len(keywordTable)) {
		if keywordTable[i].hash == h {
			return keywordTable[i].kind
		}
	}
	return 0
}

// task names what a request is about, by its shape first and then by the words
// of its instructions, which count more than those of the turn.
func task(f *Features, system, user *words) TaskClass {
	if f.Tools > 0 {
		return TaskAgent
	}
	var votes [len(taskNames)]uint32
	for t := range votes {
		votes[t] = 3*uint32(system.votes[t]) + uint32(user.votes[t])
	}
	if user.options >= 3 {
		votes[TaskClassification] += 4 // a choice among options
	}
	if f.Gates&(schemas.GateJSONMode|schemas.GateJSONSchema) != 0 {
		votes[TaskExtraction] += 4
	}
	if user.code > 16 && user.code*12 > user.total/4 {
		votes[TaskCode] += 6
	}
	if user.math >= 3 && user.numbers >= 3 {
		votes[TaskMath] += 3
	}
	if f.LastUserBytes > 4000 {
		votes[TaskRAG] += 2
	}
	best, most := TaskOther, uint32(1) // one word alone says little
	for t := TaskExtraction; int(t) < len(votes); t++ {
		if votes[t] > most {
			best, most = t, votes[t]
		}
	}
	if best == TaskOther && (f.Turns > 1 || system.words > 0) {
		return TaskChat
	}
	return best
}
