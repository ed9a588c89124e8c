//go:build !unix

package embedded

import "errors"

func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
