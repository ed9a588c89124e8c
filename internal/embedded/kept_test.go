package embedded

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

func TestAFullDiskIsNotTheFaultOfWhatIsInserted(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full: ", err)
	}
	defer full.Close()
	for _, c := range []struct {
		name string
		to   io.Writer
		from io.Reader
		code int
	}{
		{"the disk takes nothing", full, strings.NewReader("data"), codeCannotWriteFile},
		{"the body ends early", io.Discard, iotest.ErrReader(io.ErrUnexpectedEOF), codeIncorrectData},
	} {
		_, err := io.Copy(c.to, c.from)
		var got *exception
		if !errors.As(notKept(err), &got) || got.code != c.code {
			t.Errorf("%s: %v is told as %v, want code %d", c.name, err, notKept(err), c.code)
		}
	}
}
