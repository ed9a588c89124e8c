package pipeline

import (
	"strings"
	"testing"
)

func TestATopicThatMayForgetIsNotTrustedWithTheOnlyCopy(t *testing.T) {
	good := map[string]string{minInsync: "2", unclean: "false", retentionBytes: "-1", retentionMs: "604800000"}
	for _, tt := range []struct {
		name, key, value string
		want             string // part of the reason; empty: it may be trusted
	}{
		{"as gnomon makes it", minInsync, "2", ""},
		{"kept for good", retentionMs, "-1", ""},
		{"one replica has it", minInsync, "1", minInsync},
		{"nothing told", minInsync, "", minInsync},
		{"a replica that is behind may lead", unclean, "true", unclean},
		{"a bound in bytes", retentionBytes, "1073741824", retentionBytes},
		{"a day", retentionMs, "86400000", retentionMs},
	} {
		told := map[string]string{}
		for k, v := range good {
			told[k] = v
		}
		told[tt.key] = tt.value
		if got := unsafe("t", told); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
