package classifier

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func systemBody(t testing.TB, system string) []byte {
	t.Helper()
	text, err := json.Marshal(system)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"model":"m","messages":[{"role":"system","content":%s},{"role":"user","content":"Hi"}]}`, text)
}

func TestSystemPromptsOfOneTemplateHaveOnePrint(t *testing.T) {
	const support = "You are a support assistant for the webshop. Today is %s. You are talking to %s, order %s.\nName: %s\nAlways answer politely."
	for _, row := range []struct {
		name string
		a, b string
		same bool
	}{
		{"dates, names and ids", fmt.Sprintf(support, "2026-11-21", "Alice Johnson", "A-17-99", "alice j"), fmt.Sprintf(support, "1 March 2027", "Bob", "8f3a-bb12-cc", "bob the builder"), true},
		{"the day of the week", "Today is Monday. Answer questions about parcels.", "Today is Friday. Answer questions about parcels.", true},
		{"an address", "Forward to alice@example.com the summary of the ticket.", "Forward to bob@example.org the summary of the ticket.", true},
		{"spacing and capitals at the start", "you are a  translator.\n\nTranslate into French.", "You are a translator.\nTranslate into French.", true},
		{"a long record appended", "You are a claims agent. " + strings.Repeat("Check the policy wording before you answer and cite the clause that holds. ", 8) + "Record follows: wind damage", "You are a claims agent. " + strings.Repeat("Check the policy wording before you answer and cite the clause that holds. ", 8) + "Record follows: a broken pipe in the cellar", true},
		{"labels inside a sentence", "Help the customer. Company: acme works\nAnswer in English.", "Help the customer. Company: northwind traders\nAnswer in English.", true},
		{"a date in a script without spaces", "今天是2026年11月21日。你是客服助手。", "今天是2027年1月3日。你是客服助手。", true},
		{"another task in a script without spaces", "你是客服助手。", "你是翻译。", false},
		{"nothing but what changes", "12 34", "98-76", true},
		{"documents between tags, the longer one looked at in part", "Answer.\n<docs>\n" + strings.Repeat("The pump failed on Monday again. ", 3) + "\n</docs>\nQuote the page.", "Answer.\n<docs>\n" + strings.Repeat("A valve was replaced in the north hall. ", 300) + "\n</docs>\nQuote the page.", true},
		{"a list of another length", "Help to pack.\nItems:\n- 2 red shoes\n- 1 hat\nBe brief.", "Help to pack.\nItems:\n- 7 coats\nBe brief.", true},
		{"rules are no list of data", "Help to pack.\n- Always mention the weight of the bag.", "Help to pack.\n- Never mention the weight of the bag.", false},
		{"an instruction behind the documents", "Answer.\n\n```\nx\n```\nQuote the page.", "Answer.\n\n```\ny\n```\nName the author.", false},
		{"a German noun behind an article, not a name", "Beantworte die Frage von Müller.", "Beantworte die Rechnung von Schäfer.", false},
		{"German names", "Beantworte die Frage von Müller.", "Beantworte die Frage von Schäfer.", true},
		{"another verb is another template", "Summarise the text.", "Translate the text.", false},
		{"another task at the end of a short prompt", "You are an assistant. Summarise the text.", "You are an assistant. Translate the text.", false},
		{"another template", "You write product descriptions.", "You classify support tickets.", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f, _ := Assess(chat, systemBody(t, row.a))
			g, _ := Assess(chat, systemBody(t, row.b))
			if (f.SystemPrint == g.SystemPrint) != row.same || f.SystemPrint == 0 {
				t.Errorf("prints %x and %x, same: want %v", f.SystemPrint, g.SystemPrint, row.same)
			}
			if (DiscoverName(chat, systemBody(t, row.a)) == DiscoverName(chat, systemBody(t, row.b))) != row.same {
				t.Errorf("names %s and %s", DiscoverName(chat, systemBody(t, row.a)), DiscoverName(chat, systemBody(t, row.b)))
			}
		})
	}
}

func TestNames(t *testing.T) {
	// The names are stored with every request: a change of this table is a
	// change of everybody's workloads.
	for system, want := range map[string]string{
		"You are a support assistant for Acme. Answer billing questions politely.": "~support-questions-politely-236bab2",
		"日本語で答えてください。":                                                             "~prompt-", "12 34": "~prompt-", "": "~no-system-prompt",
		strings.Repeat("incomprehensibilities ", 100): "~incomprehensibilities-",
	} {
		body := systemBody(t, system)
		if system == "" {
			body = chatBody(t, "Hi")
		}
		got := DiscoverName(chat, body)
		if !strings.HasPrefix(got, want) || len(got) > maxName {
			t.Errorf("%.40q: %s, want %s", system, got, want)
		}
		if !regexp.MustCompile(`^~[a-z0-9-]+$`).MatchString(got) {
			t.Errorf("%s is no readable name", got)
		}
	}
}
