package sdk

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// plain sends a request without a feature, so that its workload is discovered.
func (g *gnomon) plain(system string) {
	g.t.Helper()
	body := fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"system","content":%q},{"role":"user","content":"Hi"}]}`, system)
	req, _ := http.NewRequest(http.MethodPost, "http://"+g.proxy+"/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer sk-none")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// page asks for a workload's page and says its status and where it leads to.
func (g *gnomon) page(workload string) string {
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Get("http://" + g.admin + "/workloads/" + url.PathEscape(workload))
	if err != nil {
		return err.Error()
	}
	_ = resp.Body.Close()
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Location")))
}

func TestANameOutlivesKill9AndIsTakenBack(t *testing.T) {
	p := newProvider(t)
	g := newGnomon(t, p.URL)
	const system = "You write polite letters to customers who wait for their order. Never promise a date."
	g.plain(system)
	g.count(1)
	found := g.rows("SELECT workload FROM gnomon.requests FINAL")[0][0]
	if !strings.HasPrefix(found, "~") {
		t.Fatalf("the workload is called %q", found)
	}
	cli := func(ok bool, says string, args ...string) {
		t.Helper()
		if out, err := g.cli(args...); (err == nil) != ok || !strings.Contains(out, says) {
			t.Errorf("%v: %v, want %q:\n%s", args, err, says, out)
		}
	}
	cli(false, found, "workloads", "rename", found+"0", "letters", "--reason", "mistyped")
	cli(true, "is called other", "workloads", "rename", "~to-come-2000000", "other", "--reason", "to come", "--unseen")
	cli(true, "is called letters", "workloads", "rename", found, "letters", "--reason", "what it is")
	g.until("the old page leads to the new one", 10*time.Second, func() error {
		if at := g.page(found); at != "302 /workloads/letters" {
			return fmt.Errorf("%s", at)
		}
		return nil
	})
	g.kill9()
	g.start()
	g.plain(system)
	g.count(2)
	if rows := g.rows("SELECT workload FROM gnomon.requests FINAL ORDER BY ts"); rows[0][0] != found || rows[1][0] != "letters" {
		t.Errorf("recorded as %v", rows)
	}
	if at := g.page(found); at != "302 /workloads/letters" {
		t.Errorf("after a kill the old page is %s", at)
	}
	cli(true, "recorded under that name", "workloads", "undo", found, "--reason", "not what it is")
	g.until("the page is its own again", 10*time.Second, func() error {
		if at := g.page(found); at != "200" {
			return fmt.Errorf("%s", at)
		}
		return nil
	})
	g.plain(system)
	g.count(3)
	if rows := g.rows("SELECT workload, count() AS n FROM gnomon.requests FINAL GROUP BY workload ORDER BY n DESC"); rows[0][0] != found || rows[0][1] != "2" {
		t.Errorf("recorded as %v", rows)
	}
}
