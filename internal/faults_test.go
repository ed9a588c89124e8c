package internal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// faultRows are the faults of broker, store, disk, clock and policy that gnomon
// must survive, in the order of the list that it was built by (24 to 48; those of
// client, provider and stream are in proxy's index), and what is known of the
// ground it stands on, each with what holds it: tests, as folder:Test or
// folder:Test/row, and faults that e2e/chaos draws, as chaos:name.
var faultRows = map[string][]string{
	// Broker.
	"24: down for a minute; the spool ships in order, once": {"e2e/sdk:TestWithBrokerAndStoreDeadTrafficFlowsAndIsStoredOnceTheyAreBack", "internal/pipeline:TestABrokerThatGoesAndComesLosesNothing",
		"internal/spool:TestOlderLivesAreShippedFirst", "internal/spool:TestSequencesHaveNoHolesAndEachEventIsHandedOutOnce"},
	"25: it acknowledges, then dies; sent again, one row": {"internal/pipeline:TestABrokerThatLosesItsFolderCostsNoRecord", "internal/pipeline:TestWhatComesUnderTheOffsetsOfALostLogIsStored", "internal/pipeline:TestAnIdleProxyNoticesThatTheBrokerLostItsFolder",
		"internal/pipeline:TestWhatABrokerLostIsSentAgainThoughNothingTellsOfTheLoss", "internal/pipeline:TestEventsThatAreNeverConfirmedAreSentAgain",
		"chaos:broker and engine are killed, and the broker's folder is gone", "chaos:a broker of the cluster is killed"},
	"26: its disk full; one of a hundred oversize": {"chaos:the broker's disk is full", "chaos:the broker's disk is full and it is killed", "internal/pipeline:TestOneLargeMessageDoesNotFailTheOthers"},
	"27: killed in compaction": {"internal/embedded:TestNoTopicIsMadeByUseNorCompacted", "activation:TestAnEmptyTopicNeverBeatsTheSnapshotAndIsMended",
		"cmd/gnomon:TestNoPolicyThatWasToldToBeInForceIsLostByKill9"},
	"28: its log shrank, or expired under an offset": {"internal/pipeline:TestExpiredOffsetsAreSkippedAndSaid", "internal/pipeline:TestALogShorterThanWhatWasReadOfItIsReadAnew",
		"internal/pipeline:TestALogThatWasLostIsReadAnewFromItsStart"},
	"29: a rebalance in the middle of a batch": {"internal/pipeline:TestTwoIngestersShareAndARebalanceLosesNothing", "internal/pipeline:TestSimulatedFaultsOfBrokerAndStoreLoseNothingAndCountNothingTwice",
		"internal/pipeline:TestWhatADeadMemberHoldsIsSharedAnew", "chaos:the other ingester is killed again while it joins", "chaos:an ingester joins and is gone before it is told its share",
		"internal/pipeline:TestWhatAHungMemberHoldsIsSharedAnew", "chaos:an ingester hangs with its share"},
	"30: poison goes to the dead letters, the next is not held up": {"internal/pipeline:TestPoisonGoesToTheDeadLettersAndTheRestGoesOn", "internal/pipeline:TestPoisonOfEveryRoadIsADeadLetterWithItsReason",
		"internal/pipeline:TestALetterThatWasCutIsSentOnlyWithAValue"},
	"31: fields of a newer minor version": {"internal/pipeline:TestFieldsOfANewerMinorVersionAreKept"},
	// Store.
	"32: killed between insert and commit: same cut, same token, the sums too": {"internal/pipeline:TestAKillBetweenInsertAndCommitRepeatsTheSameCut", "internal/store:TestARepetitionIsStoredOnce",
		"internal/store:TestTheRollupIsWhatTheRowsGiveWhateverWasDeliveredAndWhen", "internal/store:TestACrashBetweenRowsAndTheirNoteLeavesNoHourStaleOnceTheBatchComesAgain", "chaos:the other ingester is killed"},
	"33: 200 with an exception's header": {"internal/store:TestAnExceptionBehindA200IsAFailedInsert"},
	"34: an insert hangs, or is done and not answered": {"internal/store:TestAStoreThatHangsIsAnErrorInTime", "internal/store:TestAnAnswerThatIsLostIsMadeGoodByTheSameBatch",
		"internal/pipeline:TestABatchThatFailsComesBackAsTheSameBatch", "chaos:answers of the store to an ingester are lost"},
	"35: the engine killed, stopped, parked in its fault handler": {"internal/embedded:TestADeadOrHungEngineServesAgain", "chaos:the engine is killed", "chaos:the engine hangs"},
	"36: too many parts, memory limit: back-off, the lag is shown": {"internal/store:TestAServerThatAsksForTimeIsNotAskedInHalves", "internal/store:TestABatchTooLargeForTheMemoryIsSentInParts",
		"internal/store:TestABatchOverMoreMonthsThanABlockMayHaveIsStored", "internal/pipeline:TestWhileTheStoreRefusesWhatWaitsIsShown"},
	"37: a schema newer than the binary":    {"internal/store:TestAStoreThatANewerGnomonMigratedIsRefused"},
	"38: a replay over the edge of a month": {"internal/store:TestAReplayOverTheEdgeOfAMonthIsOneRow"},
	// Disk.
	"39: a torn, zero or garbage tail of the spool": {"internal/spool:TestALogCutAnywhereGivesBackWhatCameBefore", "internal/spool:TestTailsOfZeroesAndGarbageAreCutOff",
		"internal/spool:TestWhateverACrashLeavesNothingPromisedIsGone", "chaos:a proxy is killed and its last record is torn", "chaos:a proxy is killed and its spool ends in garbage"},
	"40: a bit flipped in the middle": {"internal/spool:TestAFlippedBitCostsAtMostItsRecord", "internal/spool:TestDamageUnderALiveSpoolIsDeclared", "internal/spool:TestADamagedHeaderKeepsTheFrames"},
	"41: no room, write errors, fsync errors": {"internal/spool:TestAFullDiskStopsNobodyAndIsCounted", "internal/spool:TestADiskThatIsFullFromTheStartStopsNobody",
		"internal/spool:TestALifeThatFindsTheDiskFullAndIsKilledStillSaysWhatItAccepted", "internal/spool:TestAnErringDiskCostsTheSegmentNotTheTraffic", "internal/spool:TestAFailedSyncGivesTheSegmentUp",
		"internal/spool:TestAHungDiskHoldsNobodyForLong", "e2e/sdk:TestAFullDiskLetsTrafficFlowAndIsCounted", "chaos:a proxy's disk is full", "chaos:a proxy's disk is full and it is killed"},
	"42: the spool at its bound":         {"internal/spool:TestAFullSpoolDropsCountsDeclaresAndRecovers", "cmd/gnomon:TestEveryMetricThatTheHandbookNamesExists"},
	"43: two processes, one folder":      {"internal/spool:TestASecondProcessIsRefusedAndToldWhose"},
	"the engine's disk full":             {"internal/embedded:TestTheEngineNeverMeetsAFullDisk", "internal/embedded:TestAFullDiskIsNotTheFaultOfWhatIsInserted", "chaos:the engine's disk is full"},
	"a proxy's disk is gone for good":    {"cmd/gnomon:TestWhatALostDiskHeldIsDeclaredUntilItComesAfterAll", "internal/pipeline:TestADiskThatWasDeclaredLostAndComesBackLosesNothing", "chaos:a proxy's disk is lost"},
	"the power fails, and fsync may lie": {"internal/spool:TestWhateverACrashLeavesNothingPromisedIsGone", "internal/spool:TestTheCrashTestSeesADiskThatLiesAboutFsync", "internal/spool:TestSyncFollowsWithinItsWindow"},
	// Clock.
	"44: the clock steps": {"proxy:TestAClockThatJumpsTouchesNoDurationAndNoID", "internal/store:TestARequestIsFoundByItsIDWhateverItsClockSaid", "internal/pipeline:TestPoisonGoesToTheDeadLettersAndTheRestGoesOn/out of range",
		"chaos:a proxy's clock jumps, and back", "chaos:a proxy is killed and starts with a wrong clock, and again with the right one",
		"chaos:the clock of broker and ingester jumps, and back", "chaos:broker and engine are killed and start with a wrong clock, and again with the right one"},
	// Configuration and policy.
	"45: a broken or half-written configuration": {"cmd/gnomon:TestAConfigurationIsLoadedAgainWhileItServes", "internal/config:TestWhatIsWrongIsNamedWithItsPlace"},
	"46: the policy topic empty, or older than the snapshot": {"activation:TestAnEmptyTopicNeverBeatsTheSnapshotAndIsMended", "activation:TestATopicThatTellsAnotherHistoryIsAnAlarm",
		"activation:TestARolledBackPolicyIsNeverObeyedWhileTheTopicIsReadAgain"},
	"47: two activations at once": {"activation:TestOfTwoWritersOneWinsAndTheOtherIsToldSo", "dashboards:TestActionsAreRefusedWithWhatToDo/a record that came second is a conflict", "internal/store:TestOfRacingPolicyRecordsTheFirstOfTheLogHolds"},
	"48: a proxy cut off: its age is shown, nothing is promoted": {"activation:TestATopicThatGoesAwayIsAnAlarmUntilItIsBack", "activation:TestARestartWithoutBrokerObeysTheSnapshot",
		"e2e/sdk:TestReadinessFallsWithWhatARoleLeansOnAndNeverTheProxys", "e2e/sdk:TestALiveWorkloadIsSwitchedBackByAGnomonThatHasNotSeenItsStore"},
	// The ground.
	"G1: compaction deletes before it writes": {"internal/embedded:TestNoTopicIsMadeByUseNorCompacted", "internal/pipeline:TestATopicThatMayForgetIsNotTrustedWithTheOnlyCopy", "internal/pipeline:TestABrokerThatLosesItsFolderCostsNoRecord"},
	"G2: a bad checksum cuts a log off; a full disk is an unknown error": {"internal/pipeline:TestOnlyABrokerWithThreeReplicasFreesTheSpool", "internal/embedded:TestTheBrokerLosesNothingThatItAcknowledgedByKill9",
		"internal/pipeline:TestWhatABrokerLostIsSentAgainThoughNothingTellsOfTheLoss", "chaos:the broker's disk is full"},
	"G3: an error means unknown; one oversize message fails the call":   {"internal/pipeline:TestSimulatedFaultsOfBrokerAndStoreLoseNothingAndCountNothingTwice", "internal/pipeline:TestOneLargeMessageDoesNotFailTheOthers"},
	"G4: offsets skipped, stale messages, commits of an old generation": {"internal/pipeline:TestExpiredOffsetsAreSkippedAndSaid", "internal/pipeline:TestTheSimulationSeesASafeguardThatIsGone"},
	"G5: an exception behind 200; a hanging send":                       {"internal/store:TestAnExceptionBehindA200IsAFailedInsert", "internal/store:TestAStoreThatHangsIsAnErrorInTime"},
	"G6: the engine sleeps in its fault handler":                        {"internal/embedded:TestADeadOrHungEngineServesAgain"},
	"G7: ids stay in the future after a clock's jump":                   {"proxy:TestAClockThatJumpsTouchesNoDurationAndNoID", "internal/store:TestARequestIsFoundByItsIDWhateverItsClockSaid"},
}

// TestEachFaultHasItsTest fails when a fault has no test, or a test is gone.
func TestEachFaultHasItsTest(t *testing.T) {
	for n := 24; n <= 48; n++ {
		if !hasPrefix(faultRows, fmt.Sprintf("%d: ", n)) {
			t.Errorf("fault %d is not in the list", n)
		}
	}
	for fault, rows := range faultRows {
		if len(rows) == 0 {
			t.Errorf("%q has no test", fault)
		}
		for _, row := range rows {
			if !held(t, row) {
				t.Errorf("%q: there is no %q", fault, row)
			}
		}
	}
	// The check can fail.
	for _, gone := range []string{"internal/spool:TestNoSuchThing", "dashboards:TestActionsAreRefusedWithWhatToDo/no such row", "chaos:no such fault", "no/such/folder:TestWhatADeadMemberHoldsIsSharedAnew"} {
		if held(t, gone) {
			t.Errorf("%q is taken for a test", gone)
		}
	}
}

func hasPrefix(rows map[string][]string, prefix string) bool {
	for name := range rows {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// held says whether a test is there, its row written in the same file, or a fault
// of e2e/chaos.
func held(t *testing.T, row string) bool {
	t.Helper()
	folder, name, _ := strings.Cut(row, ":")
	pattern, want := filepath.Join("..", folder, "*_test.go"), ""
	if folder == "chaos" {
		pattern, want = filepath.Join("..", "e2e", "chaos", "*.go"), `name: "`+name+`"`
	}
	name, sub, hasRow := strings.Cut(name, "/")
	if want == "" {
		want = "func " + name + "(t *testing.T)"
	}
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(raw); strings.Contains(text, want) && (!hasRow || strings.Contains(text, `{"`+sub+`"`)) {
			return true
		}
	}
	return false
}
