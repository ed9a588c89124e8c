package spool

const childEnv = "GNOMON_SPOOL_TEST_CHILD"

func childMain() {}
