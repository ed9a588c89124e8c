package embedded_test

import (
	"testing"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }
