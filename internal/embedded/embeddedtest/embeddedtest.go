// Package embeddedtest lends tests a real engine and a real broker.
//
// The one idea: a test binary starts the engine once, in a folder of its own,
// and every test gets a database or topics of its own making in it. A package
// that uses Engine must have
//
//	func TestMain(m *testing.M) { embeddedtest.Main(m) }
//
// because the engine is a child process of the test binary. Where the engine's
// library is missing tests are skipped, or fail when GNOMON_REQUIRE_ENGINE=1. It
// makes no tables and no topics.
package embeddedtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/gnomon-llm/gnomon/internal/embedded"
)

var (
	once     sync.Once
	isMain   bool
	engine   *embedded.Engine
	folder   string
	password string
	failure  error
)

// Main serves the engine when this process is its child, else runs the tests and
// ends the engine after them.
func Main(m *testing.M) {
	embedded.RunEngineChildIfAsked()
	isMain = true
	code := m.Run()
	Stop()
	os.Exit(code)
}

// Stop ends the shared engine and removes its folder.
func Stop() {
	if engine != nil {
		_ = engine.Close()
		engine = nil
	}
	if folder != "" {
		_ = os.RemoveAll(folder)
	}
}

// Engine returns the writer's DSN of the shared engine, without a database.
func Engine(t testing.TB) (dsn string) {
	t.Helper()
	e := shared(t)
	u := url.URL{Scheme: "http", User: url.UserPassword("gnomon", password), Host: e.Addr()}
	return u.String()
}

// ReaderEngine returns the DSN of the user who may only read.
func ReaderEngine(t testing.TB) (dsn string) {
	t.Helper()
	return "http://" + shared(t).Addr()
}

// RequireLibrary returns the engine's library, or ends the test as Engine does.
func RequireLibrary(t testing.TB) string {
	t.Helper()
	library, err := embedded.FindLibrary("")
	if err != nil {
		if os.Getenv("GNOMON_REQUIRE_ENGINE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return library
}

func shared(t testing.TB) *embedded.Engine {
	t.Helper()
	if !isMain {
		t.Fatal("this package's TestMain must call embeddedtest.Main: the engine is a child process of the test binary")
	}
	library := RequireLibrary(t)
	once.Do(func() {
		if folder, failure = os.MkdirTemp("", "gnomon-engine-*"); failure != nil {
			return
		}
		if password, failure = embedded.WriterPassword(folder, ""); failure != nil {
			return
		}
		engine, failure = embedded.StartEngine(context.Background(), embedded.EngineConfig{
			Library: library, Dir: folder, Listen: "127.0.0.1:0", WriterPassword: password,
		})
	})
	if failure != nil {
		t.Fatal(fmt.Errorf("the engine for tests: %w", failure))
	}
	return engine
}

// EngineIn starts an engine of the test's own over a folder that stays, under a
// bound of memory, and returns the writer's DSN. The test ends it.
func EngineIn(t testing.TB, dir string, memoryBytes int64) (dsn string) {
	t.Helper()
	if !isMain {
		t.Fatal("this package's TestMain must call embeddedtest.Main: the engine is a child process of the test binary")
	}
	library := RequireLibrary(t)
	secret, err := embedded.WriterPassword(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	e, err := embedded.StartEngine(context.Background(), embedded.EngineConfig{Library: library, Dir: dir, Listen: "127.0.0.1:0", WriterPassword: secret, MemoryBytes: memoryBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	u := url.URL{Scheme: "http", User: url.UserPassword("gnomon", secret), Host: e.Addr()}
	return u.String()
}

// Broker starts a broker of the test's own and returns its host:port.
func Broker(t testing.TB) (addr string) {
	t.Helper()
	b, err := embedded.StartBroker(context.Background(), embedded.BrokerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b.Addr()
}
