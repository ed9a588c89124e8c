package simulator

import "github.com/gnomon-llm/gnomon/schemas"

const cent = schemas.Dollar / 100

// company is the simulated company: workloads of different shapes and fates.
// What the analyzer ought to find is not written here: it follows from the
// qualities below, and the tests hold the verdicts against them.
func company() []Workload {
	return []Workload{
		{ // many turns of prose: no grader fits, whatever the quality
			Name: "support/chat", Team: "support", Provider: openAI, Model: gpt4o, Candidate: gpt4oMini, shape: chat,
			system:   "You are Ada, the support assistant of a shop for outdoor gear. Be friendly, be brief, and never promise what the policy does not say.",
			rhythm:   rhythm{daily: 2600, week: shopWeek, hours: shopHours, sd: .10, rho: .4, turns: 4, most: 30, gap: 45},
			sizes:    sizes{system: 420, prompt: 60, sigma: .7, output: 130, outSigma: .6},
			quality:  quality{strong: .93, slip: .05, rescue: .3, hard: .3, harder: 2, daySD: .01, session: .5, noise: .7, ratio: 1.12, ratioSD: .25},
			streamed: .95, askUsage: true, errors: .006, aborts: .03, sendSession: true, temperature: .7, maxTokens: 800,
			rehearse: 300 * cent, probability: .1,
		},
		{ // one word of nine: easy, good, many pairs; canned messages repeat
			Name: "support/triage", Team: "support", Provider: openAI, Model: gpt4o, Candidate: gpt4oMini, shape: labels,
			system:  "Classify the customer message into exactly one label. Answer with the label alone: delivery, refund, exchange, payment, account, product, complaint, praise or other.",
			words:   []string{"delivery", "refund", "exchange", "payment", "account", "product", "complaint", "praise", "other"},
			rhythm:  rhythm{daily: 2900, week: shopWeek, hours: shopHours, sd: .10, rho: .4, turns: 1, most: 1},
			sizes:   sizes{system: 260, prompt: 110, sigma: .6},
			quality: quality{strong: .97, slip: .002, rescue: .1, hard: .2, harder: 2.5, daySD: .0005, session: .1, noise: .001, ratio: 1, ratioSD: 0},
			errors:  .004, aborts: .002, duplicates: .12, temperature: 0, maxTokens: 8,
			rehearse: 200 * cent, probability: .15,
		},
		{ // JSON out of mails: good
			Name: "orders/extract", Team: "operations", Provider: openAI, Model: gpt41, Candidate: gpt41Mini, shape: extraction,
			system:  "Extract the order from the mail below. Reply with JSON only, following the schema. Use null for what is not stated.",
			rhythm:  rhythm{daily: 2200, week: officeWeek, hours: officeHours, sd: .15, rho: .5, turns: 1, most: 1},
			sizes:   sizes{system: 620, prompt: 260, sigma: .7},
			quality: quality{strong: .96, slip: .003, rescue: .15, hard: .25, harder: 2, daySD: .001, session: .1, noise: .0015, ratio: 1, ratioSD: 0},
			errors:  .005, aborts: .001, duplicates: .02, temperature: 0, maxTokens: 900,
			rehearse: 300 * cent, probability: .15,
		},
		{ // long context, prose: no grader fits
			Name: "docs/rag", Team: "platform", Provider: openAI, Model: gpt4o, Candidate: gpt4oMini, shape: rag,
			system:   "Answer the question from the passages alone. Cite passages by number. Say so when they do not hold the answer.",
			rhythm:   rhythm{daily: 1500, week: officeWeek, hours: officeHours, sd: .12, rho: .5, turns: 1.8, most: 12, gap: 70},
			sizes:    sizes{system: 180, prompt: 1500, sigma: .5, output: 190, outSigma: .5},
			quality:  quality{strong: .9, slip: .03, rescue: .2, hard: .3, harder: 2, daySD: .01, session: .3, noise: .6, ratio: .92, ratioSD: .2},
			streamed: .8, askUsage: false, errors: .006, aborts: .04, sendSession: true, temperature: .3, maxTokens: 1000,
			rehearse: 300 * cent, probability: .1,
		},
		{ // an agent: tool calls decide, and they are nearly always the same; near the margin
			Name: "agent/ops", Team: "operations", Provider: anthropic, Model: claudeSonn, Candidate: claudeHaiku, shape: tools,
			system:   "You run the back office of a warehouse. Use the tools; never guess stock levels. When done, report in one paragraph.",
			rhythm:   rhythm{daily: 1900, week: officeWeek, hours: evenHours, sd: .15, rho: .3, turns: 5, most: 30, gap: 7},
			sizes:    sizes{system: 2600, prompt: 140, sigma: .7, output: 120, outSigma: .4},
			quality:  quality{strong: .95, slip: .009, rescue: .1, hard: .25, harder: 2, daySD: .003, session: .5, noise: .002, ratio: 1.05, ratioSD: .15},
			streamed: .5, errors: .01, aborts: .01, sendSession: true, cached: true, temperature: 0, maxTokens: 1024,
			rehearse: 400 * cent, probability: .12,
		},
		{ // the candidate misses what matters: truly worse
			Name: "code/review", Team: "engineering", Provider: anthropic, Model: claudeOpus, Candidate: claudeSonn, shape: review,
			system:  "Review the diff. Reply with JSON: verdict, severity, line and rule. Report the gravest finding only.",
			rhythm:  rhythm{daily: 1000, week: officeWeek, hours: officeHours, sd: .18, rho: .4, turns: 1.5, most: 8, gap: 240},
			sizes:   sizes{system: 600, prompt: 900, sigma: .9},
			quality: quality{strong: .95, slip: .09, rescue: .1, hard: .4, harder: 1.6, daySD: .01, session: .3, noise: .002, ratio: 1.1, ratioSD: 0},
			errors:  .008, aborts: .004, sendSession: true, temperature: 0, maxTokens: 1200,
			rehearse: 600 * cent, probability: .15,
		},
		{ // prose over transcripts, at night
			Name: "calls/summary", Team: "sales", Provider: openAI, Model: gpt41, Candidate: gpt41Mini, shape: summary,
			system:  "Summarise the sales call in three short paragraphs: what they want, what worries them, what we promised.",
			rhythm:  rhythm{daily: 900, week: officeWeek, hours: batchHours, sd: .2, rho: .3, turns: 1, most: 1},
			sizes:   sizes{system: 140, prompt: 2600, sigma: .6, output: 260, outSigma: .3},
			quality: quality{strong: .92, slip: .02, rescue: .2, hard: .2, harder: 2, daySD: .01, session: .1, noise: .8, ratio: 1.2, ratioSD: .15},
			errors:  .004, temperature: .3, maxTokens: 900,
			rehearse: 300 * cent, probability: .1,
		},
		{ // as good, and not worth the trouble: there is hardly anything to save
			Name: "chat/moderation", Team: "trust", Provider: openAI, Model: gpt41Mini, Candidate: gpt41Nano, shape: labels,
			system:  "Is the message acceptable in a forum for families? Answer with one label: fine, rude, spam, sexual, violent.",
			words:   []string{"fine", "rude", "spam", "sexual", "violent"},
			rhythm:  rhythm{daily: 2600, week: shopWeek, hours: shopHours, sd: .1, rho: .5, turns: 1, most: 1},
			sizes:   sizes{system: 90, prompt: 45, sigma: .8},
			quality: quality{strong: .98, slip: .002, rescue: .1, hard: .1, harder: 3, daySD: .0005, session: .1, noise: .001, ratio: 1, ratioSD: 0},
			errors:  .003, aborts: .001, duplicates: .1, temperature: 0, maxTokens: 5,
			rehearse: 50 * cent, probability: .12,
		},
		{ // documents of any length: a few of them make most of the bill
			Name: "contracts/clauses", Team: "legal", Provider: openAI, Model: gpt41, Candidate: gpt41Mini, shape: clauses,
			system:  "Find the clauses on liability, term and renewal. Reply with JSON: for each, its number, its page and whether it deviates from our standard.",
			rhythm:  rhythm{daily: 520, week: officeWeek, hours: officeHours, sd: .25, rho: .4, turns: 1.2, most: 5, gap: 200},
			sizes:   sizes{system: 350, prompt: 1200, pareto: 1.5},
			quality: quality{strong: .94, slip: .005, rescue: .1, hard: .3, harder: 2, daySD: .001, session: .2, noise: .002, ratio: 1, ratioSD: 0},
			errors:  .006, aborts: .006, sendSession: true, temperature: 0, maxTokens: 1500,
			rehearse: 800 * cent, probability: .25,
		},
		{ // sends no feature header: found by its system prompt
			Name: "", Team: "catalog", Provider: openAI, Model: gpt4o, Candidate: gpt4oMini, shape: phrases,
			system:  "Translate the product name into German for our catalog. Answer with the translated name alone.",
			rhythm:  rhythm{daily: 1700, week: evenWeek, hours: batchHours, sd: .2, rho: .6, turns: 1, most: 1},
			sizes:   sizes{system: 520, prompt: 70, sigma: .5},
			quality: quality{strong: .96, slip: .004, rescue: .1, hard: .15, harder: 3, daySD: .001, session: .1, noise: .002, ratio: 1, ratioSD: 0},
			errors:  .004, duplicates: .05, temperature: 0, maxTokens: 24,
			rehearse: 200 * cent, probability: .15,
		},
	}
}
