//go:build race

package spool

func init() { crashStep = 5 } // the detector is slow and the crashes run one after the other
