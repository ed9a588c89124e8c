package dialect

import "encoding/json"

// Fault is an error of gnomon's own, to be said in the client's dialect.
type Fault struct {
	Status  int    // HTTP status
	Kind    string // overloaded, upstream_unreachable, upstream_timeout, … : a fixed word
	Message string
}

// Body returns the error in the shape that SDKs of the family turn into their
// typed exceptions, with its Content-Type.
func (f Fault) Body(family string) (contentType string, body []byte) {
	var v any
	switch family {
	case FamilyAnthropic:
		v = map[string]any{"type": "error", "error": map[string]string{"type": anthropicKind(f.Status), "message": f.Message}}
	case FamilyGemini:
		v = map[string]any{"error": map[string]any{"code": f.Status, "message": f.Message, "status": geminiStatus(f.Status)}}
	default:
		v = map[string]any{"error": map[string]any{"message": f.Message, "type": "gnomon_error", "param": nil, "code": f.Kind}}
	}
	body, err := json.Marshal(v)
	if err != nil { // strings and numbers only: cannot happen
		body = []byte("{}")
	}
	return "application/json", body
}

func anthropicKind(status int) string {
	switch status {
	case 400:
		return "invalid_request_error"
	case 401:
		return "authentication_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 429:
		return "rate_limit_error"
	case 503, 529:
		return "overloaded_error"
	case 408, 504:
		return "timeout_error"
	}
	return "api_error"
}

func geminiStatus(status int) string {
	switch status {
	case 400:
		return "INVALID_ARGUMENT"
	case 401:
		return "UNAUTHENTICATED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 429:
		return "RESOURCE_EXHAUSTED"
	case 408, 504:
		return "DEADLINE_EXCEEDED"
	}
	return "UNAVAILABLE"
}
