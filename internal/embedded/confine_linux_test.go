package embedded_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

// The kernel holds the engine's process even where its own checks would not.
func TestTheEngineItselfCannotReachOutsideOfItsFolder(t *testing.T) {
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 {
		t.Skip("this kernel offers no Landlock: ", errno)
	}
	writer := embeddedtest.Engine(t)
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a\n1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	for _, query := range []string{
		"SELECT file('/etc/passwd')", "SELECT file('" + secret + "')", "SELECT * FROM file('" + secret + "')", fmt.Sprintf("SELECT file('/proc/%d/environ')", os.Getpid()),
		"INSERT INTO FUNCTION file('" + secret + ".out', 'CSV') SELECT 1", "SELECT * FROM url('http://" + ln.Addr().String() + "/', 'CSV', 'a String')", "SELECT * FROM executable('cat /etc/passwd', 'TSV', 'a String')",
	} {
		if resp, body := ask(t, writer, http.MethodPost, q("", "max_execution_time", "20"), strings.NewReader(query)); resp.StatusCode == http.StatusOK {
			t.Errorf("%s: %.200s", query, body)
		}
	}
	if _, err := os.Stat(secret + ".out"); err == nil {
		t.Error("a file was written")
	}
}
