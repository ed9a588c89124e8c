package embedded

// LibraryVersion is the release of libchdb that this version was built against.
const LibraryVersion = "26.5.3"

// pin is what a platform's package must be, to the byte.
type pin struct {
	packed    int64  // bytes of the package
	integrity string // sha512 of the package, as npm writes it
	size      int64  // bytes of libchdb.so
	sha256    string // of libchdb.so
}

// pins are the packages @chdb/lib-<platform> of LibraryVersion. A platform
// without an integrity has not been checked by us, and is not fetched: one
// brings the library oneself there.
var pins = map[string]pin{
	"linux-x64-gnu": {
		packed:    166572008,
		integrity: "sha512-fPrLmRt5Moor9yGz4mazbrNje4t7X9KB2mTGkXFWRxRBs2iKy8yh6jx11xsa0Qr3iDFMU/yHqd+bVdYJXu3QaQ==",
		size:      559044752,
		sha256:    "4330da79405733f7572f27c1442f46c03a08301f00859dce0368645731b1e1dc",
	},
	"linux-arm64-gnu": {},
	"darwin-x64":      {},
	"darwin-arm64":    {},
}
