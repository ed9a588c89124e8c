package proxy

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// providerFacts is what is known of the providers' APIs that a proxy can get
// wrong, in short, each with the rows that hold it: recorded exchanges in
// testdata/facts, or tests, Test or Test/row.
var providerFacts = map[string][]string{
	// Chat completions.
	"include_usage: asked for upstream, cut on the way down":                 {"openai-usage-asked-for", "TestTheClientSeesWhatItWouldHaveSeenWithoutAsking"},
	"include_usage: an explicit false is respected and estimated":            {"openai-usage-declined"},
	"include_usage: never to hosts that are not known to take it":            {"openai-usage-never-at-unknown-hosts", "TestARequestReachesTheProviderAsItWasSent/never at a row that is not known to take it"},
	"include_usage: an interrupted stream never states usage":                {"openai-usage-never-came", "TestABrokenOffStreamIsEstimatedAndFlagged"},
	"usage on a chunk whose choices are not empty":                           {"openai-usage-on-empty-delta", "mistral-stream", "together-stream"},
	"usage on every chunk is cumulative":                                     {"openai-usage-on-every-chunk"},
	"usage in the middle; the last that is not null wins":                    {"openai-usage-midstream"},
	"usage null, below zero, beyond reason: the last sane one wins, flagged": {"openai-usage-insane-loses"},
	"prompt_tokens includes cached_tokens":                                   {"openai-cached-is-part-of-prompt"},
	"cache_write_tokens":                                                     {"openai-cache-writes"},
	"completion_tokens includes reasoning and rejected predictions":          {"openai-reasoning-is-part-of-completion"},
	"audio tokens are priced apart":                                          {"openai-audio", "gemini-audio"},
	"padding against traffic analysis is not output":                         {"openai-obfuscation"},
	"unknown members and event types pass untouched":                         {"openai-obfuscation", "anthropic-new-event"},
	"priced by the tier of the answer":                                       {"openai-tier-of-the-answer"},
	"fast answers as priority":                                               {"openai-tier-of-the-answer", "TestCost/what is asked as fast is priced as priority"},
	"batch and flex at half, scale unpriced":                                 {"openai-tier-batch", "openai-tier-flex", "openai-tier-unlisted"},
	"a flex request without resources is not charged":                        {"openai-flex-unavailable"},
	"n, logprobs and tool calls by index pass":                               {"openai-n-logprobs-tools"},
	"the answer's model is the dated snapshot":                               {"openai-dated-snapshot"},
	"crossing a cliff re-prices the whole request":                           {"openai-long-context-cliff", "openai-long-context-below", "gemini-long-context"},
	// Responses.
	"usage in response.completed, incomplete, failed":             {"responses-completed", "responses-incomplete", "responses-failed", "responses-plain"},
	"no [DONE] to rely on; agents stop before response.completed": {"responses-ended-before-completed"},
	"an error event of Responses":                                 {"responses-error-event"},
	"bound to state at the provider: never rerouted":              {"responses-server-state", "responses-stored-by-default", "responses-background", "responses-conversation", "responses-encrypted-reasoning"},
	"a stream resumed by GET is not counted twice":                {"responses-resumed"},
	// Embeddings, tokens, the rest of the surface.
	"embeddings: a prompt only, base64, never rerouted, no vectors kept": {"embeddings"},
	"legacy completions":    {"completions-plain", "completions-stream"},
	"estimates are flagged": {"openai-usage-never-came", "anthropic-ended-without-delta", "TestWhatAnEventCostsWhenLittleIsKnown"},
	"files, batches, audio, images, moderations, models pass, sizes are kept": {"files", "batches", "audio-speech", "audio-transcriptions", "images", "moderations", "models"},
	"unknown paths and methods pass untouched":                                {"unknown-path", "unknown-method", "provider-prefix-unknown-path", "TestARequestReachesTheProviderAsItWasSent/a path in its own escapes"},
	// Anthropic.
	"message_delta is cumulative: replaced, never added":                     {"anthropic-cumulative"},
	"what message_delta states goes before message_start":                    {"anthropic-delta-wins"},
	"input_tokens excludes the cache; writes by lifetime":                    {"anthropic-cache-by-lifetime"},
	"look-alikes: the cache only in message_delta, or the whole input first": {"anthropic-look-alike-late-cache", "anthropic-look-alike-corrects-input"},
	"server tools write more than the split: the rest is 5 minutes, flagged": {"anthropic-server-tools-write-more"},
	"thinking is inside output_tokens":                                       {"anthropic-thinking"},
	"server tools are billed by the call":                                    {"anthropic-web-search"},
	"tier from usage: standard, priority, batch; fast mode":                  {"anthropic-tier-batch", "anthropic-tier-priority", "anthropic-speed-fast"},
	"anthropic-version and anthropic-beta pass":                              {"TestARequestReachesTheProviderAsItWasSent/an x-api-key", "anthropic-cache-control-passes"},
	"inference_geo passes":                                                   {"anthropic-inference-geo"},
	"max_tokens is required, and each model has its ceiling":                 {"TestDecide/more output than the candidate's ceiling is refused", "TestDecide/requested output counts towards the window"},
	"the tokenizer is OpenAI's: what else is counted by it is flagged":       {"TestWhatNobodyStatedIsCounted", "TestCountsAreThePublishedOnes"},
	"images, tools and framing are predicted beside the text":                {"TestPredictedTokens"},
	"cache_control survives":                                                 {"anthropic-cache-control-passes"},
	"signed thinking binds to its model":                                     {"anthropic-signed-thinking", "gemini-thought-signature"},
	"pings and new events":                                                   {"anthropic-new-event"},
	"an error event after 200, the streaming form of 529":                    {"anthropic-overloaded-in-stream", "anthropic-529"},
	"count_tokens is free":                                                   {"anthropic-count-tokens", "gemini-count-tokens"},
	"message batches pass":                                                   {"anthropic-batches"},
	"a model's smallest cacheable prompt":                                    {"TestWhatARoutesCacheWouldHoldOfAPrompt/a prefix shorter than the model keeps is not kept"},
	// Errors and headers.
	"status, body, Retry-After and rate limits are relayed":        {"TestAnAnswerIsWhatADirectCallWouldHaveSeen/429 with the headers that SDKs read", "TestAnAnswerIsWhatADirectCallWouldHaveSeen/rate limit headers and an id", "openai-error-401"},
	"own errors are marked, in the client's dialect":               {"TestWhatAClientSeesOfAProviderThatFails", "TestOwnErrorsHaveTheShapeOfTheClientsDialect"},
	"request ids are kept, ours has its own name, the key is ours": {"openai-id-null", "TestNoTwoRequestsMeet", "TestAProviderWritesNoHeadersOfOurs"},
	"X-Stainless-Retry-Count and idempotency keys tell a retry":    {"openai-retry-count", "openai-idempotency-key"},
	"hop-by-hop and own headers are stripped":                      {"TestARequestReachesTheProviderAsItWasSent/gnomon's own headers stay here", "TestARequestReachesTheProviderAsItWasSent/hop-by-hop headers stay here", "TestAProviderWritesNoHeadersOfOurs"},
	"credentials are never logged":                                 {"TestNoSecretIsFoundInWhatIsLoggedOrRecorded"},
	"an error inside a stream, OpenAI's way":                       {"openai-stream-error", "openrouter-choice-error"},
	// Transport.
	"compressed answers are read beside the untouched bytes":                 {"TestAnAnswerIsWhatADirectCallWouldHaveSeen/gzip", "TestAnAnswerIsWhatADirectCallWouldHaveSeen/a gzip stream", "TestAnAnswerIsWhatADirectCallWouldHaveSeen/a brotli stream", "TestAnAnswerIsWhatADirectCallWouldHaveSeen/a zstd stream"},
	"every event is flushed":                                                 {"TestAnEventIsNotHeldForTheNextOne"},
	"lines longer than any buffer":                                           {"TestALineOf32MegabytesIsIdentical"},
	"idle timeout only, by the provider's bytes":                             {"TestASilentStreamIsEndedAndALivelyOneIsNot"},
	"a client that leaves: the provider is left at once, what was seen kept": {"TestTheProviderIsLeftAsSoonAsTheClientLeaves", "TestABrokenOffStreamIsEstimatedAndFlagged"},
	"chunked uploads, 100-continue, large bodies: the capture is bounded":    {"TestARequestReachesTheProviderAsItWasSent/a chunked body", "TestARequestThatBringsAnExpectationIsServed", "TestALargeUploadIsNotHeldInMemory"},
	// Compatible hosts.
	"Azure: filter results in chunks without choices, first and later":   {"azure-empty-first-chunk", "azure-async-filter"},
	"Azure: a deployment is not a model; api-key, api-version":           {"azure-deployment", "azure-v1", "azure-content-filter", "TestThePathThatNamesAModelNamesAnother", "TestADeploymentIsRoutedByItsPath"},
	"bought throughput is not priced by the token":                       {"vertex-provisioned", "openai-tier-unlisted"},
	"OpenRouter: usage.cost is what was charged; comments":               {"openrouter-cost", "openrouter-not-byok"},
	"OpenRouter: BYOK sums the fee and the spend":                        {"openrouter-byok", "openrouter-byok-unknown"},
	"xAI: the stated cost, in ticks":                                     {"xai-cost-ticks"},
	"Groq: x_groq; on_demand":                                            {"groq-x-groq", "groq-on-demand"},
	"DeepSeek: prompt_cache_hit_tokens":                                  {"deepseek-cache-hits"},
	"a gateway behind (Portkey, LiteLLM): one row; its headers pass":     {"portkey-stream", "litellm-plain"},
	"vLLM, Ollama: one row, unpriced":                                    {"vllm-unpriced", "ollama-compat", "ollama-native"},
	"Gemini: thoughts are output, also on the compatible surface":        {"gemini-plain", "gemini-sse", "gemini-openai-compat", "xai-cost-ticks"},
	"Gemini: an array without alt=sse; cached content; prompts of tools": {"gemini-array", "gemini-cached", "gemini-tool-prompt", "gemini-blocked", "gemini-429"},
	"Vertex and Bedrock bodies":                                          {"vertex-gemini", "vertex-anthropic", "bedrock-invoke", "bedrock-invoke-stream", "bedrock-stream-exception", "bedrock-converse", "bedrock-converse-stream", "bedrock-openai"},
	"a changed protocol is one request, unpriced":                        {"TestAChangedProtocolIsRelayedBothWays"},
}

// faultRows are the faults that the proxy must survive: by number those that were
// written down before it was built (1 to 8 of clients, 11 to 16 of providers, 17
// to 23 of streams, and so on), by name what was found beside them.
var faultRows = map[string][]string{
	"1 a repeated key: bytes as sent, unrouted":                          {"openai-repeated-key", "TestARequestReachesTheProviderAsItWasSent/a repeated model", "TestWhoIsNotTreatedIsServedAsAsked/a repeated key"},
	"2 empty, broken, deep, marked, escaped JSON: forwarded":             {"TestARequestReachesTheProviderAsItWasSent/an empty body", "TestARequestReachesTheProviderAsItWasSent/broken JSON", "TestARequestReachesTheProviderAsItWasSent/ten thousand brackets", "TestARequestReachesTheProviderAsItWasSent/a byte order mark", "TestARequestReachesTheProviderAsItWasSent/an escaped key"},
	"3 a chunked body of 64 MB: streams, in bounded memory":              {"TestALargeUploadIsNotHeldInMemory"},
	"4 a compressed request, a bomb: forwarded, not inflated":            {"TestARequestReachesTheProviderAsItWasSent/a compressed body", "TestADecompressionBombIsForwardedAndNotInflated"},
	"5 a head, a body that does not come: 408, others go on":             {"TestAHeadThatDoesNotComeIsGivenUp", "TestABodyThatDoesNotComeIsAnsweredAndOthersGoOn", "TestNoFaultLeavesADescriptorBehind/never gets the body of a client that stops in it", "TestNoFaultLeavesADescriptorBehind/never gets the body of a client that sent a head only", "TestNoFaultLeavesADescriptorBehind/gets half of what a client that stops sends on", "TestABodyThatComesSlowlyIsWaitedFor"},
	"6 smuggling: one request to everybody":                              {"TestARequestIsOneRequestToEverybody", "TestARequestReachesTheProviderAsItWasSent/a length beside chunks is re-framed"},
	"7 a client that leaves, at each phase":                              {"TestTheProviderIsLeftAsSoonAsTheClientLeaves", "TestAClientThatLeavesBehindTheEndIsNoAbort", "TestLeavingAfterEachEventIsOneRecord", "TestNoFaultLeavesADescriptorBehindHoweverTheClientSpeaks"},
	"8 a client that reads a byte a second: back-pressure":               {"TestAClientThatReadsAByteASecondHoldsItsProviderBack", "TestAShortAnswerReadByteByByteIsWhole", "TestAClientThatReadsSlowlyIsNoFaultOfTheProvider"},
	"9 a long, odd, ever new feature header: cut, escaped, other":        {"TestHeadersAreCleanedIntoNames", "TestWorkloadsAreBoundedAndThoseWithAPolicyKeepTheirName"},
	"10 numbers beyond reason":                                           {"TestARequestReachesTheProviderAsItWasSent/numbers beyond reason"},
	"11 429, 5xx: the same bytes, no own retry":                          {"TestAnAnswerIsWhatADirectCallWouldHaveSeen/429 with the headers that SDKs read", "TestAnAnswerIsWhatADirectCallWouldHaveSeen/503", "TestOnlyWhatGnomonRoutedIsRepeated"},
	"12 refused, no name, no TLS: 502":                                   {"TestWhatAClientSeesOfAProviderThatFails/nobody listens", "TestWhatAClientSeesOfAProviderThatFails/its name does not resolve", "TestWhatAClientSeesOfAProviderThatFails/it speaks no TLS"},
	"13 no head: 504":                                                    {"TestWhatAClientSeesOfAProviderThatFails/it never answers", "TestNoFaultLeavesADescriptorBehind/stalls in its head", "TestNoFaultLeavesADescriptorBehind/stalls behind a hint"},
	"14 HTML, 204, trailers: relayed, unpriced":                          {"TestAnAnswerIsWhatADirectCallWouldHaveSeen/204", "TestAnAnswerIsWhatADirectCallWouldHaveSeen/trailers", "TestWhatAnEventCostsWhenLittleIsKnown/a page that is no answer is unknown"},
	"15 insane usage: the last sane one, flagged":                        {"openai-usage-insane-loses", "openai-usage-on-every-chunk"},
	"16 a redirect elsewhere: relayed, nobody follows":                   {"TestAnAnswerIsWhatADirectCallWouldHaveSeen/a redirect is the client's to follow"},
	"17 an error event behind 200":                                       {"openai-stream-error", "anthropic-overloaded-in-stream"},
	"18 a compressed stream: original bytes, usage read":                 {"TestAnAnswerIsWhatADirectCallWouldHaveSeen/a gzip stream", "TestAnAnswerIsWhatADirectCallWouldHaveSeen/a brotli stream", "TestNoFaultLeavesADescriptorBehind/closes in a compressed stream"},
	"19 RST and FIN at each byte: aborted, truncated":                    {"TestAProviderThatDiesAtAnyByteIsSeenAsAnAbort", "TestABodyShorterThanItsLengthIsAnAbort", "TestAStreamThatDiesIsResetHoweverTheClientSpeaks"},
	"20 no [DONE], no finish reason, a clean end: ok":                    {"TestRecordedAnswersGiveTheirEvents", "openai-usage-never-came"},
	"21 32 MB in a line, split runes, all line ends: identical":          {"TestALineOf32MegabytesIsIdentical", "TestAnEventCutAtAnyByteIsTheSameEvent", "TestAnAnswerIsWhatADirectCallWouldHaveSeen/a stream, byte by byte", "TestTheClientSeesWhatItWouldHaveSeenWithoutAsking"},
	"22 comments for long: idle by the provider's bytes":                 {"TestASilentStreamIsEndedAndALivelyOneIsNot"},
	"23 an answer that outlasts the body's bound":                        {"TestAnAnswerThatOutlastsTheBodyTimeoutIsLeftAlone"},
	"49 a candidate that fails while live: the baseline first":           {"TestAFailingCandidateIsReplacedBeforeTheFirstByte", "TestNeverTwoModelsInOneStream", "TestWhatIsRecordedOfACandidateThatFailsBeforeTheFirstByte", "TestACandidateThatDiesAtAnyByteIsReplacedOrSeenAsAnAbort"},
	"50 a classifier that panics, or takes too long, 8 MB of one letter": {"TestAClassifierThatFailsLeavesTheBaseline", "TestALongPromptIsLookedAtNoLongerThanAShortOne", "TestAdversarialBodies"},
	"57 no descriptors left, 20,000 connections: 503, recovers alone":    {"TestACrowdLargerThanTheDescriptorsIsServedInPartAndToldSo", "TestACallForWhichThereIsNoDescriptorIsRefusedAsOurOwn", "TestAFloodIsRefusedAtOnceAndHoldsNoMemory", "TestPastTheBoundRequestsAreRefusedClearly"},
	"58 a stop with 500 streams: drain, the rest declared":               {"TestStoppingWithFiveHundredStreams", "TestStoppingFinishesWhatIsInFlight", "TestPastTheDrainBoundStreamsAreCutOffAndRecorded", "TestStoppingFinishesStreamsHoweverTheClientSpeaks"},
	"59 memory at its bound: capture first, traffic last":                {"TestPastTheBoundOfCaptureBodiesStreamBy"},

	"half a rune, framing that is none, a wrong length": {"TestNoFaultLeavesADescriptorBehind/closes inside a rune", "TestNoFaultLeavesADescriptorBehind/sends no chunk where one must be", "TestNoFaultLeavesADescriptorBehind/sends less than its length", "TestNoFaultLeavesADescriptorBehind/sends more than its length", "TestNoFaultLeavesADescriptorBehind/sends two lengths", "TestNoFaultLeavesADescriptorBehind/sends a length beside its chunks"},
	"1xx, asked for or not":                             {"TestAnAnswerIsWhatADirectCallWouldHaveSeen/an early hint", "TestNoFaultLeavesADescriptorBehind/sends hints for ever, then leaves", "TestNoFaultLeavesADescriptorBehind/changes the protocol unasked"},
	"a stall at each phase":                             {"TestNoFaultLeavesADescriptorBehind/stalls before its head", "TestNoFaultLeavesADescriptorBehind/stalls behind its head", "TestNoFaultLeavesADescriptorBehind/stalls in a chunk", "TestNoFaultLeavesADescriptorBehind/stalls before its last chunk", "TestNoFaultLeavesADescriptorBehind/stalls in a body of known length"},
	"nothing is left open behind a fault":               {"TestNoFaultLeavesADescriptorBehind", "TestNoFaultLeavesADescriptorBehindHoweverTheClientSpeaks"},
	"a provider that reads nothing":                     {"TestAProviderThatReadsNothingEndsTheRequestInTime", "TestAHeadThatNobodyTakesEndsInTime"},
	"half a record read ahead":                          {"TestAConnectionWithAPartOfARecordReadAheadIsNotUsedAgain"},
	"TLS and HTTP/2: abort, death, slow body, stop":     {"TestAClientThatLeavesAStreamLeavesTheOthersAlone", "TestAStreamThatDiesIsResetHoweverTheClientSpeaks", "TestUploadsAreStreamedAndBoundedHoweverTheClientSpeaks", "TestStoppingFinishesStreamsHoweverTheClientSpeaks"},
	"a candidate that is away, or stalls":               {"TestACandidateThatCannotBeReachedIsReplaced", "TestWhatIsRecordedOfACandidateThatFailsBeforeTheFirstByte/a head, and no byte behind it in time"},
	"a candidate that keeps failing":                    {"TestACandidateThatKeepsFailingIsLeftAlone", "TestAfterThePauseFewTryTheCandidate", "TestOfManyAtOnceFewProbe", "TestACandidateThatFailsHalfTheTimeIsEjectedToo", "TestAnEjectedCandidateIsARecordedInputOfTheDecision", "TestABaselineIsNeverRefusedByABreaker"},
	"a storm of repetitions":                            {"TestTheBudgetBoundsRepetitions", "TestOnlyWhatGnomonRoutedIsRepeated", "TestNobodyIsAskedForAClientThatHasLeft", "TestACandidatesCallIsAnotherRequestThanItsBaselines"},
	"each timeout":                                      {"TestEachTimeoutIsAProvidersOwnAndHasItsOwnName", "TestASilentStreamIsEndedAndALivelyOneIsNot"},
	"a provider of many hosts and keys":                 {"TestOnlyCallsOnStoredCredentialsAreSpread", "TestAHostThatFailsIsSkippedAndComesBack", "TestARefusedCredentialIsSkipped", "TestARepetitionGoesToAnotherHost"},
	"header injection":                                  {"TestAProviderWritesNoHeadersOfOurs", "TestARequestIsOneRequestToEverybody/a carriage return inside a header"},
	"an answer before its request is through":           {"TestAnAnswerThatBeginsEarlyCostsNoByteOfItsRequest", "TestWhatIsLeftOfARefusedUploadIsNoRequest", "TestAnUploadThatIsThroughKeepsItsConnection"},
	"h2c and other protocols behind an upgrade":         {"TestOnlyWebSocketIsRelayed", "TestAChangedProtocolIsRelayedBothWays"},
	"a client that never reads":                         {"TestAClientThatNeverReadsIsLeft", "TestAClientThatTakesALittleAtATimeIsWaitedFor"},
	"absolute form, CONNECT":                            {"TestARequestReachesTheProviderAsItWasSent/absolute form", "TestPathsOutsideOfEverySurfaceGoNowhere"},
}

// peerRows are failures of other gateways, by the advisory or the issue that tells
// of them.
var peerRows = map[string][]string{
	"CVE-2026-42208 a key that is SQL":                         {"TestAKeyIsAValueWhateverIsWrittenInIt"},
	"CVE-2024-6587 a body, a header, a path that names a host": {"TestNothingOfARequestMovesItElsewhere", "TestPathsOutsideOfEverySurfaceGoNowhere"},
	"CVE-2026-35030 two keys that begin alike":                 {"TestKeysThatBeginAlikeAreTwoIdentities"},
	"LL#34732 many at once against one limit":                  {"TestAKeysLimitIsOneLimitForManyAtOnce", "TestAKeysRequestsInFlightAreBounded"},
	"LL#6633 many at once, all answered with one id":           {"TestNoTwoRequestsMeet", "openai-id-null"},
	"LL#35958 an aborted stream leaves no row":                 {"TestLeavingAfterEachEventIsOneRecord"},
	"NA#7062 a client that leaves is billed nothing":           {"TestLeavingAfterEachEventIsOneRecord", "TestABrokenOffStreamIsEstimatedAndFlagged"},
	"LL#30670 keys in logs on error paths":                     {"TestNoSecretIsFoundInWhatIsLoggedOrRecorded"},
	"BF#5546 a dead provider ends cleanly":                     {"TestAProviderThatDiesAtAnyByteIsSeenAsAnAbort"},
	"BF#7034 a silent provider, repetitions after the client":  {"TestTheProviderIsLeftAsSoonAsTheClientLeaves", "TestNobodyIsAskedForAClientThatHasLeft"},
	"BF#3954 a stored credential that comes back":              {"TestAProviderThatEchoesAStoredCredentialIsSilenced"},
	"BF#937 roads round a key that is required":                {"TestNoRoadLeadsRoundAKeyThatIsRequired"},
	"BF PR#1670 a pooled object read after it was given back":  {"TestNoTwoRequestsMeet", "TestLargeBodiesOfManyRequestsAreNotMixed"},
	"CVE-2025-66405 an address inside, on another road":        {"TestANameThatResolvesInsideIsNotConnectedTo", "TestTheDialerRefusesANameThatPointsInside"},
	"PK PR#1597 a sign in a path moves the host":               {"TestNothingOfARequestMovesItElsewhere"},
	"GHSA-9f46-w24h-69w4 a redirect, an image that is fetched": {"TestNothingOfARequestMovesItElsewhere", "TestAnAnswerIsWhatADirectCallWouldHaveSeen/a redirect is the client's to follow"},
	"vllm semantic-router#1443 internal headers from outside":  {"TestARequestReachesTheProviderAsItWasSent/gnomon's own headers stay here"},
	"CVE-2026-45339 a limit that holds for one header only":    {"TestAKeysRequestsInFlightAreBoundedInEveryHeader", "TestAKeysLimitIsOneLimitForManyAtOnce"},
	"Kong/kong#14425 a stream that is buffered":                {"TestAnEventIsNotHeldForTheNextOne", "TestEventsComeOneByOneHoweverTheClientSpeaks"},
}

// TestEachFactHasItsRow fails when a fact has no row, when a row is gone, and
// when a recorded exchange belongs to no fact.
func TestEachFactHasItsRow(t *testing.T) {
	sources := testSources(t, ".", "dialect", "wire", "../savings", "../classifier", "../internal/tokens")
	claimed := map[string]bool{}
	check := func(fact string, rows []string) {
		if len(rows) == 0 {
			t.Errorf("%q has no row", fact)
		}
		for _, row := range rows {
			claimed[row] = true
			if !exists(sources, row) {
				t.Errorf("%q: there is no row %q", fact, row)
			}
		}
	}
	for fact, rows := range providerFacts {
		check(fact, rows)
	}
	for fault, rows := range faultRows {
		check(fault, rows)
	}
	for failure, rows := range peerRows {
		check(failure, rows)
	}
	files, err := filepath.Glob("testdata/facts/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".txt"); !claimed[name] {
			t.Errorf("testdata/facts/%s.txt belongs to no fact", name)
		}
	}
	// The check can fail.
	for _, gone := range []string{"no-such-exchange", "TestNoSuchThing", "TestEachFactHasItsRow/no such row"} {
		if exists(sources, gone) {
			t.Errorf("%q is taken for a row", gone)
		}
	}
}

// TestEachNumberedFaultHasItsRow fails when one of the faults that are the proxy's
// has gone from the index.
func TestEachNumberedFaultHasItsRow(t *testing.T) {
	numbers := []int{49, 50, 57, 58, 59}
	for n := range 23 {
		numbers = append(numbers, n+1)
	}
	for _, n := range numbers {
		found := 0
		for fault := range faultRows {
			if strings.HasPrefix(fault, strconv.Itoa(n)+" ") {
				found++
			}
		}
		if found != 1 {
			t.Errorf("fault %d is in the index %d times", n, found)
		}
	}
}

// testSources is the text of the test files of some folders, but this one.
func testSources(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if filepath.Base(file) == "index_test.go" {
				continue
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[file] = string(raw)
		}
	}
	return all
}

// exists reports whether a row is there: a recorded exchange, or a test, whose
// row must be written in the same file.
func exists(sources map[string]string, row string) bool {
	if !strings.HasPrefix(row, "Test") {
		_, err := os.Stat(filepath.Join("testdata", "facts", row+".txt"))
		return err == nil
	}
	test, name, sub := strings.Cut(row, "/")
	for _, text := range sources {
		if strings.Contains(text, "func "+test+"(t *testing.T)") && (!sub || strings.Contains(text, `{"`+name+`"`)) {
			return true
		}
	}
	return false
}
