package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
	"github.com/gnomon-llm/gnomon/schemas"
)

// inFront opens a store through a proxy that f may answer for the engine: it
// returns false to let a request pass.
func inFront(t *testing.T, f func(w http.ResponseWriter, r *http.Request) bool) *Store {
	t.Helper()
	target, err := url.Parse(embeddedtest.Engine(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := target.User.Password()
	engine := *target
	engine.User = nil
	pass := httputil.NewSingleHostReverseProxy(&engine)
	pass.ErrorLog = log.New(io.Discard, "", 0)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f(w, r) {
			r.Host = engine.Host
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	s, err := Open(t.Context(), Options{DSN: strings.Replace(front.URL, "://", "://gnomon:"+password+"@", 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func isInsert(r *http.Request) bool {
	return strings.HasPrefix(strings.TrimSpace(r.URL.Query().Get("query")), "INSERT")
}

func refuse(w http.ResponseWriter, status, code int, text string) {
	w.Header().Set("X-ClickHouse-Exception-Code", fmt.Sprint(code))
	w.WriteHeader(status)
	fmt.Fprintf(w, "Code: %d. DB::Exception: %s", code, text)
}

func TestAnExceptionBehindA200IsAFailedInsert(t *testing.T) {
	_, project := open(t)
	for name, answer := range map[string]func(http.ResponseWriter){
		"with an empty body": func(w http.ResponseWriter) { w.Header().Set("X-ClickHouse-Exception-Code", "252") },
		"with its text":      func(w http.ResponseWriter) { refuse(w, http.StatusOK, 252, "Too many parts") },
	} {
		t.Run(name, func(t *testing.T) {
			broken := true
			s := inFront(t, func(w http.ResponseWriter, r *http.Request) bool {
				if isInsert(r) && broken {
					_, _ = r.Body.Read(make([]byte, 1))
					answer(w)
					return true
				}
				return false
			})
			e := someEvent(project, rand.New(rand.NewPCG(1, 1)))
			if err := s.InsertRequests(t.Context(), project+name, []schemas.RequestEvent{e}); err == nil {
				t.Fatal("counted as stored")
			}
			broken = false
			if err := s.InsertRequests(t.Context(), project+name, []schemas.RequestEvent{e}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Request(t.Context(), project, e.RequestID); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAStoreThatHangsIsAnErrorInTime(t *testing.T) {
	_, project := open(t)
	release := make(chan struct{})
	s := inFront(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if isInsert(r) {
			<-release
		}
		return false
	})
	defer close(release)
	s.timeout = 200 * time.Millisecond
	started := time.Now()
	err := s.InsertRequests(t.Context(), "", []schemas.RequestEvent{someEvent(project, rand.New(rand.NewPCG(1, 2)))})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(started), err)
	}
}

func TestAnAnswerThatIsLostIsMadeGoodByTheSameBatch(t *testing.T) {
	_, project := open(t)
	lose := true
	s := inFront(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !isInsert(r) || !lose {
			return false
		}
		lose = false
		target, _ := url.Parse(embeddedtest.Engine(t))
		target.User = nil
		answer := httptest.NewRecorder() // the engine stores it, and nobody hears of it
		httputil.NewSingleHostReverseProxy(target).ServeHTTP(answer, r)
		if answer.Code != http.StatusOK {
			t.Errorf("the engine answered %d %s", answer.Code, answer.Body)
		}
		panic(http.ErrAbortHandler)
	})
	batch := traffic(project, 100, 1, 5)
	if err := s.InsertRequests(t.Context(), project+":0:0-99", batch); err == nil {
		t.Fatal("a lost answer is no success")
	}
	if err := s.InsertRequests(t.Context(), project+":0:0-99", batch); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "SELECT count() FROM gnomon.requests WHERE project = '"+project+"'"); n != 100 {
		t.Errorf("%d rows, even without FINAL", n)
	}
}

func TestABatchTooLargeForTheMemoryIsSentInParts(t *testing.T) {
	_, project := open(t)
	var mu sync.Mutex
	var tokens []string
	s := inFront(t, func(w http.ResponseWriter, r *http.Request) bool {
		token := r.URL.Query().Get("insert_deduplication_token")
		if !isInsert(r) || strings.Count(token, "/") == 2 {
			return false
		}
		mu.Lock()
		tokens = append(tokens, token)
		mu.Unlock()
		refuse(w, http.StatusInternalServerError, codeMemoryLimit, "Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)")
		return true
	})
	batch := traffic(project, 2000, 1, 6)
	for range 2 { // and the same again: same parts, same tokens
		if err := s.InsertRequests(t.Context(), project, batch); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, "SELECT count() FROM gnomon.requests WHERE project = '"+project+"'"); n != 2000 {
		t.Errorf("%d of 2000 rows", n)
	}
	if want := project + " " + project + "/1 " + project + "/2"; strings.Join(tokens[:3], " ") != want {
		t.Errorf("%v, not %s", tokens, want)
	}
	if err := s.InsertRequests(t.Context(), project+"-small", batch[:2*smallestPart-1]); err == nil {
		t.Error("a small batch is not halved for ever")
	}
}

func TestEveryTimeAndIDThatCannotBeStoredIsNamed(t *testing.T) {
	s, project := open(t)
	now := time.Now()
	for name, insert := range map[string]func() error{
		"a request without a time": func() error {
			return s.InsertRequests(t.Context(), "", []schemas.RequestEvent{{Project: project, RequestID: uuid.NewString()}})
		},
		"a request of the year 9999": func() error {
			return s.InsertRequests(t.Context(), "", []schemas.RequestEvent{{Project: project, RequestID: uuid.NewString(), Ts: now.AddDate(7973, 0, 0)}})
		},
		"an evaluation of no request": func() error {
			return s.InsertEvaluations(t.Context(), "", []schemas.Evaluation{{RequestTs: now, GradedAt: now, EvaluationID: uuid.NewString()}})
		},
		"a heartbeat without a time":  func() error { return s.InsertHeartbeats(t.Context(), "", []schemas.Heartbeat{{}}) },
		"a declaration without one":   func() error { return s.InsertDeclared(t.Context(), "", []schemas.Declared{{}}) },
		"a verdict without one":       func() error { return s.InsertVerdicts(t.Context(), "", []schemas.Verdict{{}}) },
		"evidence without one":        func() error { return s.InsertEvidence(t.Context(), "", []schemas.EvidenceRecord{{}}) },
		"a policy record without one": func() error { return s.InsertPolicies(t.Context(), "", []schemas.Policy{{}}) },
		"a snapshot without one":      func() error { return s.InsertSnapshots(t.Context(), "", []schemas.SnapshotRecord{{}}) },
	} {
		var row *ErrRow
		if err := insert(); !errors.As(err, &row) || row.RowIndex() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNothingIsAnInsertOfNothing(t *testing.T) {
	s, _ := open(t)
	if err := s.InsertRequests(t.Context(), "token", nil); err != nil {
		t.Error(err)
	}
}

func TestAnAddressThatIsWrongIsToldWithoutItsPassword(t *testing.T) {
	for _, dsn := range []string{"http://gnomon:topsecret@127.0.0.1:1/gnomon", "ftp://gnomon:topsecret@127.0.0.1/", "http://gnomon:topsecret@127.0.0.1:bad/", "clickhouse://gnomon:topsecret@127.0.0.1:1/gnomon"} {
		s, err := Open(t.Context(), Options{DSN: dsn})
		if err == nil {
			_ = s.Close()
			t.Errorf("%s opened", dsn)
		} else if strings.Contains(err.Error(), "topsecret") {
			t.Errorf("the password is told: %v", err)
		}
	}
}

func TestAWrongPasswordIsRefusedAndNeverTold(t *testing.T) {
	target, err := url.Parse(embeddedtest.Engine(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, password := range []string{"topsecret", "top/secret", "top secret+%"} {
		target.User = url.UserPassword("gnomon", password)
		s, err := Open(t.Context(), Options{DSN: target.String()})
		if err == nil {
			_ = s.Close()
			t.Fatal("a wrong password opens the store")
		}
		for _, told := range []string{password, url.QueryEscape(password), url.PathEscape(password), target.User.String()} {
			if strings.Contains(err.Error(), told) {
				t.Errorf("the password is told: %v", err)
			}
		}
	}
}
